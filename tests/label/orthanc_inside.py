# SPDX-License-Identifier: Apache-2.0
"""Orthanc in front of MONAI Label; `test_orthanc` runs this in a network of its own, as Orthanc listens everywhere."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pydicom
import pytest

from scripts.synthesis.planning import Request
from scripts.synthesis.run import synthesize
from scripts.synthesis.selection import Lift
from tests.orthanc import DICOM_WEB, serving, store


@pytest.fixture(scope="module")
def orthanc(knees: list[Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Orthanc with the first knee in it; gives the address of its DICOMweb."""
    with serving(tmp_path_factory.mktemp("orthanc"), DICOM_WEB) as url:
        store(url, sorted((knees[0] / "dicom").rglob("*.dcm")))
        yield f"{url}/dicom-web"


def uid(folder: Path) -> str:
    return str(pydicom.dcmread(next(folder.glob("*.dcm")), stop_before_pixels=True).SeriesInstanceUID)


@pytest.mark.parametrize("convert", ["true", "false"], ids=["as NIfTI", "as DICOM"])
def test_a_series_is_fetched_by_its_uid_and_synthesised(
    start: Any, orthanc: str, knees: list[Path], tmp_path: Path, convert: str
) -> None:
    label = start(
        orthanc,
        MONAI_LABEL_DICOMWEB_SEARCH_FILTER='{"Modality": "MR"}',
        MONAI_LABEL_DICOMWEB_CONVERT_TO_NIFTI=convert,
        MONAI_LABEL_DICOMWEB_CACHE_PATH=str(tmp_path / "cache"),
    )
    pd, pdfs = (knees[0] / "dicom" / name for name in ("02", "03"))
    offered = json.loads(label.ask("POST", "/activelearning/first", {})[1])
    assert offered["id"] in {uid(path) for path in (knees[0] / "dicom").iterdir()}

    status, body = label.infer(uid(pd), target_contrast="PDFS", result_extension=".nii.gz")
    assert status == 200, body
    (tmp_path / "made.nii.gz").write_bytes(body)
    made = nibabel.load(tmp_path / "made.nii.gz")
    synthesize(Request((pd,), tmp_path / "own", "PDFS", formats=("nifti",), lift=Lift(True, True)))
    expected = nibabel.load(tmp_path / "own" / "PDFS.nii.gz")
    assert made.get_data_dtype() == np.float32
    turned = nibabel.as_closest_canonical(made), nibabel.as_closest_canonical(expected)
    np.testing.assert_allclose(turned[0].affine, turned[1].affine, rtol=0, atol=1e-3)
    np.testing.assert_allclose(turned[0].get_fdata(), turned[1].get_fdata(), rtol=0, atol=1.0)

    status, body = label.infer(uid(pdfs), target_contrast="PDFS", result_extension=".nii.gz")
    if convert == "false":  # the headers are there to be asked
        assert status == 422 and "headers say PDFS" in json.loads(body)["detail"]
    else:
        assert status == 200
