# SPDX-License-Identifier: Apache-2.0
"""``kneesynth package`` and ``synthesize --bundle``: what is said, what is asked for, and the exit codes."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from scripts.cli.app import main
from scripts.cli.packed_synthesis import arguments_of
from scripts.packaging.archive import Package, sha256
from scripts.packaging.trust import ALLOW_VARIABLE
from scripts.synthesis.narrowing import Narrowing
from scripts.synthesis.planning import Request
from scripts.synthesis.presentation import Presentation
from scripts.synthesis.selection import Lift

# A package that only tells how it was called.
TELLTALE = Package(
    "telltale",
    {
        "configs/metadata.json": json.dumps({"name": "telltale", "version": "3.0.0"}).encode(),
        "scripts/__init__.py": b"",
        "scripts/cli/__init__.py": b"",
        "scripts/cli/app.py": (
            b"import json, os, pathlib, sys\n"
            b"def main():\n"
            b"    told = {'arguments': sys.argv[1:], 'file': __file__, 'cwd': os.getcwd()}\n"
            b"    pathlib.Path('told.json').write_text(json.dumps(told))\n"
            b"    return 6 if '--force' in sys.argv else 0\n"
        ),
    },
)
HASH = sha256(TELLTALE.zip_bytes())


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(ALLOW_VARIABLE, str(tmp_path / "allowed"))
    (tmp_path / "allowed").write_text("")
    (tmp_path / "telltale.zip").write_bytes(TELLTALE.zip_bytes())
    monkeypatch.chdir(tmp_path)
    return tmp_path


def told(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "told.json").read_text())


def test_what_was_written_is_said_with_its_hash(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["package", "-o", "out"]) == 0
    said = capsys.readouterr().out
    (archive,) = (place / "out").glob("*.zip")
    assert f"out/{archive.name}" in said
    assert f"sha256 {sha256(archive.read_bytes())}" in said


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["package", "--name", "x"], 2, "--checkpoint"),
        (["package", "--version", "1.0.0"], 2, "--checkpoint"),
        (["package", "--checkpoint", "nowhere/best.pt"], 7, "no weights"),
        (["synthesize", "in", "-o", "out", "--bundle", "nowhere.zip"], 2, "no such package"),
        (["synthesize", "in", "-o", "out", "--bundle", "telltale.zip"], 2, "allow list"),
        (["synthesize", "in", "-o", "out", "--bundle", "telltale.zip", "--expect-sha256", "12"], 2, "64 hexadecimal"),
        (
            ["synthesize", "in", "-o", "out", "--bundle", "telltale.zip", "--expect-sha256", "0" * 64],
            7,
            "not the expected",
        ),
        (["synthesize", "in", "-o", "out", "--expect-sha256", "0" * 64], 2, "without --bundle"),
    ],
)
def test_a_refusal_has_its_code_and_one_line(
    place: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], code: int, words: str
) -> None:
    assert main(arguments) == code
    captured = capsys.readouterr()
    assert captured.out == ""
    assert len(captured.err.strip().splitlines()) == 1 and words in captured.err
    assert not (place / "told.json").exists(), "nothing of the package has run"
    assert not (place / "out").exists()


def test_a_refusal_of_a_package_is_written_for_machines_too(place: Path) -> None:
    line = [
        "synthesize",
        "in",
        "-o",
        "out",
        "--bundle",
        "telltale.zip",
        "--expect-sha256",
        "0" * 64,
        "--json",
        "r.json",
    ]
    assert main(line) == 7
    assert json.loads((place / "r.json").read_text())["exit_code"] == 7


@pytest.mark.parametrize("form", ["zip", "folder", "allowed"])
def test_a_package_runs_its_own_code_on_the_same_request(place: Path, form: str) -> None:
    TELLTALE.write(place / "telltale")
    if form == "allowed":
        (place / "allowed").write_text(f"{HASH}  telltale.zip\n")
    hashed = [] if form == "allowed" else ["--expect-sha256", HASH]
    package = "telltale" if form == "folder" else "telltale.zip"
    assert main(["synthesize", "in", "-o", "out", "--to", "PD", "--bundle", package, *hashed]) == 0
    assert told(place)["arguments"] == ["synthesize", "--out", "out", "--to", "PD", "--device", "auto", "--", "in"]
    assert told(place)["cwd"] == str(place)
    assert "kneesynth-package-" in told(place)["file"], "a private copy of what was hashed"


def test_a_package_ends_with_its_own_code(place: Path) -> None:
    line = ["synthesize", "in", "-o", "out", "--force", "--bundle", "telltale.zip", "--expect-sha256", HASH]
    assert main(line) == 6


def test_scripts_in_the_current_folder_do_not_come_first(place: Path) -> None:
    (place / "scripts").mkdir()
    (place / "scripts" / "__init__.py").write_text("raise SystemExit('the wrong one')")
    assert main(["synthesize", "in", "-o", "out", "--bundle", "telltale.zip", "--expect-sha256", HASH]) == 0
    assert told(place)["arguments"]


def test_every_option_is_handed_on_and_read_back_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    request = Request(
        inputs=(Path("-a"), Path("b")), out=Path("c"), target="auto", series="2.1", all_series=True,
        formats=("dicom", "nifti"), reference_dicom=Path("d"), device="cpu", lift=Lift(force=True, simulated=True),
        site=Path("e"), show=Presentation(mark=False, summary=False, identifiers=True), audit=Path("f"),
        only=Narrowing(("sagittal", "axial"), "--a b, c"),
    )  # fmt: skip
    asked: list[Request] = []

    def record(request: Request, tell: object) -> dict[str, Any]:
        asked.append(request)
        return {"series": []}

    monkeypatch.setattr("scripts.synthesis.run.synthesize", record)
    assert main(["synthesize", *arguments_of(request, None)]) == 0
    assert main(["synthesize", *arguments_of(Request((Path("a"),), Path("c")), None)]) == 0
    assert asked == [request, Request((Path("a"),), Path("c"))]


def test_help_names_the_verb_and_brings_nothing_heavy(capsys: pytest.CaptureFixture[str]) -> None:
    import subprocess

    code = (
        "import sys; from scripts.cli.app import main; main(['package', '--help']); "
        "print(sorted({'torch', 'monai', 'numpy'} & set(sys.modules)))"
    )
    root = Path(__file__).resolve().parents[2]
    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
    assert "--checkpoint" in done.stdout and "Example" in done.stdout
