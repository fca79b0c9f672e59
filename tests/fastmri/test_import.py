# SPDX-License-Identifier: Apache-2.0
"""From .h5 files to pairs of NIfTI: which belong together, where their voxels lie, and what a second run does."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path

import nibabel
import numpy as np
import pytest

from scripts.data.pairs import pairs as data_pairs
from scripts.errors import SourceError, UsageError
from scripts.fastmri.__main__ import main
from scripts.fastmri.convert import import_volumes
from scripts.fastmri.pairing import read_list
from scripts.transforms.orientation import DisplayOrientation
from scripts.transforms.series import LoadKneeSeries
from tests.fastmri.schema import SHAPE, header, knee

Write = Callable[..., Path]


def rows(out: Path) -> list[dict[str, str]]:
    with (out / "pairs.csv").open(newline="") as stream:
        return list(csv.DictReader(stream))


def test_the_pair_of_a_patient_is_imported_as_displayed_with_the_header_s_spacing(write: Write, tmp_path: Path) -> None:
    write("f1", "PD", "p", image=knee(1))
    write("f2", "PDFS", "p", image=knee(2))
    found = import_volumes(tmp_path, tmp_path / "out")
    [row] = rows(tmp_path / "out")
    assert row["patient"] == found.pairs[0].patient
    for key, seed in (("image", 1), ("label", 2)):
        volume = LoadKneeSeries()(tmp_path / "out" / row[key])
        shown = DisplayOrientation()(volume)
        np.testing.assert_array_equal(shown[0].numpy(), knee(seed)[:, ::-1])
        affine = nibabel.load(tmp_path / "out" / row[key]).affine
        assert nibabel.aff2axcodes(affine) == ("L", "I", "P")
        assert nibabel.affines.voxel_sizes(affine) == pytest.approx((0.4, 0.5, 3.0))
        middle = affine @ [*((np.array(SHAPE[::-1]) - 1) / 2), 1]
        assert middle[:3] == pytest.approx(0.0, abs=1e-4)
    # The folder is one of the layouts that training takes as it is.
    train = [item for section in ("training", "validation", "test") for item in _items(tmp_path / "out", section)]
    assert [item["patient"] for item in train] == [found.pairs[0].folder]


def _items(folder: Path, section: str) -> list[dict[str, str]]:
    try:
        return data_pairs(str(folder), "", section, {})
    except UsageError:  # one patient is in one section
        return []


def test_several_volumes_of_a_patient_are_ambiguous_and_those_alone_are_told(write: Write, tmp_path: Path) -> None:
    for name, contrast, patient in (
        ("a1", "PD", "a"), ("a2", "PDFS", "a"), ("b1", "PD", "b"), ("b2", "PD", "b"), ("b3", "PDFS", "b"),
        ("c1", "PD", "c"), ("d1", "PDFS", "d"),
    ):  # fmt: skip
        write(name, contrast, patient)
    found = import_volumes(tmp_path, tmp_path / "out")
    assert [(one.image.name, one.label.name, one.by) for one in found.pairs] == [("a1", "a2", "patient_id")]
    told = {one.names: one.reason for one in found.unpaired}
    assert told == {
        ("b1.h5", "b2.h5", "b3.h5"): "ambiguous_partner",
        ("c1.h5",): "no_partner",
        ("d1.h5",): "no_partner",
    }
    record = json.loads((tmp_path / "out" / "fastmri.json").read_text())
    assert {one["reason"] for one in record["unpaired"]} == {"ambiguous_partner", "no_partner"}


def test_a_list_pairs_across_patients_and_what_it_joins_stays_one_patient(write: Write, tmp_path: Path) -> None:
    for name, contrast, patient in (
        ("a", "PD", "1"), ("b", "PDFS", "2"), ("c", "PD", "2"), ("d", "PDFS", "3"),
        ("e", "PD", "4"), ("f", "PDFS", "5"),
    ):  # fmt: skip
        write(name, contrast, patient)
    found = import_volumes(tmp_path, tmp_path / "out", [("a", "b"), ("train/c.h5", "d.h5"), ("e", "f")])
    assert [one.by for one in found.pairs] == ["list"] * 3
    first, second, third = rows(tmp_path / "out")
    assert first["patient"] == second["patient"] != third["patient"]
    assert len({row["image"] for row in (first, second, third)}) == 3


@pytest.mark.parametrize(
    ("listed", "reason"),
    [
        (("b", "a"), "wrong_contrast"),
        (("a", "none"), "unreadable"),
        (("a", "c"), "wrong_contrast"),
        (("a", "b"), "ambiguous_partner"),  # already listed
    ],
)
def test_what_a_list_has_wrong_is_told_by_name(
    write: Write, tmp_path: Path, listed: tuple[str, str], reason: str
) -> None:
    for name, contrast in (("a", "PD"), ("b", "PDFS"), ("c", "PD")):
        write(name, contrast, name)
    found = import_volumes(tmp_path, tmp_path / "out", [("a", "b"), listed])
    assert len(found.pairs) == 1
    assert [one.reason for one in found.unpaired] == [reason]


def test_lists_are_read_with_titles_endings_and_further_columns(tmp_path: Path) -> None:
    path = tmp_path / "list.csv"
    path.write_text("PD,PDFS,distance\nfile1.h5, file2.h5,0.31\n\nfile3,file4,0.4\n")
    assert read_list(path) == [("file1.h5", "file2.h5"), ("file3", "file4")]
    path.write_text("file1\nfile2\n")
    with pytest.raises(UsageError, match="two columns"):
        read_list(path)


def test_a_second_run_keeps_what_is_there_and_makes_what_is_new_or_changed(write: Write, tmp_path: Path) -> None:
    out = tmp_path / "out"
    write("a1", "PD", "a")
    write("a2", "PDFS", "a")
    [pair] = import_volumes(tmp_path, out).pairs
    kept = (out / pair.folder / "PD.nii.gz").stat().st_mtime_ns
    (out / ".fastmri-x.partial").mkdir()
    write("b1", "PD", "b")
    write("b2", "PDFS", "b")
    assert len(import_volumes(tmp_path, out).pairs) == 2
    assert (out / pair.folder / "PD.nii.gz").stat().st_mtime_ns == kept
    write("a1", "PD", "a", ismrmrd_header=header(thickness=4.0))
    import_volumes(tmp_path, out)
    assert nibabel.load(out / pair.folder / "PD.nii.gz").header.get_zooms()[2] == pytest.approx(4.0)


def test_a_damaged_image_leaves_no_part_of_its_pair(write: Write, tmp_path: Path) -> None:
    spoilt = knee(1)
    spoilt[0, 0, 0] = np.inf
    write("a1", "PD", "a")
    write("a2", "PDFS", "a", image=spoilt)
    write("b1", "PD", "b")
    write("b2", "PDFS", "b")
    found = import_volumes(tmp_path, tmp_path / "out")
    assert [one.image.name for one in found.pairs] == ["b1"]
    assert [path.name for path, _ in found.refused] == ["a2.h5"]
    assert len([path for path in (tmp_path / "out").iterdir() if path.is_dir()]) == 1


def test_no_pair_is_told_and_nothing_is_written(write: Write, tmp_path: Path) -> None:
    write("a1", "PD", "a")
    with pytest.raises(SourceError, match=r"1 volumes.*no pair.*give a list"):
        import_volumes(tmp_path, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_no_identifier_reaches_what_is_written(write: Write, tmp_path: Path) -> None:
    write("a1", "PD", "secret-patient")
    write("a2", "PDFS", "secret-patient")
    import_volumes(tmp_path, tmp_path / "out")
    written = b"".join(path.read_bytes() for path in (tmp_path / "out").rglob("*") if path.is_file())
    assert b"secret-patient" not in written


def test_the_command_names_what_it_refuses(write: Write, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write("a1", "PD", "a")
    write("a2", "PDFS", "a")
    write("brain", "AXT2", "b")
    command = [str(tmp_path), "-o", str(tmp_path / "out")]
    assert main(command) == 0
    said = capsys.readouterr().out
    assert "refused: brain.h5: attribute acquisition is another" in said
    assert said.splitlines()[-1].startswith("1 pair in ")
    assert main([*command, "--reconstruction", "x"]) == 2
    assert capsys.readouterr().err == "fastmri: --reconstruction x; choose auto, rss or esc\n"
