# SPDX-License-Identifier: Apache-2.0
"""The index finds every stack, sorts it by place, and says which ones contradict themselves."""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pydicom
import pytest

from scripts.dicom.geometry import normal_of
from scripts.dicom.index import Stack, index, index_series
from scripts.errors import UsageError

Series = Callable[..., list[Path]]
Edit = Callable[..., None]


def one(path: Path) -> Stack:
    stacks = index_series([path])
    assert len(stacks) == 1
    return stacks[0]


def shift(file: Path, edit: Edit, *, along_normal: float = 0.0, along_row: float = 0.0) -> None:
    dataset = pydicom.dcmread(file)
    row = np.array(dataset.ImageOrientationPatient[:3], dtype=float)
    normal = normal_of(tuple(float(v) for v in dataset.ImageOrientationPatient))
    position = np.array(dataset.ImagePositionPatient, dtype=float) + along_normal * normal + along_row * row
    edit(file, ImagePositionPatient=[f"{value:.6f}" for value in position])


@pytest.mark.parametrize("plane", ["sagittal", "coronal", "axial"])
def test_good_series(knee_series: Series, tmp_path: Path, plane: str) -> None:
    files = knee_series(plane=plane, acquired=True, description="PD")
    stack = one(tmp_path)
    assert (stack.usable, stack.reason, stack.refusal_code) == (True, "", 0)
    assert (stack.plane, stack.slices, stack.shape, stack.contrast) == (plane, 10, (20, 24), "PD")
    assert stack.spacing_mm == pytest.approx((3.3, 0.5, 0.4), abs=1e-6)
    assert (stack.echo_time, stack.repetition_time) == (pytest.approx(0.03), pytest.approx(3.0))
    assert stack.files in (tuple(files), tuple(reversed(files)))
    assert not (stack.derived or stack.synthetic or stack.simulated or stack.localizer)


def test_an_angle_far_from_every_plane_is_oblique(knee_series: Series, tmp_path: Path) -> None:
    knee_series(tilt=0.8)
    assert one(tmp_path).plane == "oblique"


def test_order_and_id_do_not_depend_on_names_or_instance_numbers(
    knee_series: Series, tmp_path: Path, edit: Edit
) -> None:
    knee_series("a", acquired=True)
    knee_series("b", acquired=True, seed=1, number=2)
    before = index_series([tmp_path])
    positions = {stack.id: [pydicom.dcmread(f).ImagePositionPatient for f in stack.files] for stack in before}
    shuffled = tmp_path / "shuffled" / "nested"
    shuffled.mkdir(parents=True)
    names = [f"{n:05d}" for n in range(20)]
    random.Random(3).shuffle(names)
    for number, (file, name) in enumerate(zip(sorted(tmp_path.rglob("*.dcm")), names, strict=True)):
        edit(file, InstanceNumber=1 if number < 10 else 100 - number)
        shutil.move(file, shuffled / name)
    after = index_series([tmp_path])
    assert [stack.id for stack in after] == [stack.id for stack in before]
    assert [stack.series_instance_uid for stack in after] == [stack.series_instance_uid for stack in before]
    assert {s.id: [pydicom.dcmread(f).ImagePositionPatient for f in s.files] for s in after} == positions


def test_what_is_no_image_is_skipped_and_counted(knee_series: Series, tmp_path: Path) -> None:
    files = knee_series()
    (tmp_path / "readme.txt").write_text("hello")
    (tmp_path / ".DS_Store").write_bytes(b"\x00\x00\x00\x01Bud1")
    (tmp_path / "task.json").write_text("{}")
    (tmp_path / "empty.dcm").touch()
    (tmp_path / "almost.bin").write_bytes(b"\x08\x00" + bytes(range(256)) * 4)
    dicomdir = pydicom.dcmread(files[0])
    dicomdir.file_meta.MediaStorageSOPClassUID = "1.2.840.10008.1.3.10"
    dicomdir.SOPClassUID = "1.2.840.10008.1.3.10"
    dicomdir.save_as(tmp_path / "DICOMDIR", enforce_file_format=True)
    found = index([tmp_path])
    assert (len(found.stacks), found.files, found.skipped) == (1, 16, 6)
    assert found.stacks[0].slices == 10


def test_an_empty_folder_has_no_stacks_and_a_missing_one_is_an_error(tmp_path: Path) -> None:
    assert index_series([tmp_path]) == []
    with pytest.raises(UsageError):
        index_series([tmp_path / "nowhere"])


@pytest.mark.parametrize("implicit", [False, True])
def test_files_without_preamble_are_read(knee_series: Series, tmp_path: Path, implicit: bool) -> None:
    for file in knee_series():
        dataset = pydicom.dcmread(file)
        del dataset.file_meta
        dataset.preamble = None
        dataset.save_as(file, implicit_vr=implicit, little_endian=True, enforce_file_format=False)
        assert file.read_bytes()[128:132] != b"DICM"
    stack = one(tmp_path)
    assert stack.usable and stack.slices == 10


