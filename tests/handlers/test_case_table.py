# SPDX-License-Identifier: Apache-2.0
"""The table of an evaluation: every row it owes, the right volume in each, nothing from the wrong side."""

from __future__ import annotations

import csv
import hashlib
from pathlib import Path
from typing import Any

import pytest
import torch
from ignite.engine import Engine

from scripts.errors import OutputError, UsageError
from scripts.handlers.case_table import CaseTable, score_case

CONTRASTS = ("PD", "PDFS")


def patient(number: int, clean: bool = True) -> dict[str, Any]:
    """A patient whose model output is the clean target plus a known offset, 0.1 one way and 0.01 back."""
    generator = torch.Generator().manual_seed(number)
    image_clean, label_clean = torch.rand((2, 1, 3, 20, 22), generator=generator)
    noise = 0.05 * torch.randn((2, 1, 3, 20, 22), generator=generator)
    body = torch.zeros((1, 3, 20, 22), dtype=torch.bool)
    body[..., 2:-2, 3:-3] = True
    item = {"image": image_clean + noise[0], "label": label_clean + noise[1], "body": body}
    item |= {"pred": label_clean + 0.1, "pred_reverse": image_clean + 0.01}
    if clean:
        item |= {"image_clean": image_clean, "label_clean": label_clean}
    return item | {"patient": f"p{number}"}


def run(table: CaseTable, patients: list[dict[str, Any]]) -> None:
    engine = Engine(lambda _, batch: batch)
    table.attach(engine)
    engine.run([[item] for item in patients])


def read(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


def test_each_patient_has_each_row_once_with_the_right_target(tmp_path: Path) -> None:
    run(CaseTable(str(tmp_path), CONTRASTS, resamples=50), [patient(1), patient(2)])
    rows = read(tmp_path / "metrics.csv")
    keys = [(r["patient"], r["direction"], r["method"], r["reference"], r["scaling"]) for r in rows]
    assert len(set(keys)) == len(keys) == 2 * 2 * 4 * 2 * 2
    found = {key: float(row["psnr"]) for key, row in zip(keys, rows, strict=True)}
    for name in ("p1", "p2"):
        assert found[name, "PD to PDFS", "model", "clean", "as stored"] == pytest.approx(20.0, abs=1e-3)
        assert found[name, "PDFS to PD", "model", "clean", "as stored"] == pytest.approx(40.0, abs=1e-3)
        # Noise of 0.05 in the target bounds what a perfect synthesis can reach there: 26 dB.
        assert found[name, "PDFS to PD", "model", "noisy", "as stored"] == pytest.approx(26.0, abs=0.5)
        for direction in ("PD to PDFS", "PDFS to PD"):
            for reference in ("clean", "noisy"):
                mapping = found[name, direction, "intensity mapping", reference, "as stored"]
                assert mapping > found[name, direction, "copy", reference, "gain matched"]
                assert mapping > found[name, direction, "histogram match", reference, "gain matched"]
    assert all(float(row["gain"]) == 1.0 for row in rows if row["scaling"] == "as stored")


def test_the_intensity_mapping_is_fitted_on_the_reference_it_is_held_against() -> None:
    rows = [row for row in score_case(patient(1), CONTRASTS, "p1") if row.method == "intensity mapping"]
    assert {row.reference for row in rows} == {"clean", "noisy"}
    for row in rows:  # a least-squares fit leaves no gain to be gained
        assert row.gain == pytest.approx(1.0, abs=1e-6)


def test_the_summary_repeats_the_rows(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    weights = tmp_path / "model.pt"
    weights.write_bytes(b"weights")
    with caplog.at_level("INFO"):
        table = CaseTable(str(tmp_path), CONTRASTS, resamples=200, weights=str(weights))
        run(table, [patient(1), patient(2), patient(3)])
    rows, lines = read(tmp_path / "metrics.csv"), read(tmp_path / "summary.csv")
    assert len(lines) == 2 * 4 * 2 * 2
    for line in lines:
        keys = ("direction", "method", "reference", "scaling")
        own = [row for row in rows if all(row[key] == line[key] for key in keys)]
        copy = [row for row in rows if all(row[key] == {**line, "method": "copy"}[key] for key in keys)]
        assert line["patients"] == "3" == str(len(own))
        mean = sum(float(row["ssim"]) for row in own) / 3
        assert float(line["ssim"]) == pytest.approx(mean, rel=1e-4)
        gain = sum(float(a["psnr"]) - float(b["psnr"]) for a, b in zip(own, copy, strict=True)) / 3
        assert float(line["psnr_gain_over_copy"]) == pytest.approx(gain, rel=1e-3, abs=1e-3)
        assert float(line["psnr_low"]) <= float(line["psnr"]) <= float(line["psnr_high"])
    text = (tmp_path / "summary.md").read_text("utf-8")
    assert text.count("simulated data, 3 patients") == 6 == text.count("### Simulated data: "), (
        "4 of scores, 2 of measures"
    )
    assert text.count("protocol ours") == 7, "a table, or the head, that does not say which protocol measured it"
    latex = (tmp_path / "summary.tex").read_text("utf-8")
    assert latex.count("Simulated data: ") == 6 == latex.count("{tabular}{")
    assert f"- weights: {weights}, sha256 {hashlib.sha256(b'weights').hexdigest()[:16]}" in text
    assert "### Simulated data: PD to PDFS, against the clean target" in caplog.text
    assert "p1" not in caplog.text, "a patient's name in the log"


def test_data_without_a_clean_truth_are_not_called_simulated(tmp_path: Path) -> None:
    run(CaseTable(str(tmp_path), CONTRASTS, resamples=50), [patient(1, clean=False)])
    rows = read(tmp_path / "metrics.csv")
    assert {row["reference"] for row in rows} == {"noisy"} and {row["data"] for row in rows} == {"user's"}
    text = (tmp_path / "summary.md").read_text("utf-8")
    assert "### User's data" in text and "imulated" not in text


def test_a_second_run_starts_from_nothing(tmp_path: Path) -> None:
    table = CaseTable(str(tmp_path), CONTRASTS, resamples=50)
    run(table, [patient(1)])
    first = (tmp_path / "summary.md").read_text("utf-8")
    run(table, [patient(1)])
    assert (tmp_path / "summary.md").read_text("utf-8") == first


@pytest.mark.parametrize("key", ["body", "pred_reverse", "label"])
def test_a_missing_volume_is_named(key: str) -> None:
    item = patient(1)
    del item[key]
    with pytest.raises(UsageError, match=f"no '{key}'"):
        score_case(item, CONTRASTS, "p1")


def test_nothing_is_written_for_nothing(tmp_path: Path) -> None:
    table = CaseTable(str(tmp_path / "run"), CONTRASTS)
    with pytest.raises(UsageError, match="no patient was evaluated"):
        table._write()
    assert not (tmp_path / "run").exists()
    (tmp_path / "file").write_text("here already")
    with pytest.raises(OutputError, match="another output_dir"):
        run(CaseTable(str(tmp_path / "file" / "run"), CONTRASTS), [patient(1)])
    with pytest.raises(UsageError, match="two contrast names"):
        CaseTable(str(tmp_path), ("PD",))
