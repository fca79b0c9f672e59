# SPDX-License-Identifier: Apache-2.0
"""The Dockerfile as far as it can be checked without Docker: what it copies, pins and starts."""

from __future__ import annotations

import fnmatch
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import tomllib

from scripts.cli.app import VERBS

ROOT = Path(__file__).resolve().parents[2]


def steps(name: str) -> list[str]:
    """The arguments of each step of that name, continued lines joined."""
    text = re.sub(r"\\\n\s*", "", (ROOT / "Dockerfile").read_text())
    return [line.split(maxsplit=1)[1] for line in text.splitlines() if line.split(maxsplit=1)[:1] == [name]]


def copies() -> list[tuple[str, str]]:
    return [(source, words[-1]) for words in map(str.split, steps("COPY")) for source in words[:-1]]


def ignored(path: str) -> bool:
    """Whether .dockerignore keeps a file out; the last pattern that fits decides."""
    out = False
    for line in (ROOT / ".dockerignore").read_text().splitlines():
        pattern = line.strip().lstrip("!")
        if not pattern or pattern.startswith("#"):
            continue
        parts = [path, *map(str, Path(path).parents)]
        names = [Path(part).name for part in parts] if pattern.startswith("**/") else parts
        if any(fnmatch.fnmatchcase(one, pattern.removeprefix("**/")) for one in names if one != "."):
            out = not line.strip().startswith("!")
    return out


@pytest.fixture
def image(tmp_path: Path) -> Path:
    """The folder that the image would hold."""
    listing = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True)
    if listing.returncode:
        pytest.skip("not a git checkout")
    tracked = [name for name in listing.stdout.splitlines() if not ignored(name)]
    folder = tmp_path / "image"
    for source, target in copies():
        found = [name for name in tracked if name == source or name.startswith(f"{source}/")]
        assert found, f"COPY {source}: nothing of that name is in the build context"
        for name in found:
            place = folder / (target + name.removeprefix(source) if target != "./" else name)
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, place)
    return folder


def test_the_context_holds_nothing_else() -> None:
    assert not ignored("scripts/cli/app.py") and not ignored(".ci/constraints.txt")
    for name in (
        ".git/config",
        "tests/conftest.py",
        "demo/study/1.dcm",
        ".ci/run",
        "scripts/__pycache__/a.pyc",
        ".venv/x",
    ):
        assert ignored(name), name


def test_everything_is_pinned_and_of_one_python() -> None:
    makefile = (ROOT / "Makefile").read_text()
    (base,) = steps("FROM")
    version = re.search(r"python:(\d\.\d+)-", base)
    assert version and f"python{version[1]} " in makefile
    installs = [step for step in steps("RUN") if "pip install" in step]
    assert installs and all("-c .ci/constraints.txt" in step for step in installs)
    assert re.search(r"(?m)^torch==", (ROOT / ".ci" / "constraints.txt").read_text())
    assert "torch" in installs[0].split() and "-e" not in installs[0].split()


def test_it_runs_as_nobody_in_particular_and_starts_a_verb() -> None:
    (user,) = steps("USER")
    assert re.fullmatch(r"[1-9]\d+:[1-9]\d+", user)
    (entry,), command = json.loads(*steps("ENTRYPOINT")), json.loads(*steps("CMD"))
    assert entry in tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]
    assert command[0] == "synthesize" and "--all" in command
    (health,) = steps("HEALTHCHECK")
    program, verb = json.loads(health[health.index("[") :])
    assert program == entry and verb in VERBS


@pytest.mark.slow
def test_what_is_copied_is_all_that_a_synthesis_needs(
    image: Path, knee_series: Callable[..., list[Path]], tmp_path: Path
) -> None:
    source = knee_series(acquired=True)[0].parent
    variables = {"MERCURE_IN_DIR": str(source), "MERCURE_OUT_DIR": str(tmp_path / "out"), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-B", "-m", "scripts", "synthesize", "--all"], cwd=image, env=os.environ | variables,
        capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert len(list((tmp_path / "out").glob("*.dcm"))) == 11  # ten slices and the summary page
