# SPDX-License-Identifier: Apache-2.0
"""Order, spacing and affine from positions, against tables worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from scripts.dicom.geometry import affine_of, examine, normal_of, plane_of

SAGITTAL = (0.0, 1.0, 0.0, 0.0, 0.0, -1.0)  # rows run to posterior, columns to inferior


def stack(count: int = 10, step: float = 4.0) -> np.ndarray:
    return np.array([10.0, -20.0, 30.0]) + np.arange(count)[:, None] * step * normal_of(SAGITTAL)


@pytest.mark.parametrize(
    ("orientation", "plane"),
    [
        (SAGITTAL, "sagittal"),
        ((1, 0, 0, 0, 0, -1), "coronal"),
        ((1, 0, 0, 0, 1, 0), "axial"),
        ((-0.0218343, 0.999511, 0.0224019, -0.144772, 0.01901, -0.989282), "sagittal"),
        ((np.sqrt(0.5), np.sqrt(0.5), 0, 0, 0, -1), "oblique"),
    ],
)
def test_plane(orientation: tuple[float, ...], plane: str) -> None:
    assert plane_of(orientation) == plane


def test_any_order_of_reading_gives_the_order_of_place() -> None:
    shuffle = np.random.default_rng(1).permutation(10)
    found = examine(stack()[shuffle], SAGITTAL)
    assert found.problem == ""
    assert found.spacing == pytest.approx(4.0)
    assert list(shuffle[list(found.order)]) == list(range(10))


def test_affine_by_hand() -> None:
    """PS3.3 equation C.7.6.2.1-1 with 0.5 mm between rows and 0.4 mm between columns."""
    affine = affine_of(stack(3), SAGITTAL, (0.5, 0.4), 0.0)
    # normal of (posterior, inferior) is (-1, 0, 0): to the patient's right
    np.testing.assert_allclose(affine @ [0, 0, 0, 1], [10, -20, 30, 1])
    np.testing.assert_allclose(affine @ [2, 0, 0, 1], [2, -20, 30, 1])
    np.testing.assert_allclose(affine @ [0, 1, 0, 1], [10, -20, 29.5, 1])
    np.testing.assert_allclose(affine @ [0, 0, 1, 1], [10, -19.6, 30, 1])


def test_a_single_slice_is_as_thick_as_its_header_says() -> None:
    affine = affine_of(stack(1), SAGITTAL, (0.5, 0.4), 3.0)
    np.testing.assert_allclose(affine[:3, 0], [-3, 0, 0], atol=1e-12)


@pytest.mark.parametrize(
    ("step", "off", "accepted"),
    [
        (3.3, 0.05, True),
        (3.3, 0.2, False),
        (10.0, 0.2, True),
        (10.0, 0.4, False),
        (1.0, 0.09, True),
        (1.0, 0.15, False),
    ],
)
def test_a_slice_may_be_off_by_a_tenth_of_a_mm_or_three_percent(step: float, off: float, accepted: bool) -> None:
    positions = stack(12, step)
    positions[5] += off * normal_of(SAGITTAL)
    assert (examine(positions, SAGITTAL).problem == "") is accepted


def test_the_gap_is_named_by_its_place() -> None:
    found = examine(np.delete(stack(), 4, axis=0), SAGITTAL)
    assert "gap of 8.00 mm between slices 4 and 5 of 9" in found.problem
