# SPDX-License-Identifier: Apache-2.0
"""What tests of several rooms share: the real scans where they are at hand, makers of DICOM
knee series and of bundles, and pairs."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import shutil
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml


@pytest.fixture(autouse=True)
def our_loggers() -> None:
    """Let our loggers speak: a command that ran in this process before, in a fixture too, may have silenced some."""
    for name in list(logging.Logger.manager.loggerDict):
        if name.split(".")[0] == "scripts":
            logging.getLogger(name).setLevel(logging.NOTSET)


@pytest.fixture(scope="session")
def real_data() -> Path:
    """Folder of the real scans: KNEE_REAL_DATA, or ``shared/data`` beside the checkout."""
    folder = Path(os.environ.get("KNEE_REAL_DATA", Path(__file__).resolve().parents[2] / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip("the real scans are not here; set KNEE_REAL_DATA to their folder")
    return folder


def _affine(plane: str, tilt: float, spacing: tuple[float, float, float]) -> np.ndarray:
    """LPS affine of (slice, row, column), tilted about two axes so that no direction cosine is trivial."""
    slices, rows, columns = {
        "sagittal": ((-1, 0, 0), (0, 0, -1), (0, 1, 0)),
        "coronal": ((0, 1, 0), (0, 0, -1), (1, 0, 0)),
        "axial": ((0, 0, 1), (0, 1, 0), (1, 0, 0)),
    }[plane]
    c, s = np.cos(tilt), np.sin(tilt)
    turn = np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]]) @ np.array([[1, 0, 0], [0, c, -s], [0, s, c]])
    affine = np.eye(4)
    affine[:3, :3] = turn @ np.array([slices, rows, columns], dtype=float).T * np.array(spacing)
    affine[:3, 3] = (-31.25, -48.5, 27.75)
    return affine


@pytest.fixture
def knee_series(tmp_path: Path) -> Callable[..., list[Path]]:
    """A function that writes one small DICOM series and gives its files in spatial order.

    Its pixels are random, never square, and have more columns than rows. ``acquired=True`` takes the marks of a
    simulated study off, so that the files pass for a scanner's.
    """

    def make(
        name: str = "study",
        *,
        contrast: str = "PD",
        slices: int = 10,
        shape: tuple[int, int] = (20, 24),
        plane: str = "sagittal",
        tilt: float = 0.2,
        spacing: tuple[float, float, float] = (3.3, 0.5, 0.4),
        number: int = 1,
        acquired: bool = False,
        description: str = "",
        seed: int = 0,
    ) -> list[Path]:
        import pydicom

        from scripts.dicom.study import SimulatedSeries, write_simulated_study

        array = np.random.default_rng(seed).random((slices, *shape), dtype=np.float32)
        series = SimulatedSeries(
            array=array,
            affine_lps=_affine(plane, tilt, spacing),
            contrast=contrast,
            description=description,
            repetition_time=3.0,
            echo_time=0.03,
            echo_train_length=8,
            field_strength=3.0,
            fat_suppressed=contrast == "PDFS",
        )
        files = write_simulated_study(tmp_path / name, [series], number)
        for file in files if acquired else []:
            dataset = pydicom.dcmread(file)
            del dataset.SyntheticData, dataset.ContentQualification, dataset.ImageComments
            dataset.Manufacturer, dataset.ManufacturerModelName = "SCANNERS LTD", "MAGNET 3"
            dataset.PatientID, dataset.PatientName = "12345", "TEST^NOBODY"
            dataset.save_as(file, enforce_file_format=True)
        return files

    return make


@pytest.fixture
def enhanced() -> Callable[..., Path]:
    """A function that makes one Enhanced MR file of classic ones, a frame for each, in the order given."""
    import pydicom
    from pydicom.dataset import Dataset

    def one(**values: Any) -> list[Dataset]:
        item = Dataset()
        for keyword, value in values.items():
            setattr(item, keyword, value)
        return [item]

    def make(
        path: Path,
        files: list[Path],
        *,
        echo_times: list[float] | None = None,
        slopes: list[float] | None = None,
        **top: Any,
    ) -> Path:
        sources = [pydicom.dcmread(file) for file in files]
        first = sources[0]
        dataset = Dataset()
        dataset.file_meta = first.file_meta
        for element in first:
            if element.keyword not in ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "EchoTime",
                                       "RepetitionTime", "SliceThickness", "ScanningSequence", "ScanOptions",
                                       "SmallestImagePixelValue", "LargestImagePixelValue"):  # fmt: skip
                dataset[element.tag] = element
        dataset.SOPClassUID = dataset.file_meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.4.1"
        dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = pydicom.uid.generate_uid()
        dataset.EchoPulseSequence, dataset.NumberOfFrames = "SPIN", len(sources)
        shared, frames = Dataset(), []
        shared.PixelMeasuresSequence = one(PixelSpacing=first.PixelSpacing, SliceThickness=first.SliceThickness)
        shared.PlaneOrientationSequence = one(ImageOrientationPatient=first.ImageOrientationPatient)
        shared.MRTimingAndRelatedParametersSequence = one(RepetitionTime=first.RepetitionTime)
        dataset.SharedFunctionalGroupsSequence = [shared]
        for index, source in enumerate(sources):
            frame = Dataset()
            frame.PlanePositionSequence = one(ImagePositionPatient=source.ImagePositionPatient)
            frame.MREchoSequence = one(EffectiveEchoTime=echo_times[index] if echo_times else float(source.EchoTime))
            frame.PixelValueTransformationSequence = one(
                RescaleSlope=slopes[index] if slopes else 1, RescaleIntercept=0, RescaleType="US"
            )
            frames.append(frame)
        dataset.PerFrameFunctionalGroupsSequence = frames
        dataset.add_new("PixelData", "OW", np.stack([source.pixel_array for source in sources]).tobytes())
        for keyword, value in top.items():
            setattr(dataset, keyword, value)
        dataset.save_as(path, enforce_file_format=True)
        return path

    return make


@pytest.fixture
def knee_exam(knee_series: Callable[..., list[Path]], tmp_path: Path) -> Path:
    """A study as a scanner sends it, in a folder for each series: scout, PD in three planes, sagittal PDFS, T2."""
    import pydicom

    exam = [
        ("scout", {"plane": "axial", "slices": 3, "contrast": "scout"}),
        ("PD_sagittal", {"plane": "sagittal"}),
        ("PDFS_sagittal", {"plane": "sagittal", "contrast": "PDFS"}),
        ("PD_coronal", {"plane": "coronal"}),
        ("PD_axial", {"plane": "axial"}),
        ("T2_sagittal", {"plane": "sagittal", "contrast": "T2"}),
    ]
    for number, (name, facts) in enumerate(exam, start=1):
        for file in knee_series(f"exam/{name}", **facts, number=1, seed=number, acquired=True, description=name):
            dataset = pydicom.dcmread(file)
            dataset.StudyInstanceUID, dataset.FrameOfReferenceUID = "2.25.10", "2.25.11"
            dataset.SeriesNumber = number
            if name == "T2_sagittal":
                dataset.EchoTime = 90
            if name == "scout":
                dataset.ImageType = ["ORIGINAL", "PRIMARY", "LOCALIZER"]
            dataset.save_as(file.parents[1] / file.name, enforce_file_format=True)
            file.unlink()
        (tmp_path / "exam" / name / "01").rmdir()
    return tmp_path / "exam"


@pytest.fixture(scope="session")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ten patients, so that each section gets one, as ``<patient>/{PD,PDFS}.nii.gz`` of a dozen small slices."""
    import nibabel

    folder = tmp_path_factory.mktemp("pairs")
    rng = np.random.default_rng(0)
    affine = np.array([[0, 0, 3.3, -18], [-0.5, 0, 0, 8], [0, -0.5, 0, 8], [0, 0, 0, 1]], dtype=float)
    for patient in range(10):
        (folder / f"p{patient}").mkdir()
        for contrast in ("PD", "PDFS"):
            voxels = rng.uniform(0, 900, (32, 32, 12)).astype(np.float32)
            nibabel.save(nibabel.Nifti1Image(voxels, affine), folder / f"p{patient}" / f"{contrast}.nii.gz")
    return folder


