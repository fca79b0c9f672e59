# SPDX-License-Identifier: Apache-2.0
"""Loading: DICOM and NIfTI become the same volume, and damage is named."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import nibabel
import numpy as np
import pytest
import torch
from monai.data import MetaTensor

from scripts.dicom.read import read_stack
from scripts.errors import DecodeError, GeometryError, SourceError
from scripts.transforms.nifti import read_nifti
from scripts.transforms.series import LoadKneeSeries, LoadKneeSeriesd


@pytest.fixture
def nifti(tmp_path: Path) -> Callable[..., Path]:
    def write(voxels: np.ndarray, affine: np.ndarray, code: int = 1, name: str = "image.nii.gz") -> Path:
        image = nibabel.Nifti1Image(voxels, affine)
        image.set_sform(affine, code)
        image.set_qform(None, 0)
        nibabel.save(image, tmp_path / name)
        return tmp_path / name

    return write


@pytest.mark.parametrize("plane", ["sagittal", "coronal", "axial"])
def test_dicom_voxel_lies_where_its_header_says(knee_series: Callable[..., list[Path]], plane: str) -> None:
    import pydicom

    files = knee_series(plane=plane)
    volume = LoadKneeSeries()([str(file) for file in reversed(files)])
    assert volume.shape == (1, 24, 20, 10)  # columns, rows, slices
    stack = read_stack(files)
    for k, name in enumerate(volume.meta["filename_or_obj"]):
        header = pydicom.dcmread(name)
        first = volume.affine.numpy() @ (0, 0, k, 1)
        np.testing.assert_allclose(first[:3] * (-1, -1, 1), header.ImagePositionPatient, atol=1e-3)
        np.testing.assert_array_equal(volume[0, :, :, k].numpy().T, stack.array[k])
    column = (volume.affine.numpy() @ (1, 0, 0, 0))[:3] * (-1, -1, 1)
    np.testing.assert_allclose(column, np.array(header.ImageOrientationPatient[:3]) * header.PixelSpacing[1], atol=1e-4)


def test_folder_file_list_and_dictionary_form_agree(knee_series: Callable[..., list[Path]]) -> None:
    files = knee_series()
    by_list = LoadKneeSeries()(files)
    by_folder = LoadKneeSeriesd("image")({"image": str(files[0].parent)})["image"]
    assert torch.equal(by_list.as_tensor(), by_folder.as_tensor())
    assert by_folder.meta["source_kind"] == "dicom"
    np.testing.assert_allclose(by_list.affine, by_folder.affine)


def test_folder_with_two_series_needs_a_name(knee_series: Callable[..., list[Path]]) -> None:
    folder = knee_series("a", seed=1)[0].parents[1]
    knee_series("a/more", contrast="PDFS", seed=2, number=2)
    with pytest.raises(SourceError, match="2 stacks"):
        LoadKneeSeries()(folder)
    assert LoadKneeSeries(series="2.1")(folder).shape == (1, 24, 20, 10)
    with pytest.raises(SourceError, match="no such DICOM series"):
        LoadKneeSeries(series="9.9")(folder)


def test_nifti_keeps_voxels_and_affine(nifti: Callable[..., Path]) -> None:
    voxels = np.random.default_rng(0).random((6, 7, 3)).astype(np.float32)
    affine = np.array([[0, 0, 3.0, 1], [0.5, 0, 0, 2], [0, -0.4, 0, 3], [0, 0, 0, 1]])
    volume = LoadKneeSeries()(nifti(voxels, affine))
    np.testing.assert_array_equal(volume.numpy()[0], voxels)
    np.testing.assert_allclose(volume.affine, affine, atol=1e-6)
    assert volume.dtype == torch.float32


def test_scaling_of_the_file_is_applied(tmp_path: Path) -> None:
    image = nibabel.Nifti1Image(np.arange(60, dtype=np.int16).reshape(3, 4, 5), np.eye(4))
    image.header.set_slope_inter(2.0, 10.0)
    nibabel.save(image, tmp_path / "scaled.nii")
    stored = np.asanyarray(nibabel.load(tmp_path / "scaled.nii").dataobj)
    voxels, _ = read_nifti(tmp_path / "scaled.nii")
    np.testing.assert_allclose(voxels, stored, rtol=1e-6)


def test_tensor_passes_through() -> None:
    image = MetaTensor(torch.ones(1, 2, 3, 4))
    assert LoadKneeSeries()(image) is image


def _truncated(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


@pytest.mark.parametrize("name", ["image.nii", "image.nii.gz"])
def test_truncated_nifti_cannot_be_decoded(nifti: Callable[..., Path], name: str) -> None:
    path = nifti(np.random.default_rng(0).random((30, 30, 9)), np.eye(4), name=name)
    _truncated(path)
    with pytest.raises(DecodeError):
        read_nifti(path)


@pytest.mark.parametrize(
    ("voxels", "words"),
    [
        (np.ones((4, 4)), "2-dimensional"),
        (np.ones((4, 4, 4, 2)), "4-dimensional"),
        (np.full((4, 4, 4), np.nan), "NaN"),
        (np.ones((4, 4, 4), np.complex64), "real magnitudes"),
    ],
    ids=["2d", "4d", "nan", "complex"],
)
def test_what_is_no_volume_of_magnitudes_is_refused(nifti: Callable[..., Path], voxels: np.ndarray, words: str) -> None:
    with pytest.raises(DecodeError, match=words):
        read_nifti(nifti(voxels, np.eye(4)))


def test_black_image_is_refused(nifti: Callable[..., Path]) -> None:
    with pytest.raises(DecodeError, match="no voxel above zero"):
        LoadKneeSeries()(nifti(np.zeros((4, 4, 4)), np.eye(4)))


def test_header_that_claims_too_much_is_refused_before_reading(tmp_path: Path) -> None:
    header = nibabel.Nifti1Header()
    header.set_data_shape((30000, 30000, 1000))
    header.set_data_dtype(np.float32)
    header.set_sform(np.eye(4), 1)
    (tmp_path / "bomb.nii").write_bytes(header.binaryblock + bytes(4))
    with pytest.raises(DecodeError, match="30000"):
        read_nifti(tmp_path / "bomb.nii")


def test_text_that_calls_itself_nifti_is_refused(tmp_path: Path) -> None:
    (tmp_path / "note.nii").write_text("not an image")
    with pytest.raises(DecodeError, match="not readable as NIfTI"):
        read_nifti(tmp_path / "note.nii")


def test_volume_without_orientation_is_refused(nifti: Callable[..., Path]) -> None:
    with pytest.raises(GeometryError, match="which way is up"):
        read_nifti(nifti(np.ones((4, 4, 4)), np.eye(4), code=0))


def test_sheared_and_flat_grids_are_refused(nifti: Callable[..., Path]) -> None:
    sheared = np.eye(4)
    sheared[0, 1] = 0.1
    with pytest.raises(GeometryError, match="sheared"):
        read_nifti(nifti(np.ones((4, 4, 4)), sheared))
    path = nifti(np.ones((4, 4, 4)), np.eye(4), name="flat.nii")
    data = bytearray(path.read_bytes())
    data[312:328] = bytes(16)  # srow_z
    path.write_bytes(data)
    with pytest.raises(GeometryError, match="zero or infinite axis"):
        read_nifti(path)


def test_an_empty_name_is_not_the_working_folder(
    knee_series: Callable[..., list[Path]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(knee_series()[0].parent)
    with pytest.raises(SourceError, match="no image of that name"):
        LoadKneeSeries()("")


def test_a_stack_that_was_looked_for_brings_what_its_headers_say(knee_series: Callable[..., list[Path]]) -> None:
    files = knee_series(contrast="PDFS")
    assert LoadKneeSeries()(str(files[0].parent)).meta["contrast"] == "PDFS"
    assert "contrast" not in LoadKneeSeries()([str(file) for file in files]).meta
