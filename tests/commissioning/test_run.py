# SPDX-License-Identifier: Apache-2.0
"""A commissioning from a manifest to its files, with a small random network."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import yaml

from scripts.cli.app import main
from scripts.commissioning.compare import SAME, moved
from scripts.commissioning.page import HTML
from scripts.commissioning.record import FAIL, NO_VERDICT, PASS, REPORT, read_record
from scripts.commissioning.run import RANGES, Request, commission
from scripts.errors import OutputError, UsageError
from scripts.quality.limits import read_limits

PATIENTS = 4


@pytest.fixture
def manifest(pairs: Path, tmp_path: Path) -> Path:
    """Some patients' pairs, and two refusals, one of which no one can help."""
    listed = []
    for number in range(PATIENTS):
        shutil.copytree(pairs / f"p{number}", tmp_path / f"p{number}")
        files = {"image": f"p{number}/PD.nii.gz", "label": f"p{number}/PDFS.nii.gz"}
        listed.append({"id": f"p{number}/sagittal", "patient": f"p{number}", "section": "test", **files})
    refused = [
        {"patient": "q", "reason": "no_partner", "words": "."},
        {"patient": "r", "reason": "geometry", "words": "."},
    ]
    content = {"kind": "knee pairs", "version": 1, "pairs": listed, "refused": refused}
    (tmp_path / "pairs.json").write_text(json.dumps(content))
    return tmp_path / "pairs.json"


def limits(folder: Path, **measures: list[float | None]) -> Path:
    path = folder / "limits.yaml"
    content = {"patients": 3, "refused": 0.5, "warned": 1.0, "measures": measures or {"psnr": [-100.0, None]}}
    path.write_text(yaml.safe_dump(content))
    return path


def test_pairs_become_a_verdict_a_page_and_a_record(manifest: Path, small_bundle: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    record = commission(Request(manifest, out, limits(tmp_path)), bundle_root=small_bundle)
    assert record.verdict == PASS and record.data["pairs"] == record.data["patients"] == PATIENTS
    assert record.data["refused"] == {"no_partner": 1, "geometry": 1} and not record.data["simulated"]
    # An exam that lacks one contrast is no refused pair.
    (refused,) = [one for one in record.judged if one.measure == "refused"]
    assert refused.value == pytest.approx(1 / (1 + PATIENTS))
    assert {(one.patient, one.direction) for one in record.scored} == {
        (f"p{number}", direction) for number in range(PATIENTS) for direction in ("PD to PDFS", "PDFS to PD")
    }
    files = sorted(path.name for path in out.iterdir())
    assert files == sorted([HTML, REPORT, RANGES, "report.json"])
    assert read_record(out / REPORT).verdict == PASS
    assert read_limits(out / RANGES).refused
    page = (out / HTML).read_text()
    assert page.count("<figure>") == 6 and str(tmp_path) not in page and "acquired" in page
    assert "no scale head" in record.data["calibration"] and not record.calibration


def test_of_the_pairing_only_its_result_and_its_page_are_kept(
    manifest: Path, small_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from scripts.commissioning import run
    from scripts.pairing.run import Paired, PairRequest

    def paired(request: PairRequest, tell: object) -> Paired:
        content = json.loads(manifest.read_text())
        for entry in content["pairs"]:
            entry |= {key: str(tmp_path / entry[key]) for key in ("image", "label")}
        (request.out.parent / "pairs.json.exams").mkdir()
        (request.out.parent / "pairs.json.exams" / "one.json").write_text("{}")
        for name in ("pairs.json", "pairs.html"):
            (request.out.parent / name).write_text("")
        return Paired(content, request.out.with_suffix(".html"), 1, 0)

    monkeypatch.setattr(run, "pair", paired)
    (tmp_path / "studies").mkdir()
    commission(Request(tmp_path / "studies", tmp_path / "out", limits(tmp_path)), bundle_root=small_bundle)
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert names == {HTML, REPORT, RANGES, "report.json", "pairs.json", "pairs.html"}


def test_the_same_commissioning_again_shows_that_nothing_moved(
    manifest: Path, small_bundle: Path, tmp_path: Path
) -> None:
    request = Request(manifest, tmp_path / "one", limits(tmp_path))
    before = commission(request, bundle_root=small_bundle)
    again = commission(
        Request(manifest, tmp_path / "two", limits(tmp_path), compare=tmp_path / "one" / REPORT),
        bundle_root=small_bundle,
    )
    assert {one.judgement for one in moved(before, again)} == {SAME}
    assert "Nothing moved for the worse" in (tmp_path / "two" / HTML).read_text()


def test_a_missed_limit_and_too_few_patients_are_no_pass(manifest: Path, small_bundle: Path, tmp_path: Path) -> None:
    missed = commission(
        Request(manifest, tmp_path / "a", limits(tmp_path, psnr=[1000.0, None])), bundle_root=small_bundle
    )
    assert missed.verdict == FAIL
    few = commission(Request(manifest, tmp_path / "b"), bundle_root=small_bundle)
    assert few.verdict == NO_VERDICT and "need 10" in few.sentence


def test_a_pair_that_cannot_be_read_is_counted_and_the_others_scored(
    manifest: Path, small_bundle: Path, tmp_path: Path
) -> None:
    (tmp_path / "p1" / "PDFS.nii.gz").write_bytes(b"torn")
    record = commission(Request(manifest, tmp_path / "out", limits(tmp_path)), bundle_root=small_bundle)
    assert record.data["refused"]["unreadable"] == 1 and record.data["pairs"] == PATIENTS - 1


@pytest.mark.parametrize(
    ("content", "error"),
    [({"kind": "other"}, UsageError), ({"kind": "knee pairs", "pairs": []}, UsageError), ([], UsageError)],
)
def test_what_is_no_manifest_is_refused_and_leaves_nothing(
    content: object, error: type[Exception], small_bundle: Path, tmp_path: Path
) -> None:
    (tmp_path / "pairs.json").write_text(json.dumps(content))
    with pytest.raises(error):
        commission(Request(tmp_path / "pairs.json", tmp_path / "out"), bundle_root=small_bundle)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["pairs.json"]


def test_an_output_in_use_is_refused_before_the_work(manifest: Path, small_bundle: Path, tmp_path: Path) -> None:
    (tmp_path / "out").write_text("mine")
    with pytest.raises(OutputError):
        commission(Request(manifest, tmp_path / "out"), bundle_root=small_bundle)
    assert (tmp_path / "out").read_text() == "mine"


def test_wrong_words_are_usage_errors(manifest: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["commission", str(manifest), "-o", str(tmp_path / "out")]
    assert main([*command, "--limits", str(manifest)]) == 2
    assert main([*command, "--compare", str(manifest)]) == 2
    assert main([*command, "--device", "tpu"]) == 2
    assert len(capsys.readouterr().err.strip().splitlines()) == 3 and not (tmp_path / "out").exists()
