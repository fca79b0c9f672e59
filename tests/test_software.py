# SPDX-License-Identifier: Apache-2.0
"""The block that says which program, packages and devices made something, and not whose machine it was."""

from __future__ import annotations

import getpass
import hashlib
import importlib
import json
import platform
import socket
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch

from scripts import software
from scripts.software import PACKAGES, default_root, git_commit, program_version, software_block, version
from scripts.synthesis.bundle import read_facts

ROOT = Path(__file__).resolve().parents[1]


def test_it_names_what_is_really_here() -> None:
    facts = read_facts(default_root())
    block = software_block(vars(facts))
    weights = (ROOT / "bundle" / "models" / "model.pt").read_bytes()
    assert block["model"]["weights_sha256"] == hashlib.sha256(weights).hexdigest()
    metadata = json.loads((ROOT / "bundle" / "configs" / "metadata.json").read_text())
    assert block["version"] == program_version() == metadata["version"]
    assert block["python"] == platform.python_version()
    # What distributions say of themselves is what the modules say when they are imported.
    assert block["packages"] == {name: importlib.import_module(name).__version__ for name in PACKAGES}
    cpu, *gpus = block["devices"]
    assert cpu["device"] == "cpu" and cpu["kernels"] == torch.backends.cpu.get_cpu_capability()
    assert len(gpus) == torch.cuda.device_count()
    assert block["cpu_flags"] == [] or set(block["cpu_flags"]) <= set(software.CPU_FLAGS)


def test_it_names_neither_host_nor_user_nor_place() -> None:
    text = json.dumps(software_block(vars(read_facts(default_root()))))
    words = [socket.gethostname(), getpass.getuser(), str(ROOT), str(Path.home())]
    assert not [word for word in words if len(word) > 2 and word in text]
    assert "/" not in text


def test_a_package_that_is_not_installed_has_no_version() -> None:
    assert version("no-package-is-called-so") is None


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Path]]:
    """A function that puts this module's file into another checkout; gives that checkout's root."""

    def move(inside: str = "") -> Path:
        place = tmp_path / "checkout" / inside / "scripts" / "software.py"
        place.parent.mkdir(parents=True)
        place.write_text("")
        monkeypatch.setattr(software, "__file__", str(place))
        git_commit.cache_clear()
        return tmp_path / "checkout"

    yield move
    git_commit.cache_clear()


def git(root: Path, *words: str) -> str:
    identity = ["-c", "user.name=Somebody", "-c", "user.email=somebody@example.org"]
    done = subprocess.run(["git", "-C", root, *identity, *words], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def test_the_commit_is_that_of_our_own_checkout_with_a_mark_for_changes(elsewhere: Callable[..., Path]) -> None:
    root = elsewhere()
    assert git_commit() is None
    git(root, "init", "-q")
    git(root, "add", ".")
    git(root, "commit", "-qm", "first")
    git_commit.cache_clear()
    assert git_commit() == git(root, "rev-parse", "HEAD")
    (root / "scripts" / "software.py").write_text("# changed")
    git_commit.cache_clear()
    assert git_commit() == git(root, "rev-parse", "HEAD") + "+changes"


def test_the_checkout_around_a_package_is_not_ours(elsewhere: Callable[..., Path]) -> None:
    root = elsewhere("vendor/knee_package")
    git(root, "init", "-q")
    git(root, "add", ".")
    git(root, "commit", "-qm", "first")
    git_commit.cache_clear()
    assert git_commit() is None
