# SPDX-License-Identifier: Apache-2.0
"""The verb from end to end, with the shipped network and random weights: files, refusals, JSON, comparison."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from scripts.cli.app import main
from scripts.dicom.index import index_series
from scripts.errors import GateError, UsageError, WeightsError
from scripts.scorecard.rows import CRITERIA
from scripts.scorecard.run import Request, run_scorecard
from scripts.scorecard.sheet import COLUMNS, draw_sheet
from scripts.synthesis.selection import AmbiguousSource

Series = Callable[..., list[Path]]
PLANES = ("sagittal", "coronal", "axial")


@pytest.fixture
def exam(knee_series: Series, tmp_path: Path) -> Path:
    """PD in three planes, and an acquired PDFS that is nobody's source."""
    for number, plane in enumerate(PLANES, start=1):
        knee_series(f"exam/{plane}", plane=plane, number=number, seed=number, acquired=True, shape=(64, 80))
    knee_series("exam/suppressed", contrast="PDFS", number=4, acquired=True)
    return tmp_path / "exam"


def _regions(path: Path, shape: tuple[int, int, int], structure: str = "muscle") -> Path:
    region = {"structure": structure, "near": "here", "slice": 3, "box": [20, 20, 30, 30]}
    more = {**region, "structure": "subcutaneous_fat", "slice": 4}
    path.write_text(json.dumps({"title": path.stem, "stack": {"shape": list(shape)}, "regions": [region, more]}))
    return path


def _echoes(files: list[Path], time_ms: float, folder: Path) -> None:
    """A later echo of the same series: the same places, another echo time."""
    import pydicom

    folder.mkdir()
    for number, file in enumerate(files):
        dataset = pydicom.dcmread(file)
        dataset.EchoTime = time_ms
        dataset.SOPInstanceUID = f"{dataset.SOPInstanceUID}.{number + 1}"
        dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
        dataset.EchoNumbers = 2
        dataset.save_as(folder / file.name, enforce_file_format=True)


def test_an_exam_gives_one_verdict_a_plane(exam: Path, weights: Path, tmp_path: Path) -> None:
    regions = _regions(tmp_path / "mine.json", (10, 64, 80))
    out = tmp_path / "out"
    cards, report = run_scorecard(Request(exam, (regions,), weights=weights, out=out))
    assert sorted(card.plane for card in cards) == sorted(PLANES)
    assert json.loads((out / "report.json").read_text()) == report
    assert {path.name for path in out.iterdir()} == set(report["files"]) and len(report["files"]) == 4
    for entry in report["cards"]:
        rows = {row["key"]: row["value"] for row in entry["rows"]}
        assert list(rows) == [criterion.key for criterion in CRITERIA]
        assert None not in (rows["edge_shift"], rows["flicker"], rows["fat_to_muscle"])
        assert rows["marrow_to_muscle"] is None and rows["echo_disagreement"] is None
        assert entry["verdict"]["word"] in ("not usable", "no verdict")
        assert (out / entry["picture"]).read_bytes().startswith(b"\x89PNG")
    text = (out / "report.json").read_text()
    assert not [word for word in ("NOBODY", "12345", str(exam)) if word in text]


def test_one_series_and_its_later_echo_are_compared(knee_series: Series, weights: Path, tmp_path: Path) -> None:
    files = knee_series("knee/first", acquired=True)
    _echoes(files, 36.0, tmp_path / "knee" / "second")
    with pytest.raises(AmbiguousSource, match="2 PD stacks in one series"):
        run_scorecard(Request(tmp_path / "knee", weights=weights))
    cards, _ = run_scorecard(Request(tmp_path / "knee", series=("1.1",), weights=weights))
    rows = {row.criterion.key: row.value for row in cards[0].rows}
    assert rows["echo_disagreement"] == pytest.approx(0, abs=1e-6)  # the same pixels under another echo time
    cards, _ = run_scorecard(Request(tmp_path / "knee", series=("1.2",), weights=weights))
    assert {row.criterion.key: row.value for row in cards[0].rows}["echo_disagreement"] is None


