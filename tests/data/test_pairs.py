# SPDX-License-Identifier: Apache-2.0
"""Every layout that the documents promise is understood, and anything else is told what was expected."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from scripts.data.pairs import fingerprint, pairs
from scripts.errors import UsageError

ALL = (1.0, 0.0, 0.0)


def touch(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"x")
    return path


def by_patient(root: Path) -> None:
    for name in "abc":
        touch(root / name / "PD.nii.gz")
        touch(root / name / "PDFS.nii.gz")
    touch(root / "d" / "PD.nii.gz")  # without its twin: no pair


def by_contrast(root: Path) -> None:
    for name in "abc":
        touch(root / "PD" / f"{name}.nii")
        touch(root / "PDFS" / f"{name}.nii")
    touch(root / "PDFS" / "d.nii")


def decathlon(root: Path) -> None:
    entries = []
    for name in "abc":
        touch(root / "images" / f"{name}.nii.gz")
        touch(root / "labels" / f"{name}.nii.gz")
        entries.append({"image": f"images/{name}.nii.gz", "label": f"labels/{name}.nii.gz", "patient": name})
    (root / "dataset.json").write_text(json.dumps({"name": "knees", "training": entries}))


@pytest.mark.parametrize("layout", [by_patient, by_contrast, decathlon])
def test_a_layout_gives_its_pairs(layout: Callable[[Path], None], tmp_path: Path) -> None:
    layout(tmp_path)
    found = pairs(str(tmp_path), "", "training", {}, ALL)
    assert [item["patient"] for item in found] == ["a", "b", "c"]
    for item in found:
        assert Path(item["image"]).is_file()
        assert Path(item["label"]).is_file()
        assert item["image"] != item["label"]


def test_the_split_is_by_patient_disjoint_and_whole(tmp_path: Path) -> None:
    for index in range(20):
        touch(tmp_path / f"p{index}" / "PD.nii.gz")
        touch(tmp_path / f"p{index}" / "PDFS.nii.gz")
    parts = [{i["patient"] for i in pairs(str(tmp_path), "", part, {})} for part in ("training", "validation", "test")]
    assert [len(part) for part in parts] == [16, 2, 2]
    assert len(set.union(*parts)) == 20


def test_named_sections_win_over_the_split(tmp_path: Path) -> None:
    by_patient(tmp_path)
    entries = {
        part: [{"image": f"{name}/PD.nii.gz", "label": f"{name}/PDFS.nii.gz", "patient": name}]
        for part, name in (("training", "a"), ("validation", "b"), ("test", "c"))
    }
    manifest = tmp_path / "pairs.json"
    manifest.write_text(json.dumps(entries))
    for part, name in (("training", "a"), ("validation", "b"), ("test", "c")):
        assert [item["patient"] for item in pairs("", str(manifest), part, {})] == [name]


def test_a_dicom_study_gives_its_pair(knee_series: Callable[..., list[Path]], tmp_path: Path) -> None:
    from scripts.dicom.study import SimulatedSeries, write_simulated_study
    from scripts.simulation.study import CONTRASTS, draw_study, simulate_study

    study = simulate_study(draw_study(1, plane="sagittal", shape=(12, 32, 32)), sub_slices=1)
    series = [
        SimulatedSeries(array.numpy(), study.affine_lps.numpy(), name, name, 2.7, 0.03, 8, 3.0, name == "PDFS")
        for name, array in zip(CONTRASTS, study.noisy, strict=True)
    ]
    write_simulated_study(tmp_path / "studies" / "one", series, 1)
    (found,) = pairs(str(tmp_path / "studies"), "", "training", {}, ALL)
    assert len(found["image"]) == len(found["label"]) == 12
    assert not set(found["image"]) & set(found["label"])
    assert fingerprint([found])["pairs"] == 1


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (None, "not found"),
        ("{", "not JSON"),
        ("{}", "names no pairs"),
        ('[{"image": "gone.nii.gz", "label": "gone2.nii.gz"}]', "first of pair 1"),
    ],
    ids=["absent", "broken", "empty", "missing file"],
)
def test_a_manifest_that_cannot_be_used_is_refused(content: str | None, text: str, tmp_path: Path) -> None:
    manifest = tmp_path / "pairs.json"
    if content is not None:
        manifest.write_text(content)
    with pytest.raises(UsageError, match=text):
        pairs("", str(manifest), "training", {})


def test_a_foreign_folder_is_told_what_was_found_and_expected(tmp_path: Path) -> None:
    touch(tmp_path / "holiday.jpg")
    with pytest.raises(UsageError, match=r"found: holiday.jpg.*expected <patient>/PD.nii.gz"):
        pairs(str(tmp_path), "", "training", {})
    with pytest.raises(UsageError, match="not a folder"):
        pairs(str(tmp_path / "nowhere"), "", "training", {})


def test_simulated_items_are_scanned_while_training_and_tested_as_scanned(tmp_path: Path) -> None:
    options = {
        "cache_dir": str(tmp_path), "shape": (2, 32, 32), "studies": {"training": 1, "test": 1},
        "presets": {"training": "randomised", "test": "clinical"},
    }  # fmt: skip
    (training,), (test,) = (pairs("", "", part, options) for part in ("training", "test"))
    assert Path(training["maps"]).is_file() and training["preset"] == "randomised" and "image" not in training
    assert test["image"].endswith("PD.pt") and test["image_clean"].endswith("PD_clean.pt")
    assert fingerprint([training])["sha256"] != fingerprint([test])["sha256"]
    assert options["studies"] == {"training": 1, "test": 1}  # the caller's own are left alone


def test_a_manifest_may_name_clean_targets(tmp_path: Path) -> None:
    names = {"image": "PD", "label": "PDFS", "image_clean": "PD_clean", "label_clean": "PDFS_clean"}
    entry = {key: f"a/{name}.nii.gz" for key, name in names.items()} | {"section": "test"}
    for key in names:
        touch(tmp_path / entry[key])
    manifest = tmp_path / "manifest.json"
    manifest.write_text(json.dumps({"test": [entry]}))
    (found,) = pairs(str(tmp_path), "", "test", {})
    assert Path(found["label_clean"]).name == "PDFS_clean.nii.gz"
    (tmp_path / entry["label_clean"]).unlink()
    with pytest.raises(UsageError, match="first of pair 1"):
        pairs(str(tmp_path), "", "test", {})


def test_a_fingerprint_follows_the_data_and_holds_no_name(tmp_path: Path) -> None:
    by_patient(tmp_path)
    before = fingerprint(pairs(str(tmp_path), "", "training", {}, ALL))
    (tmp_path / "a" / "PD.nii.gz").write_bytes(b"other")
    after = fingerprint(pairs(str(tmp_path), "", "training", {}, ALL))
    assert before["sha256"] != after["sha256"]
    assert set(before) == {"pairs", "sha256"}


def manifest_of(root: Path, entries: list[dict[str, object]]) -> Path:
    for entry in entries:
        for key in ("image", "label"):
            names = entry[key] if isinstance(entry[key], list) else [entry[key]]
            for name in names:
                touch(root / str(name))
    path = root / "pairs.json"
    refused = [{"patient": "r", "image": "r/1.nii", "label": "r/2.nii", "reason": "other_patient", "words": "another"}]
    path.write_text(json.dumps({"kind": "knee pairs", "version": 1, "pairs": entries, "refused": refused}))
    return path


def entry_of(patient: str, section: str, **more: object) -> dict[str, object]:
    return {"patient": patient, "section": section, "image": f"{patient}/1.nii", "label": f"{patient}/2.nii"} | more


def test_files_of_stacks_and_slices_come_through(tmp_path: Path) -> None:
    rows = [[0, 1, 0.5, -0.25, 0.01], [1, 2, 0.5, -0.25, 0.01]]
    stack = {"image": ["a/1.dcm", "a/2.dcm"], "label": ["b/1.dcm"], "slices": rows}
    path = manifest_of(tmp_path, [entry_of("a", "test", **stack)])
    (item,) = pairs("", str(path), "test", {})
    assert item["image"] == [str(tmp_path / "a/1.dcm"), str(tmp_path / "a/2.dcm")] and item["slices"] == rows
    (tmp_path / "a" / "2.dcm").rename(tmp_path / "a" / "moved.dcm")
    with pytest.raises(UsageError, match=r"first of pair 1.*where it was"):
        pairs("", str(path), "test", {})


def test_a_patient_in_two_sections_is_refused_and_two_spellings_are_warned_about(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    torn = [entry_of("p1", "training"), entry_of("p2", "validation"), entry_of("p1", "test")]
    with pytest.raises(UsageError, match=r"1 patients in more than one section \(first: p1\)"):
        pairs("", str(manifest_of(tmp_path, torn)), "training", {})
    spelt = [entry_of("P001", "training"), entry_of("p-1", "test")]
    assert len(pairs("", str(manifest_of(tmp_path, spelt)), "training", {})) == 1
    assert "P001 and p-1 may be one patient" in caplog.text


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"section": "later"}, "unknown section"),
        ({"slices": [[1, 2]]}, "slices of pair 1"),
        ({"slices": []}, "slices of"),
    ],
)
def test_entries_that_cannot_be_used_are_refused(change: dict[str, object], text: str, tmp_path: Path) -> None:
    path = manifest_of(tmp_path, [entry_of("a", "training") | change])
    with pytest.raises(UsageError, match=text):
        pairs("", str(path), "training", {})


def test_an_empty_section_says_how_to_fill_it(tmp_path: Path) -> None:
    path = manifest_of(tmp_path, [entry_of("a", "training")])
    with pytest.raises(UsageError, match="none for validation"):
        pairs("", str(path), "validation", {})
