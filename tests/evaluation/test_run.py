# SPDX-License-Identifier: Apache-2.0
"""Any method's images against targets: what is measured, what is written, what is refused and leaves nothing."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest

from scripts.errors import DecodeError, GeometryError, KneeSynthError, OutputError, UsageError
from scripts.evaluation.run import Request, evaluate_predictions
from tests.evaluation.knees import AFFINE, PD, PDFS, save, scan, tissues

Study = Callable[..., tuple[Path, Path]]


def run(predictions: Path, targets: Path, out: Path, **options: Any) -> dict[str, Any]:
    options = {"scale": "1000", "resamples": 100, "figures": False} | options
    return evaluate_predictions(Request(predictions, str(targets), out, **options))[1]


def read(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


def psnr(out: Path, **wanted: str) -> dict[str, float]:
    rows = [row for row in read(out / "metrics.csv") if all(row[key] == value for key, value in wanted.items())]
    return {row["patient"]: float(row["psnr"]) for row in rows}


def test_everything_is_written_and_says_what_it_is(study: Study, tmp_path: Path) -> None:
    predictions, targets = study()
    report = run(predictions, targets, tmp_path / "out", protocols=("ours", "fastmri"), method="mine", figures=True)
    out = tmp_path / "out"
    assert {path.name for path in out.iterdir()} == {*report["files"], "report.json"}
    pictures = {
        f"{name}.{kind}" for name in ("best", "median", "worst", "patients", "agreement") for kind in ("png", "pdf")
    }
    assert pictures <= set(report["files"])
    rows = read(out / "metrics.csv")
    assert {row["protocol"] for row in rows} == {"ours", "fastmri"} and {row["data"] for row in rows} == {"user's"}
    assert {row["method"] for row in rows} == {"mine", "copy", "intensity mapping", "histogram match"}
    assert {row["scaling"] for row in rows} == {"as stored", "gain matched"}
    assert {row["registration"] for row in rows} == {"as given"}
    for name in ("summary.md", "summary.tex", "evaluation.html"):
        text = (out / name).read_text("utf-8")
        assert "protocol ours" in text and "protocol fastmri" in text and "imulated" not in text, name
    measured = {row["measure"] for row in read(out / "measures.csv")}
    assert {"edge sharpness ratio", "fat-suppression ratio", "fat over muscle", "CNR fat to muscle"} <= measured
    assert {row["regions"] for row in read(out / "measures.csv")} == {"", "automatic"}
    assert report["shown"].keys() == {"best", "median", "worst"}
    order = psnr(out, method="mine", protocol="ours", scaling="as stored")
    assert [report["shown"][word] for word in ("worst", "median", "best")] == sorted(order, key=order.__getitem__)
    assert (
        psnr(out, method="mine", protocol="ours", scaling="as stored")["p0"]
        > psnr(out, method="copy", protocol="ours", scaling="gain matched")["p0"]
    ), "a nearly perfect synthesis does not beat a copy"


def test_the_scale_of_targets_reaches_no_prediction(study: Study, tmp_path: Path) -> None:
    run(*study(), tmp_path / "one")
    run(*study(factor=7.0), tmp_path / "other")
    one, other = (read(tmp_path / name / "metrics.csv") for name in ("one", "other"))
    for a, b in zip(one, other, strict=True):
        assert float(a["psnr"]) == pytest.approx(float(b["psnr"]), abs=1e-3)
        assert float(a["gain"]) == pytest.approx(float(b["gain"]), rel=1e-4)


def test_as_stored_means_as_stored(study: Study, tmp_path: Path) -> None:
    predictions, targets = study(1)
    for scale in ("1000", "2000", "own"):
        run(predictions, targets, tmp_path / scale, scale=scale)

    def of(scale: str, scaling: str) -> float:
        return psnr(tmp_path / scale, method="prediction", scaling=scaling)["p0"]

    matched = [of(scale, "gain matched") for scale in ("1000", "2000", "own")]
    assert of("1000", "as stored") > of("2000", "as stored") + 5, "a synthesis at half its brightness was not punished"
    assert matched == pytest.approx([matched[0]] * 3, abs=1e-3), "the one gain does not take the scale out"
    assert "each prediction by its own 99.5th percentile" in (tmp_path / "own" / "summary.md").read_text("utf-8")
    assert "every prediction by 2000" in (tmp_path / "2000" / "summary.md").read_text("utf-8")


def test_a_perfect_prediction_in_the_targets_unit(study: Study, tmp_path: Path) -> None:
    predictions, targets = study(2)
    for name in ("p0", "p1"):
        (predictions / f"{name}.nii.gz").write_bytes((targets / name / "PDFS.nii.gz").read_bytes())
    run(predictions, targets, tmp_path / "out", scale="target", protocols=("ours", "fastmri"))
    for ruler in ("ours", "fastmri"):
        assert set(psnr(tmp_path / "out", method="prediction", protocol=ruler).values()) == {math.inf}


def test_targets_alone_with_sources_of_their_own(study: Study, tmp_path: Path) -> None:
    predictions, targets = study(2)
    bare, sources = tmp_path / "bare", tmp_path / "sources"
    for name in ("p0", "p1"):
        save(bare / f"{name}.nii.gz", scan(PDFS, int(name[1])))
        save(sources / name / "anything.nii.gz", scan(PD, int(name[1])))
    run(predictions, bare, tmp_path / "without")
    assert {row["method"] for row in read(tmp_path / "without" / "metrics.csv")} == {"prediction"}
    assert "no baselines" in (tmp_path / "without" / "summary.md").read_text("utf-8")
    run(predictions, bare, tmp_path / "with", sources=sources)
    run(predictions, targets, tmp_path / "beside")
    beside, with_ = (psnr(tmp_path / name, method="copy", scaling="as stored") for name in ("beside", "with"))
    assert beside == pytest.approx(with_)


def test_the_other_direction(study: Study, tmp_path: Path) -> None:
    _, targets = study(1)
    save(tmp_path / "pd" / "p0.nii.gz", scan(PD, 0, 0.0) * 1.2)
    run(tmp_path / "pd", targets, tmp_path / "out", direction="PDFS to PD")
    scores = psnr(tmp_path / "out", method="prediction", scaling="gain matched")
    assert scores["p0"] > 25 and "PDFS to PD" in (tmp_path / "out" / "summary.md").read_text("utf-8")


def test_masks_of_the_users_own(study: Study, tmp_path: Path) -> None:
    predictions, targets = study(2)
    for name in ("p0", "p1"):
        for tissue in ("fat", "muscle", "fluid"):
            save(tmp_path / "masks" / name / f"{tissue}.nii.gz", tissues()[tissue].astype(np.uint8))
        labels = sum(number * tissues()[tissue] for number, tissue in enumerate(("fat", "muscle", "fluid"), 1))
        save(tmp_path / "maps" / f"{name}.nii.gz", labels.astype(np.uint8))
    (tmp_path / "maps" / "labels.json").write_text('{"fat": [1], "muscle": [2], "fluid": [3]}')
    rows = {}
    for name in ("masks", "maps"):
        run(predictions, targets, tmp_path / f"out-{name}", masks=tmp_path / name)
        rows[name] = read(tmp_path / f"out-{name}" / "measures.csv")
    assert rows["masks"] == rows["maps"]
    found = {r["measure"]: r for r in rows["masks"] if r["method"] == "prediction" and r["patient"] == "p0"}
    assert found["fluid over muscle"]["regions"] == "given"
    assert float(found["fluid over muscle"]["prediction"]) == pytest.approx(700 / 260, rel=0.02)
    true = (90 / 260) / (800 / 300)
    assert float(found["fat-suppression ratio"]["prediction"]) == pytest.approx(true, rel=0.05)
    assert float(found["fat-suppression ratio"]["target"]) == pytest.approx(true, rel=0.05)


def test_simulated_targets_are_known_by_what_lies_beside_them(study: Study, tmp_path: Path) -> None:
    predictions, targets = study(2, simulated=True)
    run(predictions, targets, tmp_path / "out")
    assert {row["data"] for row in read(tmp_path / "out" / "metrics.csv")} == {"simulated"}
    (targets / "p1" / "drawn.json").unlink()
    with pytest.raises(UsageError, match="simulated and user's data for one table"):
        run(predictions, targets, tmp_path / "mixed")
    assert not (tmp_path / "mixed").exists()
    run(predictions, targets, tmp_path / "mixed", simulated=True)
    assert "Simulated data" in (tmp_path / "mixed" / "summary.md").read_text("utf-8")


def _another_size(path: Path) -> None:
    save(path, scan(PDFS, 1, shape=(6, 64, 60)))


def _another_place(path: Path) -> None:
    moved = AFFINE.copy()
    moved[0, 3] += 2
    save(path, scan(PDFS, 1), moved)


def _cut_short(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:3000])


def _not_finite(path: Path) -> None:
    volume = scan(PDFS, 1)
    volume[0, 0, 0] = np.nan
    save(path, volume)


def _twice(path: Path) -> None:
    nibabel.save(nibabel.load(path), path.with_name("p1.nii"))


@pytest.mark.parametrize(
    ("spoil", "kind", "words"),
    [
        (_another_size, GeometryError, r"prediction of case p1: on another grid \(6 x 64 x 60 against 6 x 64 x 56"),
        (
            _another_place,
            GeometryError,
            r"prediction of case p1: on another grid \(a corner lies 2 mm off\).*--resample",
        ),
        (_cut_short, DecodeError, "prediction of case p1: .*damaged|prediction of case p1: .*not readable"),
        (_not_finite, DecodeError, "prediction of case p1: .*NaN"),
        (_twice, UsageError, "case p1 is there twice"),
        (Path.unlink, UsageError, r"1 of 3 targets have no prediction: p1; .*there are: p0, p2.*--allow-missing"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_a_bad_prediction_is_named_and_nothing_is_written(
    study: Study, tmp_path: Path, spoil: Callable[[Path], None], kind: type[KneeSynthError], words: str
) -> None:
    predictions, targets = study()
    spoil(predictions / "p1.nii.gz")
    with pytest.raises(kind, match=words):
        run(predictions, targets, tmp_path / "out")
    assert {path.name for path in tmp_path.iterdir()} == {"targets", "predictions"}


def test_missing_ones_may_be_left_out_and_others_moved_only_on_request(study: Study, tmp_path: Path) -> None:
    predictions, targets = study()
    (predictions / "p1.nii.gz").unlink()
    save(predictions / "stranger.nii.gz", scan(PDFS, 9))
    run(predictions, targets, tmp_path / "out", allow_missing=True)
    text = (tmp_path / "out" / "summary.md").read_text("utf-8")
    assert "scored 2 of 3 cases" in text and "1 predictions have no target" in text
    _another_place(predictions / "p1.nii.gz")
    run(predictions, targets, tmp_path / "moved", resample=True)
    assert "interpolated linearly" in (tmp_path / "moved" / "summary.md").read_text("utf-8")


def test_what_cannot_be_is_refused(study: Study, tmp_path: Path) -> None:
    predictions, targets = study(1)
    (tmp_path / "empty").mkdir()
    out = tmp_path / "out"
    for options, words in (
        ({"predictions": tmp_path / "empty"}, "--predictions empty: no volume there .found: nothing"),
        ({"predictions": tmp_path / "absent"}, "no such folder"),
        ({"targets": tmp_path / "absent"}, "--targets absent: not there"),
        ({"targets": tmp_path / "empty"}, "--targets empty: no volume there"),
        ({"direction": "T1 to T2"}, "--direction"),
        ({"protocols": ("theirs",)}, "protocol 'theirs' is unknown"),
        ({"scale": "-3"}, "--prediction-scale -3"),
        ({"sources": tmp_path / "empty"}, "--sources empty: no volume there"),
        ({"masks": tmp_path / "empty"}, "--masks empty: for no case"),
    ):
        with pytest.raises(UsageError, match=words):
            run(**({"predictions": predictions, "targets": targets, "out": out} | options))  # type: ignore[arg-type]
        assert not out.exists()
    out.write_text("a file")
    with pytest.raises(OutputError, match="a file"):
        run(predictions, targets, out)


def test_a_target_off_its_source_asks_for_a_manifest(study: Study, tmp_path: Path) -> None:
    predictions, targets = study(1)
    _another_place(targets / "p0" / "PDFS.nii.gz")
    with pytest.raises(GeometryError, match=r"target is on another grid than its source .*`kneesynth pair`"):
        run(predictions, targets, tmp_path / "out")


def test_an_earlier_result_is_replaced_as_a_whole_and_foreign_files_stay(study: Study, tmp_path: Path) -> None:
    predictions, targets = study()
    run(predictions, targets, tmp_path / "out")
    (tmp_path / "out" / "notes.txt").write_text("mine")
    run(predictions, targets, tmp_path / "out", method="again")
    report = json.loads((tmp_path / "out" / "report.json").read_text("utf-8"))
    assert report["method"] == "again" and (tmp_path / "out" / "notes.txt").read_text() == "mine"
    assert {row["method"] for row in read(tmp_path / "out" / "metrics.csv")} >= {"again"}