@pytest.fixture(scope="session")
def make_bundle(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """A function that copies the bundle and replaces its weights by random ones under their right hash.

    Its arguments replace parts of the network's definition, to make a small one.
    """
    root = Path(__file__).resolve().parents[1] / "bundle"

    def make(**network: object) -> Path:
        import torch
        from monai.bundle import ConfigParser

        made = tmp_path_factory.mktemp("random") / "bundle"
        shutil.copytree(root / "configs", made / "configs")
        config = made / "configs" / "inference.yaml"
        if network:
            content = yaml.safe_load(config.read_text())
            content["network_def"] |= network
            config.write_text(yaml.safe_dump(content, sort_keys=False))
        (made / "models").mkdir()
        parser = ConfigParser()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            parser.read_config(config)
            torch.manual_seed(0)
            torch.save(parser.get_parsed_content("network_def").state_dict(), made / "models" / "model.pt")
        metadata = json.loads((made / "configs" / "metadata.json").read_text())
        metadata["weights_sha256"] = hashlib.sha256((made / "models" / "model.pt").read_bytes()).hexdigest()
        (made / "configs" / "metadata.json").write_text(json.dumps(metadata))
        return made

    return make


@pytest.fixture(scope="session")
def random_bundle(make_bundle: Callable[..., Path]) -> Path:
    """The repository's bundle with random weights."""
    return make_bundle()


@pytest.fixture(scope="session")
def small_bundle(make_bundle: Callable[..., Path]) -> Path:
    """Random weights of a network of a few thousand parameters."""
    decoders = {f"decoder_{domain}": {"features": [8, 4]} for domain in "ab"}
    return make_bundle(encoder={"features": [4, 8], "latent_channels": 8}, **decoders)
