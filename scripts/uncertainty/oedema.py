# SPDX-License-Identifier: Apache-2.0
"""Does the uncertainty rise where marrow oedema is that the source does not show? One knee with it and without."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from scripts.intervals.calibration import Calibration
from scripts.intervals.scale_inferer import mirrored_spread, scale_of
from scripts.metrics.lesion import VISIBLE, compare_lesion
from scripts.simulation.study import CONTRASTS
from scripts.study.knees import Twins
from scripts.synthesis.bundle import Model
from scripts.uncertainty.measures import auroc

TARGET = 1
"""Oedema is bright on fat-suppressed images and hardly seen on the others."""
_CORE = 0.5


@dataclass(frozen=True)
class Looked:
    """One knee.

    Args:
        patient: its name.
        visibility: contrast-to-noise ratio of the oedema on the source without its noise.
        present: mean half width of the interval where the oedema is.
        absent: the same place of the same knee without it.
        missed: mean of the oedema's signal that the synthesis does not show, over the mean half width there.
    """

    patient: str
    visibility: float
    present: float
    absent: float
    missed: float

    @property
    def is_visible(self) -> bool:
        """Whether the source shows it."""
        return self.visibility >= VISIBLE


@dataclass(frozen=True)
class Oedema:
    """Some knees together.

    Args:
        knees: how many.
        auroc: chance that a place with oedema has a wider interval than a place without, of any two knees.
        rises: share of knees whose interval is wider with their oedema than without.
        change: median change of the width, as a share.
        covered: share of knees whose mean missed signal lies within the mean half width.
    """

    knees: int
    auroc: float
    rises: float
    change: float
    covered: float


def look(model: Model, head: nn.Module, calibration: Calibration, twins: Iterable[Twins]) -> list[Looked]:
    """Synthesise both of each pair and compare the intervals in the oedema, in the slice that shows most of it.

    Args:
        model: what `load_model` gives for the fat-suppressed contrast.
        head: a `ScaleNet`.
        calibration: of it.
        twins: knees with and without an oedema.
    """
    found = []
    for pair in twins:
        at = int(pair.lesion.sum((1, 2)).argmax())
        lesion = pair.lesion[at : at + 1]
        made, widths = [], []
        for sources in pair.sources:
            source = sources[1 - TARGET, at][None, None].float()
            prediction = _predict(model, source)
            spread = mirrored_spread(lambda volume: _predict(model, volume), source, prediction)
            scale, tissue = scale_of(head, source, prediction, spread, TARGET)
            made.append(prediction[0])
            widths.append(calibration.half_width(scale[0], tissue, CONTRASTS[TARGET]))
        truth, quiet = (
            (volumes[0][which, at : at + 1], volumes[1][which, at : at + 1])
            for volumes, which in ((pair.targets, TARGET), (pair.quiet, 1 - TARGET))
        )
        seen = compare_lesion(pair.patient, (made[0], made[1]), truth, quiet, lesion, pair.sigma[1 - TARGET])
        where = lesion > _CORE * lesion.max()
        present, absent = (float(width[where].mean()) for width in widths)
        missed = abs(float((truth[0] - made[0])[where].mean()))
        found.append(Looked(pair.patient, seen.visibility, present, absent, missed / max(present, 1e-9)))
    return found


def summed_up(looked: Sequence[Looked]) -> Oedema:
    """All of some knees."""
    if not looked:
        nothing = float("nan")
        return Oedema(0, nothing, nothing, nothing, nothing)
    present, absent = (torch.tensor([getattr(one, name) for one in looked]) for name in ("present", "absent"))
    labels = torch.cat((torch.ones(len(looked)), torch.zeros(len(looked)))) > 0
    return Oedema(
        knees=len(looked),
        auroc=auroc(torch.cat((present, absent)), labels),
        rises=float((present > absent).float().mean()),
        change=float((present / absent - 1).median()),
        covered=float((torch.tensor([one.missed for one in looked]) <= 1).float().mean()),
    )


def _predict(model: Model, volume: Tensor) -> Tensor:
    with torch.inference_mode():
        made = model.inferer(volume[None].contiguous().to(model.device), model.network.to(model.device))
    return made[0].float().cpu()
