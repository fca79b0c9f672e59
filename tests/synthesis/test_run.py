# SPDX-License-Identifier: Apache-2.0
"""From DICOM or NIfTI to a whole output folder, with random weights: places, scale, marks, refusals."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest

from scripts.dicom.index import index_series
from scripts.dicom.read import read_stack
from scripts.errors import (
    DecodeError,
    GeometryError,
    KneeSynthError,
    OutOfMemory,
    SourceError,
    UsageError,
    WeightsError,
)
from scripts.software import software_block
from scripts.synthesis import run
from scripts.synthesis.bundle import load_model
from scripts.synthesis.planning import Request
from scripts.synthesis.run import synthesize
from scripts.synthesis.selection import Lift
from scripts.transforms.series import ras_from_stack_affine

Series = Callable[..., list[Path]]


def _series(folder: Path) -> np.ndarray:
    return read_stack(sorted(folder.glob("0*.dcm"))).array


def _save_nifti(path: Path, voxels: np.ndarray, affine: np.ndarray) -> Path:
    nibabel.save(nibabel.Nifti1Image(voxels.astype(np.float32), affine), path)
    return path


def test_dicom_gives_a_derived_series_a_volume_and_a_report(
    knee_series: Series, random_bundle: Path, tmp_path: Path
) -> None:
    import pydicom

    source = knee_series(acquired=True)
    out = tmp_path / "out"
    report = synthesize(Request((source[0].parent,), out), bundle_root=random_bundle)

    instances = [f"{n:04d}.dcm" for n in range(1, 11)]
    assert sorted(p.name for p in out.iterdir()) == sorted(
        [*instances, "summary.dcm", "PDFS.nii.gz", "report.html", "report.json"]
    )
    assert json.loads((out / "report.json").read_text()) == report
    assert report["series"][0]["products"] == {
        "dicom": instances,
        "nifti": "PDFS.nii.gz",
        "page": "report.html",
        "summary": "summary.dcm",
    }
    assert report["software"] == software_block(report["model"])
    for name, file in zip(instances, source, strict=True):
        derived, original = pydicom.dcmread(out / name), pydicom.dcmread(file)
        assert derived.ImagePositionPatient == original.ImagePositionPatient
        assert derived.SyntheticData == "YES"
    # Integers and floats are the same image on the same scale, in the same places.
    volume = nibabel.load(out / "PDFS.nii.gz")
    stack = read_stack([out / name for name in instances])
    np.testing.assert_allclose(volume.affine, ras_from_stack_affine(stack.affine_lps), atol=1e-3)
    floats = volume.get_fdata().transpose(2, 1, 0)
    assert np.abs(stack.array - np.clip(floats, 0, 4095)).max() <= 0.5
    assert volume.header["descrip"].tobytes().strip(b"\0") == b""
    assert volume.get_data_dtype() == np.float32


def test_stored_values_are_a_thousand_times_the_network_output(
    knee_series: Series, random_bundle: Path, tmp_path: Path
) -> None:
    source = knee_series(acquired=True)
    model = load_model("PDFS", "cpu", random_bundle)
    image = model.preprocessing({"image": [str(p) for p in source]})["image"]
    expected = 1000 * model.inferer(image.as_tensor()[None].contiguous(), model.network)[0, 0].numpy()
    synthesize(Request((source[0].parent,), tmp_path / "out", formats=("nifti",)), bundle_root=random_bundle)
    written = nibabel.load(tmp_path / "out" / "PDFS.nii.gz").get_fdata()
    np.testing.assert_allclose(np.sort(written.ravel()), np.sort(expected.ravel()), rtol=1e-4, atol=1e-2)


def test_page_names_no_patient(knee_series: Series, random_bundle: Path, tmp_path: Path) -> None:
    source = knee_series(acquired=True, description="DR HOUSE KNEE")
    synthesize(Request((source[0].parent,), tmp_path / "out", formats=("nifti",)), bundle_root=random_bundle)
    uid = index_series([source[0].parent])[0].series_instance_uid
    for name in ("report.html", "report.json"):
        text = (tmp_path / "out" / name).read_text()
        assert not [word for word in ("NOBODY", "12345", "HOUSE", uid) if word in text]
        assert "Marrow oedema" in text


def _simulated_pair(knee_series: Series, folder: Path) -> Request:
    """A study of a PD series and its PDFS twin under ``folder/pair``, and the request that takes it."""
    from scripts.dicom.study import SimulatedSeries, write_simulated_study

    volume = read_stack(knee_series())
    pair = [
        SimulatedSeries(volume.array, volume.affine_lps, name, name, 3.0, 0.03, 8, 3.0, name == "PDFS")
        for name in ("PD", "PDFS")
    ]
    write_simulated_study(folder / "pair", pair, 5)
    return Request((folder / "pair",), folder / "out", lift=Lift(simulated=True))


def test_acquired_partner_becomes_the_third_pane(knee_series: Series, random_bundle: Path, tmp_path: Path) -> None:
    report = synthesize(_simulated_pair(knee_series, tmp_path), bundle_root=random_bundle)
    assert report["series"][0]["decisions"]["Acquired target"] == "stack 2.1, shown for comparison only"
    assert "PDFS simulated" in (tmp_path / "out" / "report.html").read_text()
    assert any("Simulated input" in warning for warning in report["series"][0]["warnings"])


def test_a_partner_that_cannot_be_read_keeps_no_synthesis_from_being_made_and_is_not_judged(
    knee_series: Series, random_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import pydicom

    from scripts.transforms import quality

    judged: list[str] = []
    whole = quality.judgement_of

    def watched(image: Any, contrast: str, limits: Any) -> Any:
        judged.append(contrast)
        return whole(image, contrast, limits)

    monkeypatch.setattr(quality, "judgement_of", watched)
    request = _simulated_pair(knee_series, tmp_path)
    sound = synthesize(request, bundle_root=random_bundle)["series"][0]
    assert "shown for comparison only" in sound["decisions"]["Acquired target"] and judged == ["PD"]
    for file in sorted((tmp_path / "pair").rglob("*.dcm")):
        dataset = pydicom.dcmread(file)
        if dataset.SeriesDescription == "PDFS":
            dataset.file_meta.TransferSyntaxUID = pydicom.uid.JPEG2000Lossless
            dataset.PixelData = pydicom.encaps.encapsulate([b"no picture "])
            dataset["PixelData"].VR = "OB"
            dataset.save_as(file)
    broken = dataclasses.replace(request, out=tmp_path / "broken")
    made = synthesize(broken, bundle_root=random_bundle)["series"][0]
    assert "cannot be read" in made["decisions"]["Acquired target"]
    assert made["products"] == sound["products"]


def test_all_numbers_instances_through_and_labels_the_rest(
    knee_series: Series, random_bundle: Path, tmp_path: Path
) -> None:
    import pydicom

    for number, plane in enumerate(("sagittal", "coronal"), start=1):
        knee_series(f"exam/{plane}", plane=plane, number=number, seed=number, acquired=True)
    out = tmp_path / "out"
    report = synthesize(Request((tmp_path / "exam",), out, all_series=True), bundle_root=random_bundle)
    assert [len(entry["products"]["dicom"]) for entry in report["series"]] == [10, 10]
    uids = [pydicom.dcmread(out / f"{n:04d}.dcm").SeriesInstanceUID for n in range(1, 21)]
    assert len(set(uids[:10])) == len(set(uids[10:])) == 1 and uids[0] != uids[10]
    for label in ("1.1", "2.1"):
        assert (out / f"PDFS_{label}.nii.gz").exists() and (out / f"summary_{label}.dcm").exists()
        assert f"report_{label}.html" in (out / "report.html").read_text()
    assert not [p for p in out.iterdir() if p.is_dir()]


@pytest.mark.parametrize("slices", [1, 7])
def test_nifti_comes_back_on_its_own_grid(random_bundle: Path, tmp_path: Path, slices: int) -> None:
    affine = np.array([[0.1, 0.02, 3.2, -7], [0.49, 0, -0.6, 12], [0, -0.4, 0.3, 30], [0, 0, 0, 1.0]])
    affine[:3, :3] = np.linalg.qr(affine[:3, :3])[0] * (0.5, 0.4, 3.3)
    path = _save_nifti(tmp_path / "in.nii.gz", np.random.default_rng(0).random((21, 18, slices)), affine)
    report = synthesize(Request((path,), tmp_path / "out", target="PD"), bundle_root=random_bundle)
    made = nibabel.load(tmp_path / "out" / "PD.nii.gz")
    assert made.shape == (21, 18, slices)
    np.testing.assert_allclose(made.affine, nibabel.load(path).affine, atol=1e-5)
    assert not list((tmp_path / "out").glob("*.dcm"))
    assert report["series"][0]["decisions"]["Source contrast"] == "PDFS, taken at the user's word"
    assert not any("oedema" in warning for warning in report["series"][0]["warnings"])


def test_reference_gives_a_nifti_its_dicom_on_any_axes(
    knee_series: Series, random_bundle: Path, tmp_path: Path
) -> None:
    source = knee_series(acquired=True)
    synthesize(Request((source[0].parent,), tmp_path / "direct"), bundle_root=random_bundle)
    volume = read_stack(source)
    affine = ras_from_stack_affine(volume.affine_lps)
    image = nibabel.as_closest_canonical(nibabel.Nifti1Image(volume.array.transpose(2, 1, 0), affine))
    nibabel.save(image, tmp_path / "turned.nii.gz")

    request = Request((tmp_path / "turned.nii.gz",), tmp_path / "out", target="PDFS", reference_dicom=source[0].parent)
    synthesize(request, bundle_root=random_bundle)
    difference = _series(tmp_path / "out") - _series(tmp_path / "direct")
    assert np.abs(difference).max() <= 1

    moved = image.affine.copy()
    moved[0, 3] += 0.05
    shifted = _save_nifti(tmp_path / "moved.nii.gz", np.asanyarray(image.dataobj), moved)
    with pytest.raises(GeometryError, match=r"grids differ by 0\.05 mm"):
        synthesize(dataclasses.replace(request, inputs=(shifted,), out=tmp_path / "no"), bundle_root=random_bundle)
    assert not (tmp_path / "no").exists()


def _request(tmp_path: Path, **changes: object) -> Request:
    path = tmp_path / "in.nii.gz"
    if not path.exists():
        _save_nifti(path, np.random.default_rng(0).random((16, 16, 3)), np.diag([0.5, 0.5, 3.0, 1.0]))
    return dataclasses.replace(Request((path,), tmp_path / "out", target="PDFS"), **changes)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"target": None}, "need --to PDFS or --to PD"),
        ({"target": "auto"}, "need --to PDFS or --to PD"),
        ({"target": "T2"}, "unknown contrast"),
        ({"series": "1.1"}, "one volume"),
        ({"formats": ("dicom", "nifti")}, "need --reference-dicom"),
        ({"formats": ("png",)}, "--format png"),
        ({"formats": ()}, "need dicom, nifti or both"),
        ({"inputs": (Path("nowhere"),)}, "no such file or folder"),
        ({"inputs": ()}, "no input path"),
        ({"device": "tpu"}, "need auto, cpu or cuda"),
    ],
    ids=lambda v: next(iter(v)) if isinstance(v, dict) else None,
)
def test_wrong_requests_are_usage_errors(
    random_bundle: Path, tmp_path: Path, changes: dict[str, object], words: str
) -> None:
    with pytest.raises(UsageError, match=words):
        synthesize(_request(tmp_path, **changes), bundle_root=random_bundle)
    assert not (tmp_path / "out").exists()


def _text_file(folder: Path) -> Path:
    (folder / "note.txt").write_text("no image")
    return folder / "note.txt"


def _truncate(files: list[Path]) -> Path:
    files[3].write_bytes(files[3].read_bytes()[:-200])
    return files[0].parent


@pytest.mark.parametrize(
    ("make", "error"),
    [
        (lambda folder, series: folder, SourceError),
        (lambda folder, series: _text_file(folder), DecodeError),
        (lambda folder, series: _text_file(folder).parent, SourceError),
        (lambda folder, series: _truncate(series(acquired=True)), DecodeError),
        (lambda folder, series: series(acquired=True)[0].parent.joinpath("0001.dcm"), KneeSynthError),
    ],
    ids=["empty folder", "text file", "folder with a text file", "truncated instance", "one instance"],
)
def test_bad_sources_are_refused_and_nothing_is_written(
    knee_series: Series, random_bundle: Path, tmp_path: Path, make: Callable[..., Path], error: type[KneeSynthError]
) -> None:
    (tmp_path / "in").mkdir()
    with pytest.raises(error) as refused:
        synthesize(Request((make(tmp_path / "in", knee_series),), tmp_path / "out"), bundle_root=random_bundle)
    assert "\n" not in str(refused.value)
    assert not (tmp_path / "out").exists()


def test_missing_altered_and_foreign_weights_are_told_apart(bundle: Path, tmp_path: Path) -> None:
    import hashlib

    import torch

    weights = bundle / "models" / "model.pt"
    whole = weights.read_bytes()
    weights.write_bytes(whole[:-1] + b"?")
    with pytest.raises(WeightsError, match="sha256"):
        synthesize(_request(tmp_path), bundle_root=bundle)
    weights.unlink()
    with pytest.raises(WeightsError, match="no weights there"):
        synthesize(_request(tmp_path), bundle_root=bundle)

    def bless() -> None:
        metadata = json.loads((bundle / "configs" / "metadata.json").read_text())
        metadata["weights_sha256"] = hashlib.sha256(weights.read_bytes()).hexdigest()
        (bundle / "configs" / "metadata.json").write_text(json.dumps(metadata))

    weights.write_bytes(b"not a state dict")
    bless()
    with pytest.raises(WeightsError, match="cannot be read as weights"):
        synthesize(_request(tmp_path), bundle_root=bundle)
    torch.save({"some.weight": torch.zeros(3)}, weights)
    bless()
    with pytest.raises(WeightsError, match="another network"):
        synthesize(_request(tmp_path), bundle_root=bundle)
    assert not (tmp_path / "out").exists()


def test_weights_that_would_run_code_are_not_opened(bundle: Path, tmp_path: Path) -> None:
    import hashlib
    import pickle

    class Payload:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return Path.touch, (tmp_path / "owned",)  # type: ignore[return-value]

    weights = bundle / "models" / "model.pt"
    weights.write_bytes(pickle.dumps(Payload()))
    metadata = json.loads((bundle / "configs" / "metadata.json").read_text())
    metadata["weights_sha256"] = hashlib.sha256(weights.read_bytes()).hexdigest()
    (bundle / "configs" / "metadata.json").write_text(json.dumps(metadata))
    with pytest.raises(WeightsError):
        synthesize(_request(tmp_path), bundle_root=bundle)
    assert not (tmp_path / "owned").exists()


@pytest.mark.parametrize(
    "error",
    [MemoryError(), RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried"), None],
    ids=["python", "cpu allocator", "cuda"],
)
def test_running_out_of_memory_has_its_own_name(
    random_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception | None
) -> None:
    import torch

    def fail(*arguments: object) -> None:
        raise error or torch.cuda.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(run, "assemble", fail)
    with pytest.raises(OutOfMemory):
        synthesize(_request(tmp_path), bundle_root=random_bundle)
    assert not (tmp_path / "out").exists()


def test_failure_while_writing_leaves_an_earlier_result_whole(
    random_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synthesize(_request(tmp_path), bundle_root=random_bundle)
    before = {p.name: p.read_bytes() for p in (tmp_path / "out").iterdir()}

    def fail(*arguments: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("scripts.synthesis.products.write_page", fail)
    with pytest.raises(KneeSynthError, match="No space left"):
        synthesize(_request(tmp_path), bundle_root=random_bundle)
    assert {p.name: p.read_bytes() for p in (tmp_path / "out").iterdir()} == before


def test_progress_ends_at_the_last_slice(random_bundle: Path, tmp_path: Path) -> None:
    told: list[tuple[str, int, int]] = []
    synthesize(_request(tmp_path), lambda *step: told.append(step), bundle_root=random_bundle)
    assert ("synthesising", 3, 3) in told


@pytest.mark.real_data
def test_real_stack_of_eight_echoes(real_data: Path, random_bundle: Path, tmp_path: Path) -> None:
    folder = real_data / "pymskt" / "mese_knee_ge3t"
    with pytest.raises(SourceError) as refused:
        synthesize(Request((folder,), tmp_path / "out"), bundle_root=random_bundle)
    assert len(refused.value.stacks) == 8  # type: ignore[attr-defined]
    named = next(s.id for s in index_series([folder]) if s.echo_time and abs(s.echo_time - 0.0252) < 1e-4)
    report = synthesize(Request((folder,), tmp_path / "out", series=named), bundle_root=random_bundle)
    assert len(report["series"][0]["products"]["dicom"]) == 24
    assert nibabel.load(tmp_path / "out" / "PDFS.nii.gz").shape == (256, 256, 24)
