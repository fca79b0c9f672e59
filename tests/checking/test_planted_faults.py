# SPDX-License-Identifier: Apache-2.0
"""What is wrong with a set of pairs is found, at the pair that has it, and what is right is called ready."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from scripts.checking.judge import judge_pairs
from scripts.checking.run import Report, measure_pairs, run_check
from scripts.checking.sources import open_source
from scripts.errors import SourceError, UsageError

Dataset = Callable[..., Path]


def save(path: Path, voxels: np.ndarray, affine: np.ndarray) -> None:
    """Write a volume ``(D, H, W)`` as floats."""
    import nibabel

    nibabel.save(nibabel.Nifti1Image(np.ascontiguousarray(voxels.transpose(2, 1, 0)), affine[:, [2, 1, 0, 3]]), path)


def found(report: Report, grave: str = "fix") -> dict[str, tuple[str, ...]]:
    return {one.kind.code: one.about for one in report.findings if one.kind.grave == grave}


def words(report: Report, code: str) -> str:
    return " ".join(next(one.words for one in report.findings if one.kind.code == code))


def test_sound_pairs_are_ready(dataset: Dataset) -> None:
    report = run_check(dataset())
    assert found(report) == {} and report.exit_code == 0
    assert report.verdict.startswith("ready: 6 pairs of 6 patients (4 training, 1 validation, 1 test)")
    assert not {"contrast", "positions", "outlier", "same_contrast"} & set(found(report, "warn"))
    for pair in report.pairs:
        assert pair.fit is not None and pair.peak is not None
        assert pair.fit.shift_mm < 2.5 and pair.peak > 1.5 and pair.fit.flip == ()


def change(patient: str, contrast: str, how: Callable[[np.ndarray], np.ndarray]) -> Callable[[Any], None]:
    def edit(volumes: Any) -> None:
        voxels, affine = volumes[patient][contrast]
        volumes[patient][contrast] = (np.ascontiguousarray(how(voxels)), affine)

    return edit


@pytest.mark.parametrize("pixels", [(4, 0), pytest.param((0, -6), marks=pytest.mark.slow), (3, 4)])
def test_a_shift_is_found_and_measured(pixels: tuple[int, int], dataset: Dataset, knees: list[Any]) -> None:
    report = run_check(dataset(change("knee0", "PDFS", lambda v: np.roll(v, pixels, axis=(1, 2)))))
    assert found(report) == {"shifted": ("knee0",)} and report.exit_code == 5
    pixel = float(np.linalg.norm(knees[0].affine[:3, 1]))
    measured = next(pair.fit.shift_mm for pair in report.pairs if pair.key == "knee0" and pair.fit is not None)
    assert measured == pytest.approx(pixel * float(np.hypot(*pixels)), abs=1.5 * pixel)
    assert report.verdict.startswith("fix first: 1 pair fits best when PDFS is moved (knee0)")


@pytest.mark.parametrize(
    ("axes", "text"),
    [((0,), "slice order reversed"), ((1,), "upside down"), ((2,), "left and right swapped"),
     ((1, 2), "upside down and left and right swapped")],
    ids=["slices", "rows", "columns", "turned"],
)  # fmt: skip
@pytest.mark.parametrize("contrast", [pytest.param("PD", marks=pytest.mark.slow), "PDFS"])
def test_a_flip_is_found_and_named(axes: tuple[int, ...], text: str, contrast: str, dataset: Dataset) -> None:
    report = run_check(dataset(change("knee1", contrast, lambda v: np.flip(v, axes))))
    assert found(report) == {"flipped": ("knee1",)} and report.exit_code == 5
    assert words(report, "flipped") == f"PDFS {text}"


def test_axes_that_headers_tell_are_no_flip(dataset: Dataset) -> None:
    def turn(volumes: Any) -> None:
        voxels, affine = volumes["knee2"]["PDFS"]
        turned = affine.copy()
        for axis in (0, 1):
            turned[:3, 3] += turned[:3, axis] * (voxels.shape[axis] - 1)
            turned[:3, axis] *= -1
        volumes["knee2"]["PDFS"] = (np.ascontiguousarray(np.flip(voxels, (0, 1))), turned)

    report = run_check(dataset(turn))
    assert found(report) == {} and report.exit_code == 0


def test_the_pdfs_of_another_knee_is_no_partner(dataset: Dataset) -> None:
    def exchange(volumes: Any) -> None:
        one, other = volumes["knee0"], volumes["knee3"]
        one["PDFS"], other["PDFS"] = other["PDFS"], one["PDFS"]

    report = run_check(dataset(exchange))
    assert set(found(report)["not_paired"]) == {"knee0", "knee3"} and report.exit_code == 6


def swap(*patients: str) -> Callable[[Any], None]:
    def edit(volumes: Any) -> None:
        for patient in patients:
            one = volumes[patient]
            one["PD"], one["PDFS"] = one["PDFS"], one["PD"]

    return edit


def test_one_exchanged_pair_is_told(dataset: Dataset) -> None:
    report = run_check(dataset(swap("knee0")))
    assert found(report) == {"swapped": ("knee0",)} and report.exit_code == 6


def test_a_set_filed_the_wrong_way_round_is_told_as_one(dataset: Dataset) -> None:
    report = run_check(dataset(swap(*(f"knee{n}" for n in range(6)))))
    assert len(found(report)["swapped"]) >= 5 and report.exit_code == 6
    assert "most of all pairs" in words(report, "swapped")


def test_one_image_as_both_contrasts_is_told(dataset: Dataset) -> None:
    report = run_check(dataset(lambda volumes: volumes["knee4"].update(PDFS=volumes["knee4"]["PD"])))
    assert found(report) == {"same_image": ("knee4",)} and report.exit_code == 6


@pytest.mark.parametrize("gain", [1.0, 3.0], ids=["copied", "rescaled"])
def test_the_same_pixels_under_two_names_are_told(gain: float, dataset: Dataset) -> None:
    def copy(volumes: Any) -> None:
        volumes["someone"] = {name: (gain * v + 0.0, a) for name, (v, a) in volumes["knee5"].items()}

    report = run_check(dataset(copy, ".nii.gz" if gain > 1 else ".nii"))
    assert set(found(report)["duplicate"]) == {"knee5"}
    assert "PD is PD of someone" in words(report, "duplicate") and report.exit_code == 6


def test_another_matrix_needs_a_registration(dataset: Dataset) -> None:
    report = run_check(dataset(change("knee0", "PDFS", lambda v: v[:, 8:, 4:])))
    assert found(report)["other_grid"] == ("knee0",) and report.exit_code == 5
    assert "12 slices of 112 x 112" in words(report, "other_grid")


def test_a_header_that_places_an_image_elsewhere_is_said(dataset: Dataset) -> None:
    def move(volumes: Any) -> None:
        voxels, affine = volumes["knee0"]["PDFS"]
        volumes["knee0"]["PDFS"] = (voxels, affine + np.array([[0, 0, 0, 9.0], [0] * 4, [0] * 4, [0] * 4]))

    report = run_check(dataset(move))
    assert found(report) == {} and found(report, "warn")["positions"] == ("knee0",)


def test_what_is_no_magnitude_and_what_is_empty(dataset: Dataset) -> None:
    def spoil(volumes: Any) -> None:
        change("knee0", "PD", lambda v: v - 0.3 * v.max())(volumes)
        change("knee1", "PDFS", np.zeros_like)(volumes)

    report = run_check(dataset(spoil))
    assert found(report)["negative"] == ("knee0",) and found(report)["no_signal"] == ("knee1",)
    assert "PDFS" in words(report, "no_signal") and report.exit_code == 4


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
@pytest.mark.parametrize("share", [*(pytest.param(one, marks=pytest.mark.slow) for one in (0.0, 0.3)), 0.99])
def test_a_file_cut_short_is_unreadable_wherever_it_is_cut(suffix: str, share: float, dataset: Dataset) -> None:
    root = dataset(suffix=suffix)
    file = root / "knee2" / f"PDFS{suffix}"
    content = file.read_bytes()
    file.write_bytes(content[: int(share * len(content))])
    report = run_check(root)
    assert found(report) == {"unreadable": ("knee2",)} and report.exit_code == 4
    assert "PDFS" in words(report, "unreadable") and "knee2" not in words(report, "unreadable")
    assert report.verdict.startswith("fix first: 1 pair cannot be read (knee2)")


def test_a_gzip_of_several_parts_is_read(dataset: Dataset) -> None:
    import gzip

    root = dataset(suffix=".nii.gz")
    file = root / "knee2" / "PDFS.nii.gz"
    content = gzip.decompress(file.read_bytes())
    file.write_bytes(gzip.compress(content[:5000]) + gzip.compress(content[5000:]))
    assert run_check(root).exit_code == 0


def test_outliers_and_lonely_images_are_said(dataset: Dataset) -> None:
    def odd(volumes: Any) -> None:
        for number in range(4):  # more of them, so that there is a usual
            volumes[f"more{number}"] = {name: (np.roll(v, number + 1, axis=0), a)
                                        for name, (v, a) in volumes[f"knee{number}"].items()}  # fmt: skip
        volumes["knee0"] = {name: (v, a @ np.diag([1, 3, 3, 1])) for name, (v, a) in volumes["knee0"].items()}
        del volumes["knee5"]["PDFS"]

    report = run_check(dataset(odd, listed=False))
    assert found(report, "warn")["outlier"] == ("knee0",)
    assert "mm between pixels" in words(report, "outlier")
    assert found(report, "warn")["no_partner"] == ("knee5",)


def entries(root: Path, **sections: list[str]) -> list[dict[str, Any]]:
    return [
        {"patient": name, "section": section, "image": f"{name}/PD.nii", "label": f"{name}/PDFS.nii"}
        for section, names in sections.items()
        for name in names
    ]


def manifest(root: Path, pairs: list[dict[str, Any]], **more: Any) -> Path:
    path = root / "manifest.json"
    path.write_text(json.dumps({"kind": "knee pairs", "version": 1, "program": {}, "pairs": pairs, **more}))
    return path


def test_a_manifest_is_checked_with_its_sections_and_refusals(dataset: Dataset) -> None:
    root = dataset()
    pairs = entries(root, training=["knee0", "knee1"], validation=["knee2"], test=["knee3"])
    report = run_check(manifest(root, pairs, refused=[{"patient": "x", "reason": "no_partner", "words": ""}]))
    assert report.exit_code == 0 and "(2 training, 1 validation, 1 test)" in report.verdict
    assert len(found(report, "note")["refused"]) == 1


def test_an_empty_section_has_to_be_filled(dataset: Dataset) -> None:
    root = dataset()
    report = run_check(manifest(root, entries(root, training=["knee0", "knee1"])))
    assert found(report)["empty_section"] == ("validation",) and found(report, "note")["no_test"] == ("test",)
    assert report.exit_code == 6


def test_registered_pairs_of_two_grids_are_compared_where_they_belong(dataset: Dataset) -> None:
    """The pair's images are read, matched and moved as its ``slices`` say."""
    root = dataset()
    source = open_source(str(root / "knee0" / "PDFS.nii"))
    voxels, affine, pixel = source.read(range(12)).numpy(), source.grid.affine, source.grid.pixel_mm
    moved = affine.copy()
    moved[:3, 3] += affine[:3, :3] @ [2, 0, 0]  # two slices are gone, and the knee moved by 5 rows and -4 columns
    save(root / "knee0" / "PDFS.nii", np.roll(voxels, (5, -4), axis=(1, 2))[2:], moved)
    rows = [[k, k - 2, -4 * pixel, 5 * pixel, 0.0] for k in range(2, 12)]
    item = {"patient": "knee0", "section": "test"} | {
        key: str(root / "knee0" / name) for key, name in (("image", "PD.nii"), ("label", "PDFS.nii"))
    }

    def judged(slices: list[list[float]]) -> tuple[Any, set[str]]:
        (pair,) = measure_pairs([{**item, "slices": slices}])
        return pair, {finding.kind.code for finding in judge_pairs([pair])}

    pair, codes = judged(rows)
    assert pair.fit.shift_mm < 1.5 * pixel and pair.fit.peak > 8 and not codes & {"other_grid", "residual_shift"}
    pair, codes = judged([[k, k - 2, 0.0, 0.0, 0.0] for k in range(2, 12)])
    assert pair.fit.shift_mm == pytest.approx(pixel * float(np.hypot(5, 4)), abs=1.5 * pixel)
    assert "residual_shift" in codes
    pair, codes = judged([[k, k - 6, -4 * pixel, 5 * pixel, 0.0] for k in range(6, 12)])
    assert pair.fit.peak < 8  # slices of another place
    assert "wrong_slices" in judged([[0, 40, 0.0, 0.0, 0.0]])[1]


def test_what_is_no_data_is_refused(tmp_path: Path) -> None:
    (tmp_path / "holiday.jpg").write_bytes(b"x")
    with pytest.raises(SourceError, match=r"holiday\.jpg"):
        run_check(tmp_path)
    with pytest.raises(UsageError, match="no such folder"):
        run_check(tmp_path / "nowhere")
    with pytest.raises(UsageError, match="no JSON"):
        run_check(tmp_path / "holiday.jpg")
    (tmp_path / "pairs.json").write_text('[{"image": "gone.nii", "label": "gone2.nii"}]')
    with pytest.raises(UsageError, match="first of pair 1"):
        run_check(tmp_path / "pairs.json")
