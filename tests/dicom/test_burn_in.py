# SPDX-License-Identifier: Apache-2.0
"""The burned-in word lies over air in every slice and changes nothing but its own letters."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from scripts.dicom.burn_in import GREY, Corner, burn, find_corner

SHAPE = (4, 128, 160)


def knee(shape: tuple[int, int, int] = SHAPE, air: float = 0.0, seed: int = 0) -> np.ndarray:
    """A bright disc that leaves all corners to air with Rayleigh noise of scale ``air``; 1 is bright."""
    _, rows, columns = shape
    row, column = np.mgrid[:rows, :columns]
    body = (row - rows / 2) ** 2 + (column - columns / 2) ** 2 < (0.4 * min(rows, columns)) ** 2
    noise = np.hypot(*np.random.default_rng(seed).normal(0, max(air, 1e-9), (2, *shape)))
    return np.where(body, 0.9, 0.0) + noise


def letters(marked: np.ndarray, before: np.ndarray) -> np.ndarray:
    """Where something changed, the same in each slice."""
    changed = marked != before
    assert (changed == changed[0]).all()
    return changed[0]


def test_only_letters_change_and_only_over_air() -> None:
    source = knee(air=0.02)
    corner = find_corner(source, 1.0)
    assert corner is not None and not corner.upwards
    stored = np.rint(1000 * source).astype(np.uint16)
    kept = stored.copy()
    marked = burn(stored, corner)
    np.testing.assert_array_equal(stored, kept)
    word = letters(marked, stored)
    assert (marked[:, word] == GREY).all() and marked.dtype == np.uint16
    assert 100 < word.sum() < 300
    assert (source[:, word] < 0.1).all()
    rows, columns = np.nonzero(word)
    assert np.ptp(rows) == 6 and np.ptp(columns) == 50


def test_the_word_can_be_read() -> None:
    """Each letter is told from every other by its pixels, equal letters are equal, and upwards is a quarter turn."""
    blank = np.zeros((1, 80, 80), np.uint16)
    word = burn(blank, Corner("", 4, 4, 1, False))[0, 4:11, 4:55] > 0
    gaps = [-1, *np.flatnonzero(~word.any(axis=0)), word.shape[1]]
    drawn = [word[:, a + 1 : b].tobytes() for a, b in itertools.pairwise(gaps)]
    assert len(drawn) == len("SYNTHETIC")
    for one, first in zip(drawn, "SYNTHETIC", strict=True):
        for other, second in zip(drawn, "SYNTHETIC", strict=True):
            assert (one == other) == (first == second)
    turned = burn(blank, Corner("", 4, 4, 1, True))[0, 4:55, 4:11] > 0
    np.testing.assert_array_equal(np.rot90(turned, -1), word)


@pytest.mark.parametrize("name", ["top left", "top right", "bottom left", "bottom right"])
def test_the_one_corner_without_tissue_is_taken(name: str) -> None:
    source = knee()
    rows, columns = SHAPE[1:]
    for vertical, top in (("top", 0), ("bottom", rows - 30)):
        for side, left in (("left", 0), ("right", columns - 70)):
            if f"{vertical} {side}" != name:
                source[2, top : top + 30, left : left + 70] = 0.3  # in one slice of four
    corner = find_corner(source, 1.0)
    assert corner is not None and corner.name == f"{name} corner"
    assert (source[:, letters(burn(source, corner), source)] < 0.1).all()


@pytest.mark.parametrize("level", [0.12, 0.2, 0.5])
def test_no_air_no_mark(level: float) -> None:
    """Also not over tissue as dark as suppressed fat."""
    assert find_corner(np.full(SHAPE, level), 1.0) is None


def test_a_line_of_skin_is_no_air() -> None:
    source = knee()
    assert find_corner(source, 1.0) is not None
    for row in (*range(8), *range(120, 128)):
        source[1, row, :: 1 if row % 8 in (3, 4, 5) else 200] = 0.4
    assert find_corner(source, 1.0) is None


@pytest.mark.parametrize("noise", [0.02, 0.05])
def test_noise_is_air(noise: float) -> None:
    """Its highest pixels pass for tissue one by one, but not together."""
    source = knee((24, 256, 256), air=noise)
    corner = find_corner(source, 1.0)
    assert corner is not None
    patch = source[:, letters(burn(source, corner), source)]
    assert patch.max() > 0.1 or noise < 0.05


def test_a_strip_at_the_side_takes_it_upwards() -> None:
    source = np.full(SHAPE, 0.5)
    source[:, :, -20:] = 0.01
    corner = find_corner(source, 1.0)
    assert corner is not None and corner.upwards and corner.name.endswith("right corner")
    word = letters(burn(source, corner), source)
    assert word[:, :-20].sum() == 0 and word.sum() > 100


@pytest.mark.parametrize(("columns", "length"), [(160, 51), (256, 51), (320, 51), (512, 102), (1024, 204)])
def test_it_grows_with_the_matrix(columns: int, length: int) -> None:
    source = np.zeros((1, columns, columns))
    corner = find_corner(source, 1.0)
    assert corner is not None
    assert np.ptp(np.nonzero(burn(source, corner)[0])[1]) == length - 1


def test_a_small_matrix_has_no_room() -> None:
    assert find_corner(np.zeros((3, 20, 24)), 1.0) is None


def test_brightness_of_the_whole_decides_not_its_unit() -> None:
    assert find_corner(1000 * knee(air=0.02), 1000.0) == find_corner(knee(air=0.02), 1.0)


def test_the_letters_do_not_widen_a_window() -> None:
    """A viewer that windows by range or by percentiles shows what it would show without them."""
    stored = np.clip(np.rint(1100 * knee((24, 256, 256), air=0.02)), 0, 4095).astype(np.uint16)
    corner = find_corner(stored, 1000.0)
    assert corner is not None
    marked = burn(stored, corner)
    assert marked.max() == stored.max() and marked.min() == stored.min()
    assert np.percentile(marked, 99) == pytest.approx(np.percentile(stored, 99), rel=0.01)
