# SPDX-License-Identifier: Apache-2.0
"""From header elements, as they stand in files, to contrast, body part, side, plane and signs of synthesis."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset

from scripts.dicom.anatomy import AnatomyFacts, body_part, side
from scripts.dicom.fat import DARK, fat_ratio
from scripts.dicom.index import Stack, index, index_series
from scripts.dicom.read import read_stack

Series = Callable[..., list[Path]]
Edit = Callable[..., None]


def code(value: str, scheme: str, meaning: str, **more: Any) -> list[Dataset]:
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value, scheme, meaning
    for keyword, content in more.items():
        setattr(item, keyword, content)
    return [item]


def private_options(files: list[Path], edit: Edit) -> None:
    """Siemens XA leaves ScanOptions empty and keeps them in a private attribute."""
    for file in files:
        dataset = pydicom.dcmread(file)
        dataset.ScanOptions = None
        block = dataset.private_block(0x0021, "SIEMENS MR SDS 01", create=True)
        block.add_new(0x5C, "CS", ["PFP", "FS"])
        dataset.save_as(file)


def headers(**elements: Any) -> Callable[[list[Path], Edit], None]:
    def change(files: list[Path], edit: Edit) -> None:
        for file in files:
            edit(file, **elements)

    return change


SYNTHESIZING = code("109100", "DCM", "Synthesizing Equipment")
CONTRIBUTING = Dataset()
CONTRIBUTING.PurposeOfReferenceCodeSequence = SYNTHESIZING

# What is written into the files of a PD series without words; then what the stack must be, and a word of evidence.
HEADERS: list[tuple[str, Callable[[list[Path], Edit], None], dict[str, Any], str]] = [
    ("ScanOptions FS", headers(ScanOptions=["PFP", "FS"]), {"contrast": "PDFS"}, "ScanOptions holds FS"),
    ("ScanOptions SAT_GEMS", headers(ScanOptions=["SAT_GEMS", "FAST_GEMS"]), {"contrast": "PD"}, "no sign of fat"),
    ("ScanOptions of Siemens XA", private_options, {"contrast": "PDFS"}, "ScanOptions holds FS"),
    ("description", headers(SeriesDescription="SAG PD FATSAT"), {"contrast": "PDFS"}, "fatsat"),
    ("protocol alone", headers(SeriesDescription="", ProtocolName="PD SPAIR"), {"contrast": "PDFS"}, "spair"),
    ("FSE is not FS", headers(SeriesDescription="SAG PD FSE"), {"contrast": "PD"}, "no sign of fat"),
    ("header against words",
        headers(SeriesDescription="PD", ScanOptions="FS"), {"contrast": "PDFS"}, "the coded attribute is taken"),
    ("T2 by timing", headers(EchoTime="85", SeriesDescription="PD"), {"contrast": "other"}, "TE 85.0 ms"),
    ("gradient echo", headers(ScanningSequence="GR"), {"contrast": "other"}, "not a spin echo"),
    ("body part", headers(BodyPartExamined="KNEE"), {"body_part": "KNEE"}, "BodyPartExamined is KNEE"),
    ("coded region", headers(AnatomicRegionSequence=code("72696002", "SCT", "Knee")),
        {"body_part": "KNEE"}, "AnatomicRegionSequence"),
    ("body part by words", headers(SeriesDescription="Knie re PD"),
        {"body_part": "KNEE", "side": "R"}, "the description says knee"),
    ("body part by study", headers(StudyDescription="MRI KNEE LEFT"),
        {"body_part": "KNEE", "side": "L"}, "the description says left"),
    ("another body part", headers(BodyPartExamined="SHOULDER", StudyDescription="knee"),
        {"body_part": "SHOULDER"}, "the coded attribute is taken"),
    ("another body part by words", headers(StudyDescription="", SeriesDescription="PD sag shoulder"),
        {"body_part": "SHOULDER"}, "the description says shoulder"),
    ("laterality", headers(Laterality="R"), {"side": "R"}, "Laterality is R"),
    ("image laterality", headers(ImageLaterality="L"), {"side": "L"}, "Laterality is L"),
    ("laterality as modifier of the region",
        headers(AnatomicRegionSequence=code("72696002", "SCT", "Knee",
                AnatomicRegionModifierSequence=code("7771000", "SCT", "Left"))), {"side": "L"}, "Laterality is L"),
    ("laterality against words", headers(Laterality="L", SeriesDescription="right knee PD"),
        {"side": "L"}, "the coded attribute is taken"),
    ("both sides", headers(SeriesDescription="left and right PD"), {"side": ""}, ""),
    ("marked synthetic", headers(SyntheticData="YES"), {"synthetic": True, "simulated": False}, "SyntheticData is YES"),
    ("synthetic by ImageType", headers(ImageType=["DERIVED", "SECONDARY", "OTHER", "SYNTHETIC"]),
        {"synthetic": True, "derived": True}, "ImageType holds SYNTHETIC"),
    ("synthetic by equipment", headers(ContributingEquipmentSequence=[CONTRIBUTING]),
        {"synthetic": True}, "synthesizing equipment"),
    ("synthetic by words", headers(SeriesDescription="SYNTH PDFS (AI) of sag"), {"synthetic": True}, '"synth"'),
    ("our own, mark dropped", headers(Manufacturer="Knee Contrast Synthesis"),
        {"synthetic": True, "simulated": False}, "this project"),
    ("acquired", headers(), {"synthetic": False, "derived": False, "contrast": "PD", "side": ""}, "weight by PD"),
    ("lossy by its header", headers(LossyImageCompression="01"), {"lossy": True}, ""),
    ("lossless by its header", headers(LossyImageCompression="00"), {"lossy": False}, ""),
]  # fmt: skip


@pytest.mark.parametrize(("write", "expected", "word"), [c[1:] for c in HEADERS], ids=[c[0] for c in HEADERS])
def test_recognised(
    knee_series: Series,
    tmp_path: Path,
    edit: Edit,
    write: Callable[[list[Path], Edit], None],
    expected: dict[str, Any],
    word: str,
) -> None:
    files = knee_series(slices=5, shape=(16, 16), acquired=True)
    headers(SeriesDescription="", BodyPartExamined="", AnatomicRegionSequence=...)(files, edit)
    write(files, edit)
    (stack,) = index([tmp_path]).stacks
    assert {name: getattr(stack, name) for name in expected} == expected, stack.evidence
    assert word in "; ".join(stack.evidence)


@pytest.mark.parametrize(
    ("words", "part", "letter"),
    [
        ("MRT Knie links", "KNEE", "L"),
        ("IRM genou droit", "KNEE", "R"),
        ("RM rodilla derecha", "KNEE", "R"),
        ("RM ginocchio sinistro", "KNEE", "L"),
        ("LT KNEE", "KNEE", "L"),
        ("knee_r", "KNEE", "R"),
        ("KNEE L", "KNEE", "L"),
        ("re pd tse l", "", ""),
        ("kneeling chair", "", ""),
        ("HIP and knee", "KNEE", ""),
        ("ankle left", "ANKLE", "L"),
    ],
)
def test_words_of_body_part_and_side(words: str, part: str, letter: str) -> None:
    facts = AnatomyFacts(description=words)
    assert (body_part(facts)[0], side(facts)[0]) == (part, letter)


@pytest.mark.parametrize(
    ("coded", "part"),
    [("SMITH", "OTHER"), ("SMITH LEG", "LEG"), ("SMITH^KNEE", "KNEE"), ("LOWEXTREMITY", "LOW EXTREMITY")],
)
def test_a_coded_part_is_told_in_known_words_alone(coded: str, part: str) -> None:
    found, evidence = body_part(AnatomyFacts(body_part=coded))
    assert found == part and "SMITH" not in " ".join(evidence)


@pytest.mark.parametrize("coded", ["EXTREMITY", "LEG", "LOWER LIMB"])
def test_words_make_a_wide_body_part_exact(coded: str) -> None:
    assert body_part(AnatomyFacts(body_part=coded, description="Knee PD"))[0] == "KNEE"
    assert body_part(AnatomyFacts(body_part=coded))[0] == coded


def limb(fat: float, muscle: float, size: int = 120) -> np.ndarray:
    """Three slices of a round limb: skin, a rim of fat, muscle, bone full of fat; 0.8 mm pixels."""
    y, x = np.mgrid[:size, :size] - size / 2
    radius = 0.8 * np.hypot(y, x)
    image = np.zeros((size, size))
    for outer, value in ((42, 0.5 * muscle + 0.2), (40.5, fat), (32, muscle), (14, fat)):
        image[radius <= outer] = value
    noise = np.random.default_rng(0).normal(0, 0.01, (3, size, size))
    return np.abs(image + noise).astype(np.float32)


def test_the_ratio_of_fat_and_muscle() -> None:
    assert fat_ratio(limb(1.0, 0.35), (0.8, 0.8)) == pytest.approx(1 / 0.35, rel=0.1)
    assert (fat_ratio(limb(0.2, 0.35), (0.8, 0.8)) or 9.0) <= DARK
    assert fat_ratio(np.zeros((3, 64, 64), np.float32), (0.8, 0.8)) is None


_FRESH = itertools.count()


def silent(make: Series, edit: Edit, pixels: np.ndarray, **elements: Any) -> Stack:
    """A series whose header says PD by timing and nothing of fat."""
    files = make(f"silent{next(_FRESH)}", slices=9, shape=(120, 120), spacing=(3.3, 0.8, 0.8), acquired=True)
    stored = (1000 * pixels[0]).astype("<u2").tobytes()
    for file in files:
        edit(file, **{"PixelData": stored, "ScanOptions": None, "SeriesDescription": "", **elements})
    (stack,) = index_series([files[0].parent])
    return stack


def test_pixels_break_the_tie_of_a_silent_header(knee_series: Series, edit: Edit) -> None:
    dark, bright, between = limb(0.2, 0.35), limb(1.0, 0.35), limb(0.6, 0.35)
    stack = silent(knee_series, edit, dark)
    assert stack.contrast == "PDFS" and "as dark as muscle" in stack.evidence[-1]
    stack = silent(knee_series, edit, bright)
    assert stack.contrast == "PD" and "is bright" in stack.evidence[-1]
    stack = silent(knee_series, edit, between)
    assert stack.contrast == "PD" and "leave it open" in stack.evidence[-1]


def test_pixels_never_overrule_a_header(knee_series: Series, edit: Edit) -> None:
    dark, bright = limb(0.2, 0.35), limb(1.0, 0.35)
    assert silent(knee_series, edit, dark, SeriesDescription="PD sag").contrast == "PD"
    assert silent(knee_series, edit, dark, ScanOptions="PFP").contrast == "PD"
    assert silent(knee_series, edit, bright, ScanOptions="FS").contrast == "PDFS"
    assert silent(knee_series, edit, dark, EchoTime="85").contrast == "other"


@pytest.mark.real_data
def test_the_ratio_of_real_knees(real_data: Path) -> None:
    """A GE spin echo without suppression is bright; of eight suppressed knees all but one are dark."""
    suppressed = np.abs(np.load(real_data / "stanford_pdfs_axial" / "slices.npz")["image"]).astype(np.float32)
    ratios = [fat_ratio(image[None], (0.5, 0.5)) or 0.0 for image in suppressed]
    assert sum(ratio <= DARK for ratio in ratios) == 7
    for stack in index([real_data / "pymskt"]).stacks[1:]:
        assert (fat_ratio(read_stack(stack.files).array[6:19:6], (0.625, 0.625)) or 0.0) > 2.0
