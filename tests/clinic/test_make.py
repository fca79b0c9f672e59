# SPDX-License-Identifier: Apache-2.0
"""A clinic on disk: whole or not there, gone on with, marked as simulated, its truth outside the tree."""

from __future__ import annotations

import hashlib
import json
import logging
from pathlib import Path

import numpy as np
import pydicom
import pytest

from scripts.clinic import make as making
from scripts.clinic.__main__ import main
from scripts.clinic.make import make_clinic
from scripts.clinic.plan import Case, Displacement
from scripts.clinic.truth import read_truth
from scripts.dicom.index import index_series
from scripts.dicom.study import SimulatedSeries
from scripts.errors import OutputError, UsageError

SHAPE = (8, 48, 48)
CASES = [
    ("none", "pdfs_only"), ("damaged", "corrupt_file"), ("false", "t2_as_pdfs"), ("false", "other_side"),
    ("part", "other_part"), ("true", "two_spellings"),
]  # fmt: skip


def cases(studies: int, seed: int) -> list[Case]:
    """One study of each kind that the headers tell apart; the last is the second exam of its patient."""
    first = 900_000_000_000 + seed
    return [
        Case(n, group, kind, 0, 6 if kind == "two_spellings" else n, int(kind == "two_spellings"), first + n, first + n,
             Displacement())
        for n, (group, kind) in enumerate(CASES[:studies], 1)
    ]  # fmt: skip


@pytest.fixture(scope="module")
def clinic(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("made") / "clinic"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(making, "plan_clinic", cases)
        make_clinic(root, len(CASES), 1, SHAPE)
    return root


def digests(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_the_tree_holds_dicom_alone_and_the_truth_names_every_series(clinic: Path) -> None:
    truth = read_truth(clinic)
    assert [study.kind for study in truth.studies] == [kind for _, kind in CASES]
    assert {path.suffix for path in (clinic / "studies").rglob("*") if path.is_file()} == {".dcm"}
    for study in truth.studies:
        folders = sorted((clinic / "studies" / study.folder).iterdir())
        assert [folder.name for folder in folders] == sorted(study.series)
        for folder in folders:
            series = study.series[folder.name]
            files = sorted(folder.iterdir())
            assert len(files) == series.shape[0]
            if study.kind == "corrupt_file":
                continue
            for index in (0, len(files) - 1):
                position = pydicom.dcmread(files[index]).ImagePositionPatient
                np.testing.assert_allclose(
                    [float(value) for value in position],
                    (np.asarray(series.affine_lps) @ [index, 0, 0, 1])[:3],
                    atol=1e-4,
                )
    assert {(clinic / name).is_relative_to(clinic / "studies") for name in ("truth.json", "bodies", "parts")} == {False}


def test_every_stack_is_known_as_simulated_and_reads_as_its_header_says(clinic: Path) -> None:
    stacks = {study.kind: index_series([clinic / "studies" / study.folder]) for study in read_truth(clinic).studies}
    assert all(stack.simulated and stack.synthetic for found in stacks.values() for stack in found)
    assert [one.contrast for one in stacks["pdfs_only"]] == ["other", "PDFS"]
    assert [one.usable for one in stacks["corrupt_file"]] == [True, True, False]
    assert [one.contrast for one in stacks["t2_as_pdfs"]][-1] == "other"  # its echo time is told
    assert {one.side for one in stacks["other_side"]} == {"L", "R"}
    assert {one.body_part for one in stacks["other_part"]} == {"SHOULDER"}
    assert {one.contrast for one in stacks["two_spellings"]} >= {"PD", "PDFS"}


def test_the_second_spelling_of_a_patient_is_in_every_file(clinic: Path) -> None:
    files = sorted((clinic / "studies" / "study-006").rglob("*.dcm"))
    assert {pydicom.dcmread(file, stop_before_pixels=True).PatientID for file in files} == {"SIMULATED-00006"}


def test_what_is_missing_is_made_again_byte_for_byte_and_the_rest_is_kept(
    clinic: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(making, "plan_clinic", cases)
    before = digests(clinic)
    kept = (clinic / "studies" / "study-002" / "02" / "0001.dcm").stat().st_mtime_ns
    for path in sorted((clinic / "studies" / "study-001").rglob("*"), reverse=True):
        path.unlink() if path.is_file() else path.rmdir()
    (clinic / "studies" / "study-001").rmdir()
    (clinic / "truth.json").unlink()
    (clinic / "partial" / "study-001" / "01").mkdir(parents=True)  # what a killed run leaves
    with caplog.at_level(logging.INFO):
        make_clinic(clinic, len(CASES), 1, SHAPE)
    assert [record.message for record in caplog.records if "of 6:" in record.message] == [
        "6 of 6: study-001 (pdfs_only)"
    ]
    assert digests(clinic) == before
    assert (clinic / "studies" / "study-002" / "02" / "0001.dcm").stat().st_mtime_ns == kept


@pytest.mark.slow
def test_two_processes_make_the_same_clinic_as_one(tmp_path: Path) -> None:
    for workers in (1, 2):
        make_clinic(tmp_path / str(workers), 4, 3, SHAPE, workers)
    assert digests(tmp_path / "1") == digests(tmp_path / "2")


def test_a_study_that_fails_leaves_no_part_of_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(making, "plan_clinic", cases)

    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(making, "write_body", fail)
    with pytest.raises(OutputError, match="No space left"):
        make_clinic(tmp_path / "clinic", 1, 1, SHAPE)
    assert list((tmp_path / "clinic" / "studies").iterdir()) == []
    assert not (tmp_path / "clinic" / "truth.json").exists()
    assert not (tmp_path / "clinic" / "partial").exists()


def test_other_settings_and_foreign_folders_are_refused(clinic: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="holds a clinic of other settings"):
        make_clinic(clinic, 7, 1, SHAPE)
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="is no clinic"):
        make_clinic(tmp_path, 7, 1, SHAPE)
    for shape in ("8x8", "4x64x64", "8x32x64", "axbxc"):
        assert main(["make", "-o", str(tmp_path / "new"), "--shape", shape]) == 2
    assert not (tmp_path / "new").exists()


def test_truth_comes_back_from_its_file(clinic: Path) -> None:
    truth = read_truth(clinic)
    parts = [json.loads((clinic / "parts" / f"{study.folder}.json").read_text()) for study in truth.studies]
    assert [type(study).from_dict(part) for study, part in zip(truth.studies, parts, strict=True)] == list(
        truth.studies
    )
    assert all(truth.body(study).any() for study in truth.studies)


@pytest.mark.parametrize("header", [{"SyntheticData": None}, {"Manufacturer": "X"}, {"PatientID": "4711"}])
def test_no_header_can_take_the_marks_of_a_simulated_series(header: dict[str, str | None]) -> None:
    with pytest.raises(ValueError, match="stays marked"):
        SimulatedSeries(np.ones((2, 4, 4), np.float32), np.eye(4), "PD", "", 3.0, 0.03, 8, 3.0, False, header=header)
