# SPDX-License-Identifier: Apache-2.0
"""The gate on every way to a synthesis: exit codes, ``--force``, report, page, the bundle, an archive, MONAI Label."""

from __future__ import annotations

import json
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
import torch
from torch import Tensor

from scripts.cli.app import main

ROOT = Path(__file__).resolve().parents[2]
PIXEL_MM = 0.8
Draw = Callable[..., Tensor]


def save(volume: Tensor, path: Path) -> Path:
    """As axial NIfTI, columns to the left, rows to the back."""
    affine = np.diag([-PIXEL_MM, -PIXEL_MM, 3.5, 1.0])
    path.parent.mkdir(parents=True, exist_ok=True)
    nibabel.save(nibabel.Nifti1Image((1000 * volume).permute(2, 1, 0).numpy(), affine), path)
    return path


@pytest.fixture
def sound(limb: Draw, noisy: Draw) -> Tensor:
    """What passes as PD."""
    return noisy(limb(lines=0.3), 0.008)


def dot(limb: Draw, noisy: Draw) -> Tensor:
    return noisy(limb(radius=0.06), 0.008)


def hiss(limb: Draw, noisy: Draw) -> Tensor:
    return noisy(limb(), 0.6)  # as bright as the body, so that there is no air


def blown(limb: Draw, noisy: Draw) -> Tensor:
    return noisy(limb(), 0.008).clamp_max(0.7)


def grainy(limb: Draw, noisy: Draw) -> Tensor:
    return noisy(limb(lines=0.1), 0.022)


def suppressed(limb: Draw, noisy: Draw) -> Tensor:
    quiet = limb(lines=0.1)
    return noisy(torch.where(quiet > 0.05, 0.9 - quiet, quiet).clamp_min(0), 0.004)


def screwed(limb: Draw, noisy: Draw) -> Tensor:
    quiet = limb(lines=0.3)
    quiet[3:8, 66:94, 66:94] = 0
    return noisy(quiet, 0.008)


def haunted(limb: Draw, noisy: Draw) -> Tensor:
    quiet = limb(lines=0.1, radius=0.2)
    ghosts = torch.roll(quiet, 80, 2) + torch.roll(quiet, 80, 1) + torch.roll(quiet, (80, 80), (1, 2))
    return noisy(quiet + 0.19 * ghosts, 0.004)


def shaken(limb: Draw, noisy: Draw) -> Tensor:
    quiet = limb(lines=0.3)
    quiet[1::2] = torch.roll(quiet[1::2], 5, 2)
    return noisy(quiet, 0.008)


def torn(limb: Draw, noisy: Draw) -> Tensor:
    whole = noisy(limb(lines=0.3), 0.008)
    whole[:2] = 0
    return whole


def test_a_sound_volume_passes_without_a_word_and_its_measures_are_in_the_report(
    sound: Tensor, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = save(sound, tmp_path / "in.nii.gz")
    assert main(["synthesize", str(path), "--to", "PDFS", "-o", str(tmp_path / "out")]) == 0
    assert capsys.readouterr().out.count("Note:") == 1, "but that oedema may be missing"
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    quality = report["series"][0]["quality"]
    assert all(entry["inside"] for entry in quality.values())
    assert quality["snr"]["value"] > 50 and quality["pixel_mm"]["value"] == pytest.approx(PIXEL_MM, abs=1e-3)


@pytest.mark.parametrize(
    ("make", "words"),
    [(dot, "of body"), (hiss, "nothing but noise"), (blown, "largest value that the image can hold")],
    ids=["no body", "noise", "saturated"],
)
def test_what_is_no_scan_of_a_knee_is_refused_and_force_takes_it(
    limb: Draw, noisy: Draw, tmp_path: Path, capsys: pytest.CaptureFixture[str], make: Any, words: str
) -> None:
    path, out = save(make(limb, noisy), tmp_path / "in.nii.gz"), tmp_path / "out"
    command = ["synthesize", str(path), "--to", "PDFS", "-o", str(out)]
    assert main(command) == 6
    error = capsys.readouterr().err.strip()
    assert words in error and "--force" in error and len(error.splitlines()) == 1
    assert not out.exists()
    assert main([*command, "--force"]) == 0
    report = json.loads((out / "report.json").read_text())
    forced = [line for line in report["series"][0]["warnings"] if line.startswith("Forced although")]
    assert len(forced) == 1 and words in forced[0]
    assert "Forced although" in capsys.readouterr().out and "Forced although" in (out / "report.html").read_text()


def test_the_terminal_hears_of_a_refusal_once(limb: Draw, noisy: Draw, tmp_path: Path) -> None:
    """In a process of its own: pytest's handlers take what libraries log."""
    import subprocess

    path = save(hiss(limb, noisy), tmp_path / "in.nii.gz")
    command = [sys.executable, "-m", "scripts", "synthesize", str(path), "--to", "PDFS", "-o", str(tmp_path / "out")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 6
    assert len([line for line in done.stderr.splitlines() if "noise" in line]) == 1


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (grainy, "The scan is noisy"),
        (suppressed, "Its fat looks suppressed"),
        (screwed, "area without signal"),
        (haunted, "ghosts in the air"),
        (shaken, "beside their neighbours"),
        (torn, "2 of its slices show no body"),
    ],
    ids=["noise", "contrast", "metal", "ghosts", "jumps", "empty slices"],
)
def test_what_is_doubtful_is_made_with_a_warning(
    limb: Draw, noisy: Draw, tmp_path: Path, capsys: pytest.CaptureFixture[str], make: Any, words: str
) -> None:
    path, out = save(make(limb, noisy), tmp_path / "in.nii.gz"), tmp_path / "out"
    assert main(["synthesize", str(path), "--to", "PDFS", "-o", str(out)]) == 0
    said = [line for line in json.loads((out / "report.json").read_text())["series"][0]["warnings"] if words in line]
    assert len(said) == 1
    assert said[0] in capsys.readouterr().out and words in (out / "report.html").read_text()


