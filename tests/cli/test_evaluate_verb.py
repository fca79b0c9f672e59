# SPDX-License-Identifier: Apache-2.0
"""``kneesynth evaluate``: one verb for images and for weights, and plain words where the two are mixed."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import nibabel
import numpy as np
import pytest

from scripts.cli.app import main
from scripts.evaluation.benchmark import cached_benchmark
from scripts.simulation.preset import load_preset, preset_hash
from scripts.simulation.study import SIMULATOR_VERSION
from tests.evaluation.knees import PD, PDFS, save, scan


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "need --predictions DIR --targets DIR .* or DIR --scorecard"),
        (["STUDY"], "without --scorecard and --predictions"),
        (["--predictions", "p"], "--predictions without --targets"),
        (["--predictions", "p", "--targets", "t"], "--predictions without -o"),
        (["--predictions", "p", "--targets", "t", "--scorecard", "-o", "o"], "or with both"),
        (["STUDY", "--predictions", "p", "--targets", "t", "-o", "o"], "DIR with --predictions"),
        (["--predictions", "p", "--targets", "t", "-o", "o", "--weights", "w"], "--weights with --predictions"),
        (["STUDY", "--scorecard", "--targets", "t", "--resample"], "--targets, --resample with --scorecard"),
        (["--scorecard"], "--scorecard without a study"),
        (["--predictions", "p", "--targets", "t", "-o", "o", "--protocol", "theirs"], "protocol 'theirs' is unknown"),
        (["--predictions", "p", "--targets", "t", "-o", "o"], "--predictions p: no such folder"),
    ],
)
def test_options_that_do_not_go_together_are_told(
    arguments: list[str],
    words: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    import re

    monkeypatch.chdir(tmp_path)
    assert main(["evaluate", *arguments]) == 2
    assert re.search(words, capsys.readouterr().err) and not list(tmp_path.iterdir())


def test_from_images_to_tables(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for number in range(2):
        save(tmp_path / "targets" / f"p{number}" / "PD.nii.gz", scan(PD, number))
        save(tmp_path / "targets" / f"p{number}" / "PDFS.nii.gz", scan(PDFS, number))
        save(tmp_path / "mine" / f"p{number}.nii.gz", scan(PDFS, number, 0.0) * 1.2)
    arguments = ["--predictions", str(tmp_path / "mine"), "--targets", str(tmp_path / "targets"), "--no-figures"]
    report = tmp_path / "told.json"
    code = main(["evaluate", *arguments, "-o", str(tmp_path / "out"), "--method", "mine", "--json", str(report)])
    told = capsys.readouterr().out
    assert code == 0 and "### User's data: PD to PDFS" in told and "| mine" in told
    assert json.loads(report.read_text("utf-8")) == json.loads((tmp_path / "out" / "report.json").read_text("utf-8"))
    (tmp_path / "mine" / "p1.nii.gz").write_bytes(b"no volume")
    assert main(["evaluate", *arguments, "-o", str(tmp_path / "other")]) == 4
    assert "prediction of case p1" in capsys.readouterr().err and not (tmp_path / "other").exists()


def test_a_benchmark_in_the_cache_is_taken_and_not_made_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import scripts.evaluation.benchmark as module

    made = []

    def fake(folder: Path, preset: str, workers: int, tell: Callable[[int, int], None]) -> None:
        made.append(preset)
        tell(1, 1)
        (folder / "benchmark.json").write_text("{}")

    monkeypatch.setattr(module, "write_benchmark", fake)
    folder = cached_benchmark(tmp_path, lambda text, done, total: None)
    assert folder.name == f"benchmark-v1-v{SIMULATOR_VERSION}-{preset_hash(load_preset('benchmark-v1'))}"
    assert cached_benchmark(tmp_path, lambda text, done, total: None) == folder and made == ["benchmark-v1"]


@pytest.mark.real_data
def test_a_real_oblique_series_meets_its_nifti_twin_on_one_grid(real_data: Path, tmp_path: Path) -> None:
    """Two echoes of one real scan stand in for a pair: the geometry of DICOM and of NIfTI is what is looked at."""
    from scripts.dicom.index import index_series
    from scripts.evaluation.run import Request, evaluate_predictions
    from scripts.transforms.series import LoadKneeSeries

    stacks = [one for one in index_series([real_data / "pymskt" / "mese_knee_ge3t"]) if one.usable]
    image, label = (min(stacks, key=lambda one: abs((one.echo_time or 0) - time)) for time in (0.0252, 0.0316))
    entry = {"id": "knee", "patient": "knee", "section": "test"}
    files = {"image": [str(path) for path in image.files], "label": [str(path) for path in label.files]}
    (tmp_path / "pairs.json").write_text(json.dumps({"kind": "knee pairs", "version": 1, "pairs": [entry | files]}))
    volume = LoadKneeSeries()(files["label"])
    (tmp_path / "made").mkdir()
    written = nibabel.Nifti1Image(np.asarray(volume[0]), np.asarray(volume.affine))
    nibabel.save(written, tmp_path / "made" / "knee.nii.gz")
    request = Request(tmp_path / "made", str(tmp_path / "pairs.json"), tmp_path / "out", scale="target", figures=False)
    scores, report = evaluate_predictions(request)
    lines = {line.method: line for line in scores.lines if line.scaling == "as stored"}
    assert report["data"] == "user's" and lines["prediction"].scores["psnr"].mean == float("inf")
    assert 15 < lines["copy"].scores["psnr"].mean < 45, "one echo is not the other, but looks much like it"