def test_weights_are_scored_by_the_code_path_of_synthesis(knee_series: Series, weights: Path, tmp_path: Path) -> None:
    import nibabel

    from scripts.scorecard.steadiness import air_level, body_of
    from scripts.synthesis.bundle import load_model
    from scripts.synthesis.inference import predict

    path = tmp_path / "pd.nii.gz"
    voxels = np.random.default_rng(0).random((48, 40, 9), dtype=np.float32)
    voxels[:20] *= 0.02
    nibabel.save(nibabel.Nifti1Image(voxels, np.diag([0.5, 0.5, 3.0, 1.0])), path)
    cards, report = run_scorecard(Request(path, weights=weights))
    assert cards[0].stack == "nifti" and cards[0].plane == "axial"
    data = predict(load_model("PDFS", "cpu", checkpoint=weights), str(path), lambda text, done, total: None)
    expected = air_level(data["pred"][0].numpy(), body_of(data["image"][0].numpy()))
    found = {row.criterion.key: row.value for row in cards[0].rows}["air"]
    assert expected is not None and found == pytest.approx(expected.value, rel=1e-5)
    assert report["model"]["sha256"] == load_model("PDFS", "cpu", checkpoint=weights).facts.weights_sha256
    assert report["software"]["model"]["weights_sha256"] == report["model"]["sha256"]


def test_what_is_refused(exam: Path, weights: Path, tmp_path: Path) -> None:
    other = _regions(tmp_path / "other.json", (5, 64, 80))
    ids = {stack.contrast: stack.id for stack in index_series([exam])}
    with pytest.raises(UsageError, match=r"fits no stack .*5 x 64 x 80"):
        run_scorecard(Request(exam, (other,), series=(ids["PD"],), weights=weights))
    with pytest.raises(GateError, match="contrast is PDFS"):
        run_scorecard(Request(exam, series=(ids["PDFS"],), weights=weights))
    with pytest.raises(WeightsError):
        run_scorecard(Request(exam, series=(ids["PD"],), weights=tmp_path / "absent.pt"))
    with pytest.raises(UsageError, match="no such file"):
        run_scorecard(Request(tmp_path / "nowhere", weights=weights))
    for content in ("{}", "[", '{"kind": "scorecard", "cards": [{"rows": [3]}]}'):
        (tmp_path / "before.json").write_text(content)
        with pytest.raises(UsageError, match="scorecard"):
            run_scorecard(Request(exam, weights=weights, compare=tmp_path / "before.json"))


def test_simulated_studies_are_no_real_scans(knee_series: Series, weights: Path) -> None:
    folder = knee_series()[0].parent
    with pytest.raises(AmbiguousSource, match="no usable PD"):
        run_scorecard(Request(folder, weights=weights))
    with pytest.raises(GateError, match="simulated"):
        run_scorecard(Request(folder, series=("1.1",), weights=weights))


def test_the_verb_prints_a_table_and_compares(
    knee_series: Series, weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = knee_series(acquired=True)[0].parent
    common = ["evaluate", str(folder), "--scorecard", "--weights", str(weights)]
    assert main([*common, "-o", str(tmp_path / "out")]) == 0
    first = capsys.readouterr().out
    assert "edge shift" in first and "Verdict, sagittal: " in first and "not measured" in first
    assert main([*common, "--compare", str(tmp_path / "out" / "report.json"), "--json", "-"]) == 0
    report = json.loads(capsys.readouterr().out)
    changes = report["cards"][0]["compared"]
    assert {change["word"] for change in changes} <= {"same", "accepted in both", "not measured in both"}
    assert main([*common, "--compare", str(tmp_path / "out" / "report.json")]) == 0
    assert "No row is worse than before" in capsys.readouterr().out


def test_without_scorecard_the_verb_says_what_there_is(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["evaluate", str(tmp_path)]) == 2
    assert "--scorecard" in capsys.readouterr().err


def test_the_sheet_shows_every_third_slice_with_fixed_windows() -> None:
    source, synthesis = np.zeros((14, 64, 48), np.float32), np.full((14, 64, 48), 2.0, np.float32)
    shown = {n: draw_sheet(source[:n], synthesis[:n]) for n in (1, 12, 13, 14)}
    sizes = {n: struct.unpack(">II", png[16:24]) for n, png in shown.items()}
    assert sizes[1] == sizes[12] and sizes[13][0] == sizes[12][0]
    assert sizes[13][1] == 2 * sizes[12][1] and COLUMNS == 4
    changed = source.copy()
    changed[1:3] = 1  # slices that are not shown
    assert draw_sheet(changed, synthesis) == shown[14]
    assert draw_sheet(source, 2 * synthesis) == shown[14]  # both above the window: it does not follow the image