def _study(volume: Tensor, folder: Path, description: str = "") -> Path:
    """The same as an acquired DICOM series."""
    import pydicom

    from scripts.dicom.study import SimulatedSeries, write_simulated_study

    affine = np.eye(4)
    affine[:3, :3] = np.array([[0, 0, 1], [0, 1, 0], [1, 0, 0]]).T @ np.diag([3.5, PIXEL_MM, PIXEL_MM])
    series = SimulatedSeries(volume.numpy(), affine, "PD", description, 3.0, 0.03, 8, 3.0, False)
    for file in write_simulated_study(folder, [series], 1):
        dataset = pydicom.dcmread(file)
        del dataset.SyntheticData, dataset.ContentQualification, dataset.ImageComments
        dataset.Manufacturer, dataset.ManufacturerModelName, dataset.PatientID = "SCANNERS LTD", "MAGNET 3", "12345"
        dataset.save_as(file, enforce_file_format=True)
    return folder


def test_dicom_is_asked_too_and_warned_of_once(
    limb: Draw, noisy: Draw, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    study = _study(screwed(limb, noisy), tmp_path / "study")
    assert main(["synthesize", str(study), "-o", str(tmp_path / "out")]) == 0
    assert capsys.readouterr().out.count("area without signal") == 1
    noise = _study(hiss(limb, noisy), tmp_path / "noise")
    assert main(["synthesize", str(noise), "-o", str(tmp_path / "none")]) == 6
    assert "stack 1.1: it is nothing but noise" in capsys.readouterr().err


@pytest.mark.parametrize("words", ["PD_TSE_WARP sag", "t2 pd tse (SEMAC)", "PD nach Knie-TEP", "pd, Implantate"])
def test_a_description_that_names_metal_is_refused(
    sound: Tensor, tmp_path: Path, capsys: pytest.CaptureFixture[str], words: str
) -> None:
    study = _study(sound, tmp_path / "study", words)
    assert main(["synthesize", str(study), "-o", str(tmp_path / "out")]) == 6
    error = capsys.readouterr().err
    assert "names metal" in error and words not in error
    assert main(["synthesize", str(study), "-o", str(tmp_path / "out"), "--force"]) == 0


@pytest.mark.parametrize("words", ["PD sag marsupial", "pd tse vatican", "PD nach Implantation"])
def test_words_that_only_hold_such_a_word_are_none(words: str) -> None:
    from scripts.dicom.anatomy import metal_word

    assert metal_word(words) == ""


@pytest.mark.parametrize("keyword", ["ProtocolName", "StudyDescription"])
def test_metal_is_named_in_other_descriptions_too(sound: Tensor, tmp_path: Path, keyword: str) -> None:
    import pydicom

    study = _study(sound, tmp_path / "study", "PD sag")
    for file in study.rglob("*.dcm"):
        dataset = pydicom.dcmread(file)
        setattr(dataset, keyword, "Knie links bei KTEP")
        dataset.save_as(file)
    assert main(["synthesize", str(study), "-o", str(tmp_path / "out")]) == 6


def test_an_archive_refuses_one_series_and_makes_the_other(
    sound: Tensor, limb: Draw, noisy: Draw, tmp_path: Path
) -> None:
    save(sound, tmp_path / "good.nii.gz")
    save(hiss(limb, noisy), tmp_path / "bad.nii.gz")
    (tmp_path / "list.csv").write_text("source,to\ngood.nii.gz,PDFS\nbad.nii.gz,PDFS\n")
    code = main(["synthesize", "--all", "--manifest", str(tmp_path / "list.csv"), "-o", str(tmp_path / "out")])
    rows = [json.loads(line) for line in (tmp_path / "out" / "results.jsonl").read_text().splitlines()]
    assert code == 11 and sorted(row["exit_code"] for row in rows) == [0, 6]
    assert sum(row["status"] == "refused" and "nothing but noise" in row["error"] for row in rows) == 1


def _run_inference(folder: Path, out: Path, **settings: Any) -> None:
    from monai.bundle import ConfigWorkflow

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        workflow = ConfigWorkflow(
            "bundle/configs/inference.yaml",
            workflow_type="infer",
            logging_file=False,
            run_id="inference",
            dataset_dir=str(folder),
            output_dir=str(out),
            **settings,
        )
        workflow.initialize()
        workflow.run()


def test_the_bundle_refuses_warns_and_forces_alike(
    limb: Draw, noisy: Draw, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.setattr(sys, "excepthook", sys.excepthook)
    save(hiss(limb, noisy), tmp_path / "in" / "knee.nii.gz")
    with pytest.raises(Exception) as caught:
        _run_inference(tmp_path / "in", tmp_path / "out")
    error: BaseException | None = caught.value
    causes = []
    while error is not None:
        causes.append(error)
        error = error.__cause__
    assert any(type(one).__name__ == "GateError" and "nothing but noise" in str(one) for one in causes)
    assert not (tmp_path / "out").exists()
    _run_inference(tmp_path / "in", tmp_path / "out", force=True)
    report = json.loads((tmp_path / "out" / "knee" / "report.json").read_text())
    assert sum("Forced although" in line for line in report["series"][0]["warnings"]) == 1
    assert report["series"][0]["quality"]["snr_in_body"]["inside"] is False


def test_preprocessing_alone_never_refuses_but_tells_a_server(limb: Draw, noisy: Draw, tmp_path: Path) -> None:
    from scripts.synthesis.bundle import load_transforms

    path = save(hiss(limb, noisy), tmp_path / "in.nii.gz")
    result = load_transforms("PDFS").preprocessing({"image": str(path)})["result"]
    assert "The model was not made for this: it is nothing but noise" in result["warnings"]
    assert all(isinstance(value, str) for value in result.values()), "a batch of one takes nothing else"


@pytest.mark.real_data
def test_real_scans_are_what_they_are_said_to_be(real_data: Path) -> None:
    """Stacks that look like clinical PD pass without a word; eight suppressed slices look suppressed."""
    from scripts.body import body_scale
    from scripts.calibration.measured import measure_real
    from scripts.quality.fat import polarity
    from scripts.quality.judge import judge
    from scripts.quality.limits import shipped_limits

    rows = [row for row in measure_real(real_data / "pymskt") if 20 <= row.grade <= 35]
    assert len(rows) == 2
    for row in rows:
        found = judge(row.measures, "PD", (4.0, 0.625, 0.625))
        assert found.refusals == () and found.warnings == ()
        assert judge(row.measures, "PDFS", (4.0, 0.625, 0.625)).warnings, "it is not suppressed"
    slices = np.abs(np.load(real_data / "stanford_pdfs_axial" / "slices.npz")["image"]).astype(np.float32)
    images = [torch.from_numpy(one)[None] for one in slices]
    seen = [polarity(image / body_scale(image), 0.5, "axial") or -1.0 for image in images]
    limits = shipped_limits().warned
    assert all(not limits["PD"]["polarity"].holds(value) and limits["PDFS"]["polarity"].holds(value) for value in seen)


def test_a_sites_own_ranges_take_the_place_of_the_shipped_ones(
    sound: Tensor, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from scripts.calibration.limits import local_limits, write_limits
    from scripts.quality.limits import shipped_limits

    path, ranges = save(sound, tmp_path / "in.nii.gz"), tmp_path / "ranges.yaml"
    # A site whose scans are a thousand times less noisy than this one: here it is unusual.
    write_limits(local_limits({"PD": [{"snr": 1e5}, {"snr": 1.1e5}]}, shipped_limits()), ranges)
    command = ["synthesize", str(path), "--to", "PDFS", "-o"]
    assert main([*command, str(tmp_path / "a")]) == 0
    assert main([*command, str(tmp_path / "b"), "--gate", str(ranges)]) == 0
    shipped, own = (json.loads((tmp_path / name / "report.json").read_text())["series"][0] for name in "ab")
    assert shipped["quality"]["snr"]["inside"] and not own["quality"]["snr"]["inside"]
    assert any("noise" in warning for warning in own["warnings"])
    (tmp_path / "wrong.yaml").write_text("a: 1")
    assert main([*command, str(tmp_path / "c"), "--gate", str(tmp_path / "wrong.yaml")]) == 2
    assert "no ranges of the gate" in capsys.readouterr().err and not (tmp_path / "c").exists()