def test_an_identical_copy_is_left_out(knee_series: Series, tmp_path: Path) -> None:
    files = knee_series()
    shutil.copy(files[3], tmp_path / "copy.dcm")
    stack = one(tmp_path)
    assert stack.usable and stack.slices == 10


def test_the_same_object_with_another_preamble_is_a_copy(knee_series: Series, tmp_path: Path) -> None:
    files = knee_series()
    dataset = pydicom.dcmread(files[3])
    dataset.preamble = b"x" * 128
    dataset.save_as(tmp_path / "copy.dcm", enforce_file_format=True)
    assert one(tmp_path).usable


def test_a_path_given_twice_counts_once(knee_series: Series, tmp_path: Path) -> None:
    files = knee_series()
    stacks = index_series([tmp_path, tmp_path, *files])
    assert len(stacks) == 1 and stacks[0].slices == 10


# Each breaks one good series of 10 slices, 3.3 mm apart; then the exit code and a word of the reason.
def drop_slice(files: list[Path], edit: Edit) -> None:
    files[4].unlink()


def shift_slice(files: list[Path], edit: Edit) -> None:
    shift(files[4], edit, along_normal=1.0)


def jitter(files: list[Path], edit: Edit) -> None:
    shift(files[4], edit, along_normal=0.2)


def slide_slice(files: list[Path], edit: Edit) -> None:
    shift(files[4], edit, along_row=1.0)


def shear(files: list[Path], edit: Edit) -> None:
    for number, file in enumerate(files):
        shift(file, edit, along_row=0.5 * number)


def second_at_a_place(files: list[Path], edit: Edit) -> None:
    twin = files[4].with_name("twin.dcm")
    shutil.copy(files[4], twin)
    edit(twin, SOPInstanceUID="1.2.3.4")


def same_uid_other_pixels(files: list[Path], edit: Edit) -> None:
    twin = files[4].with_name("twin.dcm")
    shutil.copy(files[4], twin)
    edit(twin, PixelData=b"\1\0" * 480)


def all_in_one_place(files: list[Path], edit: Edit) -> None:
    for file in files:
        edit(file, ImagePositionPatient=["1", "2", "3"])


def other_matrix_inside(files: list[Path], edit: Edit) -> None:
    edit(files[4], Rows=10, PixelData=b"\0\0" * 240)


def other_matrix_at_the_end(files: list[Path], edit: Edit) -> None:
    edit(files[-1], Rows=10, PixelData=b"\0\0" * 240)


def other_pixel_size_at_the_end(files: list[Path], edit: Edit) -> None:
    edit(files[-1], PixelSpacing=["0.5", "0.5"])


def tilt_slice(files: list[Path], edit: Edit) -> None:
    c, s = np.cos(np.deg2rad(5)), np.sin(np.deg2rad(5))
    cosines = np.array(pydicom.dcmread(files[-1]).ImageOrientationPatient, dtype=float)
    normal = normal_of(tuple(cosines))
    edit(files[-1], ImageOrientationPatient=[f"{v:.6f}" for v in [*(c * cosines[:3] + s * normal), *cosines[3:]]])


def no_position(files: list[Path], edit: Edit) -> None:
    for file in files:
        edit(file, ImagePositionPatient=..., ImageOrientationPatient=...)


def one_without_position(files: list[Path], edit: Edit) -> None:
    edit(files[-1], ImagePositionPatient=..., ImageOrientationPatient=...)


def no_pixel_spacing(files: list[Path], edit: Edit) -> None:
    for file in files:
        edit(file, PixelSpacing=...)


def skewed_cosines(files: list[Path], edit: Edit) -> None:
    for file in files:
        edit(file, ImageOrientationPatient=["1", "0", "0", "0.2", "1", "0"])


def cut_pixels(files: list[Path], edit: Edit) -> None:
    files[-1].write_bytes(files[-1].read_bytes()[:-100])


def cut_before_pixels(files: list[Path], edit: Edit) -> None:
    files[-1].write_bytes(files[-1].read_bytes()[:-1000])


def cut_header(files: list[Path], edit: Edit) -> None:
    files[-1].write_bytes(files[-1].read_bytes()[:400])


def too_large(files: list[Path], edit: Edit) -> None:
    edit(files[0], Rows=20000, Columns=20000)


