# SPDX-License-Identifier: Apache-2.0
"""Lesions: boxes as fastMRI+ has them and simulated twins; what the source shows and what it does not stay apart."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from scripts.errors import UsageError
from scripts.evaluation.boxes import Box, box_contrast, read_boxes
from scripts.evaluation.lesions import LesionScore, lesion_table
from scripts.evaluation.run import Request, evaluate_predictions
from scripts.metrics.lesion import LesionContrast
from tests.evaluation.knees import PD, PDFS, SHAPE, save, scan, tissues

HEAD = "file,slice,study_level,x,y,width,height,label"


def read(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


def write(path: Path, *lines: str) -> Path:
    path.write_text("\n".join([HEAD, *lines]) + "\n")
    return path


def run(predictions: Path, targets: Path, out: Path, **options: Any) -> None:
    evaluate_predictions(Request(predictions, str(targets), out, scale="1000", resamples=100, figures=False, **options))


def test_the_contrast_of_a_box_is_that_of_what_lies_in_it() -> None:
    volume = torch.full((1, 3, 40, 40), 0.2)
    volume[0, 1, 10:14, 20:26] += 0.3
    body = torch.ones_like(volume)
    box = Box("a", 1, 20, 10, 6, 4, "oedema")
    assert box_contrast(volume, body, box) == pytest.approx(0.3, abs=1e-6)
    assert box_contrast(volume, body, Box("a", 2, 20, 10, 6, 4, "oedema")) == pytest.approx(0.0, abs=1e-6)
    upside_down = Box("a", 1, 20, 40 - 14, 6, 4, "oedema", flipped=True)
    assert box_contrast(volume, body, upside_down) == pytest.approx(0.3, abs=1e-6)
    assert box_contrast(volume.flip(1), body, box.turned(3, reversed_slices=True)) == pytest.approx(0.3, abs=1e-6)
    for outside in (Box("a", 3, 20, 10, 6, 4, "x"), Box("a", 1, 36, 10, 6, 4, "x"), Box("a", 1, 20, 38, 6, 4, "x")):
        with pytest.raises(UsageError, match="in a volume of 3 x 40 x 40; need boxes inside"):
            box_contrast(volume, body, outside)


def test_boxes_of_fastmri_plus_are_read(tmp_path: Path) -> None:
    path = write(
        tmp_path / "knee.csv", "f1,3,No,10,20,5,6,Meniscus Tear", "f1,,Yes,,,,,Joint Effusion", "f2.h5,0,No,1,2,3,4,"
    )
    boxes, studies = read_boxes(path)
    assert boxes["f1"] == [Box("f1", 3, 10, 20, 5, 6, "Meniscus Tear")] and studies == 1
    assert boxes["f2"][0].label == "unnamed"


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("file,slice\nf,1\n", "no column study_level"),
        (HEAD + "\nf,one,No,1,2,3,4,x\n", "line 2: no numbers"),
        (HEAD + "\nf,1,No,1,2,0,4,x\n", "line 2: an empty box"),
    ],
)
def test_boxes_that_make_no_sense_are_refused(tmp_path: Path, content: str, words: str) -> None:
    (tmp_path / "boxes.csv").write_text(content)
    with pytest.raises(UsageError, match=words):
        read_boxes(tmp_path / "boxes.csv")
    with pytest.raises(UsageError, match="not readable"):
        read_boxes(tmp_path / "absent.csv")


def test_what_the_source_shows_is_told_apart_from_what_it_hides(
    study: Callable[..., tuple[Path, Path]], tmp_path: Path
) -> None:
    """One lesion in marrow is dark on PD, another is not there; both are bright on PDFS, half as bright predicted."""
    predictions, targets = study(2)
    slices, row, column = 2, slice(22, 27), slice(25, 31)
    for number in range(2):
        pd, pdfs, made = scan(PD, number), scan(PDFS, number), scan(PDFS, number, 0.0) * 1.2
        for z, dark in ((slices, 300), (4, 0)):
            pd[z, row, column] -= dark
            pdfs[z, row, column] += 300
            made[z, row, column] += 1.2 * 150
        for volume, path in (
            (pd, targets / f"p{number}" / "PD.nii.gz"),
            (pdfs, targets / f"p{number}" / "PDFS.nii.gz"),
            (made, predictions / f"p{number}.nii.gz"),
        ):
            save(path, volume)
    lines = [f"p{n},{z},No,25,22,6,5,{name}" for n in range(2) for z, name in ((2, "seen"), (4, "hidden"))]
    boxes = write(tmp_path / "boxes.csv", *lines, "p0,,Yes,,,,,Effusion", "other,1,No,1,1,2,2,x")
    run(predictions, targets, tmp_path / "out", lesions=boxes)
    rows = [row for row in read(tmp_path / "out" / "lesions.csv") if row["method"] == "prediction"]
    assert {(row["label"], row["visibility"]) for row in rows} == {
        ("seen", "visible on the source"),
        ("hidden", "not visible on the source"),
    }
    for row in rows:
        share = float(row["contrast_prediction"]) / float(row["contrast_target"])
        assert share == pytest.approx(0.5 * 1.2 * 0.84, rel=0.15)  # the target's bright end stands at about 840
    text = (tmp_path / "out" / "summary.md").read_text("utf-8")
    assert "contrast of lesions" in text and "4 lesion boxes" in text
    assert "1 boxes belong to no case" in text and "1 labels of whole studies" in text
    with pytest.raises(UsageError, match="boxes for no case"):
        run(predictions, targets, tmp_path / "no", lesions=write(tmp_path / "n.csv", "other,1,No,1,1,2,2,x"))


def benchmark(root: Path, predictions: Path, recovered: float) -> None:
    """Three knees with a lesion and without, in the layout of the fixed benchmark, and predictions of them."""
    cases = []
    spot = np.zeros(SHAPE, dtype=bool)
    spot[2:4, 22:28, 24:32] = True
    for knee in (1, 2, 3):
        true, seen = 60.0 * knee, 300.0 * (knee > 1)
        for kind, there in (("without", False), ("with", True)):
            name = f"knee-{knee:02d}-sagittal-{kind}"
            pd, pdfs = scan(PD, knee), scan(PDFS, knee)
            clean = scan(PDFS, knee, 0.0)
            for volume, add in ((pd, -seen), (pdfs, true), (clean, true)):
                volume[spot] += add * there
            made = scan(PDFS, knee, 0.0) / 0.85
            made[spot] += recovered * true * there / 0.85
            save(root / name / "PD.nii.gz", pd)
            save(root / name / "PD_clean.nii.gz", scan(PD, knee, 0.0))
            save(root / name / "PDFS.nii.gz", pdfs)
            save(root / name / "PDFS_clean.nii.gz", clean)
            labels = sum(
                number * tissues()[one] for number, one in ((2, "fat"), (24, "muscle"), (22, "fluid"), (4, "marrow"))
            )
            save(root / name / "labels.nii.gz", labels.astype(np.uint8))
            if there:
                save(root / name / "lesion.nii.gz", (255 * spot).astype(np.uint8))
            (root / name / "drawn.json").write_text(json.dumps({"sigma": {"PD": 6.0, "PDFS": 6.0}}))
            save(predictions / f"{name}.nii.gz", made)
            lesions = ["oedema"] if there else []
            twin = f"knee-{knee:02d}-sagittal-without" if there else ""
            cases.append({"name": name, "knee": knee, "plane": "sagittal", "lesions": lesions, "twin": twin})
    (root / "benchmark.json").write_text(json.dumps({"preset": "benchmark-v1", "cases": cases}))


def test_twins_of_the_benchmark_give_the_share_of_contrast_that_is_recovered(tmp_path: Path) -> None:
    benchmark(tmp_path / "set", tmp_path / "predictions", recovered=0.5)
    run(tmp_path / "predictions", tmp_path / "set", tmp_path / "out")
    rows = [row for row in read(tmp_path / "out" / "lesions.csv") if row["method"] == "prediction"]
    assert len(rows) == 3 and {row["place"] for row in rows} == {"counterfactual"}
    assert {row["patient"]: row["visibility"] for row in rows} == {
        "knee-01": "not visible on the source",
        "knee-02": "visible on the source",
        "knee-03": "visible on the source",
    }
    scale = np.quantile(scan(PDFS, 2)[scan(PDFS, 2) > 70], 0.995) / 0.85 / 1000
    for row in rows:
        share = float(row["contrast_prediction"]) / float(row["contrast_target"])
        assert share == pytest.approx(0.5 * scale, rel=0.1)
    text = (tmp_path / "out" / "summary.md").read_text("utf-8")
    assert "3 knees, a part or another size of benchmark-v1" in text
    # A patient of two images counts once, and truth about tissue is that of the labels.
    summary = read(tmp_path / "out" / "summary.csv")
    assert {row["patients"] for row in summary} == {"3"} and {row["data"] for row in summary} == {"simulated"}
    assert {row["reference"] for row in summary} == {"clean", "noisy"}
    regions = {row["regions"] for row in read(tmp_path / "out" / "measures.csv")}
    assert regions == {"", "simulated labels"}


def test_recovery_is_the_slope_over_lesions_of_one_visibility() -> None:
    def one(number: int, seen: float, share: float) -> LesionScore:
        true = 0.1 * (1 + number)
        contrast = LesionContrast(f"k{number % 4}", true, share * true, seen)
        return LesionScore("simulated", f"c{number}", "PD to PDFS", "mine", "oedema", "counterfactual", contrast)

    rows = [one(number, 9.0, 0.8) for number in range(6)] + [one(number, 1.0, 0.1) for number in range(6)]
    (table,) = lesion_table(rows)
    found = {(row[0], row[1]): row[-1] for row in table.rows}
    assert found["visible on the source", "all"].startswith("0.80 ")
    assert found["not visible on the source", "all"].startswith("0.10 ")
    assert lesion_table(rows[:3])[0].rows[0][-1] == "", "three lesions have no slope that means anything"
    with pytest.raises(UsageError, match="for one table"):
        lesion_table([rows[0], replace(rows[1], data="user's")])
