# SPDX-License-Identifier: Apache-2.0
"""From a manifest to finished series with the threads of this process, and what a second run does."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import signal
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest

from scripts.archive.run import ArchiveRequest, Interrupted, synthesize_archive
from scripts.errors import KneeSynthError, OutputError, UsageError, WeightsError
from scripts.software import software_block
from scripts.synthesis.narrowing import Narrowing
from scripts.synthesis.planning import Request
from scripts.synthesis.presentation import Presentation
from scripts.synthesis.run import synthesize
from scripts.synthesis.selection import Lift

Series = Callable[..., list[Path]]
SeriesList = Callable[..., Path]


def _results(out: Path, name: str = "results.jsonl") -> list[dict[str, Any]]:
    return [json.loads(line) for line in (out / name).read_text().splitlines()]


def _request(manifest: Path, **changes: Any) -> ArchiveRequest:
    plain = ArchiveRequest(manifest, manifest.parent / "out", target="PDFS", device="cpu")
    return dataclasses.replace(plain, **changes)


def _voxels(path: Path) -> np.ndarray:
    return np.asanyarray(nibabel.load(path).dataobj)


@pytest.fixture
def mixed(knee_series: Series, tmp_path: Path) -> Path:
    """A manifest with a study of two planes, one of its series by name and the other way, a volume, and bad lines."""
    for number, plane in enumerate(("sagittal", "coronal"), start=1):
        knee_series(f"exam/{plane}", plane=plane, number=number, seed=number, acquired=True)
    knee_series("back", contrast="PDFS", acquired=True)
    knee_series("simulated")
    (tmp_path / "empty").mkdir()
    affine = np.diag([0.5, 0.5, 3.3, 1])
    nibabel.save(nibabel.Nifti1Image(np.random.default_rng(0).random((18, 16, 3)), affine), tmp_path / "pd.nii.gz")
    rows = ["source,series,to,name", "exam,,,", "back,1.1,PD,back", "pd.nii.gz,,PDFS,volume", "simulated,,,", "gone,,,"]
    path = tmp_path / "list.csv"
    path.write_text("\n".join([*rows, "empty,,,"]) + "\n")
    return path


def test_every_line_comes_to_its_own_end(mixed: Path, small_bundle: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    summary = synthesize_archive(_request(mixed, target=None), bundle_root=small_bundle)
    made = sorted(path.parent.relative_to(out).as_posix() for path in out.rglob("report.json"))
    assert made == ["back", "exam/1.1", "exam/2.1", "volume"]
    assert len(list((out / "exam" / "2.1").glob("0*.dcm"))) == 10
    assert (summary.done, summary.finished_before) == (4, 0)
    assert {r["series"]: r["exit_code"] for r in summary.failures} == {"simulated": 6, "gone": 2, "empty": 3}
    assert summary.as_dict()["exit_code"] == 11
    one = json.loads((out / "volume" / "report.json").read_text())
    assert summary.as_dict()["software"] == one["software"] == software_block(one["model"])

    records = _results(out)
    assert Counter(r["status"] for r in records) == {"done": 4, "refused": 3}
    assert {r["line"] for r in records} == set(range(2, 8))
    done = next(r for r in records if r["series"] == "exam/1.1")
    assert set(done["seconds"]) == {"read", "network", "write"} and done["worker"].endswith(str(os.getpid()))
    # Paths as the user gave them, and nothing that a header says.
    text = (out / "results.jsonl").read_text()
    assert not [word for word in ("NOBODY", "12345", str(tmp_path)) if word in text]


def test_a_series_is_what_a_single_run_makes_of_it(mixed: Path, small_bundle: Path, tmp_path: Path) -> None:
    synthesize_archive(_request(mixed, workers=2), bundle_root=small_bundle)
    synthesize(Request((tmp_path / "exam",), tmp_path / "one", series="2.1", device="cpu"), bundle_root=small_bundle)
    many = tmp_path / "out" / "exam" / "2.1"
    np.testing.assert_array_equal(_voxels(many / "PDFS.nii.gz"), _voxels(tmp_path / "one" / "PDFS.nii.gz"))
    assert sorted(p.name for p in many.iterdir()) == sorted(p.name for p in (tmp_path / "one").iterdir())
    reports = [json.loads((folder / "report.json").read_text()) for folder in (many, tmp_path / "one")]
    assert reports[0]["series"][0]["source"] == reports[1]["series"][0]["source"]


def test_narrowing_counts_for_studies_and_is_asked_anew(mixed: Path, small_bundle: Path, tmp_path: Path) -> None:
    out, coronal = tmp_path / "out", Narrowing(planes=("coronal",))
    summary = synthesize_archive(_request(mixed, target=None, only=coronal), bundle_root=small_bundle)
    assert sorted(path.parent.relative_to(out).as_posix() for path in out.rglob("report.json")) == [
        "back", "exam/2.1", "volume",
    ]  # fmt: skip
    again = synthesize_archive(_request(mixed, target=None, only=coronal), bundle_root=small_bundle)
    assert (summary.done, again.done, again.finished_before) == (3, 0, 3)
    wider = synthesize_archive(_request(mixed, target=None), bundle_root=small_bundle)
    assert (wider.done, wider.finished_before) == (1, 3) and (out / "exam" / "1.1" / "report.json").exists()


def test_a_second_run_does_what_is_missing_and_nothing_else(mixed: Path, small_bundle: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    synthesize_archive(_request(mixed), bundle_root=small_bundle)
    before = {path: path.stat().st_mtime_ns for path in out.rglob("*") if path.is_file()}
    (out / "exam" / "1.1").rename(out / "exam" / ".1.1.partial-x")  # as a kill leaves it
    shutil.copytree(tmp_path / "exam" / "coronal", tmp_path / "gone")
    summary = synthesize_archive(_request(mixed, lift=Lift(simulated=True, force=True)), bundle_root=small_bundle)
    assert (summary.done, summary.finished_before) == (3, 3)  # 1.1, the simulated one, what was gone
    assert [r["series"] for r in summary.failures] == ["empty"]
    assert not (out / "exam" / ".1.1.partial-x").exists() and len(list((out / "exam" / "1.1").iterdir())) == 14
    changed = {path.relative_to(out).parts[:2] for path, when in before.items() if path.stat().st_mtime_ns != when}
    assert changed == {("results.jsonl",), ("exam", "1.1"), ("exam", "study.json")}


def test_run_again_is_nothing_to_do(series_list: SeriesList, small_bundle: Path, tmp_path: Path) -> None:
    manifest = series_list(5)
    told: list[tuple[str, int, int]] = []
    assert synthesize_archive(_request(manifest), lambda *step: told.append(step), small_bundle).done == 5
    assert told[0][1:] == (0, 5) and told[-1][1:] == (5, 5)
    results = (tmp_path / "out" / "results.jsonl").read_bytes()
    again = synthesize_archive(_request(manifest), bundle_root=small_bundle)
    assert (again.done, again.finished_before, again.failures) == (0, 5, [])
    assert (tmp_path / "out" / "results.jsonl").read_bytes() == results


def test_shards_make_each_series_once(series_list: SeriesList, small_bundle: Path, tmp_path: Path) -> None:
    manifest = series_list(7)
    counts = [synthesize_archive(_request(manifest, shard=f"{n}/3"), bundle_root=small_bundle).done for n in (1, 2, 3)]
    assert counts == [3, 2, 2]
    names = [r["series"] for n in (1, 2, 3) for r in _results(tmp_path / "out", f"results-{n}-of-3.jsonl")]
    assert sorted(names) == [f"series/k{n:03d}" for n in range(7)]
    assert synthesize_archive(_request(manifest), bundle_root=small_bundle).finished_before == 7


def test_what_products_show_is_the_run_s_choice(mixed: Path, small_bundle: Path, tmp_path: Path) -> None:
    request = _request(mixed, target=None, show=Presentation(mark=False, summary=False, identifiers=True))
    synthesize_archive(request, bundle_root=small_bundle)
    folder = tmp_path / "out" / "back"
    assert "NOBODY" in (folder / "report.html").read_text() and "NOBODY" not in (folder / "report.json").read_text()
    assert not (folder / "summary.dcm").exists()
    report = json.loads((folder / "report.json").read_text())
    assert report["series"][0]["decisions"]["Mark"] == "left out as asked for"


def test_a_disk_that_was_full_for_a_moment_costs_an_attempt(
    series_list: SeriesList, small_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from scripts.synthesis import products

    real, seen = products.write_products, Counter[str]()

    def full(folder: Path, *rest: Any) -> Any:
        seen[folder.parent.name] += 1
        if "k001" in folder.name and sum(seen.values()) and not (tmp_path / "space").exists():
            (tmp_path / "space").touch()
            raise OSError(28, "No space left on device")
        if "k002" in folder.name:
            raise OSError(28, "No space left on device")
        return real(folder, *rest)

    monkeypatch.setattr(products, "write_products", full)
    summary = synthesize_archive(_request(series_list(4), retries=1), bundle_root=small_bundle)
    statuses = {
        n: [r["status"] for r in _results(tmp_path / "out") if r["series"].endswith(n)] for n in ("1", "2", "3")
    }
    assert statuses == {"1": ["retry", "done"], "2": ["retry", "failed"], "3": ["done"]}
    (failure,) = summary.failures
    assert (failure["exit_code"], failure["attempt"]) == (8, 2) and "No space left" in failure["error"]
    assert not (tmp_path / "out" / "series" / "k002").exists()


def test_an_unforeseen_failure_is_told_by_kind_and_place_only(
    series_list: SeriesList, small_bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*arguments: Any) -> None:
        raise ValueError("TEST^NOBODY")

    monkeypatch.setattr("scripts.archive.stages.infer", fail)
    summary = synthesize_archive(_request(series_list(1), retries=0), bundle_root=small_bundle)
    (failure,) = summary.failures
    assert failure["exit_code"] == 1 and failure["error"].startswith("unexpected ValueError at test_run.py")
    assert "NOBODY" not in json.dumps(failure)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["keyboard", "scheduler"])
def test_an_interrupt_keeps_what_is_finished(
    series_list: SeriesList, small_bundle: Path, tmp_path: Path, number: int
) -> None:
    manifest = series_list(6)

    def stop(text: str, done: int, total: int) -> None:
        if done == 2:
            os.kill(os.getpid(), number)

    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs ignore the keyboard
    try:
        with pytest.raises(Interrupted, match="2 series were finished"):
            synthesize_archive(_request(manifest), stop, small_bundle)
    finally:
        signal.signal(signal.SIGINT, before)
    assert len(_results(tmp_path / "out")) == 2
    assert not list((tmp_path / "out").rglob("*.partial-*"))
    with (tmp_path / "out" / "results.jsonl").open("a") as file:
        file.write('{"torn')
    summary = synthesize_archive(_request(manifest), bundle_root=small_bundle)
    assert summary.done + summary.finished_before == 6
    assert len(_results(tmp_path / "out")) == 2 + summary.done


def test_two_runs_do_not_work_on_one_archive(series_list: SeriesList, small_bundle: Path, tmp_path: Path) -> None:
    from scripts.archive.results import Results

    manifest = series_list(1)
    with Results(tmp_path / "out" / "results.jsonl"), pytest.raises(OutputError, match="another run is at work"):
        synthesize_archive(_request(manifest), bundle_root=small_bundle)
    assert not (tmp_path / "out" / "results.jsonl").exists()  # nothing was written to it


def test_other_weights_do_not_go_on_where_these_stopped(
    series_list: SeriesList, small_bundle: Path, make_bundle: Callable[..., Path]
) -> None:
    manifest = series_list(1)
    synthesize_archive(_request(manifest), bundle_root=small_bundle)
    other = make_bundle(
        encoder={"features": [4, 4], "latent_channels": 4},
        decoder_a={"features": [4, 4]},
        decoder_b={"features": [4, 4]},
    )
    with pytest.raises(OutputError, match="choose another -o"):
        synthesize_archive(_request(manifest), bundle_root=other)


def test_damaged_weights_are_told_before_anything(series_list: SeriesList, make_bundle: Callable[..., Path]) -> None:
    bundle = make_bundle()
    (bundle / "models" / "model.pt").write_bytes(b"?")
    manifest = series_list(1)
    with pytest.raises(WeightsError):
        synthesize_archive(_request(manifest), bundle_root=bundle)
    assert not (manifest.parent / "out").exists()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"engine": "spark"}, "need local or ray"),
        ({"device": "tpu"}, "--device tpu"),
        ({"address": "auto"}, "without --engine ray"),
        ({"workers": 0}, "at least one"),
        ({"retries": -1}, "0 or more"),
        ({"formats": ("png",)}, "--format png"),
        ({"shard": "3/2"}, "need i/n"),
        ({"target": "auto"}, "--to auto"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else None,
)
def test_wrong_requests_are_usage_errors(
    series_list: SeriesList, small_bundle: Path, changes: dict[str, Any], words: str
) -> None:
    manifest = series_list(1)
    with pytest.raises(UsageError, match=words):
        synthesize_archive(_request(manifest, **changes), bundle_root=small_bundle)
    assert not (manifest.parent / "out").exists()


def test_a_site_file_says_what_names_mean_and_a_changed_one_is_asked_again(
    knee_series: Series, small_bundle: Path, tmp_path: Path
) -> None:
    import pydicom

    for number, plane in enumerate(("sagittal", "coronal"), start=1):  # as a site that numbers its series
        for file in knee_series(f"exam/{plane}", plane=plane, number=number, acquired=True):
            dataset = pydicom.dcmread(file)
            dataset.SeriesDescription = dataset.ProtocolName = f"KN {number}"
            dataset.save_as(file, enforce_file_format=True)
    manifest, site = tmp_path / "list.csv", tmp_path / "site.toml"
    manifest.write_text("source\nexam\n")

    def made(text: str) -> tuple[int, int]:
        site.write_text(text)
        summary = synthesize_archive(_request(manifest, site=site), bundle_root=small_bundle)
        assert not summary.failures
        return summary.done, summary.finished_before

    ignored = '[series."KN 2"]\nignore = true\n'
    assert made(ignored) == (1, 0)
    assert made(ignored) == (0, 1)
    assert made('[series."KN 2"]\ncontrast = "PD"\n') == (1, 1)
    site.write_text('[series."KN 1"]\nignore = true\n' + ignored)
    with pytest.raises(KneeSynthError):
        synthesize(Request((tmp_path / "exam",), tmp_path / "one", site=site), bundle_root=small_bundle)
    with pytest.raises(UsageError, match="site"):
        synthesize_archive(_request(manifest, site=tmp_path / "none.toml"), bundle_root=small_bundle)
