# SPDX-License-Identifier: Apache-2.0
"""The audit: a line for each series, whatever became of it; nothing of a patient; and no line torn by another."""

from __future__ import annotations

import hashlib
import hmac
import json
import multiprocessing
import os
from collections.abc import Callable
from multiprocessing.synchronize import Barrier
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest

from scripts.archive.run import ArchiveRequest, synthesize_archive
from scripts.cli.app import main
from scripts.dicom.index import index_series
from scripts.errors import DecodeError, GateError, KneeSynthError, OutputError, SourceError, UsageError, WeightsError
from scripts.synthesis import audit, run
from scripts.synthesis.audit import audited
from scripts.synthesis.planning import Request
from scripts.synthesis.run import synthesize
from scripts.synthesis.selection import Lift

Series = Callable[..., list[Path]]
KEYS = {
    *("time", "outcome", "exit_code", "study", "series", "stack", "source", "target", "warnings", "model", "seconds"),
}


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def short(content: bytes, key: bytes = b"") -> str:
    """The same by other means: what `sha256sum` and `openssl dgst -hmac` print begins so."""
    return (hmac.digest(key, content, "sha256").hex() if key else hashlib.sha256(content).hexdigest())[:16]


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "audit.jsonl"


def test_each_series_that_was_made_has_a_line_and_the_next_run_adds_to_it(
    knee_series: Series, random_bundle: Path, tmp_path: Path, log: Path
) -> None:
    for number, plane in enumerate(("sagittal", "coronal"), start=1):
        knee_series(f"exam/{plane}", plane=plane, number=number, seed=number, acquired=True)
    request = Request((tmp_path / "exam",), tmp_path / "out", all_series=True, formats=("nifti",), audit=log)
    report = synthesize(request, bundle_root=random_bundle)
    made = lines(log)
    stacks = {stack.id: stack for stack in index_series([tmp_path / "exam"])}
    assert [line["stack"] for line in made] == ["1.1", "2.1"]
    for line, entry in zip(made, report["series"], strict=True):
        stack = stacks[line["stack"]]
        assert set(line) == KEYS
        assert line["study"] == short(stack.study_instance_uid.encode())
        assert line["series"] == short(stack.series_instance_uid.encode())
        assert (line["outcome"], line["exit_code"], line["source"], line["target"]) == ("done", 0, "PD", "PDFS")
        assert line["warnings"] == entry["warnings"]
        assert line["model"] == report["model"]
        assert line["seconds"] > 0
    assert made[0]["series"] != made[1]["series"]

    synthesize(request, bundle_root=random_bundle)
    assert lines(log)[:2] == made and len(lines(log)) == 4


def test_no_uid_name_or_path_is_in_it(knee_series: Series, random_bundle: Path, tmp_path: Path, log: Path) -> None:
    files = knee_series("MUELLER", acquired=True, description="DR HOUSE")
    synthesize(Request((files[0].parent,), tmp_path / "out", formats=("nifti",), audit=log), bundle_root=random_bundle)
    files[3].unlink()
    with pytest.raises(KneeSynthError):
        synthesize(Request((files[0].parent,), tmp_path / "out", audit=log), bundle_root=random_bundle)
    (stack,) = index_series([files[0].parent])
    words = ["MUELLER", "HOUSE", "NOBODY", "12345", str(tmp_path), stack.series_instance_uid, stack.study_instance_uid]
    assert len(lines(log)) == 2
    assert not [word for word in words if word in log.read_text()]


