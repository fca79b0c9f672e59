# SPDX-License-Identifier: Apache-2.0
"""Rows that need no region: a known shift, ghost, flicker and difference come out as such."""

from __future__ import annotations

import numpy as np
import pytest

from scripts.scorecard.steadiness import air_level, body_of, disagreement, edge_shift, flicker
from tests.scorecard.conftest import PD, PDFS, Knee


def _phantom(depth: int = 4, side: int = 128) -> tuple[np.ndarray, np.ndarray]:
    """Ellipses with smooth edges under two contrasts: what is bright in one may be dark in the other."""
    row, column = np.mgrid[:side, :side].astype(float)
    source, target = np.zeros((depth, side, side)), np.zeros((depth, side, side))
    rng = np.random.default_rng(3)
    for number in range(depth):
        shapes = [(64, 64, 52, 44, 0.3, 0.5)]
        shapes += [(*rng.uniform(40, 88, 2), *rng.uniform(6, 16, 2), *rng.uniform(0.1, 1, 2)) for _ in range(9)]
        for r, c, a, b, pd, pdfs in shapes:
            inside = 1 / (1 + np.exp(4 * (np.hypot((row - r) / a, (column - c) / b) - 1) * min(a, b)))
            source[number] += inside * (pd - source[number])
            target[number] += inside * (pdfs - target[number])
    return source, target


def _moved(volume: np.ndarray, rows: float, columns: float) -> np.ndarray:
    """Shifted by any fraction of a pixel, without loss (Fourier shift theorem)."""
    wave = np.exp(-2j * np.pi * np.fft.fftfreq(volume.shape[1])[:, None] * rows)
    wave = wave * np.exp(-2j * np.pi * np.fft.fftfreq(volume.shape[2])[None, :] * columns)
    return np.fft.ifft2(np.fft.fft2(volume) * wave).real


@pytest.mark.parametrize("shift", [(0.0, 0.0), (0.3, 0.0), (0.0, -0.5), (0.8, 0.6), (-1.6, 2.3)], ids=str)
def test_a_known_shift_comes_out_across_contrasts(shift: tuple[float, float]) -> None:
    source, target = _phantom()
    found = edge_shift(source, _moved(target, *shift), body_of(source))
    assert found is not None and found.value == pytest.approx(np.hypot(*shift), abs=0.06)


def test_noise_and_gain_do_not_move_edges() -> None:
    source, target = _phantom()
    rng = np.random.default_rng(0)
    found = edge_shift(
        source + rng.normal(0, 0.02, source.shape), 7 * target + rng.normal(0, 0.1, source.shape), body_of(source)
    )
    assert found is not None and found.value < 0.1


def test_slices_without_body_are_not_asked_for_edges() -> None:
    source, target = _phantom()
    body = body_of(source)
    body[1:] = False
    found = edge_shift(source, target, body)
    assert found is not None and set(found.parts) == {"slice 0"}
    assert edge_shift(source, target, np.zeros_like(body)) is None


def test_air_counts_ghosts_but_no_blurred_skin(knee: Knee) -> None:
    source, synthesis = knee.paint(PD), knee.paint(PDFS)
    body = body_of(source)
    synthesis[:, 9:12, 12:84] = 0.2  # three pixels beyond the skin
    found = air_level(synthesis, body)
    assert found is not None and found.value == 0
    synthesis[:, :3] = 0.3
    found = air_level(synthesis, body)
    assert found is not None and found.value == pytest.approx(0.3)
    assert air_level(synthesis, np.ones_like(body)) is None


def test_flicker_is_what_whole_slices_do_and_not_what_anatomy_or_coil_does(knee: Knee) -> None:
    source, synthesis = knee.paint(PD), knee.paint(PDFS)
    body = body_of(source)

    def found(volume: np.ndarray, other: np.ndarray = source) -> float:
        measured = flicker(other, volume, body)
        assert measured is not None
        return measured.value

    depth = np.arange(source.shape[0])[:, None, None]
    assert found(synthesis) == pytest.approx(0, abs=1e-6)
    assert found(synthesis * np.exp(0.05 * depth)) == pytest.approx(0, abs=1e-6)
    assert found(synthesis * np.exp(0.04 * (-1.0) ** depth)) == pytest.approx(0.08, rel=1e-3)
    ends, ended = source.copy(), synthesis.copy()
    ends[6:, 12:84, 12:40], ended[6:, 12:84, 12:40] = 1.0, 0.1  # muscle ends, fat begins
    assert found(ended, ends) == pytest.approx(0, abs=1e-6)
    assert flicker(source[:2], synthesis[:2], body[:2]) is None


def test_two_echoes_agree_but_for_one_gain(knee: Knee) -> None:
    one = knee.paint(PDFS)
    body = body_of(knee.paint(PD))
    same = disagreement(one, 3 * one, body)
    assert same is not None and same.value == pytest.approx(0, abs=1e-6)
    assert same.parts["gain"] == pytest.approx(1 / 3)
    grain = np.random.default_rng(0).normal(0, 0.05, one.shape)
    noisy = disagreement(one, one + grain, body)
    assert noisy is not None and noisy.value < 0.06  # means of 16 voxels
    other = one.copy()
    half = body & (np.arange(one.shape[2]) < 48)
    other[half] *= 1.2
    different = disagreement(one, other, body)
    assert different is not None and 0.05 < different.value < 0.1
    assert disagreement(one, other, np.zeros_like(body)) is None
