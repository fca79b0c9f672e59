# SPDX-License-Identifier: Apache-2.0
"""What a site's own series names mean: a TOML file of names, without patterns and without expressions.

::

    [series."KN 3 fatfree"]
    contrast = "PDFS"       # PD, PDFS or other
    plane = "sagittal"      # sagittal, coronal or axial

    [series."Planung"]
    ignore = true

A name is compared with SeriesDescription, then with ProtocolName; capitals and the number of blanks do not matter. It
stands in for what words of the description would say, never for what is coded or measured: that wins, with a note.
"""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from scripts.dicom.contrast import OTHER, PD, PDFS, classify
from scripts.dicom.geometry import normal_of
from scripts.dicom.headers import Header
from scripts.errors import UsageError

CONTRASTS = (PD, PDFS, OTHER)
PLANES = ("sagittal", "coronal", "axial")

MAX_FILE_BYTES = 2**20

WITHIN_PLANE = 0.5
"""A plane may be given to an oblique stack whose normal lies within 60 degrees of that plane's."""

_WORDS = {PD: "pd", PDFS: "pd fs"}


@dataclass(frozen=True)
class LocalName:
    """What one series name means.

    Attributes:
        contrast: one of `CONTRASTS`, or None to leave it to the header.
        plane: one of `PLANES`, or None to leave it to the header.
        ignore: such a series is no source.
    """

    contrast: str | None = None
    plane: str | None = None
    ignore: bool = False

    def apply(self, header: Header, plane: str) -> tuple[str, tuple[str, ...], str, tuple[str, ...]]:
        """Combine with a header.

        Args:
            header: any of the stack.
            plane: what its orientation says.

        Returns:
            Contrast, its evidence, plane, and a note for each fact of the header that contradicted and won.
        """
        if self.ignore:
            return OTHER, ("the site file says to ignore it",), plane, ()
        contrast, evidence, notes = self._contrast(header)
        plane, more = self._plane(header, plane)
        return contrast, evidence, plane, (*notes, *more)

    def _contrast(self, header: Header) -> tuple[str, tuple[str, ...], tuple[str, ...]]:
        if self.contrast is None:
            return *classify(header.facts), ()
        said = f"the site file says {self.contrast}"
        if self.contrast == OTHER:
            return OTHER, (said,), ()
        # The name's meaning takes the place of its words; whatever else the header holds counts as ever.
        contrast, evidence = classify(replace(header.facts, description=_WORDS[self.contrast]))
        coded = tuple(sentence for sentence in evidence if "the description" not in sentence)
        if contrast == self.contrast:
            return contrast, (said, *coded), ()
        return contrast, coded, (f"T{said[1:]}, but the header {contrast} ({'; '.join(coded)}); the header is taken.",)

    def _plane(self, header: Header, plane: str) -> tuple[str, tuple[str, ...]]:
        if self.plane in (None, plane) or header.orientation is None:
            return plane, ()
        if plane == "oblique" and abs(normal_of(header.orientation)[PLANES.index(str(self.plane))]) >= WITHIN_PLANE:
            return str(self.plane), ()
        return plane, (f"The site file says {self.plane}, but its orientation is {plane}; the orientation is taken.",)


@dataclass(frozen=True)
class Site:
    """The meanings of a site's series names, by `_plain` name."""

    names: Mapping[str, LocalName]

    def find(self, *names: str) -> LocalName | None:
        """Give the meaning of the first of some names that has one."""
        return next((self.names[plain] for plain in map(_plain, names) if plain in self.names), None)


def load_site(path: Path) -> Site:
    """Read a site file.

    Raises:
        UsageError: it cannot be read, is no TOML, or holds anything but what the top of this module shows.
    """
    try:
        with path.open("rb") as file:
            raw = file.read(MAX_FILE_BYTES + 1)
        content = _parse(raw.decode("utf-8"))
    except OSError as error:
        raise UsageError(f"{path.name}: {error.strerror}; need a readable site file; check --site") from error
    except ValueError as error:  # both TOML readers and bad UTF-8
        raise UsageError(f'{path.name}: not TOML ({error}); need [series."NAME"] tables; correct it') from error
    if len(raw) > MAX_FILE_BYTES:
        raise UsageError(f"{path.name}: more than 1 MiB; need a site file with series names; check --site")
    unknown = sorted(set(content) - {"series"})
    series = content.get("series")
    if unknown or not isinstance(series, dict) or not series:
        found = f"unknown key {unknown[0]}" if unknown else "no series"
        raise UsageError(f'{path.name}: {found}; need [series."NAME"] tables alone; correct it')
    names: dict[str, LocalName] = {}
    for name, entry in series.items():
        plain = _plain(name)
        if not plain or plain in names:
            raise UsageError(f'{path.name}: series "{name}" is empty or there twice; need each name once; correct it')
        names[plain] = _entry(f'{path.name}: series "{name}"', entry)
    return Site(names)


def _entry(place: str, entry: Any) -> LocalName:
    if not isinstance(entry, dict) or not entry:
        raise UsageError(f"{place}: says nothing; need contrast, plane or ignore; add one")
    for key, value in entry.items():
        allowed: tuple[Any, ...] = {"contrast": CONTRASTS, "plane": PLANES, "ignore": (True,)}.get(key, ())
        if not allowed:
            raise UsageError(f"{place}: unknown key {key}; need contrast, plane or ignore; correct it")
        if not any(value is one or (isinstance(value, str) and value == one) for one in allowed):
            shown = ", ".join(str(one).lower() if one is True else str(one) for one in allowed)
            raise UsageError(f"{place}: {key} = {value!r}; need one of {shown}; correct it")
    if entry.get("ignore") and len(entry) > 1:
        raise UsageError(f"{place}: ignored and yet described; need ignore alone; drop the rest")
    return LocalName(**entry)


def _parse(text: str) -> dict[str, Any]:
    for name in ("tomllib", "tomli"):  # the second one for Python 3.10
        if importlib.util.find_spec(name) is not None:
            return dict(importlib.import_module(name).loads(text))
    raise UsageError("--site: Python 3.10 does not read TOML; need Python 3.11 or tomli; pip install tomli")


def _plain(name: str) -> str:
    return " ".join(name.split()).casefold()
