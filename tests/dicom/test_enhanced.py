# SPDX-License-Identifier: Apache-2.0
"""Enhanced MR: the frames of one file are the slices of its stacks, each with its own place, timing and scaling."""

from __future__ import annotations

import shutil
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.uid import RLELossless

from scripts.dicom.files import frame_address, split_address
from scripts.dicom.index import Stack, index_series
from scripts.dicom.read import Volume, read_stack
from scripts.errors import DecodeError, GeometryError

Series = Callable[..., list[Path]]
Enhanced = Callable[..., Path]

SLICES = 6


@pytest.fixture
def classic(knee_series: Series, tmp_path: Path) -> list[Path]:
    return knee_series("classic", slices=SLICES, acquired=True)


def one(path: Path) -> Stack:
    (stack,) = index_series([path])
    return stack


def assert_same(volume: Volume, plain: Volume) -> None:
    np.testing.assert_array_equal(volume.array, plain.array)
    np.testing.assert_allclose(volume.affine_lps, plain.affine_lps, atol=1e-6)


def test_a_file_gives_the_volume_of_its_classic_twin(classic: list[Path], enhanced: Enhanced, tmp_path: Path) -> None:
    plain = read_stack(classic)
    file = enhanced(tmp_path / "e.dcm", classic[::-1])  # frames against the order of place
    stack = one(file)
    assert stack.usable and stack.enhanced and stack.slices == SLICES, stack.reason
    assert (stack.contrast, stack.plane, stack.shape) == ("PD", "sagittal", (20, 24))
    assert (stack.echo_time, stack.repetition_time) == (pytest.approx(0.03), pytest.approx(3.0))
    assert stack.spacing_mm == pytest.approx((3.3, 0.5, 0.4), abs=1e-6)
    assert_same(read_stack(stack.files), plain)
    assert_same(read_stack([file]), plain)
    assert [split_address(path) for path in stack.files] == [(file, frame) for frame in range(SLICES, 0, -1)]


def test_every_frame_has_its_own_scaling(classic: list[Path], enhanced: Enhanced, tmp_path: Path) -> None:
    plain = read_stack(classic)
    slopes = [1.0 + 0.5 * number for number in range(SLICES)]
    in_order = read_stack([enhanced(tmp_path / "e.dcm", list(plain.files), slopes=slopes)])
    np.testing.assert_allclose(in_order.array, plain.array * np.array(slopes)[:, None, None])


def test_a_compressed_file(classic: list[Path], enhanced: Enhanced, tmp_path: Path) -> None:
    file = enhanced(tmp_path / "e.dcm", classic)
    dataset = pydicom.dcmread(file)
    dataset.compress(RLELossless, generate_instance_uid=False)
    dataset.save_as(file)
    assert_same(read_stack(one(file).files), read_stack(classic))


def test_the_echoes_of_one_file_are_stacks(classic: list[Path], enhanced: Enhanced, tmp_path: Path) -> None:
    """Frames alternate between the echoes, and the second one is twice as bright."""
    plain = read_stack(classic)
    both = [file for file in plain.files for _ in range(2)]
    file = enhanced(tmp_path / "e.dcm", both, echo_times=[30.0, 85.0] * SLICES, slopes=[1.0, 2.0] * SLICES)
    first, second = index_series([file])
    assert [(s.contrast, s.slices, s.usable) for s in (first, second)] == [
        ("PD", SLICES, True),
        ("other", SLICES, True),
    ]
    assert_same(read_stack(first.files), plain)
    np.testing.assert_array_equal(read_stack(second.files).array, 2 * plain.array)
    with pytest.raises(GeometryError, match="mixed"):
        read_stack([file])


@pytest.mark.parametrize("concatenation", [None, "1.2.3.9"], ids=["single frames", "concatenation"])
def test_a_stack_of_several_files(
    classic: list[Path], enhanced: Enhanced, tmp_path: Path, concatenation: str | None
) -> None:
    pieces = [[file] for file in classic] if concatenation is None else [classic[:4], classic[4:]]
    more = {} if concatenation is None else {"ConcatenationUID": concatenation}
    (tmp_path / "e").mkdir()
    for number, piece in enumerate(pieces):
        enhanced(tmp_path / "e" / f"{number}.dcm", piece, **more)
    assert_same(read_stack(one(tmp_path / "e").files), read_stack(classic))


def test_fat_suppression_is_read_from_the_functional_groups(
    classic: list[Path], enhanced: Enhanced, tmp_path: Path
) -> None:
    file = enhanced(tmp_path / "e.dcm", classic)
    dataset = pydicom.dcmread(file)
    modifier = pydicom.Dataset()
    modifier.SpectrallySelectedSuppression = "FAT"
    dataset.SharedFunctionalGroupsSequence[0].MRModifierSequence = [modifier]
    dataset.save_as(file)
    stack = one(file)
    assert stack.contrast == "PDFS" and "SpectrallySelectedSuppression is FAT" in stack.evidence


