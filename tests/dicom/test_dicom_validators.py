# SPDX-License-Identifier: Apache-2.0
"""What independent programs say: dciodvfy and dcentvfy (dicom3tools) on form, dcm2niix on geometry."""

from __future__ import annotations

import copy
import itertools
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import nibabel
import numpy as np
import pydicom
import pytest

from scripts.dicom.index import index_series
from scripts.dicom.inherited import read_source
from scripts.dicom.instance import save_instance
from scripts.dicom.read import read_stack
from scripts.dicom.study import SimulatedSeries, write_simulated_study
from scripts.dicom.summary import derive_summary
from scripts.dicom.values import quiet
from scripts.dicom.write import Provenance, derive_series, save_series
from tests.dicom.test_matrix_accepted import ROWS_OF_MATRIX, rewrite

pytestmark = pytest.mark.validators

Series = Callable[..., list[Path]]
Edit = Callable[..., None]

# Debian's dciodvfy is older than (0008,001C) Synthetic Data and calls it unknown.
TOO_NEW = "(0x0008,0x001c)"


def tool(name: str) -> str:
    path = shutil.which(name) or shutil.which(name, path=str(Path(sys.executable).parent))
    if path is None:
        pytest.skip(f"{name} is not installed")
    return path


def verify(file: Path) -> tuple[int, set[str]]:
    """Give dciodvfy's exit status and its errors."""
    result = subprocess.run([tool("dciodvfy"), str(file)], capture_output=True, text=True, check=False)
    return result.returncode, {line for line in result.stderr.splitlines() if line.startswith("Error")}


def entities(files: list[Path]) -> tuple[int, str]:
    """Give dcentvfy's exit status and what it says about files of one study together."""
    result = subprocess.run([tool("dcentvfy"), *map(str, files)], capture_output=True, text=True, check=False)
    return result.returncode, re.sub(r"\s+", " ", result.stdout + result.stderr).strip()


def derive(files: list[Path], folder: Path, provenance: Provenance) -> tuple[list[Path], list[Path]]:
    volume = read_stack(files)
    scaled = 1000 * volume.array / np.percentile(volume.array, 99.5)
    stored = np.clip(np.rint(scaled), 0, 4095).astype(np.uint16)
    return list(volume.files), save_series(derive_series(volume.files, stored, "PDFS", provenance), folder)


def corners(files: list[Path], folder: Path) -> np.ndarray:
    """Let dcm2niix convert the files alone; give the 8 corners of the canonically ordered volume in RAS mm."""
    alone = folder / "in"
    alone.mkdir(parents=True)
    for number, file in enumerate(files):
        shutil.copy(file, alone / f"{number}.dcm")
    command = [tool("dcm2niix"), "-b", "n", "-z", "n", "-f", "out", "-o", str(folder), str(alone)]
    subprocess.run(command, check=True, capture_output=True)
    made = sorted(folder.glob("*.nii"))
    assert len(made) == 1
    image = nibabel.as_closest_canonical(nibabel.load(made[0]))
    ends = itertools.product(*((0, size - 1) for size in image.shape[:3]))
    return np.array([image.affine @ [*end, 1] for end in ends])[:, :3]


def off(seen: np.ndarray, files: list[Path]) -> float:
    """How far in mm the corners that dcm2niix sees lie from where our own reader sees them."""
    volume = read_stack(files)
    last = np.array(volume.array.shape) - 1
    ours = np.array([volume.affine_lps @ [*(last * end), 1] for end in itertools.product((0, 1), repeat=3)])[:, :3]
    ours *= (-1, -1, 1)  # LPS to RAS
    return float(np.linalg.norm(ours[:, None] - seen[None], axis=2).min(axis=1).max())


@pytest.fixture
def study(tmp_path: Path) -> list[Path]:
    affine = np.eye(4)
    affine[:3, :3] = np.array([[-3.3, 0, 0], [0, 0, 0.4], [0, -0.5, 0]])
    rng = np.random.default_rng(0)

    def series(slices: int, contrast: str, localizer: bool = False) -> SimulatedSeries:
        array = rng.random((slices, 20, 24), dtype=np.float32)
        return SimulatedSeries(array, affine, contrast, "", 3.0, 0.03, 8, 3.0, contrast == "PDFS", localizer)

    return write_simulated_study(tmp_path / "study", [series(3, "PD", True), series(6, "PD"), series(6, "PDFS")], 5)


def test_simulated_study_and_what_is_derived_from_it(study: list[Path], tmp_path: Path, provenance: Provenance) -> None:
    source = next(s for s in index_series([tmp_path / "study"]) if s.contrast == "PD")
    _, derived = derive(list(source.files), tmp_path / "derived", provenance)
    for file in [study[0], *study[3:], *derived]:
        status, errors = verify(file)
        assert status == 0
        assert [error for error in errors if TOO_NEW not in error] == []
    assert entities(study) == (0, "")
    assert entities([*study, *derived]) == (0, "")


