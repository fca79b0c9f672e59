# SPDX-License-Identifier: Apache-2.0
"""What a source says in words stays in DICOM: every text attribute holds a mark, and no mark appears anywhere else.

Not in what is printed or logged, in a report, a page, an audit, a NIfTI file or a file's name; whether it works or not.
A derived series may hold what belongs to patient and study, and `inspect` shows the description and UID of a series.
"""

from __future__ import annotations

import gzip
import logging
import re
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pydicom
import pytest
from pydicom.datadict import DicomDictionary
from pydicom.dataset import Dataset

from scripts.cli.app import main

ROOT = Path(__file__).resolve().parents[2]
Series = Callable[..., list[Path]]
Enhanced = Callable[..., Path]

TEXT_VRS = {"AE", "CS", "DA", "DT", "LO", "LT", "PN", "SH", "ST", "TM", "UC", "UI", "UR", "UT"}
DATE, TIME = "19370417", "031337.25"
MARKS = re.compile(rb"ZQ[0-9A-F]{8}|1937-?04-?17|031337|03:13:37|\.77077\d{6}|93\.7113|1\.77131", re.IGNORECASE)

# What decides whether and how the series is read; all other attributes of the dictionary are marked.
KEPT = {
    *("SpecificCharacterSet", "SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID", "Modality"),
    *("FrameOfReferenceUID", "PhotometricInterpretation", "ImageType", "ScanningSequence", "SequenceVariant"),
    *("ScanOptions", "MRAcquisitionType", "PatientPosition", "TimezoneOffsetFromUTC", "EchoPulseSequence"),
    *("LossyImageCompression", "PixelPresentation", "SyntheticData", "AcquisitionContrast", "InversionRecovery"),
    *("SpectrallySelectedSuppression", "SpectrallySelectedExcitation", "ComplexImageComponent", "RescaleType"),
    *("BodyPartExamined", "Laterality", "ImageLaterality"),
}


def mark_of(tag: int, vr: str) -> str:
    """A value that tells where it comes from."""
    if vr in ("DA", "TM", "DT"):
        return {"DA": DATE, "TM": TIME, "DT": DATE + TIME}[vr]
    if vr == "UI":
        return f"1.2.826.77077{tag % 10**6:06d}"
    return {"PN": f"ZQ{tag:08X}^GIVEN", "UR": f"http://example.org/ZQ{tag:08X}"}.get(vr, f"ZQ{tag:08X}")


def mark(dataset: Dataset) -> None:
    """Mark every text attribute of the dictionary, some in sequences, and private ones, as text and as bytes."""
    marked = {
        tag: mark_of(tag, entry[0])
        for tag, entry in DicomDictionary.items()
        if entry[0] in TEXT_VRS and entry[4] not in KEPT and tag >> 16 not in (0, 2, 4) and tag >> 16 < 0x5000
    }
    assert len(marked) > 1500
    for tag, value in marked.items():
        dataset.add_new(tag, DicomDictionary[tag][0], value)
    item = Dataset()
    for keyword in ("PatientID", "CodeMeaning", "ScheduledProcedureStepDescription", "RequestedProcedureID"):
        setattr(item, keyword, f"ZQ{pydicom.datadict.tag_for_keyword(keyword):08X}")
    for keyword in ("RequestAttributesSequence", "OtherPatientIDsSequence", "ReferencedPatientSequence"):
        setattr(dataset, keyword, [item])
    dataset.PatientWeight, dataset.PatientSize, dataset.PatientAge = "93.7113", "1.77131", "097Y"
    for number, vr in enumerate(("LO", "SH", "PN", "UT", "UN", "OB"), start=1):
        value: Any = f"ZQ7FFF000{number}" if vr not in ("UN", "OB") else f"ZQ7FFF000{number}".encode()
        dataset.private_block(0x0029, "ZQ00290010", create=True).add_new(number, vr, value)
    dataset.ProtocolName = "ZQ00181030 pd tse sag"
    dataset.SeriesDescription = "ZQ0008103E pd knee"
    dataset.InstitutionName = "ZQ00080080 " + "longer than the standard allows " * 3
    dataset.BodyPartExamined = "ZQ00180015 KNEE"


