# SPDX-License-Identifier: Apache-2.0
"""A site file gives names a meaning; what headers code or measure wins over it, and the user is told."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from scripts.cli.app import main
from scripts.dicom.index import Stack, index_series
from scripts.dicom.site import load_site
from scripts.errors import UsageError

Series = Callable[..., list[Path]]
Edit = Callable[..., None]
Look = Callable[..., Stack]


@pytest.fixture
def site_file(tmp_path: Path) -> Callable[[str], Path]:
    def write(text: str) -> Path:
        file = tmp_path / "site.toml"
        file.write_text(text, encoding="utf-8")
        return file

    return write


@pytest.fixture
def look(knee_series: Series, site_file: Callable[[str], Path], edit: Edit) -> Look:
    """A function that writes elements into a PD series named "KN 3" and indexes it with a site file."""

    fresh = itertools.count()

    def make(entry: str, tilt: float = 0.2, **elements: Any) -> Stack:
        files = knee_series(f"s{next(fresh)}", slices=5, shape=(16, 16), tilt=tilt, acquired=True)
        for file in files:
            edit(file, **{"SeriesDescription": "KN  3", **elements})
        (stack,) = index_series([files[0].parent], load_site(site_file(f'[series."kn 3"]\n{entry}\n')))
        return stack

    return make


def test_a_name_stands_in_for_words(look: Look) -> None:
    stack = look('contrast = "PDFS"')
    assert stack.contrast == "PDFS" and "the site file says PDFS" in stack.evidence and not stack.notes


def test_a_protocol_is_looked_up_where_the_description_is_not_known(look: Look) -> None:
    assert look('contrast = "PDFS"', SeriesDescription="changed by hand", ProtocolName="kn 3").contrast == "PDFS"


def test_a_name_takes_the_place_of_misleading_words(look: Look) -> None:
    assert look('contrast = "PD"', SeriesDescription="KN 3", ProtocolName="T1 fs").contrast == "PD"


@pytest.mark.parametrize(
    ("entry", "elements", "contrast", "word"),
    [
        ('contrast = "PD"', {"ScanOptions": "FS"}, "PDFS", "ScanOptions holds FS"),
        ('contrast = "PDFS"', {"EchoTime": "85"}, "other", "TE 85.0 ms"),
        ('contrast = "PD"', {"ScanningSequence": "GR"}, "other", "not a spin echo"),
        ('contrast = "PD"', {"RepetitionTime": "600"}, "other", "TR 600 ms"),
    ],
)
def test_a_fact_of_the_header_wins_with_a_note(
    look: Look, entry: str, elements: dict[str, Any], contrast: str, word: str
) -> None:
    stack = look(entry, **elements)
    assert stack.contrast == contrast
    (note,) = stack.notes
    assert word in note and "the header is taken" in note and "kn" not in note.lower().split()


def test_other_and_ignore_keep_a_series_out(look: Look) -> None:
    assert look('contrast = "other"').contrast == "other"
    stack = look("ignore = true")
    assert stack.contrast == "other" and stack.evidence[0] == "the site file says to ignore it"


def test_a_plane_is_given_to_an_oblique_stack_alone(look: Look) -> None:
    assert look('plane = "sagittal"', tilt=0.8).plane == "sagittal"
    stack = look('plane = "coronal"')
    assert stack.plane == "sagittal" and "the orientation is taken" in stack.notes[0]


def test_a_name_that_is_not_listed_changes_nothing(look: Look) -> None:
    assert look('contrast = "PDFS"', SeriesDescription="KN 34").contrast == "PD"


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("", "no series"),
        ("series = 3", "no series"),
        ("[series.a", "not TOML"),
        ("[serie.a]\ncontrast = 'PD'", "unknown key serie"),
        ("[series.a]", "says nothing"),
        ("[series.a]\ncontrast = 'T1'", "need one of PD, PDFS, other"),
        ("[series.a]\ncontrast = ['PD']", "need one of PD, PDFS, other"),
        ("[series.a]\nplane = 'oblique'", "need one of sagittal, coronal, axial"),
        ("[series.a]\nignore = 1", "need one of true"),
        ("[series.a]\nignore = false", "need one of true"),
        ("[series.a]\nignore = true\nplane = 'axial'", "ignore alone"),
        ("[series.a]\nregex = 'PD.*'", "unknown key regex"),
        ("[series.a]\nplane = 'axial'\n[series.A]\nplane = 'axial'", "there twice"),
        ("[series.' ']\nplane = 'axial'", "is empty"),
        ("# " + "x" * 2**20, "1 MiB"),
    ],
)
def test_what_is_no_site_file_is_refused_in_words(site_file: Callable[[str], Path], text: str, word: str) -> None:
    with pytest.raises(UsageError) as refused:
        load_site(site_file(text))
    message = str(refused.value)
    assert word in message and "site.toml" in message and "; need" in message and "\n" not in message


def test_a_missing_or_binary_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="need a readable site file"):
        load_site(tmp_path / "none.toml")
    (tmp_path / "b.toml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UsageError, match="not TOML"):
        load_site(tmp_path / "b.toml")


def test_inspect_takes_it(knee_series: Series, tmp_path: Path, edit: Edit, capsys: pytest.CaptureFixture[str]) -> None:
    for file in knee_series("s", slices=5, acquired=True):
        edit(file, SeriesDescription="KN 3", ScanOptions="FS")
    (tmp_path / "site.toml").write_text('[series."KN 3"]\ncontrast = "PD"\n')
    arguments = ["inspect", str(tmp_path / "s"), "--site", str(tmp_path / "site.toml")]
    assert main(arguments) == 0
    assert "Stack 1.1: The site file says PD, but the header PDFS" in capsys.readouterr().out
    assert main([*arguments, "--json", "-"]) == 0
    (entry,) = json.loads(capsys.readouterr().out)
    assert entry["contrast"] == "PDFS" and len(entry["notes"]) == 1
    assert main([*arguments[:2], "--site", str(tmp_path / "nothing.toml")]) == 2
