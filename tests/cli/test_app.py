# SPDX-License-Identifier: Apache-2.0
"""What people and pipelines see: exit codes, one line on stderr, tables, JSON, and an output folder left as it was."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import nibabel
import numpy as np
import pytest

from scripts.cli import app as cli
from scripts.cli.app import main

ROOT = Path(__file__).resolve().parents[2]
Series = Callable[..., list[Path]]


@pytest.fixture(autouse=True)
def no_container(monkeypatch: pytest.MonkeyPatch) -> None:
    for host in ("MERCURE_IN_DIR", "MERCURE_OUT_DIR", "HOLOSCAN_INPUT_PATH", "HOLOSCAN_OUTPUT_PATH"):
        monkeypatch.delenv(host, raising=False)
    for host in ("MONAI_INPUTPATH", "MONAI_OUTPUTPATH", cli.DEBUG_VARIABLE):
        monkeypatch.delenv(host, raising=False)


@pytest.fixture
def fake_run(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """Synthesis replaced by a record of what was asked for."""
    asked: list[object] = []

    def record(request: object, tell: object) -> dict[str, object]:
        asked.append(request)
        products = {"dicom": ["0001.dcm"], "page": "report.html"}
        entry = {"stack": "1.1", "target_contrast": "PDFS", "warnings": ["w"], "products": products}
        return {"program": "kneesynth", "status": "done", "series": [entry]}

    monkeypatch.setattr("scripts.synthesis.run.synthesize", record)
    return asked


def _change(files: list[Path], **attributes: object) -> None:
    import pydicom

    for file in files:
        dataset = pydicom.dcmread(file)
        for keyword, value in attributes.items():
            setattr(dataset, keyword, value)
        dataset.save_as(file, enforce_file_format=True)


def _one_line(capsys: pytest.CaptureFixture[str]) -> str:
    captured = capsys.readouterr()
    assert captured.out == ""
    lines = captured.err.strip().splitlines()
    assert len(lines) == 1 and lines[0].startswith("kneesynth: ")
    return lines[0]


def test_help_comes_at_once_and_imports_nothing_heavy() -> None:
    code = (
        "import sys; from scripts.cli.app import main; main(['synthesize', '--help']); main(['--help']); "
        "print(sorted({'torch', 'monai', 'pydicom', 'nibabel', 'numpy', 'matplotlib'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
    assert "Example" in done.stdout and "--accept-simulated" in done.stdout


def test_version_is_that_of_the_bundle(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    metadata = json.loads((ROOT / "bundle" / "configs" / "metadata.json").read_text())
    assert capsys.readouterr().out.strip() == f"kneesynth {metadata['version']}"


@pytest.mark.parametrize(
    "arguments",
    [
        ["synthesize", "--bad"],
        ["nonsense"],
        ["synthesize", "x", "-o"],
        ["inspect"],
        ["synthesize", "nowhere", "-o", "y"],
    ],
    ids=" ".join,
)
def test_wrong_usage_is_two_in_one_line(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == 2
    _one_line(capsys)


def _empty(folder: Path, series: Series) -> Path:
    folder.joinpath("in").mkdir()
    return folder / "in"


def _text(folder: Path, series: Series) -> Path:
    folder.joinpath("note.txt").write_text("no image")
    return folder / "note.txt"


def _ct(folder: Path, series: Series) -> Path:
    files = series(acquired=True)
    _change(files, Modality="CT", SOPClassUID="1.2.840.10008.5.1.4.1.1.2")
    return files[0].parent


def _truncated(folder: Path, series: Series) -> Path:
    files = series(acquired=True)
    files[4].write_bytes(files[4].read_bytes()[:-300])
    return files[0].parent


def _gap(folder: Path, series: Series) -> Path:
    files = series(acquired=True)
    files[4].unlink()
    return files[0].parent


def _suppressed(folder: Path, series: Series) -> Path:
    return series(contrast="PDFS", acquired=True)[0].parent


def _simulated(folder: Path, series: Series) -> Path:
    return series()[0].parent


@pytest.mark.parametrize(
    ("make", "code", "words", "force_lifts"),
    [
        (_empty, 3, "no DICOM series found", False),
        (_text, 4, "neither DICOM nor NIfTI", False),
        (_ct, 6, "not MR (CT)", False),
        (_truncated, 4, "cannot be decoded", False),
        (_gap, 5, "gap", False),
        (_suppressed, 6, "its contrast is PDFS", True),
        (_simulated, 6, "--accept-simulated", False),
    ],
    ids=["empty folder", "text file", "CT", "truncated", "gap", "PDFS as source for PDFS", "simulated"],
)
@pytest.mark.parametrize("present", [False, True], ids=["OUT absent", "OUT present"])
def test_bad_input_has_its_code_one_line_and_an_untouched_folder(
    knee_series: Series,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    make: Callable[[Path, Series], Path],
    code: int,
    words: str,
    force_lifts: bool,
    present: bool,
) -> None:
    source, out = make(tmp_path, knee_series), tmp_path / "out"
    if present:
        out.mkdir()
        (out / "mine.txt").write_text("mine")
    assert main(["synthesize", str(source), "-o", str(out), "--to", "PDFS"]) == code
    assert words in _one_line(capsys)
    assert [p.name for p in out.iterdir()] == ["mine.txt"] if present else not out.exists()

    class Reached(Exception):
        """The model would be loaded now."""

    def reach(*arguments: object, **named: object) -> None:
        raise Reached

    monkeypatch.setattr("scripts.synthesis.run.load_model", reach)
    assert main(["synthesize", str(source), "-o", str(out), "--to", "PDFS", "--force"]) == (1 if force_lifts else code)


@pytest.mark.parametrize("damage", ["missing", "altered"])
def test_missing_and_altered_weights_are_seven(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, damage: str
) -> None:
    (tmp_path / "bundle" / "models").mkdir(parents=True)
    (tmp_path / "bundle" / "configs").mkdir()
    (tmp_path / "bundle" / "configs" / "metadata.json").write_text(json.dumps({"version": "1", "weights_sha256": "0"}))
    if damage == "altered":
        (tmp_path / "bundle" / "models" / "model.pt").write_bytes(b"altered")
    monkeypatch.setattr("scripts.synthesis.bundle.default_root", lambda: tmp_path / "bundle")
    source = tmp_path / "in.nii"
    nibabel.save(nibabel.Nifti1Image(np.ones((4, 4, 3), np.float32), np.eye(4)), source)
    assert main(["synthesize", str(source), "-o", str(tmp_path / "out"), "--to", "PD"]) == 7
    assert "model.pt" in _one_line(capsys)
    assert not (tmp_path / "out").exists()


def test_several_candidates_print_their_table_and_the_line_comes_last(
    knee_series: Series, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for number, plane in enumerate(("sagittal", "coronal"), start=1):
        knee_series(f"exam/{plane}", plane=plane, number=number, seed=number, acquired=True, description="DR HOUSE")
    target = tmp_path / "refusal.json"
    out = tmp_path / "out"
    assert main(["synthesize", str(tmp_path / "exam"), "-o", str(out), "--json", str(target)]) == 3
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "1.1" in captured.err and "coronal" in captured.err and "HOUSE" not in captured.err
    assert captured.err.strip().splitlines()[-1].startswith("kneesynth: 2 usable PD stacks among 2")
    refusal = json.loads(target.read_text())
    assert (refusal["status"], refusal["exit_code"], len(refusal["stacks"])) == ("refused", 3, 2)
    assert not out.exists()


def test_inspect_lists_stacks_as_table_and_as_json(
    knee_series: Series, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files = knee_series(acquired=True, description="[red]SAG PD[/red]")
    assert main(["inspect", str(files[0].parent)]) == 0
    table = capsys.readouterr().out
    assert "sagittal" in table and "3.30 x 0.50 x 0.40" in table and "[red]SAG PD[/red]" in table
    assert main(["inspect", str(files[0].parent), "--json", "-"]) == 0
    (entry,) = json.loads(capsys.readouterr().out)
    needed = "id series_instance_uid description plane slices shape spacing_mm echo_time_ms repetition_time_ms contrast"
    assert {*needed.split(), "evidence", "usable"} <= set(entry)
    assert entry["echo_time_ms"] == 30.0
    (tmp_path / "empty").mkdir()
    assert main(["inspect", str(tmp_path / "empty")]) == 3


def test_containers_give_paths_by_environment(
    fake_run: list[object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HOLOSCAN_INPUT_PATH", str(tmp_path / "holoscan in"))
    monkeypatch.setenv("MONAI_OUTPUTPATH", str(tmp_path / "monai out"))
    assert main(["synthesize"]) == 0
    monkeypatch.setenv("MERCURE_IN_DIR", str(tmp_path / "mercure"))
    assert main(["synthesize", "-o", str(tmp_path / "named")]) == 0
    first, second = fake_run
    assert first.inputs == (tmp_path / "holoscan in",) and first.out == tmp_path / "monai out"  # type: ignore[attr-defined]
    assert second.inputs == (tmp_path / "mercure",) and second.out == tmp_path / "named"  # type: ignore[attr-defined]
    assert "1 DICOM instance," in capsys.readouterr().out


def test_options_reach_the_request(fake_run: list[object], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    line = "synthesize a b -o c --to auto --series 2.1 --all --format dicom, --device cpu --force --accept-simulated"
    assert main(line.replace("dicom,", "dicom").split()) == 0
    (request,) = fake_run
    assert request.inputs == (Path("a"), Path("b"))  # type: ignore[attr-defined]
    assert (request.target, request.series, request.all_series) == ("auto", "2.1", True)  # type: ignore[attr-defined]
    assert (request.formats, request.device) == (("dicom",), "cpu")  # type: ignore[attr-defined]
    assert request.lift.force and request.lift.simulated  # type: ignore[attr-defined]


def test_json_on_stdout_stands_alone(fake_run: list[object], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["synthesize", "a", "-o", "c", "--json", "-"]) == 0
    assert json.loads(capsys.readouterr().out)["status"] == "done"


def test_json_that_cannot_be_written_is_refused_before_the_work(
    fake_run: list[object], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["synthesize", "a", "-o", "c", "--json", str(tmp_path / "no" / "x.json")]) == 8
    assert fake_run == []


@pytest.mark.parametrize(
    ("error", "code"), [(MemoryError(), 9), (KeyboardInterrupt(), 130), (ZeroDivisionError("NAME^PATIENT"), 1)]
)
def test_what_no_one_foresaw_ends_in_one_line_too(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], error: BaseException, code: int
) -> None:
    def fail(*arguments: object) -> None:
        raise error

    monkeypatch.setattr("scripts.synthesis.run.synthesize", fail)
    assert main(["synthesize", "a", "-o", "c"]) == code
    assert "PATIENT" not in _one_line(capsys)


@pytest.mark.real_data
def test_real_stacks_are_listed(real_data: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    folder = str(real_data / "pymskt" / "mese_knee_ge3t")
    assert main(["inspect", folder, "--json", "-"]) == 0
    entries = json.loads(capsys.readouterr().out)
    assert [e["slices"] for e in entries] == [24] * 8
    assert main(["synthesize", folder, "-o", str(tmp_path / "out")]) == 3
    assert all(f" {e['id']} " in capsys.readouterr().err for e in entries[:1])