def video_codec(files: list[Path], edit: Edit) -> None:
    from pydicom.encaps import encapsulate

    for file in files:
        dataset = pydicom.dcmread(file)
        dataset.file_meta.TransferSyntaxUID = "1.2.840.10008.1.2.4.100"
        dataset.PixelData = encapsulate([b"\0" * 100])
        dataset["PixelData"].VR = "OB"
        dataset.save_as(file, enforce_file_format=True)


def ct(files: list[Path], edit: Edit) -> None:
    for file in files:
        edit(file, Modality="CT", SOPClassUID="1.2.840.10008.5.1.4.1.1.2")


def secondary_capture(files: list[Path], edit: Edit) -> None:
    for file in files:
        edit(file, SOPClassUID="1.2.840.10008.5.1.4.1.1.7")


BROKEN = [
    (drop_slice, 5, "gap"),
    (shift_slice, 5, "off its place"),
    (jitter, 5, "off its place"),
    (slide_slice, 5, "off its place"),
    (shear, 5, "shear"),
    (second_at_a_place, 5, "duplicate place"),
    (same_uid_other_pixels, 5, "duplicate place"),
    (all_in_one_place, 5, "duplicate place"),
    (other_matrix_inside, 5, "mixed matrix"),
    (other_matrix_at_the_end, 5, "mixed matrix"),
    (other_pixel_size_at_the_end, 5, "pixel size"),
    (tilt_slice, 5, "tilted"),
    (no_position, 5, "ImagePositionPatient"),
    (one_without_position, 5, "position"),
    (no_pixel_spacing, 5, "PixelSpacing"),
    (skewed_cosines, 5, "cosines"),
    (cut_pixels, 4, "ends within its pixels"),
    (cut_before_pixels, 4, "cannot be decoded"),
    (cut_header, 4, "damaged"),
    (too_large, 4, "20000"),
    (video_codec, 4, "codec"),
    (ct, 6, "not MR (CT)"),
    (secondary_capture, 6, "not MR"),
]


@pytest.mark.parametrize(("damage", "code", "word"), BROKEN, ids=[case[0].__name__ for case in BROKEN])
def test_a_broken_series_is_refused_with_its_reason(
    knee_series: Series, tmp_path: Path, edit: Edit, damage: Callable[..., None], code: int, word: str
) -> None:
    damage(knee_series(acquired=True), edit)
    stacks = index_series([tmp_path])
    assert stacks
    # A broken series leaves nothing behind that could pass for whole.
    assert [stack for stack in stacks if stack.usable] == []
    assert {stack.refusal_code for stack in stacks} == {code}
    assert any(word in stack.reason for stack in stacks), [stack.reason for stack in stacks]
    assert all("\n" not in stack.reason for stack in stacks)


def rounded_positions(files: list[Path], edit: Edit) -> None:
    for file, move in zip(files, [0, 0.05, -0.05, 0.02, -0.02, 0, 0.05, -0.05, 0.05, 0], strict=True):
        shift(file, edit, along_normal=move)


def rounded_cosines(files: list[Path], edit: Edit) -> None:
    for number, file in enumerate(files):
        cosines = np.array(pydicom.dcmread(file).ImageOrientationPatient, dtype=float) + 1e-4 * (number % 2)
        edit(file, ImageOrientationPatient=[f"{value:.6f}" for value in cosines])


def no_instance_number(files: list[Path], edit: Edit) -> None:
    for file in files:
        edit(file, InstanceNumber=None)


def unknown_charset(files: list[Path], edit: Edit) -> None:
    for file in files:
        raw = file.read_bytes()
        file.write_bytes(raw.replace(b"ISO_IR 100", b"ISO_IR 999"))


@pytest.mark.parametrize("harm", [rounded_positions, rounded_cosines, no_instance_number, unknown_charset])
def test_what_real_scanners_do_is_accepted(
    knee_series: Series, tmp_path: Path, edit: Edit, harm: Callable[..., None]
) -> None:
    harm(knee_series(acquired=True), edit)
    stack = one(tmp_path)
    assert stack.usable, stack.reason
    assert stack.slices == 10


def test_echoes_of_one_series_are_stacks_of_one_series(knee_series: Series, tmp_path: Path, edit: Edit) -> None:
    files = knee_series("a", acquired=True)
    uid = pydicom.dcmread(files[0]).SeriesInstanceUID
    for file in knee_series("b", acquired=True, number=2):
        edit(file, SeriesInstanceUID=uid, EchoTime="80", EchoNumbers=2)
    stacks = index_series([tmp_path])
    assert [(s.id, s.usable, s.slices, s.echo_number) for s in stacks] == [("1.1", True, 10, 1), ("1.2", True, 10, 2)]
    assert len({stack.series_instance_uid for stack in stacks}) == 1
    assert [stack.contrast for stack in stacks] == ["PD", "other"]


