# SPDX-License-Identifier: Apache-2.0
"""What to synthesise, one study, series or NIfTI file a line: the table that a run over an archive works through."""

from __future__ import annotations

import csv
import io
import json
import os
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath

from scripts.errors import UsageError
from scripts.synthesis.cases import folder_name, stem_of
from scripts.synthesis.selection import OPPOSITE
from scripts.transforms.nifti import is_nifti

COLUMNS = ("source", "series", "to", "name")
DEFAULT_TARGET = "PDFS"

_STACK_ID = re.compile(r"\d+\.\d+")
_SHARD = re.compile(r"(\d+)/(\d+)")
_SHOWN = 5


@dataclass(frozen=True)
class Line:
    """One line of a manifest.

    Args:
        number: in the file, from 1; a table's head is line 1.
        text: the source as the manifest has it.
        source: folder or file; relative ones are relative to the manifest.
        series: stack id or SeriesInstanceUID; None for each candidate series of the folder.
        target: contrast to make; None where neither the manifest nor the user says, which NIfTI is refused for.
        name: folder below the output folder.
    """

    number: int
    text: str
    source: Path
    series: str | None
    target: str | None
    name: str

    @property
    def single(self) -> bool:
        """Whether it is one series by what it says, so that its folder holds the products themselves."""
        return self.series is not None or is_nifti(self.source)

    @property
    def makes(self) -> str:
        """The contrast to make."""
        return self.target or DEFAULT_TARGET


def read_manifest(path: Path, target: str | None = None) -> list[Line]:
    """Read a manifest.

    Args:
        path: ``.csv`` with a head, or ``.jsonl`` with one object a line; the keys are ``source`` and, optional,
            ``series``, ``to`` and ``name``.
        target: contrast for lines that name none.

    Returns:
        The lines in their order. Whether their sources exist is each line's own matter.

    Raises:
        UsageError: no such file, a line that cannot be understood, or two lines that would make the same series or
            share a folder; with the numbers of the lines.
    """
    if target is not None and target not in OPPOSITE:
        raise UsageError(f"--to {target}: need PDFS or PD for a whole manifest; choose one")
    readers = {".csv": _csv_rows, ".jsonl": _json_rows}
    if path.suffix.lower() not in readers:
        raise UsageError(f"{path.name}: need a manifest that ends in .csv or .jsonl; rename or convert it")
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{path.name}: no readable manifest; need a text file in UTF-8; check --manifest") from error
    lines = [_line(path, number, row, target) for number, row in readers[path.suffix.lower()](path, text)]
    if not lines:
        raise UsageError(f"{path.name}: no lines; need at least one source; check --manifest")
    _check_distinct(path.name, lines)
    return lines


def shard(lines: Sequence[Line], part: str) -> list[Line]:
    """This machine's share: each n-th line, so that shards are disjoint, cover all, and hold one line more or less.

    Args:
        lines: all lines.
        part: ``i/n``, from ``1/n`` to ``n/n``.

    Raises:
        UsageError: not such a part.
    """
    found = _SHARD.fullmatch(part.strip())
    first, every = (int(word) for word in found.groups()) if found else (0, 0)
    if not 1 <= first <= every:
        raise UsageError(f"--shard {part}: need i/n with i from 1 to n, such as 1/4; correct it")
    return list(lines[first - 1 :: every])


def _csv_rows(path: Path, text: str) -> Iterator[tuple[int, Mapping[str, object]]]:
    reader = csv.DictReader(io.StringIO(text, newline=""), skipinitialspace=True, strict=True)
    try:
        if "source" not in (reader.fieldnames or ()):
            raise UsageError(f"{path.name}: no column `source`; need a head with {', '.join(COLUMNS)}; add it")
        for row in reader:
            if None in row:
                raise UsageError(f"{path.name}, line {reader.line_num}: more fields than the head; correct it")
            yield reader.line_num, row
    except csv.Error as error:
        raise UsageError(f"{path.name}, line {reader.reader.line_num}: not CSV ({error}); correct it") from error


