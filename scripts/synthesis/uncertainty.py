# SPDX-License-Identifier: Apache-2.0
"""How far a synthesis may be off, pixel by pixel: the scale head, and what may be said with the calibration at hand."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scripts.errors import WeightsError
from scripts.intervals.calibration import Calibration, Pair, read_calibration

if TYPE_CHECKING:
    from torch import Tensor, nn

    from scripts.synthesis.bundle import Model, ModelFacts
    from scripts.synthesis.inference import Progress

HEAD, CALIBRATION = "models/uncertainty.pt", "models/uncertainty.json"
"""Within the bundle: the head, and its calibration on simulated patients."""
KEY = "uncertainty"
"""In ``metadata.json``: ``head_sha256``, ``calibration_sha256``, and ``weights_sha256`` that they belong to."""
PERCENT, BRIGHT, RANK = "percent of muscle", "percent of the bright end", "rank"
UNCALIBRATED = "uncalibrated for this scanner"
CONTRASTS = ("PD", "PDFS")


@dataclass(frozen=True)
class Head:
    """The scale head of a bundle.

    Args:
        network: in evaluation mode.
        sha256: of its file.
        weights_sha256: of the synthesis that it belongs to.
        simulated: its calibration on simulated patients.
        simulated_sha256: of that file.
    """

    network: nn.Module
    sha256: str
    weights_sha256: str
    simulated: Calibration
    simulated_sha256: str


@dataclass(frozen=True)
class Uncertainty:
    """What is known of the errors of one synthesis.

    Args:
        values: float32 ``(1, slices, rows, columns)`` in display orientation, 0 outside of the body.
        unit: `PERCENT` or `BRIGHT` (half the width of the interval) or `RANK` (0 to 100 within this volume).
        level: share that the interval covers; None for ranks.
        says: one sentence for people.
        facts: what was used, for the report.
    """

    values: Tensor
    unit: str
    level: float | None
    says: str
    facts: Mapping[str, Any] = field(default_factory=dict)

    @property
    def short(self) -> str:
        """The unit and what it is worth, in a few words."""
        if self.level is None:
            return f"rank within this volume, {UNCALIBRATED}"
        return f"half width of the {self.level:.0%} interval in {self.unit} signal".replace("end signal", "end")


def load_head(root: Path, model: ModelFacts) -> Head:
    """The head that a bundle ships.

    Args:
        root: bundle folder.
        model: the synthesis that it is to judge.

    Raises:
        WeightsError: there is none, it is altered, or it belongs to other weights.
    """
    import torch

    from scripts.intervals.scale_network import ScaleNet
    from scripts.weights import load_weights

    record = _record(root)
    contents = {}
    for name, key in ((HEAD, "head_sha256"), (CALIBRATION, "calibration_sha256")):
        try:
            contents[name] = (root / name).read_bytes()
        except OSError as error:
            raise _without_head(f"no {name}") from error
        found = hashlib.sha256(contents[name]).hexdigest()
        if found != record.get(key):
            raise WeightsError(
                f"{Path(name).name}: sha256 {found[:12]} is not {str(record.get(key))[:12]} of metadata.json; "
                "need the bundle's own; install it again"
            )
    if record.get("weights_sha256") != model.weights_sha256:
        raise WeightsError(
            f"the scale head belongs to weights {str(record.get('weights_sha256'))[:12]}, not to "
            f"{model.weights_sha256[:12]}; need a head of these weights; leave --uncertainty out, or train one "
            "(configs/uncertainty.yaml)"
        )
    network = ScaleNet(**dict(record.get("network", {})))
    load_weights(network, root / HEAD)
    network.eval().to(torch.device("cpu"))
    calibration = read_calibration(root / CALIBRATION)
    digests = [hashlib.sha256(contents[name]).hexdigest() for name in (HEAD, CALIBRATION)]
    _check_belongs(calibration, digests[0], model.weights_sha256, "models/uncertainty.json")
    return Head(network, digests[0], model.weights_sha256, calibration, digests[1])


def local_calibration(path: Path, head: Head) -> tuple[Calibration, str]:
    """A site's own calibration and its hash.

    Raises:
        UsageError: the file is missing or is no calibration.
        WeightsError: it was made with another head or other weights.
    """
    calibration = read_calibration(path)
    _check_belongs(calibration, head.sha256, head.weights_sha256, path.name)
    return calibration, hashlib.sha256(Path(path).read_bytes()).hexdigest()


def predicted_scale(
    model: Model, head: Head, image: Tensor, pred: Tensor, target: str, tell: Progress
) -> tuple[Tensor, Tensor]:
    """The head's scale of a synthesis, ``(1, slices, rows, columns)`` in display orientation, and the tissues it sees.

    Costs one more synthesis, of the mirrored slices.

    Args:
        model: what made the synthesis.
        head: that of the model.
        image: what went in, normalised, in display orientation.
        pred: what came out, on the fixed scale.
        target: contrast that was synthesised.
        tell: called as the work goes on.
    """
    from scripts.intervals.scale_inferer import mirrored_spread, scale_of
    from scripts.synthesis.inference import infer

    source, made = _plain(image), _plain(pred)
    spread = mirrored_spread(lambda volume: infer(model, volume, tell)["pred"], source, made)
    return scale_of(head.network, source, made, spread, CONTRASTS.index(target))


def pair_to_calibrate(
    model: Model, head: Head, patient: str, image: Tensor, pred: Tensor, truth: Tensor, target: str, tell: Progress
) -> Pair:
    """What `scripts.intervals.calibration.calibrate` takes, of one patient and direction.

    Args:
        model: what made the synthesis.
        head: that of the model.
        patient: key of the patient; it stays in memory.
        image: what went in, normalised, in display orientation.
        pred: what came out, on the fixed scale.
        truth: the acquired target on the grid of ``image``, divided by its own bright end.
        target: contrast that was synthesised.
        tell: called as the work goes on.
    """
    source, made = _plain(image), _plain(pred)
    scale, seen = predicted_scale(model, head, image, pred, target, tell)
    return Pair(
        patient, target, source[0], made[0], scale[0], _plain(truth)[0], body_of(source, made)[0], seen
    )  # fmt: skip


def body_of(source: Tensor, prediction: Tensor) -> Tensor:
    """The body as told from what a user has: bright in source or synthesis, and the dark that they enclose."""
    from scripts.body import body_mask
    from scripts.metrics.body import fill_body

    return fill_body(body_mask(source) | body_mask(prediction))


def judge_synthesis(
    image: Tensor,
    pred: Tensor,
    scale: tuple[Tensor, Tensor],
    target: str,
    head: Head,
    spacing_mm: tuple[float, float],
    local: tuple[Calibration, str] | None = None,
    simulated: bool = False,
) -> Uncertainty:
    """What may be said: half widths where there is a calibration for such sources, else ranks.

    Args:
        image: what went in, see `predicted_scale`.
        pred: what came out.
        scale: what `predicted_scale` gave.
        target: contrast that was synthesised.
        head: what made the scale.
        spacing_mm: of rows and of columns.
        local: the site's own calibration and its hash.
        simulated: the source is one of this project's simulated studies, for which the bundle's calibration holds.

    Raises:
        UsageError: the local calibration has nothing for this direction.
    """
    from scripts.intervals.ranks import ranks
    from scripts.quality.muscle import muscle_signal

    source, made = _plain(image), _plain(pred)
    body = body_of(source, made)
    facts: dict[str, Any] = {"head_sha256": head.sha256, "weights_sha256": head.weights_sha256}
    chosen = local or ((head.simulated, head.simulated_sha256) if simulated else None)
    if chosen is None:
        says = (
            f"Uncertainty is {UNCALIBRATED}: it shows ranks within this volume (100: least certain), not sizes of "
            "errors. kneesynth synthesize --calibration takes a calibration on the site's own pairs."
        )
        return Uncertainty(ranks(scale[0], body), RANK, None, says, {**facts, "unit": RANK, "calibrated": False})
    calibration, digest = chosen
    width = calibration.half_width(scale[0], scale[1][:, None], target) * body
    pixel_mm = float((spacing_mm[0] * spacing_mm[1]) ** 0.5)
    pair = (source, made) if target == CONTRASTS[1] else (made, source)
    muscle = muscle_signal(pair[0][0], pair[1][0], body[0], pixel_mm, made[0])
    unit = BRIGHT if muscle is None else PERCENT
    count = calibration.patients[target]
    of = f"{count} simulated patients" if calibration.simulated else f"pairs of {count} patients of the site's own"
    # Without the tissues of its pixels a calibration covers what is taken for a tissue, see docs/UNCERTAINTY.md.
    fluid = "" if calibration.labelled else "; joint fluid on PDFS is covered less (docs/UNCERTAINTY.md)"
    says = (
        f"Uncertainty is half the width of the {calibration.level:.0%} interval around the synthesis, calibrated on "
        f"{of}, for {calibration.reference} truth. It holds for scans like those, on average over patients and not in "
        f"each{fluid}. "
        "What the source does not show, such as oedema invisible on PD, it need not show either."
    )
    facts |= {
        "unit": unit,
        "calibrated": True,
        "level": calibration.level,
        "calibration_sha256": digest,
        "calibration_simulated": calibration.simulated,
        "calibration_patients": calibration.patients[target],
        "calibration_reference": calibration.reference,
        "calibration_labelled": calibration.labelled,
        "muscle_signal": None if muscle is None else round(muscle, 4),
    }
    return Uncertainty(100 * width / (1.0 if muscle is None else muscle), unit, calibration.level, says, facts)


def has_head(root: Path) -> bool:
    """Whether a bundle ships a head; altered or not."""
    return bool(_record(root))


def _record(root: Path) -> dict[str, Any]:
    try:
        metadata = json.loads((root / "configs" / "metadata.json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise WeightsError("metadata.json: missing or damaged; need the bundle's own; install it again") from error
    record = metadata.get(KEY)
    if not isinstance(record, dict):
        raise _without_head("metadata.json names none")
    return record


def _without_head(found: str) -> WeightsError:
    return WeightsError(
        f"no scale head in this bundle ({found}); --uncertainty needs one of its weights; leave the option out, or "
        "train one (configs/uncertainty.yaml)"
    )


def _check_belongs(calibration: Calibration, head: str, weights: str, name: str) -> None:
    if (calibration.head_sha256, calibration.weights_sha256) != (head, weights):
        raise WeightsError(
            f"calibration {name}: made with head {calibration.head_sha256[:12]} of weights "
            f"{calibration.weights_sha256[:12]}, not {head[:12]} of {weights[:12]}; need one of these; calibrate again"
        )


def _plain(volume: Tensor) -> Tensor:
    from monai.data import MetaTensor

    return (volume.as_tensor() if isinstance(volume, MetaTensor) else volume).float().cpu()
