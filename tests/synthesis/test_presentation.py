# SPDX-License-Identifier: Apache-2.0
"""Mark, summary and identifiers, from the request to the files: where each shows, and where it must not."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Callable
from pathlib import Path

import nibabel
import numpy as np
import pydicom
import pytest

from scripts.dicom.burn_in import GREY
from scripts.dicom.index import index_series
from scripts.dicom.read import read_stack
from scripts.dicom.study import SimulatedSeries, write_simulated_study
from scripts.errors import KneeSynthError, UsageError
from scripts.synthesis.planning import Request
from scripts.synthesis.presentation import Presentation
from scripts.synthesis.run import synthesize
from scripts.synthesis.selection import Lift

Series = Callable[..., list[Path]]
Enhanced = Callable[..., Path]

AFFINE = np.array([[-3.3, 0, 0, 10], [0, 0, 0.5, 20], [0, -0.5, 0, 30], [0, 0, 0, 1]])


@pytest.fixture
def knee(tmp_path: Path) -> list[Path]:
    """A series of a scanner: a disc with texture amid air, large enough for a mark."""
    row, column = np.mgrid[:128, :128]
    disc = (row - 64) ** 2 + (column - 64) ** 2 < 50**2
    texture = np.random.default_rng(0).uniform(0.5, 1, (10, 128, 128)).astype(np.float32)
    series = SimulatedSeries(texture * disc, AFFINE, "PD", "HOUSE KNEE", 3.0, 0.03, 8, 3.0, False)
    files = write_simulated_study(tmp_path / "knee", [series], 1)
    for file in files:
        dataset = pydicom.dcmread(file)
        del dataset.SyntheticData, dataset.ContentQualification, dataset.ImageComments
        dataset.Manufacturer, dataset.ManufacturerModelName = "SCANNERS LTD", "MAGNET 3"
        dataset.PatientID, dataset.PatientName, dataset.AccessionNumber = "4711", "NOBODY^Ann", "ACC99"
        dataset.save_as(file, enforce_file_format=True)
    return files


def run(bundle: Path, files: list[Path], out: Path, **show: bool) -> dict[str, object]:
    report = synthesize(
        Request((files[0].parent,), out, lift=Lift(force=True), show=Presentation(**show)), bundle_root=bundle
    )
    return report["series"][0]


def stored(out: Path) -> np.ndarray:
    return read_stack(sorted(out.glob("0*.dcm"))).array


def voxels(out: Path) -> np.ndarray:
    """The NIfTI on the pixel grid of the DICOM slices, rounded as those are."""
    return np.clip(np.rint(nibabel.load(out / "PDFS.nii.gz").get_fdata().transpose(2, 1, 0)), 0, 4095)


def test_the_mark_is_in_the_dicom_slices_and_nowhere_else(
    knee: list[Path], random_bundle: Path, tmp_path: Path
) -> None:
    marked, plain = tmp_path / "marked", tmp_path / "plain"
    entry, other = run(random_bundle, knee, marked), run(random_bundle, knee, plain, mark=False)
    letters = stored(marked) != stored(plain)
    assert (letters == letters[0]).all() and 100 < letters[0].sum() < 300
    assert (stored(marked)[letters] == GREY).all()
    np.testing.assert_array_equal(stored(plain), voxels(plain))
    np.testing.assert_array_equal(voxels(marked), voxels(plain))
    source = read_stack(knee).array
    assert (source[letters] == 0).all()

    panes = [re.findall(r'data-stack="\d">[^<]+', (out / "report.html").read_text()) for out in (marked, plain)]
    assert panes[0] == panes[1] and len(panes[0]) == 2
    corner = re.fullmatch(r"SYNTHETIC is burned into the (\w+ \w+ corner) of each .*", entry["decisions"]["Mark"])
    assert corner is not None and other["decisions"]["Mark"] == "left out as asked for"
    one, two = (pydicom.dcmread(out / "0001.dcm") for out in (marked, plain))
    assert f"burned into the {corner[1]}." in one.DerivationDescription
    assert "burned" not in two.DerivationDescription
    assert one.SOPInstanceUID != two.SOPInstanceUID and one.SeriesInstanceUID != two.SeriesInstanceUID


def test_a_source_without_air_is_not_marked_and_says_so(
    knee_series: Series, random_bundle: Path, tmp_path: Path
) -> None:
    files = knee_series(shape=(128, 144), acquired=True)  # noise up to the edges
    entry = run(random_bundle, files, tmp_path / "out")
    np.testing.assert_array_equal(stored(tmp_path / "out"), voxels(tmp_path / "out"))
    assert entry["decisions"]["Mark"].startswith("left out for want of a corner")
    (warning,) = [words for words in entry["warnings"] if "not burned into" in words]
    assert warning in (tmp_path / "out" / "report.html").read_text()


def test_no_summary(knee: list[Path], random_bundle: Path, tmp_path: Path) -> None:
    entry = run(random_bundle, knee, tmp_path / "out", summary=False)
    assert "summary" not in entry["products"] and not (tmp_path / "out" / "summary.dcm").exists()
    assert len(list((tmp_path / "out").glob("*.dcm"))) == 10


def test_a_folder_is_cleared_of_its_summary_too(knee: list[Path], random_bundle: Path, tmp_path: Path) -> None:
    run(random_bundle, knee, tmp_path / "out")
    assert (tmp_path / "out" / "summary.dcm").exists()
    run(random_bundle, knee, tmp_path / "out", summary=False)
    assert not (tmp_path / "out" / "summary.dcm").exists()


def test_identifiers_stay_away_unless_asked_for(
    knee: list[Path], random_bundle: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    plain, named = tmp_path / "plain", tmp_path / "named"
    run(random_bundle, knee, plain)
    run(random_bundle, knee, named, identifiers=True)
    words = ("NOBODY", "4711", "ACC99")
    page = (named / "report.html").read_text()
    assert all(word in page for word in words)
    for text in ((plain / "report.html").read_text(), (plain / "report.json").read_text(),
                 (named / "report.json").read_text(), caplog.text):  # fmt: skip
        assert not [word for word in words if word in text]
    one, two = pydicom.dcmread(plain / "summary.dcm"), pydicom.dcmread(named / "summary.dcm")
    assert (one.BurnedInAnnotation, two.BurnedInAnnotation) == ("NO", "YES")
    assert two.Rows > one.Rows
    # The slices are those of a run without.
    np.testing.assert_array_equal(stored(plain), stored(named))
    assert pydicom.dcmread(named / "0001.dcm").SOPInstanceUID == pydicom.dcmread(plain / "0001.dcm").SOPInstanceUID


def test_identifiers_of_nifti_are_refused(random_bundle: Path, tmp_path: Path) -> None:
    nibabel.save(nibabel.Nifti1Image(np.ones((8, 8, 3), np.float32), np.eye(4)), tmp_path / "a.nii.gz")
    request = Request((tmp_path / "a.nii.gz",), tmp_path / "out", "PDFS", show=Presentation(identifiers=True))
    with pytest.raises(UsageError, match="--reference-dicom"):
        synthesize(request, bundle_root=random_bundle)


def test_a_run_over_its_own_products_finds_no_source(knee: list[Path], random_bundle: Path, tmp_path: Path) -> None:
    run(random_bundle, knee, tmp_path / "out")
    stacks = index_series([tmp_path / "out"])
    assert len(stacks) == 2 and all(stack.synthetic for stack in stacks)
    with pytest.raises(KneeSynthError):
        synthesize(Request((tmp_path / "out",), tmp_path / "again", target="PD"), bundle_root=random_bundle)


def test_enhanced_in_is_enhanced_out(knee: list[Path], enhanced: Enhanced, random_bundle: Path, tmp_path: Path) -> None:
    (tmp_path / "e").mkdir()
    file = enhanced(tmp_path / "e" / "e.dcm", knee[::-1])
    out = tmp_path / "out"
    entry = run(random_bundle, [file], out)
    assert entry["products"]["dicom"] == ["0001.dcm"]
    files = json.loads((out / "report.json").read_text())["files"]
    assert sorted(files) == ["0001.dcm", "PDFS.nii.gz", "report.html", "summary.dcm"]
    derived = read_stack([out / "0001.dcm"])
    np.testing.assert_array_equal(derived.affine_lps, read_stack([file]).affine_lps)
    run(random_bundle, knee, tmp_path / "classic")  # the same slices from classic files: the same pixels, mark and all
    np.testing.assert_array_equal(derived.array, stored(tmp_path / "classic"))
    summary = pydicom.dcmread(out / "summary.dcm")
    assert summary.StudyInstanceUID == pydicom.dcmread(file).StudyInstanceUID
    assert len(summary.SourceImageSequence) == 1