def test_phase_frames_are_a_stack_of_their_own(classic: list[Path], enhanced: Enhanced, tmp_path: Path) -> None:
    file = enhanced(tmp_path / "e.dcm", [*classic, *classic])
    dataset = pydicom.dcmread(file)
    for number, frame in enumerate(dataset.PerFrameFunctionalGroupsSequence):
        kind = pydicom.Dataset()
        kind.FrameType = ["ORIGINAL", "PRIMARY", "M" if number < SLICES else "P", "NONE"]
        kind.ComplexImageComponent = "MAGNITUDE" if number < SLICES else "PHASE"
        frame.MRImageFrameTypeSequence = [kind]
    dataset.save_as(file)
    assert sorted((stack.contrast, stack.slices) for stack in index_series([file])) == [("PD", 6), ("other", 6)]


def test_side_and_body_part_of_frames(classic: list[Path], enhanced: Enhanced, tmp_path: Path) -> None:
    file = enhanced(tmp_path / "e.dcm", classic, BodyPartExamined="")
    dataset = pydicom.dcmread(file)
    anatomy, region = pydicom.Dataset(), pydicom.Dataset()
    region.CodeValue, region.CodingSchemeDesignator, region.CodeMeaning = "72696002", "SCT", "Knee joint"
    anatomy.FrameLaterality, anatomy.AnatomicRegionSequence = "L", [region]
    dataset.SharedFunctionalGroupsSequence[0].FrameAnatomySequence = [anatomy]
    dataset.save_as(file)
    assert (one(file).side, one(file).body_part) == ("L", "KNEE")


def test_an_identical_copy_is_left_out(classic: list[Path], enhanced: Enhanced, tmp_path: Path) -> None:
    file = enhanced(tmp_path / "e.dcm", classic)
    shutil.copy(file, tmp_path / "copy.dcm")
    stacks = [stack for stack in index_series([tmp_path]) if stack.enhanced]
    assert [(stack.usable, stack.slices) for stack in stacks] == [(True, SLICES)]


def test_a_gap_between_frames_is_refused(classic: list[Path], enhanced: Enhanced, tmp_path: Path) -> None:
    stack = one(enhanced(tmp_path / "e.dcm", [*classic[:2], *classic[3:]]))
    assert (stack.usable, stack.refusal_code) == (False, 5) and "gap" in stack.reason


def test_frames_that_are_not_described_are_refused(classic: list[Path], enhanced: Enhanced, tmp_path: Path) -> None:
    file = enhanced(tmp_path / "e.dcm", classic)
    dataset = pydicom.dcmread(file)
    del dataset.PerFrameFunctionalGroupsSequence[2]
    dataset.save_as(file)
    stack = one(file)
    assert (stack.usable, stack.refusal_code) == (False, 4) and "6 frames are claimed and 5" in stack.reason


def test_an_address_names_one_frame(classic: list[Path], enhanced: Enhanced, tmp_path: Path) -> None:
    file = enhanced(tmp_path / "e.dcm", classic)
    whole, frame = read_stack([file]), read_stack([frame_address(file, 2)])
    assert frame.array.shape == (1, 20, 24) and (frame.array == whole.array).all(axis=(1, 2)).sum() == 1
    with pytest.raises(DecodeError, match="no frame 7"):
        read_stack([frame_address(file, 7)])
    assert split_address(tmp_path / "frames" / "7") == (tmp_path / "frames" / "7", 0)


def test_the_loader_takes_a_file_and_addresses(classic: list[Path], enhanced: Enhanced, tmp_path: Path) -> None:
    from scripts.transforms.series import LoadKneeSeries

    file, load = enhanced(tmp_path / "e.dcm", classic), LoadKneeSeries()
    plain, whole, named = (
        load([str(path) for path in classic]),
        load(str(file)),
        load([str(p) for p in one(file).files]),
    )
    assert (whole == plain).all() and (named == plain).all()
    assert whole.affine.allclose(plain.affine, atol=1e-6)


def test_legacy_converted(classic: list[Path], tmp_path: Path) -> None:
    """What an archive makes of a classic series: timing and options stand in sequences of converted attributes."""
    from highdicom import legacy

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        sources = [pydicom.dcmread(file) for file in classic]
        for source in sources:
            source.ScanOptions = "FS"
        converted = legacy.LegacyConvertedEnhancedMRImage(
            sources, pydicom.uid.generate_uid(), 7, pydicom.uid.generate_uid(), 1
        )
        converted.save_as(tmp_path / "legacy.dcm")
    stack = one(tmp_path / "legacy.dcm")
    assert stack.usable and stack.slices == SLICES, stack.reason
    assert (stack.contrast, stack.echo_time) == ("PDFS", pytest.approx(0.03))
    assert_same(read_stack(stack.files), read_stack(classic))
