# SPDX-License-Identifier: Apache-2.0
"""What the verb makes of the findings: a table, JSON, an exit code, and one line on stderr."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from scripts.cli.app import main
from scripts.selftest.findings import Check, Findings


@pytest.fixture
def found(monkeypatch: pytest.MonkeyPatch) -> Findings:
    """What the next selftest finds; it remembers where it was to look."""
    findings = Findings([Check("weights", "[red]fine[/red]")], {"program": "kneesynth"}, 4.0)

    def run(out: Path | None, tell: object) -> Findings:
        findings.software["out"] = None if out is None else str(out)
        return findings

    monkeypatch.setattr("scripts.selftest.run.run_selftest", run)
    for name in ("MERCURE_OUT_DIR", "HOLOSCAN_OUTPUT_PATH", "MONAI_OUTPUTPATH"):
        monkeypatch.delenv(name, raising=False)
    return findings


def test_all_is_well(found: Findings, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["selftest"]) == 0
    captured = capsys.readouterr()
    assert "weights" in captured.out and "[red]fine[/red]" in captured.out and "1 checks in 4 s" in captured.out
    assert captured.err.strip() == ""


@pytest.mark.parametrize("code", [1, 4, 5, 7, 8, 9])
def test_the_first_failure_decides_the_code_and_one_line_names_all(
    found: Findings, capsys: pytest.CaptureFixture[str], tmp_path: Path, code: int
) -> None:
    found.checks += [Check("first", "bad; need good; mend it", code), Check("second", "worse", 8)]
    assert main(["selftest", "--json", str(tmp_path / "found.json")]) == code
    captured = capsys.readouterr()
    assert "bad; need good; mend it" in captured.out
    assert captured.err.strip() == (
        "kneesynth: selftest: 2 of 3 checks failed (first; second); need all; do what they say"
    )
    report = json.loads((tmp_path / "found.json").read_text())
    assert (report["status"], report["exit_code"]) == ("failed", code)
    assert [check["ok"] for check in report["checks"]] == [True, False, False]


def test_json_on_stdout_stands_alone(found: Findings, capsys: pytest.CaptureFixture[str]) -> None:
    found.checks.append(Check("disk", "full", 8))
    assert main(["selftest", "--json", "-"]) == 8
    assert json.loads(capsys.readouterr().out)["exit_code"] == 8


def test_the_place_of_results_is_that_of_synthesis(found: Findings, monkeypatch: pytest.MonkeyPatch) -> None:
    assert main(["selftest"]) == 0 and found.software["out"] is None
    monkeypatch.setenv("MERCURE_OUT_DIR", "of the host")
    assert main(["selftest"]) == 0 and found.software["out"] == "of the host"
    assert main(["selftest", "-o", "named"]) == 0 and found.software["out"] == "named"


def test_json_that_cannot_be_written_is_refused_first(found: Findings, tmp_path: Path) -> None:
    assert main(["selftest", "--json", str(tmp_path / "no" / "x.json")]) == 8
    assert "out" not in found.software
