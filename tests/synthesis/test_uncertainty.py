# SPDX-License-Identifier: Apache-2.0
"""``--uncertainty``: what it adds, what it leaves alone, and when it is refused."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import nibabel
import numpy as np
import pydicom
import pytest
import torch

from scripts.errors import UsageError, WeightsError
from scripts.intervals.calibration import Calibration, Pair, calibrate
from scripts.intervals.scale_network import TISSUES, ScaleNet
from scripts.synthesis.planning import Request
from scripts.synthesis.run import synthesize
from scripts.synthesis.selection import Lift
from scripts.synthesis.uncertainty import UNCALIBRATED
from scripts.uncertainty.publish import publish, weights_of

Series = Callable[..., list[Path]]
SHAPE = (2, 16, 16)


def some_calibration(head: str, weights: str, simulated: bool) -> Calibration:
    def pairs() -> Iterator[Pair]:
        generator = torch.Generator().manual_seed(0)
        for number in range(10):
            volumes = torch.rand(4, *SHAPE, generator=generator)
            for target in ("PD", "PDFS"):
                seen = torch.randint(0, 255, (len(TISSUES), *SHAPE), generator=generator).to(torch.uint8)
                yield Pair(f"p{number}", target, *volumes, torch.ones(SHAPE) > 0, seen)

    return calibrate(pairs(), head, weights, reference="noise-free", simulated=simulated)


@pytest.fixture(scope="module")
def judged_bundle(small_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Random weights with a random head, calibrated on nothing that matters."""
    root = Path(shutil.copytree(small_bundle, tmp_path_factory.mktemp("judged") / "bundle"))
    torch.manual_seed(1)
    network = {"features": [4, 8], "fine": 4}
    torch.save(ScaleNet(**network).state_dict(), root / "head.pt")
    content = (root / "head.pt").read_bytes()
    (root / "head.pt").unlink()
    head = hashlib.sha256(content).hexdigest()
    publish(root, content, some_calibration(head, weights_of(root), True), network)
    return root


@pytest.fixture
def local(judged_bundle: Path, tmp_path: Path) -> Path:
    record = json.loads((judged_bundle / "configs" / "metadata.json").read_text())["uncertainty"]
    path = tmp_path / "local.json"
    path.write_text(some_calibration(record["head_sha256"], record["weights_sha256"], False).text)
    return path


def test_the_synthesis_is_the_same_with_and_without(knee_series: Series, judged_bundle: Path, tmp_path: Path) -> None:
    source = knee_series(acquired=True)[0].parent
    reports = {
        wanted: synthesize(Request((source,), tmp_path / str(wanted), uncertainty=wanted), bundle_root=judged_bundle)
        for wanted in (False, True)
    }
    plain, judged = (nibabel.load(tmp_path / str(wanted) / "PDFS.nii.gz") for wanted in (False, True))
    np.testing.assert_array_equal(plain.get_fdata(), judged.get_fdata())
    for name in reports[False]["series"][0]["products"]["dicom"]:
        before, after = (pydicom.dcmread(tmp_path / str(wanted) / name) for wanted in (False, True))
        assert before.PixelData == after.PixelData
        assert before.SOPInstanceUID == after.SOPInstanceUID
    assert "uncertainty" not in reports[False]["series"][0]


def test_an_acquired_series_gets_ranks_and_is_told_why(
    knee_series: Series, judged_bundle: Path, tmp_path: Path
) -> None:
    source = knee_series(acquired=True)
    out = tmp_path / "out"
    report = synthesize(Request((source[0].parent,), out, uncertainty=True), bundle_root=judged_bundle)
    (entry,) = report["series"]
    assert {"uncertainty.dcm", "PDFS_uncertainty.nii.gz"} <= set(report["files"])
    assert entry["uncertainty"]["unit"] == "rank" and entry["uncertainty"]["calibrated"] is False
    assert entry["uncertainty"]["weights_sha256"] == report["model"]["weights_sha256"]
    assert any(UNCALIBRATED in warning for warning in entry["warnings"])
    assert UNCALIBRATED in (out / "report.html").read_text()

    synthesis, ranks = (nibabel.load(out / name) for name in ("PDFS.nii.gz", "PDFS_uncertainty.nii.gz"))
    np.testing.assert_array_equal(synthesis.affine, ranks.affine)
    values = ranks.get_fdata()
    assert 0 <= values.min() and values.max() == pytest.approx(100, abs=0.01)
    stored = pydicom.dcmread(out / "uncertainty.dcm")
    floats = np.frombuffer(stored.FloatPixelData, "<f4").reshape(len(source), stored.Rows, stored.Columns)
    places = [tuple(pydicom.dcmread(file).ImagePositionPatient) for file in source]
    for frame, found in zip(stored.PerFrameFunctionalGroupsSequence, floats, strict=True):
        index = places.index(tuple(frame.PlanePositionSequence[0].ImagePositionPatient))
        np.testing.assert_array_equal(found, values.transpose(2, 1, 0)[index].astype(np.float32))
    assert stored.StudyInstanceUID == pydicom.dcmread(source[0]).StudyInstanceUID
    assert UNCALIBRATED in stored.DerivationDescription


