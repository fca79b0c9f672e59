# SPDX-License-Identifier: Apache-2.0
"""What is drawn of a scanner from the presets."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from functools import lru_cache

import pytest
import torch

from scripts.simulation.preset import load_preset
from scripts.simulation.ranges import Ranges
from scripts.simulation.records import as_plain, from_plain
from scripts.simulation.scanner.coil import shading
from scripts.simulation.scanner.draw import draw_scanner
from scripts.simulation.scanner.scan import ScannerParameters
from scripts.simulation.signal import suppressed_fraction

PRESETS = pytest.mark.parametrize("preset", ["clinical", "randomised"])


@lru_cache
def drawn(preset: str, field: float = 3.0, count: int = 150) -> tuple[ScannerParameters, ...]:
    spec = load_preset(preset)
    return tuple(draw_scanner(Ranges(spec, seed).section("scanner"), field) for seed in range(count))


@PRESETS
def test_a_seed_means_one_scanner_and_another_seed_another(preset: str) -> None:
    spec = load_preset(preset)
    again = draw_scanner(Ranges(spec, 3).section("scanner"), 3.0)
    assert again == drawn(preset)[3]
    assert len(set(drawn(preset))) == len(drawn(preset))


@PRESETS
def test_what_is_drawn_comes_back_from_json(preset: str) -> None:
    for parameters in drawn(preset)[:20]:
        assert from_plain(ScannerParameters, json.loads(json.dumps(as_plain(parameters)))) == parameters


@PRESETS
def test_the_two_scans_are_drawn_independently(preset: str) -> None:
    pairs = [(one.pd, one.pdfs) for one in drawn(preset)]
    for read in (
        lambda scan: scan.sequence.repetition_time,
        lambda scan: scan.sequence.echo_time,
        lambda scan: float(scan.sequence.echo_train_length),
        lambda scan: scan.readout.bandwidth,
        lambda scan: scan.readout.matrix[1],
    ):
        values = torch.tensor([[read(pd), read(pdfs)] for pd, pdfs in pairs]).T
        assert abs(float(torch.corrcoef(values)[0, 1])) < 0.3  # .08 expected by chance
        assert bool((values[0] != values[1]).any())
    assert all(pd.suppression is None and pdfs.suppression is not None for pd, pdfs in pairs)


def test_the_field_scales_what_is_stated_relative_to_it_and_nothing_else() -> None:
    for low, high in zip(drawn("clinical", 1.5), drawn("clinical", 3.0), strict=True):
        assert low.pd == high.pd and low.environment.coil == high.environment.coil
        ratio = [b / a for a, b in zip(low.environment.field.shim, high.environment.field.shim, strict=True)]
        assert ratio == pytest.approx([2.0] * len(ratio))
        assert low.pdfs.suppression is not None and high.pdfs.suppression is not None
        assert high.pdfs.suppression.bandwidth == pytest.approx(2 * low.pdfs.suppression.bandwidth)
        assert replace(low.pdfs, suppression=None) == replace(high.pdfs, suppression=None)


def test_usual_coils_are_three_to_six_times_as_bright_at_one_end_as_at_the_other() -> None:
    generator = torch.Generator().manual_seed(0)
    radius, angle, height = torch.rand(3, 4000, generator=generator)
    radius, angle = 62 * radius.sqrt(), 2 * math.pi * angle
    leg = torch.stack((radius * angle.cos(), radius * angle.sin(), 160 * (height - 0.5)))
    ratios = []
    for parameters in drawn("clinical"):
        low, high = torch.quantile(shading(parameters.environment.coil, leg), torch.tensor([0.02, 0.98]))
        ratios.append(float(high / low))
    middle = torch.tensor(ratios).quantile(torch.tensor([0.1, 0.5, 0.9])).tolist()
    assert middle[0] > 2.5 and 3 < middle[1] < 6 and middle[2] < 9


@pytest.mark.parametrize("field", [1.5, 3.0])
def test_usual_suppression_leaves_under_a_quarter_of_fat_and_all_water(field: float) -> None:
    fat_t1 = 0.288 if field == 1.5 else 0.371
    left = []
    for parameters in drawn("clinical", field):
        assert parameters.pdfs.suppression is not None
        fat, water = suppressed_fraction(
            parameters.pdfs.suppression, torch.zeros(()), torch.ones(()), field, fat_t1, 1.4
        )
        assert float(water) > 0.97
        left.append(abs(float(fat)))
    assert max(left) < 0.25
    assert 0.08 < torch.tensor(left).median() < 0.20


def test_imperfections_befall_a_share_of_studies() -> None:
    scanners = drawn("clinical")
    for share, happened in (
        (0.2, [one.pdfs.motion.shift != (0.0, 0.0) for one in scanners]),
        (0.2, [one.pd.ghosts.phase_error > 0 for one in scanners]),
        (0.5, [one.pd.vendor.normalisation > 0 for one in scanners]),
        (0.35, [bool(one.pdfs.suppression and one.pdfs.suppression.adiabatic) for one in scanners]),
    ):
        assert sum(happened) / len(happened) == pytest.approx(share, abs=0.13)
    assert all(one.pd.motion.shift == (0.0, 0.0) for one in scanners)
