# SPDX-License-Identifier: Apache-2.0
"""What the repository holds, and what it must not hold."""

from __future__ import annotations

import hashlib
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
LARGEST = 16 * 2**20  # bytes: the shipped weights, and nothing beside them comes near
IMAGE_SUFFIXES = (".dcm", ".ima", ".nii", ".nii.gz", ".nrrd", ".mha", ".mhd", ".h5", ".hdf5", ".mat")
WEIGHT_SUFFIXES = (".pt", ".pth", ".ckpt", ".onnx", ".ts")
# Folders that exist on one person's machine; a path in code or text must be relative, or made by the test.
MACHINE_PATH = re.compile(r"(?<![\w.\-/>}])/(?:" + "|".join(["work", "tmp", "root", "home", "farm", "Users"]) + r")/\w")


@pytest.fixture(scope="module")
def files() -> list[Path]:
    """Files that are committed or would be by `git add`; without git, the files beside this package."""
    listing = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    if listing.returncode != 0:
        pytest.skip("not a git checkout: " + listing.stderr.strip())
    found = [ROOT / name for name in listing.stdout.split("\0") if name]
    found = [path for path in found if path.is_file()]
    assert ROOT / "pyproject.toml" in found
    return found


def relative(paths: list[Path]) -> list[str]:
    return sorted(str(path.relative_to(ROOT)) for path in paths)


def test_no_file_is_large(files: list[Path]) -> None:
    assert relative([path for path in files if path.stat().st_size > LARGEST]) == []


def test_no_images_and_no_weights_but_the_shipped_ones(files: list[Path]) -> None:
    images = [path for path in files if path.name.lower().endswith(IMAGE_SUFFIXES)]
    images += [path for path in files if path.read_bytes()[128:132] == b"DICM"]
    weights = [path for path in files if path.name.lower().endswith(WEIGHT_SUFFIXES)]
    assert relative(images) == []
    assert set(relative(weights)) <= {"bundle/models/model.pt", "bundle/models/uncertainty.pt"}


@pytest.mark.real_data
def test_nothing_of_the_real_data_is_copied(files: list[Path], real_data: Path) -> None:
    def digest(path: Path) -> str:
        return hashlib.sha256(path.read_bytes()).hexdigest()

    sizes = {path.stat().st_size for path in files}
    real = {digest(path) for path in real_data.rglob("*") if path.is_file() and path.stat().st_size in sizes}
    assert relative([path for path in files if path.stat().st_size and digest(path) in real]) == []


def test_no_path_of_one_machine(files: list[Path]) -> None:
    found = []
    for path in files:
        try:
            lines = path.read_text(encoding="utf-8").splitlines()
        except UnicodeDecodeError:
            continue
        found += [
            f"{path.relative_to(ROOT)}:{number}: {line.strip()[:80]}"
            for number, line in enumerate(lines, start=1)
            if MACHINE_PATH.search(line)
        ]
    assert found == []


@pytest.mark.parametrize("line", ["open('{}home/me/x')", "see {}tmp/a", "{}work/b", "DIR={}root/c"])
def test_machine_paths_are_recognised(line: str) -> None:
    assert MACHINE_PATH.search(line.format("/"))


@pytest.mark.parametrize("line", ["tests/tmp/a", "a.b/work/c", "<prefix>/home/x", "https://host/home/x", "/home page"])
def test_other_paths_are_not(line: str) -> None:
    assert not MACHINE_PATH.search(line)


def test_python_files_name_the_licence_and_package_files_are_empty(files: list[Path]) -> None:
    python = [path for path in files if path.suffix == ".py"]
    packages = [path for path in python if path.name == "__init__.py"]
    assert relative([path for path in packages if path.stat().st_size]) == []
    header = "# SPDX-License-Identifier: Apache-2.0"
    others = [path for path in python if path not in packages]
    assert relative([path for path in others if header not in path.read_text().splitlines()[:2]]) == []


def test_licence_is_whole() -> None:
    text = (ROOT / "LICENSE").read_text()
    assert "Apache License" in text
    assert "END OF TERMS AND CONDITIONS" in text
