# SPDX-License-Identifier: Apache-2.0
"""The score of manifests that are made from the truth: right ones pass, each kind of wrong one fails by its limit."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from scripts.clinic.__main__ import main
from scripts.clinic.exam import reversed_affine
from scripts.clinic.places import motion_of, with_grid
from scripts.clinic.plan import Displacement
from scripts.clinic.residual import displayed
from scripts.clinic.score import Score, score_manifest
from scripts.clinic.table import as_json, as_markdown
from scripts.clinic.truth import (
    BODIES,
    FILE,
    STUDIES,
    TruePair,
    TrueRefusal,
    TrueSeries,
    TrueStudy,
    read_truth,
    truth_text,
    write_body,
)
from scripts.errors import UsageError
from scripts.simulation.stack import Stack

SHAPE = (12, 64, 64)
ACCEPTED = 20
Manifest = dict[str, Any]


def _series(role: str, affine: np.ndarray, shape: tuple[int, int, int] = SHAPE) -> TrueSeries:
    return TrueSeries(role, "", shape, affine.tolist())


def _true_study(number: int) -> TrueStudy:
    """Pairs in all planes, moved, turned, reversed and on another grid by turns."""
    plane = ("sagittal", "coronal", "axial")[number % 3]
    stack = Stack(plane, SHAPE, (3.5, 0.6, 0.7), 3.0, (0.05, -0.03), (4.0, -2.0, 1.0))
    grid = with_grid(stack, 1.25, 1.1, 2) if number % 4 == 1 else stack
    slices = (0.0, 1.0, -2.0)[number % 3]
    moved = motion_of(stack, Displacement(8.0 * math.sin(number), 8.0 * math.cos(number), slices, 0.03))
    label = grid.affine_lps.numpy()
    label = reversed_affine(label, grid.shape[0]) if number % 4 == 2 else label
    pair = TruePair("02", "03", np.linalg.inv(moved).tolist(), 1.0)
    series = {"02": _series("PD", stack.affine_lps.numpy()), "03": _series("PDFS", label, grid.shape)}
    return TrueStudy(f"study-{number:03d}", "true", "moved_and_turned", f"SIMULATED-{number}", number, series, (pair,))


def _false_study(number: int) -> TrueStudy:
    affine = Stack("sagittal", SHAPE, (3.5, 0.6, 0.6), 3.0).affine_lps.numpy()
    series = {"02": _series("PD", affine), "03": _series("PDFS", affine)}
    refusal = TrueRefusal(("02", "03"), ("other_patient", "low_similarity"), ("no_partner",))
    folder = f"study-{number:03d}"
    return TrueStudy(folder, "false", "foreign_same_frame", f"SIMULATED-{number}", number, series, (), (refusal,))


@pytest.fixture
def clinic(tmp_path: Path) -> Path:
    """A truth of twenty pairs (two exams of one patient among them) and two false ones; files are not looked at."""
    root = tmp_path / "clinic"
    for name in (STUDIES, BODIES):
        (root / name).mkdir(parents=True)
    studies = [_true_study(number) for number in range(ACCEPTED)] + [_false_study(n) for n in (90, 91)]
    studies[1] = replace(studies[1], patient=studies[0].patient, person=0)
    studies[3] = replace(studies[3], person=2)
    labels = np.zeros(SHAPE, dtype=np.uint8)
    labels[:, 10:50, 12:52] = 3
    for study in studies:
        write_body(root / BODIES / f"{study.folder}.npz", labels)
    (root / FILE).write_text(truth_text({}, studies))
    return root


def _best_slices(study: TrueStudy) -> list[list[float]]:
    """Entries of a manifest from the truth, by following three points of each slice."""
    image, label = displayed(study.series["02"]), displayed(study.series["03"])
    back = np.linalg.inv(np.asarray(study.pairs[0].label_to_image))
    rows, columns = image.spacing[1:]
    right, down = image.affine[:3, 2] / columns, image.affine[:3, 1] / rows
    entries = []
    for number in range(image.shape[0]):
        middle = image.affine @ [number, *((np.array(image.shape[1:]) - 1) / 2), 1.0]
        beside = middle + np.array([*(10 * right), 0.0])
        there, turned = (back @ middle)[:3], (back @ beside)[:3]
        shift = there - middle[:3]
        partner = round(float((np.linalg.inv(label.affine) @ [*there, 1.0])[0]))
        if 0 <= partner < label.shape[0]:
            angle = math.atan2((turned - there) @ down, (turned - there) @ right)
            entries.append([number, partner, float(shift @ right), float(shift @ down), angle])
    return entries


def _perfect(root: Path) -> Manifest:
    truth = read_truth(root)
    pairs = [
        {
            "patient": study.patient,
            "section": "training",
            "image": f"{STUDIES}/{study.folder}/02",
            "label": [str((root / STUDIES / study.folder / "03" / f"{n:04d}.dcm").resolve()) for n in range(1, 4)],
            "slices": _best_slices(study),
        }
        for study in truth.studies
        if study.pairs
    ]
    refused = [
        {"patient": study.patient, "image": f"{STUDIES}/{study.folder}/02/0001.dcm", "reason": "other_patient"}
        for study in truth.studies
        if study.refusals
    ]
    return {"kind": "knee pairs", "version": 1, "pairs": pairs, "refused": refused}


def _scored(root: Path, manifest: Manifest) -> Score:
    path = root / "pairs.json"
    path.write_text(json.dumps(manifest))
    return score_manifest(read_truth(root), path)


def test_a_manifest_made_from_the_truth_keeps_every_limit_with_no_residual(clinic: Path) -> None:
    score = _scored(clinic, _perfect(clinic))
    assert score.missed == []
    assert (score.total.accepted, score.total.pairs, score.total.right, score.total.refusals) == (20, 20, 2, 2)
    assert score.total.residual(1.0) < 1e-6
    assert score.total.wrong_slices == 0
    # A knee that moved by two slices loses two, unless PDFS has more.
    assert 0.85 * score.total.offered < len(score.total.slices) < score.total.offered
    assert "MISSED" not in as_markdown(score)
    assert json.loads(as_json(score))["all"]["residual_px"]["median"] < 1e-6


def test_a_shift_is_measured_in_pixels_of_pd_wherever_it_comes_from(clinic: Path) -> None:
    manifest = _perfect(clinic)
    for pair in manifest["pairs"]:
        for entry in pair["slices"]:
            entry[3] += 0.5 * math.sqrt(0.6 * 0.7)
    score = _scored(clinic, manifest)
    assert score.total.median == pytest.approx(0.5, rel=1e-4)
    assert score.missed == ["median residual shift"]


def test_a_tenth_of_the_slices_off_by_two_pixels_misses_the_percentile_alone(clinic: Path) -> None:
    manifest = _perfect(clinic)
    for pair in manifest["pairs"][:2]:
        for entry in pair["slices"]:
            entry[2] += 1.3
    assert _scored(clinic, manifest).missed == ["95th percentile of the residual shift"]


def test_a_forgotten_turn_is_a_residual_that_grows_from_the_middle(clinic: Path) -> None:
    manifest = _perfect(clinic)
    for pair in manifest["pairs"]:
        for entry in pair["slices"]:
            entry[4] = 0.0
    # .03 rad at some 15 pixels from the middle.
    assert 0.3 < _scored(clinic, manifest).total.median < 0.6


def test_a_partner_one_slice_off_counts_in_three_dimensions(clinic: Path) -> None:
    manifest = _perfect(clinic)
    for entry in manifest["pairs"][0]["slices"]:
        entry[1] = max(0, entry[1] - 1)
    score = _scored(clinic, manifest)
    assert score.total.wrong_slices >= 10
    assert score.total.residual(1.0) == pytest.approx(3.5 / math.sqrt(0.6 * 0.7), rel=0.05)


def test_pairs_without_slices_are_taken_as_of_one_grid(clinic: Path) -> None:
    manifest = _perfect(clinic)
    del manifest["pairs"][0]["slices"]  # moved by eight of 256 pixels, two of this matrix, and turned
    assert 1.5 < _scored(clinic, manifest).total.residual(1.0) < 3.0
    del manifest["pairs"][1]["slices"]  # another grid
    with pytest.raises(UsageError, match=r"pair 2: no slices are named"):
        _scored(clinic, manifest)


def test_a_false_pair_and_one_across_exams_are_each_named(clinic: Path) -> None:
    manifest = _perfect(clinic)
    foreign = {
        "patient": "x",
        "section": "test",
        "image": f"{STUDIES}/study-090/02",
        "label": f"{STUDIES}/study-090/03",
    }
    across = {**foreign, "label": f"{STUDIES}/study-091/03"}
    manifest["pairs"] += [foreign, across]
    score = _scored(clinic, manifest)
    assert score.missed == ["no false pair accepted"]
    assert [one.given for one in score.false_pairs] == [
        "study-090/02 with study-090/03",
        "study-090/02 with study-091/03",
    ]


def test_a_pair_that_is_listed_twice_is_no_second_pair(clinic: Path) -> None:
    manifest = _perfect(clinic)
    manifest["pairs"].append(manifest["pairs"][5])
    score = _scored(clinic, manifest)
    assert score.total.accepted == 20
    assert score.missed == ["no false pair accepted"]


def test_missed_pairs_are_listed_with_the_reason_that_was_given(clinic: Path) -> None:
    manifest = _perfect(clinic)
    for pair in (manifest["pairs"].pop(), manifest["pairs"].pop()):
        manifest["refused"].append({"patient": pair["patient"], "image": pair["image"], "reason": "geometry"})
    score = _scored(clinic, manifest)
    assert score.missed == ["true pairs accepted"]
    assert [one.given for one in score.missed_pairs] == ["geometry", "geometry"]


@pytest.mark.parametrize(
    ("reasons", "right"),
    [
        (["low_similarity"], True),
        (["other_patient", "no_partner"], True),  # the pair, and PD that is left
        (["no_partner"], False),
        (["other_patient", "geometry"], False),
        ([], False),
    ],
)
def test_a_refusal_needs_a_right_reason_and_no_wrong_one(clinic: Path, reasons: list[str], right: bool) -> None:
    manifest = _perfect(clinic)
    kept = [one for one in manifest["refused"] if "study-090" not in one["image"]]
    manifest["refused"] = kept + [{"patient": "SIMULATED-90", "reason": reason} for reason in reasons]
    score = _scored(clinic, manifest)
    assert (score.wrong_reasons == []) is right
    if not right:
        assert score.missed == ["every refusal for a right reason"]
        assert score.wrong_reasons[0].study == "study-090"
        assert "study-090" in as_markdown(score)


def test_one_patient_in_two_sections_is_a_fault_and_two_spellings_are_told(clinic: Path) -> None:
    manifest = _perfect(clinic)
    manifest["pairs"][3]["section"] = "test"  # the other spelling of the patient of the pair before
    score = _scored(clinic, manifest)
    assert (score.missed, score.torn_spellings) == ([], 1)
    manifest["pairs"][1]["section"] = "test"
    assert _scored(clinic, manifest).missed == ["no patient in two sections"]


def test_an_empty_manifest_misses_what_it_must(clinic: Path) -> None:
    missed = _scored(clinic, {"pairs": [], "refused": []}).missed
    assert "true pairs accepted" in missed and "median residual shift" in missed


@pytest.mark.parametrize(
    ("pair", "said"),
    [
        ({"image": "elsewhere/PD", "label": "elsewhere/PDFS"}, "no series of this clinic"),
        ({"image": 5}, "no series of this clinic"),
        ({"slices": [[0, 99, 0, 0, 0]]}, "names no slices"),
        ({"slices": [[0, 0]]}, "names no slices"),
    ],
)
def test_what_cannot_be_scored_is_told_by_its_number(clinic: Path, pair: dict[str, Any], said: str) -> None:
    manifest = _perfect(clinic)
    manifest["pairs"][0] |= pair
    with pytest.raises(UsageError, match=f"pair 1: .*{said}"):
        _scored(clinic, manifest)


def test_the_command_writes_the_score_and_ends_by_it(clinic: Path, capsys: pytest.CaptureFixture[str]) -> None:
    manifest = _perfect(clinic)
    (clinic / "pairs.json").write_text(json.dumps(manifest))
    command = ["score", str(clinic), str(clinic / "pairs.json")]
    assert main([*command, "-o", str(clinic / "score")]) == 0
    assert json.loads((clinic / "score" / "score.json").read_text())["all"]["accepted"] == 20
    assert (clinic / "score" / "score.md").read_text() == capsys.readouterr().out
    manifest["refused"] = []
    (clinic / "pairs.json").write_text(json.dumps(manifest))
    assert main(command) == 10
    told = capsys.readouterr()
    assert "study-091 (foreign_same_frame" in told.out
    assert told.err.splitlines()[-1].startswith("clinic: every refusal for a right reason; need")
    assert main(["score", str(clinic)]) == 2


def test_no_manifest_and_no_clinic_are_told(clinic: Path, tmp_path: Path) -> None:
    (tmp_path / "x.json").write_text("[]")
    with pytest.raises(UsageError, match="no manifest of pairs"):
        score_manifest(read_truth(clinic), tmp_path / "x.json")
    with pytest.raises(UsageError, match=r"no truth\.json"):
        read_truth(tmp_path)
    (tmp_path / FILE).write_text('{"kind": "something"}')
    with pytest.raises(UsageError, match="no truth of a clinic"):
        read_truth(tmp_path)
