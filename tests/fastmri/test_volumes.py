# SPDX-License-Identifier: Apache-2.0
"""Which files are fastMRI knees, and what their headers say."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from scripts.errors import DecodeError, UsageError
from scripts.fastmri.header import read_geometry
from scripts.fastmri.volumes import find_volumes, read_image
from tests.fastmri.schema import SHAPE, header, knee

Write = Callable[..., Path]


def test_volumes_are_found_with_contrast_geometry_and_a_pseudonym(write: Write, tmp_path: Path) -> None:
    write("file1000001", "PD", "0f3a")
    write("file1000002", "PDFS", "0f3a")
    found = find_volumes(tmp_path)
    assert [(one.name, one.contrast, one.shape) for one in found.volumes] == [
        ("file1000001", "PD", SHAPE),
        ("file1000002", "PDFS", SHAPE),
    ]
    assert found.refused == ()
    assert found.volumes[0].patient == found.volumes[1].patient
    assert "0f3a" not in found.volumes[0].patient
    # 16 mm over 32 rows, 12.8 mm over 32 columns; the oversampled encoding is not taken.
    assert found.volumes[0].geometry.spacing == pytest.approx((3.0, 0.5, 0.4))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"acquisition": "AXT2"}, "acquisition is another"),
        ({"acquisition": None}, "acquisition is missing"),
        ({"patient_id": None}, "patient_id is missing"),
        ({"reconstruction_rss": None}, "no dataset"),
        ({"reconstruction_rss": np.zeros((6, 32), dtype=np.float32)}, "need real slices"),
        ({"reconstruction_rss": np.zeros(SHAPE, dtype=np.complex64)}, "need real slices"),
        ({"reconstruction_rss": knee(1, (6, 40, 32))}, "size of a pixel is not known"),
        ({"ismrmrd_header": None}, "no dataset ismrmrd_header"),
        ({"ismrmrd_header": b"<ismrmrdHeader"}, "no XML"),
        ({"ismrmrd_header": b"<ismrmrdHeader/>"}, "no encoding"),
        ({"ismrmrd_header": header(along=0.0)}, "no size"),
        ({"ismrmrd_header": b'<!DOCTYPE x [<!ENTITY a "b">]>' + header()}, "no plain header"),
    ],
)
def test_what_is_not_of_the_schema_is_refused_by_name_and_the_rest_is_found(
    write: Write, tmp_path: Path, changes: dict[str, Any], said: str
) -> None:
    bad = write("bad", **changes)
    write("good")
    found = find_volumes(tmp_path)
    assert [one.name for one in found.volumes] == ["good"]
    assert [path for path, _ in found.refused] == [bad]
    assert said in found.refused[0][1]
    assert "AXT2" not in found.refused[0][1]


def test_a_file_that_is_no_hdf5_and_one_that_was_cut_off_are_refused(write: Write, tmp_path: Path) -> None:
    cut = write("cut")
    cut.write_bytes(cut.read_bytes()[:3000])
    (tmp_path / "train" / "text.h5").write_text("no HDF5")
    found = find_volumes(tmp_path)
    assert found.volumes == ()
    assert sorted(path.name for path, _ in found.refused) == ["cut.h5", "text.h5"]


def test_an_image_is_turned_so_that_the_head_is_up_and_keeps_its_numbers(write: Write, tmp_path: Path) -> None:
    stored = knee(7)
    write("one", image=stored)
    image = read_image(find_volumes(tmp_path).volumes[0])
    np.testing.assert_array_equal(image, stored[:, ::-1])
    assert image[:, 0].mean() > image[:, -1].mean()


@pytest.mark.parametrize("value", [np.nan, -1.0])
def test_an_image_that_is_no_magnitude_is_refused(write: Write, tmp_path: Path, value: float) -> None:
    image = knee(1)
    image[0, 0, 0] = value
    write("one", image=image)
    with pytest.raises(DecodeError, match=r"one\.h5: image is no magnitude"):
        read_image(find_volumes(tmp_path).volumes[0])


def test_the_image_of_all_coils_comes_first_and_the_single_one_where_it_is_asked_for(
    write: Write, tmp_path: Path
) -> None:
    write("one", reconstruction_esc=knee(2))
    write("two", reconstruction_rss=None, reconstruction_esc=knee(2))
    assert [one.reconstruction[-3:] for one in find_volumes(tmp_path).volumes] == ["rss", "esc"]
    single = find_volumes(tmp_path, ["reconstruction_esc"])
    assert [one.reconstruction[-3:] for one in single.volumes] == ["esc", "esc"]


def test_attributes_may_be_bytes(write: Write, tmp_path: Path) -> None:
    write("one", acquisition=np.bytes_(b"CORPDFS_FBK"), patient_id=np.bytes_(b"x"))
    assert find_volumes(tmp_path).volumes[0].contrast == "PDFS"


def test_a_header_with_a_byte_order_mark_or_as_text_is_read() -> None:
    assert read_geometry(b"\xef\xbb\xbf" + header()) == read_geometry(header().decode())


def test_a_missing_folder_and_a_missing_library_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UsageError, match="no folder"):
        find_volumes(tmp_path / "not there")
    monkeypatch.setitem(sys.modules, "h5py", None)
    with pytest.raises(UsageError, match=r"h5py is not installed.*extra fastmri"):
        find_volumes(tmp_path)
