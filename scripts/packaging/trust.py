# SPDX-License-Identifier: Apache-2.0
"""A package is code: it is opened only if its hash was named, by who starts the program or by this machine's keeper.

The keeper's allow list is a text file: one sha256 per line, words after it and lines that begin with ``#`` are remarks,
so that the output of ``sha256sum`` can be appended to it. It lies where `ALLOW_VARIABLE` says, else at
``kneesynth/allowed-packages`` in the user's configuration folder (``XDG_CONFIG_HOME``, or ``~/.config``).
"""

from __future__ import annotations

import contextlib
import logging
import os
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path

from scripts.errors import UsageError, WeightsError
from scripts.packaging.archive import read_package

ALLOW_VARIABLE = "KNEESYNTH_ALLOWED_PACKAGES"

logger = logging.getLogger(__name__)

_HASH = re.compile(r"[0-9a-f]{64}")


def allow_list() -> Path:
    """Where the allow list of this machine is, or would be."""
    if named := os.environ.get(ALLOW_VARIABLE):
        return Path(named)
    home = os.environ.get("XDG_CONFIG_HOME")
    return (Path(home) if home else Path.home() / ".config") / "kneesynth" / "allowed-packages"


def allowed_hashes() -> set[str]:
    """Hashes of the allow list; none where there is no list.

    Raises:
        UsageError: the list cannot be read, or a line of it begins with no sha256.
    """
    path = allow_list()
    if not path.exists() and not os.environ.get(ALLOW_VARIABLE):
        return set()
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(
            f"allow list {path}: cannot be read; need a text file; mend it or {ALLOW_VARIABLE}."
        ) from error
    found = set()
    for number, line in enumerate(lines, start=1):
        words = line.split()
        if not words or words[0].startswith("#"):
            continue
        if not _HASH.fullmatch(words[0].lower()):
            raise UsageError(f"allow list {path}, line {number}: no sha256; need 64 hexadecimal digits; correct it.")
        found.add(words[0].lower())
    return found


def check_trusted(found: str, expected: str | None, label: str) -> None:
    """Refuse a package that nobody vouched for.

    Args:
        found: its hash.
        expected: the hash that the user gave; None leaves it to the allow list.
        label: its name, for the refusal.

    Raises:
        UsageError: no hash given and none allowed, or what was given is no hash.
        WeightsError: the package is not the one that the hash names.
    """
    if expected is None:
        if found not in allowed_hashes():
            raise UsageError(
                f"{label}: a package is code, and this one (sha256 {found[:12]}...) is not in the allow list "
                f"{allow_list()}; need the sha256 that its maker gave you; give --expect-sha256, or add it there."
            )
        return
    if not _HASH.fullmatch(expected.strip().lower()):
        raise UsageError(f"--expect-sha256 {expected[:70]}: no sha256; need 64 hexadecimal digits; copy it whole.")
    if found != expected.strip().lower():
        raise WeightsError(
            f"{label}: its sha256 {found[:12]}... is not the expected {expected.strip()[:12].lower()}...; need the "
            "package as its maker packed it; fetch it again, or unpack the zip anew."
        )


@contextlib.contextmanager
def opened_package(path: Path, expected: str | None) -> Iterator[Path]:
    """Hand out a private copy of a trusted package, gone afterwards.

    What was hashed is what the copy holds: each file is read once, and what else lies in a package's folder (Python's
    compiled files among it) is left behind.

    Args:
        path: zip or folder.
        expected: see `check_trusted`.

    Yields:
        The package's folder.

    Raises:
        UsageError: no package there, or one that nobody vouched for.
        WeightsError: an altered or damaged one.
    """
    package = read_package(path, lambda found: check_trusted(found, expected, path.name))
    logger.info("package %s %s", package.name, package.version)
    with tempfile.TemporaryDirectory(prefix="kneesynth-package-") as scratch:
        folder = Path(scratch) / package.name
        package.write(folder)
        yield folder