def test_a_calibration_of_the_site_gives_widths(
    knee_series: Series, judged_bundle: Path, local: Path, tmp_path: Path
) -> None:
    source = knee_series(acquired=True)[0].parent
    request = Request((source,), tmp_path / "out", uncertainty=True, calibration=local)
    (entry,) = synthesize(request, bundle_root=judged_bundle)["series"]
    found = entry["uncertainty"]
    assert found["calibrated"] and not found["calibration_simulated"]
    assert found["calibration_sha256"] == hashlib.sha256(local.read_bytes()).hexdigest()
    assert found["level"] == 0.9 and found["unit"].startswith("percent of")
    assert not any(UNCALIBRATED in warning for warning in entry["warnings"])
    assert "of the site's own" in " ".join(entry["warnings"])


def test_a_simulated_series_is_judged_by_the_simulated_calibration(
    knee_series: Series, judged_bundle: Path, tmp_path: Path
) -> None:
    request = Request((knee_series()[0].parent,), tmp_path / "out", lift=Lift(simulated=True), uncertainty=True)
    (entry,) = synthesize(request, bundle_root=judged_bundle)["series"]
    assert entry["uncertainty"]["calibrated"] and entry["uncertainty"]["calibration_simulated"]


def test_both_directions_are_judged(knee_series: Series, judged_bundle: Path, local: Path, tmp_path: Path) -> None:
    source = knee_series(acquired=True, contrast="PDFS")[0].parent
    request = Request((source,), tmp_path / "out", "PD", uncertainty=True, calibration=local)
    report = synthesize(request, bundle_root=judged_bundle)
    assert "PD_uncertainty.nii.gz" in report["files"]


def test_a_bundle_without_a_head_refuses(knee_series: Series, small_bundle: Path, tmp_path: Path) -> None:
    source = knee_series(acquired=True)[0].parent
    with pytest.raises(WeightsError, match="no scale head") as refused:
        synthesize(Request((source,), tmp_path / "out", uncertainty=True), bundle_root=small_bundle)
    assert refused.value.exit_code == 7
    assert not (tmp_path / "out").exists()
    synthesize(Request((source,), tmp_path / "out"), bundle_root=small_bundle)


@pytest.mark.parametrize("name", ["uncertainty.pt", "uncertainty.json"])
def test_an_altered_head_or_calibration_is_refused(
    knee_series: Series, judged_bundle: Path, tmp_path: Path, name: str
) -> None:
    root = Path(shutil.copytree(judged_bundle, tmp_path / "bundle"))
    path = root / "models" / name
    path.write_bytes(path.read_bytes() + b" ")
    with pytest.raises(WeightsError, match=name):
        synthesize(
            Request((knee_series(acquired=True)[0].parent,), tmp_path / "out", uncertainty=True), bundle_root=root
        )


def test_a_head_of_other_weights_is_refused(knee_series: Series, judged_bundle: Path, tmp_path: Path) -> None:
    root = Path(shutil.copytree(judged_bundle, tmp_path / "bundle"))
    path = root / "configs" / "metadata.json"
    metadata = json.loads(path.read_text())
    metadata["uncertainty"]["weights_sha256"] = "0" * 64
    path.write_text(json.dumps(metadata))
    with pytest.raises(WeightsError, match="belongs to weights 000000000000"):
        synthesize(
            Request((knee_series(acquired=True)[0].parent,), tmp_path / "out", uncertainty=True), bundle_root=root
        )


def test_a_calibration_of_another_head_is_refused(knee_series: Series, judged_bundle: Path, tmp_path: Path) -> None:
    path = tmp_path / "other.json"
    path.write_text(some_calibration("ab" * 32, weights_of(judged_bundle), False).text)
    source = knee_series(acquired=True)[0].parent
    with pytest.raises(WeightsError, match=r"other\.json"):
        synthesize(Request((source,), tmp_path / "out", uncertainty=True, calibration=path), bundle_root=judged_bundle)


def test_a_calibration_without_uncertainty_is_refused(knee_series: Series, local: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--uncertainty"):
        synthesize(Request((knee_series(acquired=True)[0].parent,), tmp_path / "out", calibration=local))
