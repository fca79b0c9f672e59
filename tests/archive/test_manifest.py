# SPDX-License-Identifier: Apache-2.0
"""What a manifest says, what it must not say, and how it is shared among machines."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from scripts.archive.manifest import Line, read_manifest, shard
from scripts.errors import UsageError


def _csv(folder: Path, *rows: str) -> Path:
    path = folder / "list.csv"
    path.write_text("\n".join(rows) + "\n")
    return path


def test_the_two_forms_say_the_same(tmp_path: Path) -> None:
    table = _csv(tmp_path, "source,series,to,name", "a/study,,,", '"b,c",1.2,PD,', "pd.nii.gz,,PDFS,knee 7")
    rows = [
        {"source": "a/study"},
        {"source": "b,c", "series": "1.2", "to": "PD"},
        {"source": "pd.nii.gz", "to": "PDFS", "name": "knee 7", "series": None},
    ]
    objects = tmp_path / "list.jsonl"
    objects.write_text("".join(json.dumps(row) + "\n\n" for row in rows))

    def facts(lines: list[Line]) -> list[tuple[object, ...]]:
        return [(line.source, line.series, line.target, line.name, line.single) for line in lines]

    expected = [
        (tmp_path / "a/study", None, None, "a/study", False),
        (tmp_path / "b,c", "1.2", "PD", "b-c/1.2", True),
        (tmp_path / "pd.nii.gz", None, "PDFS", "knee-7", True),
    ]
    assert facts(read_manifest(table)) == facts(read_manifest(objects)) == expected
    assert [line.number for line in read_manifest(table)] == [2, 3, 4]
    assert [line.number for line in read_manifest(objects)] == [1, 3, 5]


def test_a_manifest_from_a_spreadsheet_is_read(tmp_path: Path) -> None:
    path = tmp_path / "LIST.CSV"
    path.write_bytes("﻿source,name\r\na,Müller Straße\r\n,\r\nb,\r\n".encode())
    with pytest.raises(UsageError, match="line 3: no source"):
        read_manifest(path)
    path.write_bytes("﻿source,name\r\na,Müller Straße\r\n\r\nb,\r\n".encode())
    assert [line.name for line in read_manifest(path)] == ["Müller-Straße", "b"]


def test_the_line_says_more_than_the_option(tmp_path: Path) -> None:
    lines = read_manifest(_csv(tmp_path, "source,to", "a,PD", "b,"), "PDFS")
    assert [line.makes for line in lines] == ["PD", "PDFS"]


@pytest.mark.parametrize(
    ("source", "name"),
    [
        ("../other/study", "-/other/study"),
        ("x/../y", "y"),
        ("/" + "mnt/knees/7", "mnt/knees/7"),
        ("knees/pd.nii.gz", "knees/pd"),
        (".hidden", "hidden"),
    ],
)
def test_folders_are_named_after_sources_and_stay_below_the_output(tmp_path: Path, source: str, name: str) -> None:
    (line,) = read_manifest(_csv(tmp_path, "source", source))
    assert line.name == name


def test_names_cannot_leave_the_output_folder(tmp_path: Path) -> None:
    names = [line.name for line in read_manifest(_csv(tmp_path, "source,name", "a,../../up", "b,/" + "etc/x"))]
    assert names == ["-/-/up", "etc/x"]


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        (["path", "a"], "no column `source`"),
        (["source,seres", "a,1.1"], "line 2: unknown `seres`"),
        (["source", "a,b"], "line 2: more fields"),
        (["source,to", "a,T2"], "line 2: to T2"),
        (["source,to", "a,auto"], "line 2: to auto"),
        (["source"], "no lines"),
        (["source,to", ",PD"], "line 2: no source"),
        (["source,series", "a.nii,1.1"], "line 2: a series of a NIfTI"),
        (["source,series", "a,1.2.840.99.1"], "line 2: an identifier"),
        (["source", '"a'], "line 2: not CSV"),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_what_cannot_be_understood_names_its_line(tmp_path: Path, rows: list[str], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        read_manifest(_csv(tmp_path, *rows))


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda folder: folder / "none.csv", "no readable manifest"),
        (lambda folder: folder, "ends in .csv or .jsonl"),
        (lambda folder: _written(folder / "a.jsonl", b'{"source": "a"}\n{"source"\n'), "line 2: not JSON"),
        (lambda folder: _written(folder / "a.jsonl", b'["a"]\n'), "line 1: need an object"),
        (lambda folder: _written(folder / "a.jsonl", b'{"source": 7}\n'), "line 1: `source` is no text"),
        (lambda folder: _written(folder / "a.csv", b"source\n\xff\n"), "UTF-8"),
    ],
)
def test_files_that_are_no_manifest_are_refused(tmp_path: Path, make: Callable[[Path], Path], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        read_manifest(make(tmp_path))


def _written(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        (["a", "b", "./a"], "lines 2 and 4 name the same series"),
        (["a,1.1,,x", "a,1.1,,y"], "lines 2 and 3 name the same series"),
        (["a,,,x", "a,1.1,,y"], "lines 2 and 3 find the same series"),
        (["a,1.1,,y", "a,,,x"], "lines 3 and 2 find the same series"),
        (["p/sub,,,x", "p,,,y"], "lines 3 and 2 find the same series"),
        (["link,,,x", "a,,,y"], "lines 2 and 3 name the same series"),
        (["a,,,x", "b,,,x"], "lines 2 and 3 have the same output"),
        (["a,,PD,", "a,,PDFS,"], "lines 2 and 3 have the same output"),
        (["a,,,x", "b,,,x/y"], "lines 2 and 3 have output folders inside"),
        ([f"a,,,n{n}" for n in range(9)], "lines 2 and 3; 2 and 4; 2 and 5; 2 and 6; 2 and 7 and 3 more pairs name"),
    ],
)
def test_what_would_come_twice_is_refused_with_its_lines(tmp_path: Path, rows: list[str], words: str) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "a")
    with pytest.raises(UsageError, match=words):
        read_manifest(_csv(tmp_path, "source,series,to,name", *(row if "," in row else f"{row},,," for row in rows)))


def test_two_series_and_two_directions_of_a_study_are_not_twice(tmp_path: Path) -> None:
    rows = ["source,series,to,name", "a,1.1,,", "a,2.1,,", "a,,PD,back", "ab,,,"]
    assert len(read_manifest(_csv(tmp_path, *rows))) == 4


@pytest.mark.parametrize("count", [1, 7, 8, 100])
@pytest.mark.parametrize("parts", [1, 3, 8])
def test_shards_are_disjoint_and_cover_all(tmp_path: Path, count: int, parts: int) -> None:
    lines = read_manifest(_csv(tmp_path, "source", *(f"s{n}" for n in range(count))))
    shares = [shard(lines, f"{part}/{parts}") for part in range(1, parts + 1)]
    numbers = sorted(line.number for share in shares for line in share)
    assert numbers == [line.number for line in lines]
    assert max(map(len, shares)) - min(map(len, shares)) <= 1


@pytest.mark.parametrize("part", ["0/4", "5/4", "1", "a/b", "-1/2", "1/0", "1/2/3"])
def test_parts_that_do_not_exist_are_refused(tmp_path: Path, part: str) -> None:
    with pytest.raises(UsageError, match="need i/n"):
        shard(read_manifest(_csv(tmp_path, "source", "a")), part)