def test_a_scout_within_the_series_is_split_off(knee_series: Series, tmp_path: Path, edit: Edit) -> None:
    files = knee_series("a", acquired=True)
    uid = pydicom.dcmread(files[0]).SeriesInstanceUID
    for plane, number in (("axial", 2), ("coronal", 3)):
        for file in knee_series(plane, plane=plane, slices=3, number=number, acquired=True):
            edit(file, SeriesInstanceUID=uid)
    stacks = index_series([tmp_path])
    assert sorted((s.plane, s.slices, s.usable, s.localizer) for s in stacks) == [
        ("axial", 3, True, True),
        ("coronal", 3, True, True),
        ("sagittal", 10, True, False),
    ]


def test_a_damaged_neighbour_does_not_spoil_another_folder(knee_series: Series, tmp_path: Path) -> None:
    files = knee_series("a")
    knee_series("b", seed=1, number=2)
    files[0].write_bytes(files[0].read_bytes()[:-100])
    assert sorted((stack.usable, stack.refusal_code) for stack in index_series([tmp_path])) == [(False, 4), (True, 0)]


def test_a_lone_damaged_file_is_listed(tmp_path: Path, knee_series: Series) -> None:
    files = knee_series()
    cut_header(files, lambda *_: None)
    alone = tmp_path / "alone" / "cut.dcm"
    alone.parent.mkdir()
    shutil.move(files[-1], alone)
    stack = one(alone.parent)
    assert (stack.usable, stack.refusal_code) == (False, 4)


def test_flags(knee_series: Series, tmp_path: Path, edit: Edit) -> None:
    for name, changes, expected in [
        ("simulated", {}, (False, True, True)),
        ("forged_patient", {"PatientID": "4711"}, (False, True, False)),
        ("forged_maker", {"Manufacturer": "SCANNERS LTD"}, (False, True, False)),
        ("derived", {"ImageType": ["DERIVED", "SECONDARY", "OTHER"]}, (True, True, False)),
        ("not_synthetic", {"SyntheticData": "NO"}, (False, False, False)),
    ]:
        for file in knee_series(name):
            edit(file, **changes)
        stack = one(tmp_path / name)
        assert (stack.derived, stack.synthetic, stack.simulated) == expected, name
    files = knee_series("marked_localizer", acquired=True)
    for file in files:
        edit(file, ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"])
    assert one(tmp_path / "marked_localizer").localizer


def test_one_synthetic_slice_makes_the_stack_synthetic(knee_series: Series, tmp_path: Path, edit: Edit) -> None:
    edit(knee_series(acquired=True)[5], SyntheticData="YES")
    stack = one(tmp_path)
    assert stack.synthetic and not stack.simulated


def test_a_uid_that_looks_like_a_path_is_only_a_word(knee_series: Series, tmp_path: Path) -> None:
    for file in knee_series(acquired=True):
        raw = file.read_bytes()
        uid = pydicom.dcmread(file).SeriesInstanceUID.encode()
        file.write_bytes(raw.replace(uid, b"../../../../x/y".ljust(len(uid), b"z")))
    stack = one(tmp_path)
    assert stack.id == "1.1" and stack.usable


def test_the_entry_is_plain_json_in_milliseconds(knee_series: Series, tmp_path: Path) -> None:
    knee_series(description="PD sag")
    entry = json.loads(json.dumps(one(tmp_path).as_dict()))
    assert (entry["echo_time_ms"], entry["repetition_time_ms"]) == (30.0, 3000.0)
    assert entry["shape"] == [20, 24] and entry["spacing_mm"] == [3.3, 0.5, 0.4]
    assert entry["description"] == "PD sag" and entry["contrast"] == "PD" and entry["evidence"]


@pytest.mark.real_data
def test_the_eight_echoes_of_the_real_knee(real_data: Path) -> None:
    stacks = index_series([real_data / "pymskt"])
    assert [stack.id for stack in stacks] == [f"1.{n}" for n in range(1, 9)]
    assert all(stack.usable and stack.slices == 24 and stack.plane == "sagittal" for stack in stacks)
    at_25 = [stack for stack in stacks if stack.echo_time and abs(stack.echo_time - 0.0252) < 1e-4]
    assert [stack.contrast for stack in at_25] == ["PD"]
    assert at_25[0].spacing_mm == pytest.approx((4.0, 0.625, 0.625), abs=1e-4)
    assert stacks[-1].contrast == "other"


@pytest.mark.real_data
def test_enhanced_files_are_listed_and_refused_with_a_reason(real_data: Path) -> None:
    stacks = index_series([real_data / "weasis"])
    assert len(stacks) == 11
    assert {(s.slices, s.usable, s.refusal_code, s.contrast, s.plane) for s in stacks} == {
        (19, False, 4, "other", "sagittal")
    }
    assert all("Enhanced" in stack.reason for stack in stacks)