def test_a_key_of_the_site_goes_into_the_hash(
    knee_series: Series, random_bundle: Path, tmp_path: Path, log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = knee_series(acquired=True)
    monkeypatch.setenv(audit.KEY_VARIABLE, "a secret")
    synthesize(Request((files[0].parent,), tmp_path / "out", formats=("nifti",), audit=log), bundle_root=random_bundle)
    (stack,) = index_series([files[0].parent])
    assert lines(log)[0]["study"] == short(stack.study_instance_uid.encode(), b"a secret")
    assert lines(log)[0]["series"] == short(stack.series_instance_uid.encode(), b"a secret")


def test_a_nifti_file_is_told_by_its_bytes(random_bundle: Path, tmp_path: Path, log: Path) -> None:
    path = _nifti(tmp_path / "pdfs.nii.gz")
    synthesize(Request((path,), tmp_path / "out", target="PD", audit=log), bundle_root=random_bundle)
    (line,) = lines(log)
    assert (line["study"], line["series"], line["source"]) == (None, short(path.read_bytes()), "PDFS")


def _nifti(path: Path) -> Path:
    voxels = np.random.default_rng(0).random((16, 16, 3), dtype=np.float32)
    nibabel.save(nibabel.Nifti1Image(voxels, np.diag([0.5, 0.5, 3.0, 1.0])), path)
    return path


def test_a_refusal_before_a_series_is_found_has_one_line_without(
    random_bundle: Path, tmp_path: Path, log: Path
) -> None:
    (tmp_path / "in").mkdir()
    with pytest.raises(SourceError):
        synthesize(Request((tmp_path / "in",), tmp_path / "out", audit=log), bundle_root=random_bundle)
    with pytest.raises(UsageError):
        synthesize(Request((tmp_path / "no",), tmp_path / "out", target="T2", audit=log), bundle_root=random_bundle)
    first, second = lines(log)
    assert (first["outcome"], first["exit_code"], first["series"], first["source"]) == ("refused", 3, None, None)
    assert (second["exit_code"], second["target"]) == (2, "T2")
    assert first["model"]["weights_sha256"] == second["model"]["weights_sha256"]


@pytest.mark.parametrize(
    ("error", "outcome", "code", "raised"),
    [
        (WeightsError("w"), "refused", 7, WeightsError),
        (OutputError("o"), "failed", 8, OutputError),
        (MemoryError(), "failed", 9, KneeSynthError),
        (ZeroDivisionError("NAME^PATIENT"), "failed", 1, ZeroDivisionError),
        (KeyboardInterrupt(), "interrupted", 130, KeyboardInterrupt),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, BaseException) else "",
)
def test_whatever_ends_a_run_every_series_that_was_found_has_its_line(
    knee_series: Series,
    random_bundle: Path,
    tmp_path: Path,
    log: Path,
    monkeypatch: pytest.MonkeyPatch,
    error: BaseException,
    outcome: str,
    code: int,
    raised: type[BaseException],
) -> None:
    for number, plane in enumerate(("sagittal", "coronal"), start=1):
        knee_series(f"exam/{plane}", plane=plane, number=number, seed=number)

    def fail(*arguments: object) -> None:
        raise error

    monkeypatch.setattr(run, "infer", fail)
    request = Request((tmp_path / "exam",), tmp_path / "out", all_series=True, lift=Lift(simulated=True), audit=log)
    with pytest.raises(raised):
        synthesize(request, bundle_root=random_bundle)
    made = lines(log)
    assert [(line["outcome"], line["exit_code"], line["stack"]) for line in made] == [
        (outcome, code, "1.1"),
        (outcome, code, "2.1"),
    ]
    assert all("Simulated input" in line["warnings"][0] and line["series"] for line in made)
    assert "PATIENT" not in log.read_text()


def test_each_refused_series_has_its_own_code(
    knee_series: Series, random_bundle: Path, tmp_path: Path, log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in (1, 2):
        knee_series(f"exam/{number}", number=number, seed=number, acquired=True)
    ends = iter((DecodeError("no; need one; bring it"), GateError("no; need one; bring it")))

    def refuse(*arguments: object) -> Any:
        raise next(ends)

    monkeypatch.setattr(run, "infer", refuse)
    with pytest.raises(DecodeError):
        synthesize(
            Request((tmp_path / "exam",), tmp_path / "out", all_series=True, device="cpu", audit=log),
            bundle_root=random_bundle,
        )
    assert [line["exit_code"] for line in lines(log)] == [4, 6]


def test_altered_weights_are_a_line_without_a_model(bundle: Path, tmp_path: Path, log: Path) -> None:
    (bundle / "models" / "model.pt").write_bytes(b"altered")
    path = _nifti(tmp_path / "pd.nii.gz")
    with pytest.raises(WeightsError):
        synthesize(Request((path,), tmp_path / "out", target="PDFS", audit=log), bundle_root=bundle)
    (line,) = lines(log)
    assert (line["exit_code"], line["model"], line["series"]) == (7, None, short(path.read_bytes()))


def test_an_archive_has_a_line_for_each_series_and_none_for_an_attempt_that_is_repeated(
    knee_series: Series, random_bundle: Path, tmp_path: Path, log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    knee_series("exam", acquired=True)
    _nifti(tmp_path / "pd.nii.gz")
    (tmp_path / "empty").mkdir()
    (tmp_path / "list.csv").write_text("source\nexam\npd.nii.gz\nempty\n")
    from scripts.archive import stages

    whole, attempts = stages.infer, list[None]()

    def fails_once(*arguments: Any) -> Any:
        attempts.append(None)
        if len(attempts) == 1:
            raise RuntimeError("a crash")
        return whole(*arguments)

    monkeypatch.setattr(stages, "infer", fails_once)
    request = ArchiveRequest(tmp_path / "list.csv", tmp_path / "out", target="PDFS", device="cpu", audit=log)
    summary = synthesize_archive(request, bundle_root=random_bundle)
    assert (summary.done, len(attempts)) == (2, 3)
    made = sorted(lines(log), key=lambda line: str(line["stack"]))
    assert all(set(line) == KEYS for line in made)
    assert [(line["stack"], line["exit_code"]) for line in made] == [("1.1", 0), (None, 3), ("nifti", 0)]
    report = json.loads((tmp_path / "out" / "exam" / "1.1" / "report.json").read_text())
    assert made[0]["warnings"] == report["series"][0]["warnings"]
    assert made[0]["model"] == report["model"]

    synthesize_archive(request, bundle_root=random_bundle)  # what is finished is not made again
    assert len(lines(log)) == 4
    with pytest.raises(UsageError):
        synthesize_archive(ArchiveRequest(tmp_path / "no.csv", tmp_path / "out", audit=log), bundle_root=random_bundle)
    assert lines(log)[-1]["exit_code"] == 2


def test_a_package_that_is_not_opened_is_a_line_too(tmp_path: Path, log: Path) -> None:
    (tmp_path / "evil.zip").write_bytes(b"anything")
    words = ["in", "-o", str(tmp_path / "out"), "--bundle", str(tmp_path / "evil.zip"), "--expect-sha256", "ab" * 32]
    assert main(["synthesize", *words, "--audit", str(log)]) == 7
    (line,) = lines(log)
    assert (line["exit_code"], line["model"]) == (7, None)


@pytest.mark.parametrize("place", ["folder", "no/such/folder/audit.jsonl"])
def test_a_file_that_cannot_be_written_is_refused_before_the_work(
    random_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], place: str
) -> None:
    (tmp_path / "folder").mkdir()

    def reach(*arguments: object) -> None:
        pytest.fail("the work has begun")

    monkeypatch.setattr(run, "find_jobs", reach)
    monkeypatch.setattr("scripts.archive.run.read_manifest", reach)
    monkeypatch.chdir(tmp_path)
    assert main(["synthesize", "in", "-o", "out", "--audit", place]) == 8
    assert main(["synthesize", "--all", "--manifest", "list.csv", "-o", "out", "--audit", place]) == 8
    assert "need a file that can be appended to" in capsys.readouterr().err


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no disk that is always full")
def test_no_room_for_a_line_is_an_error_of_its_own(random_bundle: Path, tmp_path: Path) -> None:
    path, out = _nifti(tmp_path / "pd.nii.gz"), tmp_path / "out"
    with pytest.raises(OutputError, match=r"--audit full: No space left"):
        synthesize(Request((path,), out, target="PDFS", audit=Path("/dev/full")), bundle_root=random_bundle)
    assert (out / "report.json").is_file()


def _write_together(path: str, writer: int, count: int, together: Barrier) -> None:
    with audited(Path(path), None, "PDFS") as trail:
        for number in range(count):
            text = f"{writer} {number} " + "x" * 9000  # longer than any buffer that a stream might have
            together.wait(60)
            trail.add(0, None, [text])


def test_processes_that_write_at_once_tear_no_line(log: Path) -> None:
    context, writers, count = multiprocessing.get_context("spawn"), 4, 100
    together = context.Barrier(writers)
    started = [
        context.Process(target=_write_together, args=(os.fspath(log), number, count, together))
        for number in range(writers)
    ]
    for process in started:
        process.start()
    for process in started:
        process.join(60)
        assert process.exitcode == 0
    found = [tuple(map(int, line["warnings"][0].split()[:2])) for line in lines(log)]
    assert sorted(found) == [(writer, number) for writer in range(writers) for number in range(count)]
