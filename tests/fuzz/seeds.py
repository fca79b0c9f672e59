# SPDX-License-Identifier: Apache-2.0
"""Sound studies to start from: one small simulated knee in every encoding that can be written here."""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pydicom
from pydicom.dataset import Dataset
from pydicom.uid import UID

from scripts.dicom.study import SimulatedSeries, write_simulated_study
from tests.fuzz.elements import File, parse

SLICES, ROWS, COLUMNS = 6, 32, 36  # JPEG 2000 with its usual five levels needs 32 pixels a side

PATIENT = "NOBODYS"
"""In the name and ID of the patient; whoever reads it elsewhere than in DICOM has found a leak."""

Study = list[File]


def make_studies() -> dict[str, Study]:
    """Name and files of each study; the same each time."""
    with tempfile.TemporaryDirectory() as scratch, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        files = write_simulated_study(Path(scratch), [_series("PD")], 1)
        pair = write_simulated_study(Path(scratch) / "pair", [_series("PD"), _series("PDFS")], 2)
        studies = {name: [_encoded(file, write) for file in files] for name, write in _ENCODINGS.items()}
        studies["pair"] = [_encoded(file, _as_it_is, f"{n}.dcm") for n, file in enumerate(pair)]
        studies["acquired, with extras"] = [_encoded(file, _with_extras) for file in files]
        for name, syntax in (("", None), (", RLE", "1.2.840.10008.1.2.5"), (", JPEG-LS", "1.2.840.10008.1.2.4.80")):
            studies[f"Enhanced{name}"] = [_enhanced(files, "1.2.840.10008.5.1.4.1.1.4.1", syntax)]
        studies["Legacy Converted Enhanced"] = [_enhanced(files, "1.2.840.10008.5.1.4.1.1.4.4", None)]
    return studies


def _series(contrast: str) -> SimulatedSeries:
    """Bright rim, dark rest and noise, as sums that no machine rounds differently."""
    depth, y, x = np.indices((SLICES, ROWS, COLUMNS))
    noise = np.random.default_rng(5).integers(0, 90, (SLICES, ROWS, COLUMNS))
    inside = (np.abs(x - COLUMNS // 2) < 15) & (np.abs(y - ROWS // 2) < 14)
    array = (noise + inside * (400 + 9 * x + 5 * depth)).astype(np.float32)
    affine = np.array([[-3.3, 0, 0, 9], [0, 0, 0.4, -8], [0, -0.5, 0, 7], [0, 0, 0, 1]])
    return SimulatedSeries(array, affine, contrast, "", 3.0, 0.03, 8, 3.0, contrast == "PDFS", laterality="L")


def _encoded(path: Path, write: Callable[[Dataset, Path], None], name: str | None = None) -> File:
    changed = path.with_suffix(".changed")
    dataset = pydicom.dcmread(path)
    for element in dataset:
        _ = element.value  # parsed while the old encoding is known
    write(dataset, changed)
    return parse(name or path.name, changed.read_bytes())


def _as_it_is(dataset: Dataset, path: Path) -> None:
    dataset.save_as(path)


def _plain(syntax: str, implicit: bool, little: bool) -> Callable[[Dataset, Path], None]:
    def write(dataset: Dataset, path: Path) -> None:
        if not little:
            dataset.PixelData = np.frombuffer(dataset.PixelData, "<u2").astype(">u2").tobytes()
        dataset.file_meta.TransferSyntaxUID = UID(syntax)
        pydicom.dcmwrite(path, dataset, implicit_vr=implicit, little_endian=little)

    return write


def _compressed(syntax: str, **options: object) -> Callable[[Dataset, Path], None]:
    def write(dataset: Dataset, path: Path) -> None:
        dataset.compress(UID(syntax), generate_instance_uid=False, **options)  # type: ignore[arg-type]
        dataset.save_as(path)

    return write


def _jpeg_lossless(dataset: Dataset, path: Path) -> None:
    """No Python package here writes it but GDCM."""
    import gdcm

    dataset.save_as(path)
    reader, change, writer = gdcm.ImageReader(), gdcm.ImageChangeTransferSyntax(), gdcm.ImageWriter()
    reader.SetFileName(str(path))
    reader.Read()
    change.SetTransferSyntax(gdcm.TransferSyntax(gdcm.TransferSyntax.JPEGLosslessProcess14_1))
    change.SetInput(reader.GetImage())
    change.Change()
    writer.SetFileName(str(path))
    writer.SetFile(reader.GetFile())
    writer.SetImage(change.GetOutput())
    writer.Write()


def _with_extras(dataset: Dataset, path: Path) -> None:
    """As a scanner writes it: private data, equipment, references, and no mark of a simulated study."""
    del dataset.SyntheticData, dataset.ContentQualification, dataset.ImageComments
    dataset.Manufacturer, dataset.ManufacturerModelName = "SCANNERS LTD", "MAGNET 3"
    dataset.PatientName, dataset.PatientID = f"{PATIENT}^NAME", f"{PATIENT}-1"
    dataset.SoftwareVersions, dataset.TimezoneOffsetFromUTC = ["1", "2"], "+0100"
    dataset.RescaleSlope, dataset.RescaleIntercept, dataset.InversionTime = "0.5", "-3", "150"
    dataset.LossyImageCompression, dataset.ContrastBolusAgent = "01", "Gadolinium"
    purpose, equipment = Dataset(), Dataset()
    purpose.CodeValue, purpose.CodingSchemeDesignator, purpose.CodeMeaning = "109104", "DCM", "De-identifying"
    equipment.Manufacturer, equipment.PurposeOfReferenceCodeSequence = "A GATEWAY", [purpose]
    dataset.ContributingEquipmentSequence = [equipment]
    block = dataset.private_block(0x0021, "SIEMENS MR SDS 01", create=True)
    block.add_new(0x5C, "CS", "PFP")
    nested = Dataset()
    nested.PatientID = f"{PATIENT}-1"
    dataset.private_block(0x0029, "EXTRAS", create=True).add_new(0x10, "SQ", [nested])
    dataset.save_as(path)


def _enhanced(files: list[Path], sop_class: str, syntax: str | None) -> File:
    """One multi-frame file, which an independent library makes of the classic ones."""
    from highdicom.legacy import LegacyConvertedEnhancedMRImage

    path = files[0].with_name("enhanced.dcm")
    dataset = LegacyConvertedEnhancedMRImage(
        [pydicom.dcmread(file) for file in files],
        series_instance_uid="1.2.3.4",
        series_number=7,
        sop_instance_uid="1.2.3.4.1",
        instance_number=1,
    )
    dataset.SOPClassUID = dataset.file_meta.MediaStorageSOPClassUID = UID(sop_class)
    if syntax is not None:
        dataset.compress(UID(syntax), generate_instance_uid=False)
    dataset.save_as(path)
    return parse(path.name, path.read_bytes())


_ENCODINGS: dict[str, Callable[[Dataset, Path], None]] = {
    "explicit little endian": _as_it_is,
    "implicit little endian": _plain("1.2.840.10008.1.2", True, True),
    "explicit big endian": _plain("1.2.840.10008.1.2.2", False, False),
    "deflated": _plain("1.2.840.10008.1.2.1.99", False, True),
    "RLE": _compressed("1.2.840.10008.1.2.5"),
    "JPEG-LS": _compressed("1.2.840.10008.1.2.4.80"),
    "JPEG-LS near-lossless": _compressed("1.2.840.10008.1.2.4.81", jls_error=2),
    "JPEG 2000": _compressed("1.2.840.10008.1.2.4.90"),
    "JPEG lossless": _jpeg_lossless,
}
