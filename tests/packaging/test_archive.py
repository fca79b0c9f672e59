# SPDX-License-Identifier: Apache-2.0
"""One hash for a package, zipped or unpacked, and a refusal for whatever is none."""

from __future__ import annotations

import hashlib
import io
import json
import os
import zipfile
from pathlib import Path

import pytest

from scripts.errors import KneeSynthError, UsageError, WeightsError
from scripts.packaging.archive import Package, check_name, read_package

FILES = {
    "LICENSE": b"terms",
    "configs/metadata.json": json.dumps({"name": "small", "version": "1.0.0"}).encode(),
    "models/model.pt": bytes(range(256)) * 40,
    "scripts/__init__.py": b"",
}


@pytest.fixture
def package() -> Package:
    return Package("small", FILES)


def hash_of(path: Path) -> str:
    found: list[str] = []
    read_package(path, found.append)
    return found[0]


def test_the_same_files_are_the_same_bytes(package: Package) -> None:
    backwards = Package("small", dict(reversed(FILES.items())))
    assert package.zip_bytes() == backwards.zip_bytes()


def test_a_zip_has_the_hash_that_sha256sum_gives_and_its_folder_the_same(package: Package, tmp_path: Path) -> None:
    archive = tmp_path / "small_v1.0.0.zip"
    archive.write_bytes(package.zip_bytes())
    with zipfile.ZipFile(archive) as opened:
        opened.extractall(tmp_path)
    assert hash_of(archive) == hashlib.sha256(archive.read_bytes()).hexdigest() == hash_of(tmp_path / "small")


def test_a_folder_keeps_its_hash_when_it_is_used_moved_or_renamed(package: Package, tmp_path: Path) -> None:
    package.write(tmp_path / "small")
    before = hash_of(tmp_path / "small")
    (tmp_path / "small" / "scripts" / "__pycache__").mkdir()
    (tmp_path / "small" / "scripts" / "__pycache__" / "networks.pyc").write_bytes(b"compiled")
    (tmp_path / "small" / "outputs").mkdir()
    (tmp_path / "small" / "outputs" / "run.json").write_text("{}")
    os.utime(tmp_path / "small" / "LICENSE", (1, 1))
    (tmp_path / "small").rename(tmp_path / "other")
    assert hash_of(tmp_path / "other") == before


@pytest.mark.parametrize("path", FILES)
def test_a_changed_byte_anywhere_changes_the_hash(package: Package, tmp_path: Path, path: str) -> None:
    package.write(tmp_path / "small")
    before = hash_of(tmp_path / "small")
    with (tmp_path / "small" / path).open("ab") as stream:
        stream.write(b" ")
    assert hash_of(tmp_path / "small") != before


def test_a_file_more_changes_the_hash(package: Package, tmp_path: Path) -> None:
    package.write(tmp_path / "small")
    before = hash_of(tmp_path / "small")
    (tmp_path / "small" / "scripts" / "more.py").write_text("")
    assert hash_of(tmp_path / "small") != before


def test_what_is_read_back_is_what_was_packed(package: Package, tmp_path: Path) -> None:
    (tmp_path / "a.zip").write_bytes(package.zip_bytes())
    package.write(tmp_path / "a")
    for path in (tmp_path / "a.zip", tmp_path / "a"):
        assert read_package(path, lambda found: None) == package


def test_nothing_is_read_before_the_hash_is_accepted(tmp_path: Path) -> None:
    (tmp_path / "a.zip").write_bytes(b"this is no zip, and nobody is to find out before the hash is known")

    def refuse(found: str) -> None:
        raise WeightsError("not this one")

    with pytest.raises(WeightsError, match="not this one"):
        read_package(tmp_path / "a.zip", refuse)


def _zip(names: dict[str, bytes]) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for name, content in names.items():
            archive.writestr(name, content)
    return stream.getvalue()


@pytest.mark.parametrize(
    ("content", "error", "said"),
    [
        (b"", WeightsError, "damaged"),
        (Package("small", FILES).zip_bytes()[:-30], WeightsError, "damaged"),
        (Package("small", FILES).zip_bytes().replace(bytes(range(256)), bytes(256), 1), WeightsError, "damaged"),
        (_zip({}), UsageError, "one folder"),
        (_zip({"a/x": b"", "b/y": b""}), UsageError, "one folder"),
        (_zip({"a/../../x": b"", "a/configs/metadata.json": b"{}"}), UsageError, "one folder"),
        (_zip({"a/configs/metadata.json": b"{"}), UsageError, "metadata"),
        (_zip({"a/configs/metadata.json": b'{"name": "../../etc"}'}), UsageError, "small letters"),
    ],
    ids=["empty", "cut off", "flipped", "no files", "two folders", "way out", "bad metadata", "bad name"],
)
def test_what_is_no_package_is_refused(tmp_path: Path, content: bytes, error: type[KneeSynthError], said: str) -> None:
    (tmp_path / "a.zip").write_bytes(content)
    with pytest.raises(error, match=said):
        read_package(tmp_path / "a.zip", lambda found: None)


def test_a_missing_package_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no such package"):
        read_package(tmp_path / "a.zip", lambda found: None)
    with pytest.raises(UsageError, match=r"metadata\.json"):
        read_package(tmp_path, lambda found: None)


@pytest.mark.parametrize("name", ["", "Knee", "a b", "../a", "1a", "a-b"])
def test_a_name_that_cannot_be_everywhere_is_refused(name: str) -> None:
    with pytest.raises(UsageError, match="small letters"):
        check_name(name)