def rewrite(files: list[Path], change: Callable[[Dataset], None]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for file in files:
            dataset = pydicom.dcmread(file)
            change(dataset)
            dataset.save_as(file)


@pytest.fixture(autouse=True)
def unchecked() -> Iterator[None]:
    """Files as bad as they come: pydicom is not to refuse or correct what a test writes."""
    before = pydicom.config.settings._writing_validation_mode
    pydicom.config.settings.writing_validation_mode = pydicom.config.IGNORE
    yield
    pydicom.config.settings._writing_validation_mode = before


@pytest.fixture
def source(knee_series: Series) -> list[Path]:
    files = knee_series(acquired=True)
    rewrite(files, mark)
    return files


@pytest.fixture
def look(
    capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> Callable[..., list[str]]:
    """A function that gives every mark in what was said so far and in all files but DICOM below a folder."""
    caplog.set_level(logging.INFO)

    def found(folder: Path | None = None, allowed: str = "") -> list[str]:
        captured = capfd.readouterr()
        assert captured.out or captured.err or folder is not None, "nothing was looked at"
        said = {"stdout": captured.out.encode(), "stderr": captured.err.encode(), "log": caplog.text.encode()}
        files = [path for path in folder.rglob("*") if path.is_file()] if folder is not None else []
        assert folder is None or files
        for path in files:
            content = path.read_bytes()
            said[f"name {path.name}"] = str(path.relative_to(tmp_path)).encode()
            if path.suffix != ".dcm":
                said[path.name] = gzip.decompress(content) if path.suffix == ".gz" else content
        hits = [(name, match.group().decode()) for name, text in said.items() for match in MARKS.finditer(text)]
        return [f"{word} in {name}" for name, word in hits if word != allowed]

    return found


def test_the_marks_reach_the_derived_series_and_are_seen(source: list[Path], tmp_path: Path) -> None:
    """What the other tests look for can be found where it may be."""
    assert main(["synthesize", str(source[0].parent), "-o", str(tmp_path / "out")]) == 0
    derived = b"".join(path.read_bytes() for path in (tmp_path / "out").glob("*.dcm"))
    assert {b"ZQ00100010", b"ZQ00100020", DATE.encode()} <= {match.group() for match in MARKS.finditer(derived)}
    private = {match.group() for match in MARKS.finditer(derived) if b"7FFF" in match.group()}
    assert not private and b"ZQ00290010" not in derived


@pytest.mark.parametrize("printed", ["file", "-"])
def test_a_synthesis(source: list[Path], tmp_path: Path, look: Callable[..., list[str]], printed: str) -> None:
    out = tmp_path / "out"
    json_file = str(tmp_path / "report" / "r.json") if printed == "file" else "-"
    (tmp_path / "report").mkdir()
    words = ["-o", str(out), "--json", json_file, "--audit", str(tmp_path / "report" / "audit.jsonl")]
    assert main(["synthesize", str(source[0].parent), *words]) == 0
    assert look(out) == []
    assert look(tmp_path / "report") == []


def test_an_enhanced_file(
    knee_series: Series, enhanced: Enhanced, tmp_path: Path, look: Callable[..., list[str]]
) -> None:
    path = enhanced(tmp_path / "enhanced.dcm", knee_series("classic", acquired=True))
    rewrite([path], mark)
    words = ["-o", str(tmp_path / "out"), "--format", "nifti", "--audit", str(tmp_path / "audit.jsonl")]
    assert main(["synthesize", str(path), *words]) == 0
    assert look(tmp_path / "out") == []
    assert not MARKS.search((tmp_path / "audit.jsonl").read_bytes())


@pytest.mark.parametrize("printed", [[], ["--json", "-"]], ids=["table", "json"])
def test_a_list_of_stacks_shows_the_description_of_a_series_and_nothing_else(
    source: list[Path], look: Callable[..., list[str]], printed: list[str]
) -> None:
    assert main(["inspect", str(source[0].parent), *printed]) == 0
    assert look(allowed="ZQ0008103E") == []


def test_an_archive(knee_series: Series, source: list[Path], tmp_path: Path, look: Callable[..., list[str]]) -> None:
    bad = knee_series("bad", acquired=True)
    rewrite(bad, mark)
    bad[4].unlink()
    (tmp_path / "list.csv").write_text(f"source,name\n{source[0].parent},good\n{bad[0].parent},bad\n")
    words = ["--manifest", str(tmp_path / "list.csv"), "--audit", str(tmp_path / "out" / "audit.jsonl")]
    (tmp_path / "out").mkdir()
    assert main(["synthesize", "--all", *words, "-o", str(tmp_path / "out"), "--device", "cpu"]) == 11
    assert len((tmp_path / "out" / "audit.jsonl").read_text().splitlines()) == 2
    assert look(tmp_path / "out") == []


def test_a_scorecard(source: list[Path], tmp_path: Path, look: Callable[..., list[str]]) -> None:
    assert main(["evaluate", str(source[0].parent), "--scorecard", "-o", str(tmp_path / "out")]) == 0
    assert look(tmp_path / "out") == []


def _gap(files: list[Path]) -> None:
    files[4].unlink()


def _truncated(files: list[Path]) -> None:
    files[4].write_bytes(files[4].read_bytes()[:-300])


def _each(**values: Any) -> Callable[[list[Path]], None]:
    def change(dataset: Dataset) -> None:
        for keyword, value in values.items():
            setattr(dataset, keyword, value)

    return lambda files: rewrite(files, change)


def _one(**values: Any) -> Callable[[list[Path]], None]:
    return lambda files: _each(**values)(files[:1])


def _code(meaning: str) -> Dataset:
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = "1", "ZQ00080102", meaning
    return item


def _words_for_numbers(files: list[Path]) -> None:
    """Raw bytes where a number belongs, as no writer but a broken one leaves them."""
    _each(EchoTime="30.000000000")(files)
    for file in files:
        content = file.read_bytes()
        assert b"30.000000000" in content
        file.write_bytes(content.replace(b"30.000000000", b"ZQ00180081  "))


REFUSALS = [
    ("gap", _gap, 5),
    ("cut short", _truncated, 4),
    ("kind of scanner", _each(Modality="ZQ00080060"), 6),
    ("kind of image", _each(SOPClassUID="1.2.826.77077000016"), None),
    ("body part", _each(BodyPartExamined="ZQ00180015", SeriesDescription=""), 6),
    (
        "coded region",
        _each(BodyPartExamined=None, AnatomicRegionSequence=[_code("ZQ00080104")], SeriesDescription=""),
        6,
    ),
    ("weighting", _each(EchoTime="120"), 6),
    ("sequence", _each(ScanningSequence="ZQ00180020", EchoTime=None), None),
    ("kind of image by type", _each(ImageType=["DERIVED", "SECONDARY", "ZQ00080008"]), 6),
    ("colours", _each(PhotometricInterpretation="ZQ00280004"), None),
    ("options", _each(ScanOptions=["FS", "ZQ00180022"]), 6),
    ("character set", _each(SpecificCharacterSet="ZQ00080005"), None),
    ("a second series", _one(SeriesInstanceUID="1.2.826.77077000014"), None),
    ("a second frame of reference", _one(FrameOfReferenceUID="1.2.826.77077000082"), None),
    ("no number", _words_for_numbers, None),
]


@pytest.mark.parametrize(("harm", "code"), [case[1:] for case in REFUSALS], ids=[case[0] for case in REFUSALS])
@pytest.mark.parametrize("force", [[], ["--force"]], ids=["", "forced"])
def test_a_refusal_and_what_is_forced(
    source: list[Path],
    tmp_path: Path,
    look: Callable[..., list[str]],
    harm: Callable[[list[Path]], None],
    code: int | None,
    force: list[str],
) -> None:
    harm(source)
    (tmp_path / "out").mkdir()
    words = ["-o", str(tmp_path / "out" / "made"), "--json", str(tmp_path / "out" / "r.json"), *force]
    words += ["--audit", str(tmp_path / "out" / "audit.jsonl"), "--format", "nifti"]
    ended = main(["synthesize", str(source[0].parent), *words])
    assert ended == code or code is None or (force and ended == 0)
    assert look(tmp_path / "out") == []


@pytest.mark.slow
def test_inference_over_a_folder(source: list[Path], tmp_path: Path, look: Callable[..., list[str]]) -> None:
    words = ["-m", "monai.bundle", "run", "inference", "--config_file", "bundle/configs/inference.yaml"]
    places = ["--dataset_dir", str(source[0].parents[1]), "--output_dir", str(tmp_path / "out")]
    done = subprocess.run([sys.executable, *words, *places], cwd=ROOT, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    assert not MARKS.findall(done.stdout + done.stderr)
    assert look(tmp_path / "out") == []

    source[4].unlink()
    done = subprocess.run([sys.executable, *words, *places], cwd=ROOT, capture_output=True, check=False)
    assert done.returncode != 0 and b"gap" in done.stderr
    assert not MARKS.findall(done.stdout + done.stderr)
