# SPDX-License-Identifier: Apache-2.0
"""A whole card from arrays: what needs no region is always measured, a right synthesis passes, a copy does not."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from scripts.scorecard.card import score
from scripts.scorecard.region_sets import SHIPPED, read_regions
from scripts.scorecard.rows import NOT_USABLE, USABLE, judge
from tests.scorecard.conftest import PD, PDFS, Knee, shading

REGION_FREE = {"edge_shift", "air", "flicker"}


def test_a_right_synthesis_is_usable_and_a_copy_is_not(knee: Knee) -> None:
    coil = shading(0.1)
    source, right = knee.paint(PD) * coil, knee.paint(PDFS) * coil
    rows = score(source, right, knee.regions, echo=right)
    assert {row.criterion.key: row.value for row in rows if not row.within} == {}
    assert judge(rows).word == USABLE
    copied = {row.criterion.key for row in score(source, source, knee.regions, echo=source) if not row.within}
    assert copied == {"fat_to_muscle", "marrow_to_muscle", "worst_suppression"}


def test_without_regions_and_echo_only_the_rest_is_measured(knee: Knee) -> None:
    source = knee.paint(PD)
    rows = {row.criterion.key: row for row in score(source, knee.paint(PDFS))}
    assert {key for key, row in rows.items() if row.value is not None} == REGION_FREE
    assert all(row.within is None and row.parts == {} for key, row in rows.items() if key not in REGION_FREE)
    with_echo = score(source, knee.paint(PDFS), echo=knee.paint(PDFS))
    assert {row.criterion.key for row in with_echo if row.value is not None} == REGION_FREE | {"echo_disagreement"}


def test_what_cannot_be_scored_is_refused(knee: Knee) -> None:
    source, synthesis = knee.paint(PD), knee.paint(PDFS)
    with pytest.raises(ValueError, match="synthesis has shape"):
        score(source, synthesis[1:])
    synthesis[0, 0, 0] = np.nan
    with pytest.raises(ValueError, match="not finite"):
        score(source, synthesis)
    with pytest.raises(ValueError, match="other echo"):
        score(source, source, echo=synthesis)


@pytest.mark.real_data
def test_the_real_knee_can_be_passed(real_data: Path) -> None:
    """The marks can be met on this very knee, by what suppression would do to it.

    Its eight echoes tell fat from water: fat and marrow have T2 of 100 to 160 ms, muscle and cartilage below 60, fluid
    above 200. Scaling the voxels in between to 0.13 makes an image that looks like a PDFS; noise, coil and partial
    volume stay real. A copy, and the best function of intensity alone, must fail.
    """
    import torch

    from scripts.body import body_scale
    from scripts.dicom.index import index_series
    from scripts.metrics.baselines import fit_intensity_mapping
    from scripts.transforms.orientation import DisplayOrientation
    from scripts.transforms.series import LoadKneeSeries

    stacks = index_series([real_data / "pymskt" / "mese_knee_ge3t"])[1:]
    volumes = torch.stack(
        [DisplayOrientation()(LoadKneeSeries()([str(f) for f in stack.files]))[0].as_tensor() for stack in stacks]
    )
    times = torch.tensor([1000.0 * (stack.echo_time or 0.0) for stack in stacks])[:, None, None, None]
    decay = (volumes.clamp_min(1).log() * (times - times.mean())).sum(0) / ((times - times.mean()) ** 2).sum()
    t2 = (-1 / decay.clamp(max=-1 / 500)).unfold(1, 3, 1).unfold(2, 3, 1).flatten(-2).median(-1).values
    t2 = torch.nn.functional.pad(t2, (1, 1, 1, 1))
    fat = ((t2 - 70) / 25).clamp(0, 1) * (1 - ((t2 - 185) / 40).clamp(0, 1))
    echoes = [volumes[2], volumes[3]]  # TE 25.2 and 31.6 ms
    sources = [(echo / body_scale(echo)).numpy() for echo in echoes]
    made = [echo * (1 - 0.87 * fat) for echo in echoes]
    suppressed = [(image / body_scale(image)).numpy() for image in made]
    regions = read_regions(SHIPPED / "ge_mese.json")

    rows = score(sources[0], suppressed[0], regions, suppressed[1], 0.625)
    assert {row.criterion.key: row.value for row in rows if not row.within} == {}
    copied = score(sources[0], sources[0], regions, sources[1], 0.625)
    assert {row.criterion.key for row in copied if not row.within} == {
        "fat_to_muscle",
        "marrow_to_muscle",
        "worst_suppression",
    }
    source = torch.from_numpy(sources[0])
    mapping = fit_intensity_mapping(source, torch.from_numpy(suppressed[0]), torch.ones_like(source))
    mapped = [mapping(torch.from_numpy(image)).clamp_min(0).float().numpy() for image in sources]
    judged = score(sources[0], mapped[0], regions, mapped[1], 0.625)
    assert judge(judged).word == NOT_USABLE
    assert {"marrow_unevenness", "fluid_to_cartilage"} <= {r.criterion.key for r in judged if not r.within}