def test_the_validators_find_what_they_should(
    study: list[Path], tmp_path: Path, provenance: Provenance, edit: Edit
) -> None:
    source = next(s for s in index_series([tmp_path / "study"]) if s.contrast == "PD")
    _, derived = derive(list(source.files), tmp_path / "derived", provenance)
    edit(derived[0], ScanningSequence=...)
    status, errors = verify(derived[0])
    assert status == 1 and any("ScanningSequence" in error for error in errors)
    edit(derived[1], PatientName="SOMEONE^ELSE")
    status, said = entities([*study, *derived])
    assert status == 1 and "PatientName" in said.replace(" ", "").replace("'", "")


def test_a_scanner_s_series_full_of_extras(
    knee_series: Series, tmp_path: Path, provenance: Provenance, edit: Edit
) -> None:
    """Contributing equipment, time zone, lossy history, contrast agent, umlauts: still no error."""
    files = knee_series(slices=6, acquired=True, description="PD sag")
    for file in files:
        edit(file, PatientName="Müller^Jörg", TimezoneOffsetFromUTC="+0100", LossyImageCompression="01",
             LossyImageCompressionRatio="8", LossyImageCompressionMethod="ISO_14495_1", PatientAge="041Y",
             ContrastBolusAgent="Gadolinium", SliceLocation="12.5", BurnedInAnnotation="NO",
             RecognizableVisualFeatures="NO", Laterality="L")  # fmt: skip
    assert verify(files[0]) == (0, set())
    sources, derived = derive(files, tmp_path / "derived", provenance)
    status, errors = verify(derived[0])
    assert status == 0 and all(TOO_NEW in error for error in errors)
    assert entities([*sources, *derived]) == (0, "")


@pytest.mark.parametrize("plane", ["sagittal", "coronal", "axial"])
def test_dcm2niix_sees_source_and_derived_in_one_place(
    knee_series: Series, tmp_path: Path, provenance: Provenance, plane: str
) -> None:
    files = knee_series(acquired=True, plane=plane)
    sources, derived = derive(files, tmp_path / "derived", provenance)
    one, other = corners(sources, tmp_path / "a"), corners(derived, tmp_path / "b")
    assert np.linalg.norm(one - other, axis=1).max() < 1e-3
    assert off(other, derived) < 1e-3


def test_dcm2niix_notices_a_moved_series(knee_series: Series, tmp_path: Path, edit: Edit) -> None:
    files = knee_series(acquired=True)
    one = corners(files, tmp_path / "a")
    for file in files:
        x, y, z = map(float, pydicom.dcmread(file).ImagePositionPatient)
        edit(file, ImagePositionPatient=[f"{x + 0.01:.6f}", f"{y:.6f}", f"{z:.6f}"])
    assert np.linalg.norm(one - corners(files, tmp_path / "b"), axis=1).max() > 1e-3


def test_an_enhanced_series(
    knee_series: Series, enhanced: Callable[..., Path], tmp_path: Path, provenance: Provenance
) -> None:
    """Two echoes in one file, of which one is used; the source describes itself badly, what is derived does not."""
    files = knee_series(slices=6, acquired=True)
    file = enhanced(tmp_path / "e.dcm", files * 2, echo_times=[30.0] * 6 + [80.0] * 6, Laterality="L")
    stack = min(index_series([file]), key=lambda stack: stack.echo_time or 0)
    _, (derived,) = derive(list(stack.files), tmp_path / "derived", provenance)
    status, errors = verify(derived)
    assert status == 0 and [error for error in errors if TOO_NEW not in error] == []
    assert entities([file, derived]) == (0, "")
    seen = corners([derived], tmp_path / "a")
    assert off(seen, [derived]) < 1e-3 and off(seen, list(stack.files)) < 1e-3
    edit_frames(derived)
    status, errors = verify(derived)
    assert status == 1 and any("PlanePositionSequence" in error for error in errors)


@pytest.mark.parametrize("kind", ["classic", "enhanced"])
def test_the_summary_page_beside_both_series(
    knee_series: Series, enhanced: Callable[..., Path], tmp_path: Path, provenance: Provenance, kind: str, edit: Edit
) -> None:
    files = knee_series(acquired=True)
    if kind == "enhanced":
        files = [enhanced(tmp_path / "e.dcm", files, Laterality="L")]
    sources, derived = derive(files, tmp_path / "derived", provenance)
    datasets = [pydicom.dcmread(file) for file in derived]
    picture = np.zeros((64, 80), np.uint8)
    summary = tmp_path / "summary.dcm"
    save_instance(
        derive_summary(read_source(sources[0]), datasets, picture, "PDFS", provenance, identified=False), summary
    )
    status, errors = verify(summary)
    assert status == 0 and [error for error in errors if TOO_NEW not in error] == []
    assert entities([*files, *derived, summary]) == (0, "")
    edit(summary, ConversionType=..., StudyDate="20200101")
    status, errors = verify(summary)
    assert status == 1 and any("ConversionType" in error for error in errors)
    assert entities([*files, *derived, summary])[0] == 1


