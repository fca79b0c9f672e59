# SPDX-License-Identifier: Apache-2.0
"""From a tree of studies to a manifest: what is taken, what is refused, and what a run that was ended leaves."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from scripts.data.pairs import pairs
from scripts.errors import OutputError, UsageError
from scripts.pairing import run as pairing_run
from scripts.pairing.candidates import find_exams
from scripts.pairing.run import PairRequest, pair
from scripts.simulation.export import write_volume
from scripts.simulation.study import Study


@pytest.fixture
def clinic(knees: tuple[Study, Study], write_study: Callable[..., Path], tmp_path: Path) -> Path:
    """Three studies: a pair, a PD with another knee's PDFS, a PD alone."""
    one, other = knees
    affine = one.affine_lps.numpy()
    root = tmp_path / "studies"
    pd = (one.noisy[0], affine, "PD")
    write_study(root / "a", 1, pd, (one.noisy[1], affine, "PDFS"))
    write_study(root / "b", 2, (other.noisy[0], affine, "PD"), (one.noisy[1], affine, "PDFS"))
    write_study(root / "c", 3, pd)
    return root


def test_a_tree_gives_its_pair_and_the_reason_of_each_refusal(
    clinic: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out" / "manifest.json"
    made = pair(PairRequest(clinic, out, workers=1, accept_simulated=True))
    manifest = json.loads(out.read_text())
    assert manifest == made.manifest and manifest["kind"] == "knee pairs"
    (entry,) = manifest["pairs"]
    assert entry["patient"] == "a" and entry["verdict"] == "accepted" and len(entry["image"]) == 12
    assert {(one["patient"], one["reason"]) for one in manifest["refused"]} == {
        ("b", "other_patient"),
        ("c", "no_partner"),
    }
    page = made.page.read_text()
    assert "http" not in page.replace("http-equiv", "") and page.count("data:image/jpeg") >= 4
    assert all(word not in page for word in ("SIMULATED-1", "SIMULATED^"))
    # The manifest is what training reads.
    (item,) = pairs("", str(out), "training", {})
    assert [row[:2] for row in item["slices"]] == [[k, k] for k in range(12)]
    # A second run remembers; one exam that changed is done anew.
    calls: list[str] = []
    measured = pairing_run.pair_exam
    monkeypatch.setattr(
        pairing_run, "pair_exam", lambda exam, settings: (calls.append(exam.name), measured(exam, settings))[1]
    )
    assert pair(PairRequest(clinic, out, workers=1, accept_simulated=True)).remembered == 3 and not calls
    (clinic / "c" / "01" / "0001.dcm").touch()
    again = pair(PairRequest(clinic, out, workers=1, accept_simulated=True))
    assert calls == ["c/01"] and again.manifest == manifest


def test_an_ended_run_goes_on_where_it_stopped(clinic: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "manifest.json"
    done: list[str] = []

    def until_the_second(exam: object, settings: object) -> dict[str, list[object]]:
        if len(done) == 2:
            raise KeyboardInterrupt
        done.append(exam.name)  # type: ignore[attr-defined]
        return {"pairs": [], "refused": []}

    monkeypatch.setattr(pairing_run, "pair_exam", until_the_second)
    with pytest.raises(KeyboardInterrupt):
        pair(PairRequest(clinic, out, workers=1, accept_simulated=True))
    assert not out.exists(), "a manifest is whole or not there"
    monkeypatch.setattr(
        pairing_run, "pair_exam", lambda exam, settings: done.append(exam.name) or {"pairs": [], "refused": []}
    )
    assert pair(PairRequest(clinic, out, workers=1, accept_simulated=True)).remembered == 2
    assert len(done) == len(set(done)) == 3


def test_simulated_series_are_no_candidates_unless_they_are_accepted(clinic: Path) -> None:
    assert all(c.contrast == "other" for exam in find_exams(clinic, False).exams for c in exam.candidates)
    assert any(c.contrast == "PD" for exam in find_exams(clinic, True).exams for c in exam.candidates)


def test_a_data_set_without_any_candidate_says_why(clinic: Path, tmp_path: Path) -> None:
    notes = pair(PairRequest(clinic, tmp_path / "pairs.json", workers=1)).manifest["notes"]
    assert any("simulated by this project and left out; take them: --accept-simulated" in note for note in notes)
    assert any("exams show neither PD nor PDFS" in note for note in notes)
    taken = pair(PairRequest(clinic, tmp_path / "taken.json", workers=1, accept_simulated=True)).manifest["notes"]
    assert not any("left out" in note or "neither" in note for note in taken)


def test_nifti_trees_and_lists_name_their_candidates(knees: tuple[Study, Study], tmp_path: Path) -> None:
    one, _ = knees
    for patient, names in (("p1", ("PD", "PDFS")), ("p2", ("cor_pd_tse", "cor_pd_tse_fs")), ("p3", ("PD", "PD_clean"))):
        folder = tmp_path / "nifti" / patient
        folder.mkdir(parents=True)
        for name, volume in zip(names, one.noisy, strict=True):
            write_volume(folder / f"{name}.nii.gz", volume, one.affine_lps)
    found = {
        exam.patient: [c.contrast for c in exam.candidates] for exam in find_exams(tmp_path / "nifti", False).exams
    }
    assert found == {"p1": ["PD", "PDFS"], "p2": ["PD", "PDFS"], "p3": ["PD"]}
    listed = tmp_path / "list.csv"
    listed.write_text("patient,image,label,section\nx,nifti/p1/PD.nii.gz,nifti/p1/PDFS.nii.gz,test\n")
    (exam,) = find_exams(listed, False).exams
    assert exam.listed and exam.section == "test" and exam.patient == "x"


@pytest.mark.parametrize(
    ("text", "said"),
    [("a,b\n1,2\n", "no column patient"), ("patient,image,label\nx,,y\n", "line 2: incomplete"),
     ("patient,image,label,section\nx,a,b,later\n", "unknown section")],
)  # fmt: skip
def test_a_list_that_cannot_be_used_is_refused(text: str, said: str, tmp_path: Path) -> None:
    (tmp_path / "list.csv").write_text(text)
    with pytest.raises(UsageError, match=said):
        find_exams(tmp_path / "list.csv", False)


def test_nothing_of_others_is_overwritten(clinic: Path, tmp_path: Path) -> None:
    mine = tmp_path / "mine.json"
    mine.write_text('{"mine": 1}')
    with pytest.raises(OutputError, match="no manifest of pairs"):
        pair(PairRequest(clinic, mine, 1, True))
    assert mine.read_text() == '{"mine": 1}'
    with pytest.raises(UsageError, match="no DICOM image"):
        empty = tmp_path / "empty"
        empty.mkdir()
        pair(PairRequest(empty, tmp_path / "m.json", 1))
