# SPDX-License-Identifier: Apache-2.0
"""``kneesynth simulate``: what it writes, what it refuses, and that it never leaves half a study."""

from __future__ import annotations

import errno
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from scripts.cli.app import main
from scripts.simulation.export import read_drawn

ROOT = Path(__file__).resolve().parents[2]
SMALL = ["--shape", "2x32x32"]


def test_a_study_as_nifti_and_dicom(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out"
    options = ["--studies", "2", "--seed", "5", "--plane", "axial", "--field", "3", "--pathology", "effusion=1"]
    assert main(["simulate", "-o", str(out), *options, *SMALL]) == 0
    assert "2 simulated studies" in capsys.readouterr().out
    assert sorted(path.name for path in out.iterdir()) == ["simulated-5", "simulated-6"]
    drawn = read_drawn(out / "simulated-5" / "drawn.json")
    assert drawn.stack.plane == "axial" and drawn.field_strength == 3.0 and drawn.stack.shape == (2, 32, 32)
    assert any(lesion.name == "effusion" for lesion in drawn.lesions)
    assert (out / "simulated-6" / "PDFS_clean.nii.gz").is_file()
    series = sorted((out / "simulated-5" / "dicom").iterdir())
    assert [len(list(one.iterdir())) for one in series] == [3, 2, 2]  # scout, PD, PDFS


def test_one_format_is_written_where_one_is_asked_for(tmp_path: Path) -> None:
    assert main(["simulate", "-o", str(tmp_path / "out"), "--dicom", *SMALL]) == 0
    (study,) = (tmp_path / "out").iterdir()
    assert sorted(path.name for path in study.iterdir()) == ["dicom", "drawn.json"]


def test_a_preset_of_ones_own(tmp_path: Path) -> None:
    preset = tmp_path / "mine.yaml"
    preset.write_text("base: clinical\ngeometry: { field_strength: { 1.5: 1, 3.0: 0 } }\n")
    assert main(["simulate", "-o", str(tmp_path / "out"), "--preset", str(preset), "--nifti", *SMALL]) == 0
    assert read_drawn(tmp_path / "out" / "simulated-1" / "drawn.json").field_strength == 1.5


def test_a_part_of_the_benchmark(tmp_path: Path) -> None:
    options = ["--preset", "benchmark-v1", "--studies", "1", *SMALL]
    assert main(["simulate", "-o", str(tmp_path / "out"), *options]) == 0
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert {"README.md", "SHA256SUMS", "manifest.json", "knee-01-sagittal", "knee-01-axial"} <= names
    listed = [line.partition("  ")[2] for line in (tmp_path / "out" / "SHA256SUMS").read_text().splitlines()]
    assert all((tmp_path / "out" / name).is_file() for name in listed)


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (["--shape", "2x-32x32"], "cannot be scanned"),
        (["--shape", "2x32"], "need slices, rows and columns"),
        (["--plane", "oblique"], "choose one of sagittal"),
        (["--field", "7"], "need 1.5 or 3 T"),
        (["--pathology", "gout=1"], "'gout' is unknown"),
        (["--pathology", "oedema=much"], "a kind and its chance"),
        (["--pathology", "oedema=2"], "need 0 to 1"),
        (["--preset", "nightmare"], "choose one of"),
        (["--preset", "benchmark-v1", "--seed", "3"], "fixed set"),
        (["--preset", "SLOW"], "TE 5 s is not shorter than TR"),
        (["--preset", "AWAY"], "misses the knee"),
        (["--preset", "TYPO"], "unknown key 'echo'"),
        (["--studies", "0"], "greater than or equal to 1"),
    ],
)
def test_bad_input_ends_in_one_line_and_leaves_nothing(
    options: list[str], text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    presets = {
        "SLOW": "scanner: { pd: { echo_time: 5.0 } }",
        "AWAY": "geometry: { stack: { offset: 500 } }",
        "TYPO": "scanner: { pd: { echo: 1 } }",
    }
    for name, content in presets.items():
        (tmp_path / f"{name}.yaml").write_text(f"base: clinical\n{content}\n")
    options = [str(tmp_path / f"{one}.yaml") if one in presets else one for one in options]
    if "--shape" not in options:
        options = [*options, *SMALL]
    assert main(["simulate", "-o", str(tmp_path / "out" / "deep"), *options]) == 2
    said = capsys.readouterr().err
    assert text in said and said.count("\n") == 1 and "Traceback" not in said
    assert not any(path.is_file() for path in (tmp_path / "out").rglob("*"))
    assert not (tmp_path / "out" / "deep").exists()


def failing(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    import nibabel

    save, calls = nibabel.save, []

    def fails(image: Any, path: Path) -> None:
        calls.append(path)
        if len(calls) == 13:  # in the second study
            raise error
        save(image, path)

    monkeypatch.setattr(nibabel, "save", fails)


def test_a_full_disk_leaves_nothing_half(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    failing(monkeypatch, OSError(errno.ENOSPC, "No space left on device"))
    assert main(["simulate", "-o", str(tmp_path / "out"), "--studies", "2", "--nifti", *SMALL]) == 8
    assert "No space left on device" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_an_interrupt_leaves_nothing_half(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    failing(monkeypatch, KeyboardInterrupt())
    assert main(["simulate", "-o", str(tmp_path / "out"), "--studies", "2", "--nifti", *SMALL]) == 130
    assert capsys.readouterr().err == "kneesynth: interrupted; nothing was written\n"
    assert list(tmp_path.iterdir()) == []


KILLED = """
import os, signal, sys
import nibabel

save = nibabel.save
def dies(image, path):
    save(image, path)
    if path.name == "PDFS.nii.gz":
        os.kill(os.getpid(), signal.SIGKILL)
nibabel.save = dies
from scripts.cli.app import main
main(["simulate", "-o", sys.argv[1], "--nifti", "--shape", "2x32x32"])
"""


def test_a_kill_leaves_no_half_study_and_the_next_run_clears_up(tmp_path: Path) -> None:
    out = tmp_path / "out"
    done = subprocess.run([sys.executable, "-c", KILLED, str(out)], cwd=ROOT, check=False, capture_output=True)
    assert done.returncode == -signal.SIGKILL
    assert not out.exists()
    assert [path.name.startswith(".out.partial-") for path in tmp_path.iterdir()] == [True]
    assert main(["simulate", "-o", str(out), "--nifti", *SMALL]) == 0
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_what_is_there_is_not_touched(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    assert main(["simulate", "-o", str(tmp_path), *SMALL]) == 8
    assert "is not empty" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]
