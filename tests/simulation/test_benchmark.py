# SPDX-License-Identifier: Apache-2.0
"""The benchmark is the same each time it is made, and each lesion has its twin."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest

from scripts.data.pairs import pairs
from scripts.simulation.benchmark import SUMS, Case, draw_knees, write_benchmark
from scripts.simulation.export import read_drawn
from scripts.simulation.pathology.catalogue import DECOYS
from scripts.simulation.stack import PLANES
from scripts.simulation.study import without_lesions
from scripts.transforms.nifti import read_nifti

PRESET, SHAPE = "benchmark-v1", (5, 32, 32)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Case]]:
    folder = tmp_path_factory.mktemp("benchmark")
    return folder, write_benchmark(folder, PRESET, knees=2, shape=SHAPE)


def sums(folder: Path) -> dict[str, str]:
    lines = (folder / SUMS).read_text().splitlines()
    return {name: digest for digest, _, name in (line.partition("  ") for line in lines)}


def test_checksums_are_those_of_the_files_and_repeat(made: tuple[Path, list[Case]], tmp_path: Path) -> None:
    folder, _ = made
    listed = sums(folder)
    there = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    assert there == set(listed) | {SUMS}
    for name, digest in listed.items():
        assert hashlib.sha256((folder / name).read_bytes()).hexdigest() == digest
    again = tmp_path / "again"
    again.mkdir()
    write_benchmark(again, PRESET, knees=2, shape=SHAPE, workers=2)
    assert sums(again) == listed


def test_each_lesion_has_a_twin_that_differs_by_it_alone(made: tuple[Path, list[Case]]) -> None:
    folder, cases = made
    sick = [case for case in cases if case.lesions]
    assert len(sick) == len(PLANES)
    for case in sick:
        (twin,) = [other for other in cases if other.name == case.twin]
        with_it, without = (read_drawn(folder / one.name / "drawn.json") for one in (case, twin))
        assert without_lesions(with_it) == without
        volumes = [read_nifti(folder / one.name / "PDFS.nii.gz")[0] for one in (case, twin)]
        lesion = read_nifti(folder / case.name / "lesion.nii.gz")[0]
        untouched = lesion.max(axis=(0, 1)) == 0  # axes are columns, rows, slices
        np.testing.assert_array_equal(volumes[0][:, :, untouched], volumes[1][:, :, untouched])
        assert int((lesion > 127.5).sum()) == case.lesion_voxels
    assert any(case.lesion_voxels > 0 for case in sick)


def test_a_knee_is_one_knee_in_three_planes_and_some_have_no_lesion() -> None:
    knees = draw_knees(PRESET)
    assert len(knees) == 40
    free = 0
    for planes in knees:
        assert [one.stack.plane for one in planes] == list(PLANES)
        assert all(one.anatomy == planes[0].anatomy and one.lesions == planes[0].lesions for one in planes)
        kinds = {lesion.name for lesion in planes[0].lesions} - set(DECOYS)
        free += not kinds
        assert "metal" not in kinds
        assert all(one.scanner.pdfs.motion == planes[0].scanner.pd.motion for one in planes)
    assert free == 8
    found = {lesion.name for planes in knees for lesion in planes[0].lesions}
    assert {"oedema", "effusion", "meniscal_tear", "cartilage_defect", "ligament_tear", "baker_cyst"} <= found


def test_it_reads_as_a_data_set_with_clean_targets(made: tuple[Path, list[Case]]) -> None:
    folder, cases = made
    found = pairs(str(folder), "", "test", {})
    assert [item["patient"] for item in found] == [case.name for case in cases]
    assert all(Path(item["label_clean"]).is_file() for item in found)


def test_the_card_states_what_it_is_and_that_this_is_a_part(made: tuple[Path, list[Case]]) -> None:
    folder, cases = made
    card = (folder / "README.md").read_text()
    assert "no\nperson was scanned" in card and "A part or another size of the set" in card
    assert all(f"| {case.name} |" in card for case in cases)
    assert len(json.loads((folder / "benchmark.json").read_text())["cases"]) == len(cases)


def test_a_preset_that_is_no_benchmark_is_refused() -> None:
    with pytest.raises(ValueError, match="clinical is no benchmark"):
        draw_knees("clinical")