def edit_frames(file: Path) -> None:
    dataset = pydicom.dcmread(file)
    for frame in dataset.PerFrameFunctionalGroupsSequence:
        del frame.PlanePositionSequence
    dataset.save_as(file)


@pytest.mark.real_data
def test_a_real_enhanced_header(real_data: Path, tmp_path: Path, provenance: Provenance) -> None:
    """Its 19 frames show one slice of a moving knee; here they are laid side by side."""
    source = next((real_data / "weasis" / "enhanced_knee").glob("*.14677.dcm"))
    with quiet():  # its own description is too long
        dataset = pydicom.dcmread(source)
        dataset.SeriesDescription = "PD sag"
    place = dataset.SharedFunctionalGroupsSequence[0].PlanePositionSequence
    del dataset.SharedFunctionalGroupsSequence[0].PlanePositionSequence
    for index, frame in enumerate(dataset.PerFrameFunctionalGroupsSequence):
        frame.PlanePositionSequence = copy.deepcopy(place)
        frame.PlanePositionSequence[0].ImagePositionPatient[0] = f"{6.5 * index:.5f}"
    dataset.save_as(tmp_path / "e.dcm")
    (stack,) = index_series([tmp_path / "e.dcm"])
    _, (derived,) = derive(list(stack.files), tmp_path / "derived", provenance)
    assert verify(tmp_path / "e.dcm") == (0, set())
    status, errors = verify(derived)
    assert status == 0 and [error for error in errors if TOO_NEW not in error] == []
    seen = corners([derived], tmp_path / "a")
    assert off(seen, [derived]) < 1e-3 and off(seen, list(stack.files)) < 1e-3


LOSSLESS = {
    name: encode
    for name, encode, _ in ROWS_OF_MATRIX
    if "lossless" in name.replace("near-lossless", "") or name in ("RLE", "deflated", "implicit little endian")
}


def as_little_endian(dataset: pydicom.Dataset) -> None:
    kind = "<i2" if dataset.PixelRepresentation else "<u2"
    dataset.PixelData = dataset.pixel_array.astype(kind).tobytes()
    dataset.file_meta.TransferSyntaxUID = "1.2.840.10008.1.2.1"


@pytest.mark.real_data
@pytest.mark.parametrize("syntax", LOSSLESS)
def test_the_real_knee_in_every_lossless_syntax(
    real_data: Path, tmp_path: Path, provenance: Provenance, edit: Edit, syntax: str
) -> None:
    original = next(s for s in index_series([real_data / "pymskt"]) if s.echo_time and abs(s.echo_time - 0.0252) < 1e-4)
    files = [Path(shutil.copy(file, tmp_path / f"{n}.dcm")) for n, file in enumerate(original.files)]
    rewrite(files, as_little_endian, implicit_vr=False, little_endian=True)
    LOSSLESS[syntax](files, edit)
    (stack,) = index_series([tmp_path])
    assert (stack.usable, stack.slices, stack.lossy) == (True, 24, False)
    np.testing.assert_array_equal(read_stack(stack.files).array, read_stack(original.files).array)
    assert off(corners(list(original.files), tmp_path / "a"), list(stack.files)) < 0.02
    _, derived = derive(list(stack.files), tmp_path / "derived", provenance)
    _, before = verify(original.files[0])
    _, after = verify(derived[0])
    assert [error for error in after - before if TOO_NEW not in error] == []


@pytest.mark.real_data
def test_the_real_knee_at_25_ms(real_data: Path, tmp_path: Path, provenance: Provenance) -> None:
    stack = next(s for s in index_series([real_data / "pymskt"]) if s.echo_time and abs(s.echo_time - 0.0252) < 1e-4)
    sources, derived = derive(list(stack.files), tmp_path / "derived", provenance)
    for source, file in zip(sources, derived, strict=True):
        _, before = verify(source)
        _, after = verify(file)
        assert [error for error in after - before if TOO_NEW not in error] == []
    assert entities([*sources, *derived]) == entities(sources)
    drift = np.linalg.norm(corners(sources, tmp_path / "a") - corners(derived, tmp_path / "b"), axis=1)
    assert drift.max() < 1e-3
