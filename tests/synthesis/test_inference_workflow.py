# SPDX-License-Identifier: Apache-2.0
"""``inference.yaml`` under MONAI's own runner: properties, the same products as the command line, the last line."""

from __future__ import annotations

import json
import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path

import nibabel
import numpy as np
import pydicom
import pytest

from scripts.dicom.read import read_stack
from scripts.errors import UsageError
from scripts.synthesis.cases import Cases
from scripts.synthesis.planning import Request
from scripts.synthesis.presentation import Presentation
from scripts.synthesis.run import synthesize
from scripts.synthesis.saving import SaveDerivedSeriesd

ROOT = Path(__file__).resolve().parents[2]
CONFIG = "bundle/configs/inference.yaml"


@pytest.fixture(autouse=True)
def repository_root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.setattr(sys, "excepthook", sys.excepthook)


def test_workflow_has_all_properties_and_answers_run() -> None:
    from monai.bundle import ConfigWorkflow

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for run_id in ("run", "inference"):
            workflow = ConfigWorkflow(CONFIG, workflow_type="infer", logging_file=False, run_id=run_id)
            workflow.initialize()
            assert workflow.check_properties() == []
            assert workflow.parser[run_id]


@pytest.mark.parametrize("show", [{}, {"mark": False, "summary": False}, {"identifiers": True}], ids=str)
def test_workflow_writes_what_the_command_line_writes(
    knee_series: Callable[..., list[Path]], random_bundle: Path, tmp_path: Path, show: dict[str, bool]
) -> None:
    from monai.bundle import ConfigWorkflow

    source = knee_series("data/study", acquired=True)
    request = Request((source[0].parent,), tmp_path / "direct", show=Presentation(**show))
    synthesize(request, bundle_root=random_bundle)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        workflow = ConfigWorkflow(
            CONFIG,
            workflow_type="infer",
            logging_file=False,
            run_id="inference",
            dataset_dir=str(tmp_path / "data"),
            output_dir=str(tmp_path / "out"),
            checkpoint=str(random_bundle / "models" / "model.pt"),
            bundle_root=str(random_bundle),
            **show,
        )
        workflow.initialize()
        workflow.run()
    made = tmp_path / "out" / "study"
    assert sorted(p.name for p in made.iterdir()) == sorted(p.name for p in (tmp_path / "direct").iterdir())
    for folder in (made, tmp_path / "direct"):
        assert len(list(folder.glob("0*.dcm"))) == 10
    told = [json.loads((folder / "report.json").read_text()) for folder in (made, tmp_path / "direct")]
    assert told[0]["input"] == told[1]["input"] and told[0]["series"][0]["quality"] == told[1]["series"][0]["quality"]
    one, other = (read_stack(sorted(f.glob("0*.dcm"))).array for f in (made, tmp_path / "direct"))
    np.testing.assert_array_equal(one, other)
    first, second = (
        [(d.SOPInstanceUID, d.DerivationDescription, d.get("BurnedInAnnotation")) for d in map(pydicom.dcmread, files)]
        for files in (sorted(f.glob("*.dcm")) for f in (made, tmp_path / "direct"))
    )
    assert first == second
    named = ["NOBODY" in (folder / "report.html").read_text() for folder in (made, tmp_path / "direct")]
    assert named == [show.get("identifiers", False)] * 2
    a, b = (nibabel.load(f / "PDFS.nii.gz") for f in (made, tmp_path / "direct"))
    np.testing.assert_array_equal(a.affine, b.affine)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "last"),
    [
        (["--manifest", "{tmp}/manifest.json"], "UsageError: manifest.json: case 1 names gone.nii.gz"),
        (["--dataset_dir", "{tmp}/nowhere"], "no such folder"),
        (["--dataset_dir", "{tmp}", "--checkpoint", "{tmp}/no.pt"], "WeightsError: no.pt: no weights there"),
    ],
    ids=["missing file", "missing folder", "missing checkpoint"],
)
def test_last_line_is_the_refusal(tmp_path: Path, arguments: list[str], last: str) -> None:
    nibabel.save(nibabel.Nifti1Image(np.ones((8, 8, 3), np.float32), np.eye(4)), tmp_path / "PD.nii.gz")
    (tmp_path / "manifest.json").write_text('[{"image": "gone.nii.gz"}]')
    command = [sys.executable, "-m", "monai.bundle", "run", "inference", "--config_file", CONFIG]
    command += [argument.format(tmp=tmp_path) for argument in arguments] + ["--output_dir", str(tmp_path / "out")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert last in done.stderr.strip().splitlines()[-1]
    assert not (tmp_path / "out").exists()


def test_one_word_is_one_format_and_an_unknown_one_is_refused() -> None:
    def saving(formats: str) -> SaveDerivedSeriesd:
        return SaveDerivedSeriesd("pred", "image", Cases({}), dict, "out", "bundle", "model.pt", formats)

    assert saving("nifti").formats == ("nifti",)
    with pytest.raises(UsageError, match="unknown; need dicom, nifti or both"):
        saving("png")
