# SPDX-License-Identifier: Apache-2.0
"""``kneesynth train --folds N``."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest

from scripts.cli.app import main

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def knees(tmp_path: Path) -> Path:
    """Four patients' pairs on small grids."""
    import nibabel

    random = np.random.default_rng(0)
    for number in range(4):
        folder = tmp_path / "knees" / f"P{number}"
        folder.mkdir(parents=True)
        body = np.zeros((64, 64, 4), dtype=np.float32)
        body[8:56, 8:56] = 0.3 + 0.7 * random.random((48, 48, 4))
        for contrast, voxels in (("PD", body), ("PDFS", 1.2 * body - body**2)):
            nibabel.save(nibabel.Nifti1Image(voxels, np.diag([0.5, 0.5, 3.0, 1.0])), folder / f"{contrast}.nii.gz")
    return tmp_path / "knees"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--folds", "1"], "at least 2"),
        (["--folds", "2"], "pairs of your own"),
        (["--folds", "2", "fold=[1,2]"], "drop the other"),
        (["--folds", "5", "dataset_dir={knees}"], "4 patients for 5 folds"),
    ],
)
def test_what_cannot_be_cross_validated_is_refused_and_leaves_nothing(
    words: list[str], said: str, knees: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = [word.format(knees=knees) for word in words]
    assert main(["train", *given, f"output_dir={tmp_path / 'folds'}"]) == 2
    assert said in capsys.readouterr().err and not (tmp_path / "folds").exists()


@pytest.mark.slow
def test_every_patient_is_scored_once_by_weights_that_have_not_seen_it(
    knees: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    command = ["train", "--config", str(ROOT / "bundle/configs/smoke.yaml"), "--folds", "2", "--epochs", "1"]
    command += [f"dataset_dir={knees}", f"output_dir={tmp_path / 'folds'}"]
    assert main(command) == 0
    assert "cross-validation, 2 folds" in capsys.readouterr().out
    tested = []
    for which in (1, 2):
        with (tmp_path / "folds" / f"fold-{which}" / "scores" / "metrics.csv").open() as stream:
            tested.append({row["patient"] for row in csv.DictReader(stream)})
    assert len(tested[0]) == len(tested[1]) == 2 and tested[0] | tested[1] == {"P0", "P1", "P2", "P3"}
    summary = (tmp_path / "folds" / "summary.md").read_text()
    assert "4 patients" in summary and "User's data" in summary

    # Again: what is done stays done; what was cut off goes on; other settings are another cross-validation.
    weights = [tmp_path / "folds" / f"fold-{which}" / "run" / "model.pt" for which in (1, 2)]
    stamps = [path.stat().st_mtime_ns for path in weights]
    (tmp_path / "folds" / "summary.md").unlink()
    assert main(command) == 0
    assert [path.stat().st_mtime_ns for path in weights] == stamps
    assert (tmp_path / "folds" / "summary.md").read_text() == summary
    capsys.readouterr()
    assert main([*command, "learning_rate=0.1"]) == 8
    assert "another cross-validation" in capsys.readouterr().err
