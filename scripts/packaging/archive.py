# SPDX-License-Identifier: Apache-2.0
"""A package as one zip: the same bytes for the same files, on every machine, so that its hash is the package's name.

Nothing is compressed, since compressors differ between machines and weights hardly shrink; times, rights and order are
fixed. A folder therefore has the hash of the zip it was unpacked from.
"""

from __future__ import annotations

import hashlib
import io
import json
import re
import zipfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from scripts.errors import UsageError, WeightsError

METADATA = "configs/metadata.json"

# What a package consists of. All else in its folder (runs, caches, exports of a user) is not looked at and not used.
PARTS = ("LICENSE", "configs", "docs", "models", "scripts")

LARGEST = 2**30
"""Bytes that are read as a package; one of this project has some megabytes."""

_NAME = re.compile(r"[a-z][a-z0-9_]*")
_EPOCH = (1980, 1, 1, 0, 0, 0)
_RIGHTS = 0o100644 << 16
_UNIX = 3


@dataclass(frozen=True)
class Package:
    """The files of a package.

    Args:
        name: the folder in the zip, ``name`` of the metadata.
        files: content by path within that folder, ``/`` between its parts.
    """

    name: str
    files: Mapping[str, bytes]

    @property
    def version(self) -> str:
        """Version in the metadata."""
        return str(json.loads(self.files[METADATA])["version"])

    def zip_bytes(self) -> bytes:
        """The package as a zip."""
        stream = io.BytesIO()
        with zipfile.ZipFile(stream, "w", zipfile.ZIP_STORED) as archive:
            for path in sorted(self.files):
                entry = zipfile.ZipInfo(f"{self.name}/{path}", _EPOCH)
                entry.create_system, entry.external_attr = _UNIX, _RIGHTS
                archive.writestr(entry, self.files[path])
        return stream.getvalue()

    def write(self, folder: Path) -> None:
        """Write the files into an empty or new folder."""
        for path, content in self.files.items():
            target = folder.joinpath(*PurePosixPath(path).parts)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content)


def check_name(name: str) -> str:
    """The name, if it can be a folder and a MONAI bundle's name everywhere.

    Raises:
        UsageError: it cannot.
    """
    if not _NAME.fullmatch(name):
        raise UsageError(f"name {name!r}; need small letters, digits and _, a letter first; choose another.")
    return name


def sha256(content: bytes) -> str:
    """Hash of some bytes, hexadecimal."""
    return hashlib.sha256(content).hexdigest()


def read_package(path: Path, check: Callable[[str], None]) -> Package:
    """Read a package from its zip or from its folder, without running or unpacking anything of it.

    Args:
        path: zip or folder.
        check: called with the sha256 of the zip (of the file as it is, or of the zip that the folder's files make)
            before any of it is used; refuses by raising.

    Raises:
        UsageError: there is no such file or folder, or it is no package.
        WeightsError: it is damaged.
    """
    if path.is_dir():
        package = _from_folder(path)
        check(sha256(package.zip_bytes()))
        return package
    if not path.is_file():
        raise UsageError(f"{path.name}: no such package; need its folder or zip; check the path.")
    if path.stat().st_size > LARGEST:
        raise UsageError(f"{path.name}: larger than {LARGEST >> 20} MB; need a package; check the path.")
    content = path.read_bytes()
    check(sha256(content))
    return _from_zip(content, path.name)


def _from_folder(folder: Path) -> Package:
    files, size = {}, 0
    for path in _files_of(folder):
        size += path.stat().st_size
        if size > LARGEST:
            raise UsageError(f"{folder.name}: holds more than {LARGEST >> 20} MB; need a package; check the path.")
        files[path.relative_to(folder).as_posix()] = path.read_bytes()
    return _package(files, folder.name)


def _files_of(folder: Path) -> Iterator[Path]:
    for part in PARTS:
        path = folder / part
        if path.is_file():
            yield path
        # What Python compiled while the package was used is not of the package, and not taken along.
        yield from (file for file in sorted(path.rglob("*")) if file.is_file() and "__pycache__" not in file.parts)


def _from_zip(content: bytes, label: str) -> Package:
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            entries = [entry for entry in archive.infolist() if not entry.is_dir()]
            if sum(entry.file_size for entry in entries) > LARGEST:
                raise UsageError(f"{label}: unpacks to more than {LARGEST >> 20} MB; need a package; check the path.")
            paths = [PurePosixPath(entry.filename) for entry in entries]
            if len({path.parts[0] for path in paths}) != 1 or any(".." in path.parts for path in paths):
                raise UsageError(f"{label}: no package; need one folder in the zip, as `kneesynth package` makes it.")
            files = {path.relative_to(path.parts[0]).as_posix(): archive.read(str(path)) for path in paths}
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError) as error:
        raise WeightsError(f"{label}: damaged or no zip; need a package as it was made; fetch it again.") from error
    return _package(files, label)


def _package(files: Mapping[str, bytes], label: str) -> Package:
    try:
        name = json.loads(files[METADATA])["name"]
    except (KeyError, ValueError, TypeError) as error:
        raise UsageError(f"{label}: no {METADATA} with a name; need a package of this project.") from error
    return Package(check_name(str(name)), files)
