# SPDX-License-Identifier: Apache-2.0
"""The index finds every stack, sorts it by place, and says which ones contradict themselves."""

from __future__ import annotations

import json
import random
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pydicom
import pytest

from scripts.dicom.index import Stack, index, index_series
from scripts.errors import UsageError

Series = Callable[..., list[Path]]
Edit = Callable[..., None]


def one(path: Path) -> Stack:
    stacks = index_series([path])
    assert len(stacks) == 1
    return stacks[0]


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
    (tmp_path / "empty.log").touch()
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


def test_a_path_given_twice_counts_once(knee_series: Series, tmp_path: Path) -> None:
    files = knee_series()
    stacks = index_series([tmp_path, tmp_path, *files])
    assert len(stacks) == 1 and stacks[0].slices == 10


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
    files[-1].write_bytes(files[-1].read_bytes()[:400])
    alone = tmp_path / "alone" / "cut.dcm"
    alone.parent.mkdir()
    shutil.move(files[-1], alone)
    stack = one(alone.parent)
    assert (stack.usable, stack.refusal_code) == (False, 4)


def test_flags(knee_series: Series, tmp_path: Path, edit: Edit) -> None:
    for name, changes, expected in [
        ("simulated", {}, (False, True, True)),
        ("unmarked", {"SyntheticData": ...}, (False, True, False)),
        ("forged_patient", {"PatientID": "4711"}, (False, True, False)),
        ("forged_maker", {"Manufacturer": "SCANNERS LTD"}, (False, True, False)),
        ("derived", {"ImageType": ["DERIVED", "SECONDARY", "OTHER"]}, (True, True, False)),
        ("not_synthetic", {"SyntheticData": "NO", "Manufacturer": "SCANNERS LTD"}, (False, False, False)),
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


def test_pydicom_is_imported_late() -> None:
    """Training and MONAI Label import modules that import these, on machines without pydicom."""
    root = Path(__file__).resolve().parents[2]
    modules = [f"scripts.dicom.{path.stem}" for path in (root / "scripts" / "dicom").glob("[a-z]*.py")]
    assert len(modules) > 8
    code = f"import sys, {', '.join(modules)}; assert not {{'pydicom', 'highdicom', 'monai'}} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=root)


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
def test_a_moving_knee_is_no_stack(real_data: Path) -> None:
    """Enhanced MR, one slice at 19 times: each file is listed, with what its frames say, and none is usable."""
    stacks = index_series([real_data / "weasis"])
    assert len(stacks) == 11
    assert {(s.slices, s.usable, s.refusal_code, s.contrast, s.plane) for s in stacks} == {
        (19, False, 5, "other", "sagittal")
    }
    assert all("duplicate place" in stack.reason for stack in stacks)
    assert {(stack.side, stack.body_part) for stack in stacks} == {("R", "KNEE")}
    assert sum(stack.lossy for stack in stacks) == 2