def _json_rows(path: Path, text: str) -> Iterator[tuple[int, Mapping[str, object]]]:
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except ValueError as error:
            raise UsageError(f"{path.name}, line {number}: not JSON; need one object a line; correct it") from error
        if not isinstance(row, dict):
            raise UsageError(f"{path.name}, line {number}: need an object with {', '.join(COLUMNS)}; correct it")
        yield number, row


def _line(path: Path, number: int, row: Mapping[str, object], default_target: str | None) -> Line:
    place = f"{path.name}, line {number}"
    unknown = [str(key) for key in row if key not in COLUMNS]
    if unknown:
        raise UsageError(f"{place}: unknown `{unknown[0]}`; need {', '.join(COLUMNS)}; rename or drop it")
    if wrong := [key for key, value in row.items() if not isinstance(value, str | None)]:
        raise UsageError(f"{place}: `{wrong[0]}` is no text; need a string; correct it")
    values = {key: str(value).strip() for key, value in row.items() if value is not None}
    text, series, target, name = (values.get(key) or None for key in COLUMNS)
    if text is None:
        raise UsageError(f"{place}: no source; need a folder or a NIfTI file; fill it in or delete the line")
    if target is not None and target not in OPPOSITE:
        raise UsageError(f"{place}: to {target}; need PDFS or PD; correct it")
    source = (path.parent / text).absolute()  # workers have other current folders
    if series is not None and is_nifti(source):
        raise UsageError(f"{place}: a series of a NIfTI file; it is one volume; leave `series` empty")
    if series is not None and name is None and not _STACK_ID.fullmatch(series):
        raise UsageError(
            f"{place}: an identifier as series and no name; need a name for its folder, since identifiers never become "
            "folders; add the column `name`"
        )
    return Line(number, text, source, series, target or default_target, _folder(text, series, name))


def _folder(text: str, series: str | None, name: str | None) -> str:
    if name is not None:
        return folder_name(_without_root(name))
    path = _without_root(text)
    folder = path.with_name(stem_of(Path(path))) if is_nifti(Path(path)) else path
    return folder_name(Path(folder, series or ""))


def _without_root(text: str) -> Path:
    path = PurePath(os.path.normpath(text))
    return Path(*path.relative_to(path.anchor).parts)


def _check_distinct(file: str, lines: Sequence[Line]) -> None:
    """Refuse lines that would make a series twice, or whose folders are the same or inside one another."""
    whole: dict[tuple[str, str], Line] = {}  # lines that take all of a folder, to any depth
    named: dict[tuple[str, str, str], Line] = {}
    clashes: dict[str, list[str]] = defaultdict(list)
    sources = {line.number: os.path.realpath(line.source) for line in lines}
    for line in lines:
        key = (line.makes, sources[line.number])
        other = whole.setdefault(key, line) if line.series is None else named.setdefault((*key, line.series), line)
        if other is not line:
            clashes["name the same series"].append(f"{other.number} and {line.number}")
    for line in lines:
        path = Path(sources[line.number])
        around = [path, *path.parents] if line.series is not None else path.parents
        if outer := next((whole[line.makes, str(p)] for p in around if (line.makes, str(p)) in whole), None):
            clashes["find the same series, one within the other's folder"].append(f"{outer.number} and {line.number}")
    folders: dict[str, Line] = {}
    for line in lines:
        if (other := folders.setdefault(line.name, line)) is not line:
            clashes["have the same output folder (give one a `name`)"].append(f"{other.number} and {line.number}")
    for line in lines:
        above = (str(parent) for parent in PurePath(line.name).parents)
        if outer := next((folders[name] for name in above if name in folders), None):
            clashes["have output folders inside one another (give one a `name`)"].append(
                f"{outer.number} and {line.number}"
            )
    for what, pairs in clashes.items():
        more = f" and {len(pairs) - _SHOWN} more pairs" if len(pairs) > _SHOWN else ""
        raise UsageError(
            f"{file}: lines {'; '.join(pairs[:_SHOWN])}{more} {what}; need each series once; delete or change one"
        )
