# SPDX-License-Identifier: Apache-2.0
"""The truth of a clinic against the scans themselves: what it maps onto each other is the same piece of the knee."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.ndimage import map_coordinates

from scripts.clinic.exam import Exam, draw_exam
from scripts.clinic.kinds import make
from scripts.clinic.places import label_to_image, motion_of, moved, with_grid
from scripts.clinic.plan import Case, Displacement, plan_clinic
from scripts.clinic.residual import displayed, residuals
from scripts.clinic.truth import TrueSeries

SHAPE = (9, 64, 64)


@pytest.fixture(scope="module")
def exam() -> Exam:
    return Exam(draw_exam(900_000_000_123, SHAPE, "sagittal", 1.5))


def on_image(volume: torch.Tensor, label_affine: np.ndarray, truth: np.ndarray, image_affine: np.ndarray) -> np.ndarray:
    """PDFS as the truth maps it onto the grid of PD, linearly interpolated."""
    index = np.stack(np.meshgrid(*map(np.arange, SHAPE), indexing="ij")).reshape(3, -1)
    places = np.vstack((index, np.ones(index.shape[1])))
    at = (np.linalg.inv(label_affine) @ np.linalg.inv(truth) @ image_affine @ places)[:3]
    return map_coordinates(volume.numpy().astype(float), at, order=1, cval=np.nan).reshape(SHAPE)


def difference(one: np.ndarray, two: np.ndarray) -> float:
    both = np.isfinite(one) & np.isfinite(two)
    return float(np.abs(one - two)[both].mean())


@pytest.mark.parametrize(
    "by",
    [Displacement(8.0, -5.0), Displacement(0.0, 3.0, 1.0), Displacement(-6.0, 4.0, -1.0, 0.035)],
    ids=["in plane", "through", "all"],
)
def test_the_true_map_lays_a_moved_scan_onto_the_one_at_rest_and_no_other_map_does_better(
    exam: Exam, by: Displacement
) -> None:
    stack = exam.stack
    motion = motion_of(stack, by)
    place = moved(stack, np.linalg.inv(motion))
    still = exam.image(stack, exam.scan_of("PD"), noise=False).numpy().astype(float)
    again = exam.image(place, exam.scan_of("PD"), noise=False)
    header = stack.affine_lps.numpy()
    truth = label_to_image(header, place.affine_lps.numpy())
    np.testing.assert_allclose(truth, np.linalg.inv(motion), atol=1e-9)

    best = difference(still, on_image(again, header, truth, header))
    assert best < 0.35 * difference(still, again.numpy().astype(float))
    for rows, columns, slices in itertools.product((-2.0, 0.0, 2.0), (-2.0, 0.0, 2.0), (-0.5, 0.0, 0.5)):
        if rows or columns or slices:  # half a pixel of this matrix, half a slice
            aside = motion_of(stack, Displacement(rows, columns, slices))
            assert difference(still, on_image(again, header, aside @ truth, header)) > best


def test_a_scan_planned_elsewhere_is_where_its_header_says(exam: Exam) -> None:
    place = moved(with_grid(exam.stack, 0.75, 1.1), motion_of(exam.stack, Displacement(6.0, -3.0, 1.0, 0.03)))
    still = exam.image(exam.stack, exam.scan_of("PD"), noise=False).numpy().astype(float)
    again = exam.image(place, exam.scan_of("PD"), noise=False)
    found = on_image(again, place.affine_lps.numpy(), np.eye(4), exam.stack.affine_lps.numpy())
    aside = on_image(again, place.affine_lps.numpy() + _shift(4.0), np.eye(4), exam.stack.affine_lps.numpy())
    assert difference(still, found) < 0.6 * difference(still, aside)


def _shift(millimetres: float) -> np.ndarray:
    affine = np.zeros((4, 4))
    affine[1:3, 3] = millimetres
    return affine


def test_a_displacement_moves_by_pixels_of_a_matrix_of_256_and_by_slices(exam: Exam) -> None:
    affine = exam.stack.affine_lps.numpy()
    motion = motion_of(exam.stack, Displacement(8.0, -4.0, 2.0))
    index = np.linalg.inv(affine) @ motion @ affine @ [3.0, 20.0, 30.0, 1.0]
    assert index[:3] == pytest.approx([5.0, 22.0, 29.0])  # 8 of 256 are 2 of 64


def test_another_grid_keeps_the_middle_and_the_field_of_view(exam: Exam) -> None:
    other = with_grid(exam.stack, 1.25, 1.1, 2)
    assert other.shape == (11, 80, 80)
    assert other.spacing[1] * 80 == pytest.approx(1.1 * exam.stack.spacing[1] * 64)
    middles = [one.affine_lps.numpy() @ [*((np.array(one.shape) - 1) / 2), 1.0] for one in (exam.stack, other)]
    np.testing.assert_allclose(*middles, atol=1e-9)


def _case(kind: str, group: str = "true", number: int = 1, by: Displacement | None = None) -> Case:
    seed = 900_000_000_123
    return Case(number, group, kind, 0, number, 0, seed, seed, by or Displacement())


def test_a_reversed_series_says_where_each_slice_lies() -> None:
    made = make(_case("reversed"), SHAPE)
    image, label = (made.series[number].content for number in (1, 2))
    assert label.affine_lps[:3, 0] == pytest.approx(-image.affine_lps[:3, 0])
    assert label.affine_lps[:3, 3] == pytest.approx((image.affine_lps @ [SHAPE[0] - 1, 0, 0, 1])[:3])
    one, two = (
        displayed(TrueSeries("PD", "", content.array.shape, content.affine_lps.tolist())) for content in (image, label)
    )
    np.testing.assert_allclose(one.affine, two.affine, atol=1e-9)


def test_headers_of_a_moved_knee_do_not_tell_and_those_of_a_stack_planned_elsewhere_do() -> None:
    by = Displacement(8.0, 2.0, 1.0, 0.03)
    silent, telling = (make(_case(kind, by=by), SHAPE) for kind in ("moved_and_turned", "planned_elsewhere"))
    np.testing.assert_allclose(silent.series[2].content.affine_lps, silent.series[1].content.affine_lps)
    assert not np.allclose(telling.series[2].content.affine_lps, telling.series[1].content.affine_lps)
    np.testing.assert_allclose(telling.pairs[0].label_to_image, np.eye(4), atol=1e-9)
    assert not np.allclose(silent.pairs[0].label_to_image, np.eye(4))


def test_no_knee_of_a_clinic_moves_of_itself() -> None:
    for case in plan_clinic(60, 3)[:20]:
        scanner = draw_exam(case.seed, SHAPE).scanner
        assert scanner.pd.motion == scanner.pdfs.motion == replace(scanner.pd.motion)
        assert scanner.pdfs.motion.shift == (0.0, 0.0) and scanner.pdfs.motion.through_plane == 0.0
        assert scanner.pdfs.motion.angle == 0.0


def test_residuals_of_the_identity_are_the_motion_itself(exam: Exam) -> None:
    """Four pixels of a matrix of 64 along rows, read off the truth of a knee that moved so."""
    grid = TrueSeries("PD", "sagittal", SHAPE, exam.stack.affine_lps.tolist())
    truth = np.linalg.inv(motion_of(exam.stack, Displacement(16.0, 0.0)))
    found = residuals(grid, grid, truth, np.ones(SHAPE, dtype=bool), None)
    assert len(found) == SHAPE[0]
    assert [one.pixels for one in found] == pytest.approx([4.0] * SHAPE[0])
