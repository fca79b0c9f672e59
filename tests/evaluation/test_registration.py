# SPDX-License-Identifier: Apache-2.0
"""A manifest's transforms move the target onto its source: a known shift is taken out, and its columns say so."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest

from scripts.errors import UsageError
from scripts.evaluation.run import Request, evaluate_predictions
from tests.evaluation.knees import PD, PDFS, SHAPE, save, scan


def test_a_known_shift_is_taken_out_of_the_registered_columns_only(tmp_path: Path) -> None:
    pairs = []
    for number in range(2):
        name = f"p{number}"
        target = scan(PDFS, number)
        shifted = np.roll(target, (3, 4), (1, 2))  # 3 rows down, 4 columns to the right: 1.5 and 2 mm
        save(tmp_path / "data" / name / "PD.nii.gz", scan(PD, number))
        save(tmp_path / "data" / name / "PDFS.nii.gz", shifted)
        save(tmp_path / "mine" / f"{name}.nii.gz", scan(PDFS, number, 0.0) * 1.2)
        rows = [[k, k, 2.0, 1.5, 0.0] for k in range(1, SHAPE[0])]
        entry = {"id": name, "patient": name, "section": "test", "slices": rows}
        pairs.append(entry | {"image": f"data/{name}/PD.nii.gz", "label": f"data/{name}/PDFS.nii.gz"})
    manifest = tmp_path / "pairs.json"
    manifest.write_text(json.dumps({"kind": "knee pairs", "version": 1, "pairs": pairs, "refused": []}))
    options = {"scale": "1000", "resamples": 100, "figures": False}
    request = Request(tmp_path / "mine", str(manifest), tmp_path / "out", **options)  # type: ignore[arg-type]
    scores, _ = evaluate_predictions(request)
    found = {
        line.registration: line.scores["psnr"].mean
        for line in scores.lines
        if line.method == "prediction" and line.scaling == "gain matched"
    }
    assert set(found) == {"as given", "registered by the manifest"}
    assert found["registered by the manifest"] > found["as given"] + 5
    with (tmp_path / "out" / "metrics.csv").open(encoding="utf-8", newline="") as stream:
        rows_found = list(csv.DictReader(stream))
    assert {row["registration"] for row in rows_found} == set(found)
    # A lesion box would have to move along, and a prediction of PD with its source: neither is guessed.
    boxes = tmp_path / "boxes.csv"
    boxes.write_text("file,slice,study_level,x,y,width,height,label\np0,1,No,20,20,4,4,x\n")
    with pytest.raises(UsageError, match="boxes would have to move along"):
        evaluate_predictions(
            Request(tmp_path / "mine", str(manifest), tmp_path / "no", lesions=boxes, **options)  # type: ignore[arg-type]
        )
    with pytest.raises(UsageError, match="lead from PD to PDFS"):
        evaluate_predictions(
            Request(tmp_path / "mine", str(manifest), tmp_path / "no", direction="PDFS to PD", **options)  # type: ignore[arg-type]
        )
    assert not (tmp_path / "no").exists()
