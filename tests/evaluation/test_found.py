# SPDX-License-Identifier: Apache-2.0
"""Volumes are found as people leave them, and doubtful ones are refused by name."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from scripts.errors import SourceError, UsageError
from scripts.evaluation.found import find_volumes
from scripts.evaluation.items import Item, find_targets, match
from tests.evaluation.knees import PD, PDFS, save, scan


def test_files_folders_and_the_one_of_the_contrast(tmp_path: Path) -> None:
    save(tmp_path / "a.nii.gz", scan(PDFS, 1))
    save(tmp_path / "b" / "deep" / "whatever.nii", scan(PDFS, 2))
    save(tmp_path / "c" / "PDFS.nii.gz", scan(PDFS, 3))
    save(tmp_path / "c" / "PD.nii.gz", scan(PD, 3))
    save(tmp_path / ".hidden.nii.gz", scan(PD, 3))
    (tmp_path / "notes.txt").write_text("no volume")
    found = find_volumes(tmp_path, "PDFS", "--predictions")
    assert list(found) == ["a", "b", "c"] and str(found["c"].loadable).endswith("c/PDFS.nii.gz")
    assert list(find_volumes(tmp_path, "PD", "--targets", named=True)) == ["c"], "only what bears the name"
    save(tmp_path / "b" / "second.nii.gz", scan(PDFS, 2))
    with pytest.raises(SourceError, match="case b: 2 NIfTI volumes; need one, or one named PDFS"):
        find_volumes(tmp_path, "PDFS", "--predictions")


def test_dicom_series_and_their_marks(knee_series: Callable[..., list[Path]], tmp_path: Path) -> None:
    for name, contrast in (("x", "PDFS"), ("y", "PD")):
        files = knee_series(f"raw-{name}", contrast=contrast)
        shutil.copytree(files[0].parents[1], tmp_path / "studies" / name)
    pdfs = knee_series("raw-both", contrast="PDFS", number=2)
    shutil.copytree(pdfs[0].parents[1], tmp_path / "studies" / "y" / "second")
    found = find_volumes(tmp_path / "studies", "PDFS", "--targets")
    assert set(found) == {"x", "y"} and all(one.simulated and len(one.loadable) == 10 for one in found.values())
    assert {Path(path).parts[-3] for path in found["y"].loadable} == {"second"}, "the series of another contrast"
    # A folder that is itself one series is one case.
    alone = find_volumes(tmp_path / "studies" / "x", "PDFS", "--targets")
    assert len(alone) == 1


def test_our_own_images_are_known_by_their_report(tmp_path: Path) -> None:
    save(tmp_path / "mine" / "PDFS.nii.gz", scan(PDFS, 1))
    (tmp_path / "mine" / "report.json").write_text(json.dumps({"program": "kneesynth", "series": []}))
    save(tmp_path / "theirs" / "PDFS.nii.gz", scan(PDFS, 1))
    found = find_volumes(tmp_path, "PDFS", "--predictions")
    assert found["mine"].ours and not found["theirs"].ours


def test_a_manifest_gives_its_test_section_and_its_patients(tmp_path: Path) -> None:
    entries = []
    for number, section in enumerate(("training", "test", "test")):
        image, label = (save(tmp_path / f"{name}{number}.nii.gz", scan(PD, number)) for name in ("i", "l"))
        entry = {"id": f"e{number}", "patient": "one", "section": section, "image": image.name, "label": str(label)}
        entries.append(entry)
    path = tmp_path / "pairs.json"
    path.write_text(json.dumps({"kind": "knee pairs", "version": 1, "pairs": entries, "refused": [{"patient": "x"}]}))
    items = find_targets(path, ("PD", "PDFS"))
    assert [(item.key, item.patient) for item in items] == [("e1", "one"), ("e2", "one")]
    assert items[0].target == str(tmp_path / "l1.nii.gz") and items[0].source == str(tmp_path / "i1.nii.gz")
    assert find_targets(path, ("PDFS", "PD"))[0].target == str(tmp_path / "i1.nii.gz")
    assert [item.key for item in find_targets(path, ("PD", "PDFS"), "training")] == ["e0"]
    with pytest.raises(UsageError, match="no pairs of section validation"):
        find_targets(path, ("PD", "PDFS"), "validation")
    path.write_text(json.dumps({"pairs": [entries[1], entries[1]]}))
    with pytest.raises(UsageError, match="e1 is there twice"):
        find_targets(path, ("PD", "PDFS"))
    path.write_text(json.dumps({"pairs": [entries[1] | {"label": "gone.nii.gz"}]}))
    with pytest.raises(UsageError, match="files of pair 1 not found"):
        find_targets(path, ("PD", "PDFS"))
    path.write_text("{")
    with pytest.raises(UsageError, match="not readable as JSON"):
        find_targets(path, ("PD", "PDFS"))


def test_contrasts_in_folders_of_their_own(tmp_path: Path) -> None:
    for name, values in (("PD", PD), ("PDFS", PDFS)):
        save(tmp_path / name / "p1.nii.gz", scan(values, 1))
    (item,) = find_targets(tmp_path, ("PD", "PDFS"))
    assert (item.key, Path(str(item.source)).parent.name, Path(str(item.target)).parent.name) == ("p1", "PD", "PDFS")


def test_a_prediction_may_bear_the_name_of_a_patient_with_one_image(tmp_path: Path) -> None:
    save(tmp_path / "one.nii.gz", scan(PDFS, 1))
    found = find_volumes(tmp_path, "PDFS", "--predictions")
    single = Item("e1", "one", "t.nii.gz")
    assert match([single, Item("e2", "two", "t")], found, allow_missing=True)[0][0].key == "e1"
    with pytest.raises(UsageError, match="2 of 2 targets have no prediction"):
        match([single, Item("e2", "one", "t")], found)
