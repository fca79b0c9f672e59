# SPDX-License-Identifier: Apache-2.0
"""The knees that a study is measured on."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from scripts.study.knees import LEAST_LESION, Knee, Twins, held_out_knees, lesion_twins

SHAPE = (4, 48, 48)

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def knee(cache: Path) -> Knee:
    return held_out_knees(1, SHAPE, cache, workers=1)[0]


@pytest.fixture(scope="module")
def twins(cache: Path) -> Twins:
    return lesion_twins("effusion", 1, SHAPE, cache, workers=1)[0]


def test_sources_are_the_quiet_scans_with_noise_of_the_stated_size(knee: Knee) -> None:
    assert knee.sources.shape == (2, *SHAPE)
    for source, quiet, sigma in zip(knee.sources, knee.quiet, knee.sigma, strict=True):
        bright = knee.body & (quiet > 5 * sigma)  # there the magnitude's noise is that of the real part
        spread = float((source - quiet)[bright].std())
        assert 0.6 * sigma < spread < 1.7 * sigma  # parallel imaging and shading move it with place


def test_each_scan_and_target_is_on_its_own_scale(knee: Knee) -> None:
    for volume in (*knee.sources, *knee.targets, knee.failed):
        assert 0.8 < float(volume.max()) and float(volume.quantile(0.98)) < 1.05


def test_suppression_fails_where_it_should(knee: Knee) -> None:
    assert knee.failed.shape == SHAPE
    assert float((knee.failed - knee.sources[1]).abs()[knee.body].mean()) > 0.01


def test_what_was_made_is_kept(knee: Knee, cache: Path) -> None:
    again = held_out_knees(1, SHAPE, cache, workers=1)[0]
    assert torch.equal(again.targets, knee.targets) and again.patient == knee.patient


def test_twins_differ_by_their_lesion_alone(twins: Twins) -> None:
    assert twins.kind == "effusion" and twins.size > 0
    assert float(twins.lesion.sum()) >= LEAST_LESION
    present, absent = twins.quiet
    change = (present - absent).abs()
    near = torch.nn.functional.max_pool2d((twins.lesion > 0).float()[:, None], 9, stride=1, padding=4)[:, 0] > 0
    assert float(change[:, near].mean()) > 20 * float(change[:, ~near].mean())  # the point spread reaches a little
    noise = (twins.sources[0] - present) - (twins.sources[1] - absent)
    assert float(noise[:, ~near].abs().mean()) < 0.2 * min(twins.sigma)  # one noise
