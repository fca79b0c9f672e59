# SPDX-License-Identifier: Apache-2.0
"""A package is code: only a named hash opens it."""

from __future__ import annotations

from pathlib import Path

import pytest

from scripts.errors import UsageError, WeightsError
from scripts.packaging.archive import Package, sha256
from scripts.packaging.trust import ALLOW_VARIABLE, allow_list, allowed_hashes, check_trusted, opened_package

PACKAGE = Package(
    "small", {"configs/metadata.json": b'{"name": "small", "version": "1.0.0"}', "scripts/__init__.py": b""}
)
HASH = sha256(PACKAGE.zip_bytes())


@pytest.fixture(autouse=True)
def own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv(ALLOW_VARIABLE, raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    return tmp_path


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    path = tmp_path / "small_v1.0.0.zip"
    path.write_bytes(PACKAGE.zip_bytes())
    return path


def test_its_hash_opens_it_zipped_or_unpacked(archive: Path, tmp_path: Path) -> None:
    PACKAGE.write(tmp_path / "small")
    for path, given in ((archive, HASH), (tmp_path / "small", HASH.upper()), (archive, f" {HASH}\n")):
        with opened_package(path, given) as folder:
            assert {p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()} == set(PACKAGE.files)
        assert not folder.exists()


def test_compiled_code_and_foreign_files_do_not_come_along(tmp_path: Path) -> None:
    PACKAGE.write(tmp_path / "small")
    (tmp_path / "small" / "scripts" / "__pycache__").mkdir()
    (tmp_path / "small" / "scripts" / "__pycache__" / "__init__.cpython-311.pyc").write_bytes(b"planted")
    (tmp_path / "small" / "sitecustomize.py").write_text("planted")
    with opened_package(tmp_path / "small", HASH) as folder:
        assert {p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()} == set(PACKAGE.files)


def test_without_a_hash_it_stays_closed(archive: Path) -> None:
    with pytest.raises(UsageError, match="allow list") as refusal, opened_package(archive, None):
        pass
    assert str(allow_list()) in str(refusal.value)
    assert HASH not in str(refusal.value), "the whole hash would be copied without a thought"


def test_another_hash_says_that_it_was_altered(archive: Path) -> None:
    with pytest.raises(WeightsError, match="not the expected 000000000000"), opened_package(archive, "0" * 64):
        pass
    archive.write_bytes(archive.read_bytes() + b" ")
    with pytest.raises(WeightsError, match="not the expected"), opened_package(archive, HASH):
        pass


@pytest.mark.parametrize("given", ["", HASH[:63], HASH + "0", "g" * 64, "sha256:" + HASH])
def test_what_is_no_hash_is_refused(given: str) -> None:
    with pytest.raises(UsageError, match="64 hexadecimal"):
        check_trusted(HASH, given, "a.zip")


def test_the_allow_list_of_the_user_and_that_of_the_variable(
    archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    allow_list().parent.mkdir(parents=True)
    allow_list().write_text(f"# ours\n\n{'0' * 64}\n{HASH.upper()}  small_v1.0.0.zip\n")
    assert allowed_hashes() == {"0" * 64, HASH}
    with opened_package(archive, None) as folder:
        assert folder.is_dir()
    monkeypatch.setenv(ALLOW_VARIABLE, str(tmp_path / "other"))
    (tmp_path / "other").write_text("")
    with pytest.raises(UsageError, match="not in the allow list"), opened_package(archive, None):
        pass


def test_a_given_hash_is_not_replaced_by_an_allowed_one(archive: Path) -> None:
    allow_list().parent.mkdir(parents=True)
    allow_list().write_text(HASH)
    with pytest.raises(WeightsError), opened_package(archive, "0" * 64):
        pass


def test_a_list_that_cannot_be_read_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(ALLOW_VARIABLE, str(tmp_path / "nowhere"))
    with pytest.raises(UsageError, match="cannot be read"):
        allowed_hashes()
    monkeypatch.setenv(ALLOW_VARIABLE, str(tmp_path / "bad"))
    (tmp_path / "bad").write_text(f"{HASH}\nsmall_v1.0.0.zip {HASH}\n")
    with pytest.raises(UsageError, match="line 2"):
        allowed_hashes()


def test_without_a_home_the_list_lies_in_the_users_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("XDG_CONFIG_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert allow_list() == tmp_path / ".config" / "kneesynth" / "allowed-packages"
    assert allowed_hashes() == set()
