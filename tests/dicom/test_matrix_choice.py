# SPDX-License-Identifier: Apache-2.0
"""Several things in one folder: what is taken is certain, or the table is shown and nothing is taken."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pydicom
import pytest

from scripts.dicom.index import index_series
from scripts.synthesis.selection import AmbiguousSource, choose

Series = Callable[..., list[Path]]
Edit = Callable[..., None]
Build = Callable[[Series, Edit], None]


def into(files: list[Path], other: list[Path], edit: Edit, **changes: object) -> None:
    """Give files the SeriesInstanceUID of others."""
    uid = pydicom.dcmread(other[0]).SeriesInstanceUID
    for file in files:
        edit(file, SeriesInstanceUID=uid, **changes)


def alone(make: Series, edit: Edit) -> None:
    make("pd", acquired=True, description="PD")


def two_pd_series(make: Series, edit: Edit) -> None:
    alone(make, edit)
    make("cor", acquired=True, plane="coronal", number=2)


def pd_and_pdfs(make: Series, edit: Edit) -> None:
    alone(make, edit)
    make("fs", acquired=True, contrast="PDFS", description="PD fs", number=2)


def localizer_of_its_own(make: Series, edit: Edit) -> None:
    alone(make, edit)
    for file in make("scout", acquired=True, plane="axial", number=2):
        edit(file, ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"])


def short_localizer(make: Series, edit: Edit) -> None:
    alone(make, edit)
    make("scout", acquired=True, plane="axial", slices=3, number=2)


def localizer_in_the_series(make: Series, edit: Edit) -> None:
    files = make("pd", acquired=True, description="PD")
    for plane, number in (("axial", 2), ("coronal", 3)):
        into(make(plane, plane=plane, slices=3, number=number, acquired=True), files, edit)


def two_echoes_one_of_them_pd(make: Series, edit: Edit) -> None:
    files = make("pd", acquired=True)
    into(make("t2", acquired=True, number=2), files, edit, EchoTime="80", EchoNumbers=2)


def two_pd_echoes(make: Series, edit: Edit) -> None:
    files = make("pd", acquired=True)
    into(make("late", acquired=True, number=2), files, edit, EchoTime="42", EchoNumbers=2)


def derived_series_beside(make: Series, edit: Edit) -> None:
    alone(make, edit)
    for file in make("mpr", acquired=True, plane="coronal", number=2):
        edit(file, ImageType=["DERIVED", "SECONDARY", "MPR"])


def synthetic_series_whose_mark_was_dropped(make: Series, edit: Edit) -> None:
    alone(make, edit)
    for file in make("synthetic", acquired=True, plane="coronal", number=2):
        edit(file, ImageType=["ORIGINAL", "PRIMARY", "OTHER", "SYNTHETIC"])


def broken_series_beside(make: Series, edit: Edit) -> None:
    alone(make, edit)
    make("torn", acquired=True, plane="coronal", number=2)[4].unlink()


# Row; how many stacks are listed; what is taken: slices and plane, or None where the user is asked.
CHOICES: list[tuple[str, Build, int, tuple[int, str] | None]] = [
    ("one series", alone, 1, (10, "sagittal")),
    ("2 series in folder", two_pd_series, 2, None),
    ("PD and PDFS", pd_and_pdfs, 2, (10, "sagittal")),
    ("localizer other series", localizer_of_its_own, 2, (10, "sagittal")),
    ("localizer of three slices", short_localizer, 2, (10, "sagittal")),
    ("localizer under the same SeriesInstanceUID", localizer_in_the_series, 3, (10, "sagittal")),
    ("2 echoes same series, one of them PD", two_echoes_one_of_them_pd, 2, (10, "sagittal")),
    ("2 echoes same series, both PD", two_pd_echoes, 2, None),
    ("derived series beside it", derived_series_beside, 2, (10, "sagittal")),
    ("synthetic series without SyntheticData", synthetic_series_whose_mark_was_dropped, 2, (10, "sagittal")),
    ("broken series beside it", broken_series_beside, 2, (10, "sagittal")),
]


@pytest.mark.parametrize(("row", "build", "listed", "taken"), CHOICES, ids=[case[0] for case in CHOICES])
def test_choice(
    knee_series: Series, tmp_path: Path, edit: Edit, row: str, build: Build, listed: int, taken: tuple[int, str] | None
) -> None:
    build(knee_series, edit)
    stacks = index_series([tmp_path])
    assert len(stacks) == listed
    if taken is None:
        with pytest.raises(AmbiguousSource) as asked:
            choose(stacks, "PDFS")
        assert asked.value.exit_code == 3 and list(asked.value.stacks) == stacks
    else:
        (choice,) = choose(stacks, "PDFS").choices
        assert (choice.stack.slices, choice.stack.plane, choice.stack.contrast) == (*taken, "PD")
