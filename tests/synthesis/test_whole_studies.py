# SPDX-License-Identifier: Apache-2.0
"""A whole study in: one derived series of each source series, and a verdict on every stack that lies there."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest

from scripts.dicom.index import Stack
from scripts.errors import DecodeError, GateError, UsageError
from scripts.synthesis import products, run
from scripts.synthesis.narrowing import Narrowing
from scripts.synthesis.planning import Request
from scripts.synthesis.run import synthesize
from scripts.synthesis.selection import AmbiguousSource, Lift, choose
from scripts.synthesis.verdicts import judge, without_file_names

Make = Callable[..., Stack]
ALL = {"target": "PDFS", "all_series": True}


def test_an_exam_gives_one_series_for_each_plane_that_was_not_acquired(
    knee_exam: Path, random_bundle: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    report = synthesize(Request((knee_exam,), out, all_series=True), bundle_root=random_bundle)

    made: dict[str, list[Any]] = {}
    for file in out.glob("0*.dcm"):
        dataset = pydicom.dcmread(file)
        made.setdefault(dataset.SeriesInstanceUID, []).append(dataset)
    assert len(made) == 2 and {len(series) for series in made.values()} == {10}
    sources = {series[0].ReferencedSeriesSequence[0].SeriesInstanceUID for series in made.values()}
    planes = {pydicom.dcmread(f).SeriesInstanceUID: f.parts[-2] for f in knee_exam.rglob("*.dcm")}
    assert {planes[uid] for uid in sources} == {"PD_coronal", "PD_axial"}

    verdicts = {one["stack"]: (one["contrast"], one["plane"], one["verdict"]) for one in report["input"]}
    assert sorted(verdicts.values()) == [
        ("PD", "axial", "made"),
        ("PD", "coronal", "made"),
        ("PD", "sagittal", "skipped"),
        ("PDFS", "sagittal", "not a candidate"),
        ("other", "axial", "not a candidate"),
        ("other", "sagittal", "not a candidate"),
    ]
    reasons = {(one["contrast"], one["plane"]): one["reason"] for one in report["input"]}
    assert reasons["PD", "sagittal"].startswith("its acquired PDFS is there")
    assert reasons["other", "axial"] == "it is a localiser"
    assert reasons["other", "sagittal"] == "its contrast is other, not PD"
    assert json.loads((out / "report.json").read_text())["input"] == report["input"]


def test_a_series_whose_summary_cannot_be_made_leaves_nothing_of_itself(
    knee_exam: Path, random_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, calls = products.summarise, []

    def damaged(*arguments: Any) -> Any:
        calls.append(arguments)
        if len(calls) == 1:
            raise DecodeError("a header is damaged; need sound ones; export the series again")
        return whole(*arguments)

    monkeypatch.setattr(products, "summarise", damaged)
    out = tmp_path / "out"
    report = synthesize(Request((knee_exam,), out, all_series=True), bundle_root=random_bundle)
    assert len(report["series"]) == 1
    assert sorted(path.name for path in out.iterdir()) == sorted([*report["files"], "report.json"])
    assert sum(one["verdict"] == "skipped" and "damaged" in one["reason"] for one in report["input"]) == 1


def test_one_plane_of_an_exam(knee_exam: Path, random_bundle: Path, tmp_path: Path) -> None:
    only = Narrowing(planes=("coronal",))
    report = synthesize(Request((knee_exam,), tmp_path / "out", only=only), bundle_root=random_bundle)
    assert [entry["source"]["Plane"] for entry in report["series"]] == ["coronal"]
    axial = next(one for one in report["input"] if (one["contrast"], one["plane"]) == ("PD", "axial"))
    assert (axial["verdict"], axial["reason"]) == ("skipped", "its plane is axial, not in --plane coronal")


def test_a_series_that_is_refused_for_its_pixels_keeps_no_other_from_being_made(
    knee_exam: Path, random_bundle: Path, tmp_path: Path
) -> None:
    for file in (knee_exam / "PD_axial").iterdir():
        dataset = pydicom.dcmread(file)
        mask = (dataset.pixel_array > 1500).astype(np.uint16)
        dataset.PixelData = mask.tobytes()
        dataset.save_as(file)
    report = synthesize(
        Request((knee_exam,), tmp_path / "out", all_series=True, audit=tmp_path / "audit.jsonl"),
        bundle_root=random_bundle,
    )
    assert [entry["source"]["Plane"] for entry in report["series"]] == ["coronal"]
    axial = next(one for one in report["input"] if (one["contrast"], one["plane"]) == ("PD", "axial"))
    assert axial["verdict"] == "skipped" and "mask" in axial["reason"]
    assert len(list((tmp_path / "out").glob("0*.dcm"))) == 10
    told = [json.loads(line) for line in (tmp_path / "audit.jsonl").read_text().splitlines()]
    assert [line["outcome"] for line in told] == ["refused", "done"]
    with pytest.raises(GateError, match="mask"):  # alone, it is a refusal
        only = Narrowing(planes=("axial",))
        synthesize(Request((knee_exam,), tmp_path / "no", all_series=True, only=only), bundle_root=random_bundle)
    assert not (tmp_path / "no").exists()


def test_running_out_of_memory_at_one_series_ends_the_run(
    knee_exam: Path, random_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = run.finish
    calls: list[object] = []

    def fail_later(*arguments: Any) -> Any:
        calls.append(arguments)
        if len(calls) > 1:
            raise MemoryError
        return made(*arguments)

    monkeypatch.setattr(run, "finish", fail_later)
    with pytest.raises(Exception, match="out of memory"):
        synthesize(Request((knee_exam,), tmp_path / "out", all_series=True), bundle_root=random_bundle)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("only", "chosen"),
    [
        (Narrowing(planes=("coronal", "axial")), ["2.1", "3.1"]),
        (Narrowing(match="t2  WEIGHTED"), ["3.1"]),
        (Narrowing(planes=("sagittal",), match="knee"), ["1.1"]),
        (Narrowing(match="(knee"), ["2.1"]),
        (Narrowing(), ["1.1", "2.1", "3.1"]),
    ],
    ids=["planes", "capitals and blanks", "both", "no pattern", "nothing"],
)
def test_candidates_are_narrowed_by_plane_and_description(stack: Make, only: Narrowing, chosen: list[str]) -> None:
    stacks = [
        stack(1, description="KNEE sag"),
        stack(2, plane="coronal", description="(KNEE.*) cor"),
        stack(3, plane="axial", description="PD, not T2 weighted"),
    ]
    selection = choose(stacks, **ALL, only=only)
    assert [choice.stack.id for choice in selection.choices] == chosen
    assert {name for name, _ in selection.skipped} == {"1.1", "2.1", "3.1"} - set(chosen)


def test_a_narrowed_choice_still_sees_every_acquired_partner(stack: Make) -> None:
    stacks = [stack(1, description="PD one"), stack(2, contrast="PDFS", description="PD two")]
    with pytest.raises(AmbiguousSource, match="its acquired PDFS is there"):
        choose(stacks, **ALL, only=Narrowing(match="one"))


@pytest.mark.parametrize("count", [1, 2])
@pytest.mark.parametrize("all_series", [False, True])
def test_where_nothing_is_within_the_narrowing_it_is_a_question(stack: Make, count: int, all_series: bool) -> None:
    stacks = [stack(n) for n in range(1, count + 1)]
    with pytest.raises(AmbiguousSource, match="no usable PD stacks within --plane and --match") as refused:
        choose(stacks, "PDFS", all_series=all_series, only=Narrowing(planes=("axial",)))
    assert refused.value.exit_code == 3


def test_narrowing_and_naming_contradict_each_other(stack: Make) -> None:
    with pytest.raises(UsageError, match="--series"):
        choose([stack(1)], "PDFS", series="1.1", only=Narrowing(match="x"))
    with pytest.raises(UsageError, match=r"--plane oblique: unknown; need some of sagittal, coronal, axial"):
        Narrowing(planes=("sagittal", "oblique"))


def test_every_stack_has_a_verdict_and_a_reason(stack: Make) -> None:
    stacks = [
        stack(1),
        stack(2),
        stack(3, derived=True),
        stack(4, synthetic=True),
        stack(5, synthetic=True, simulated=True),
        stack(6, usable=False, reason="mixed matrix (MUELLER_ANNA.dcm)", files=(Path("a/MUELLER_ANNA.dcm"),)),
        stack(7, contrast="unknown"),
    ]
    found = judge(stacks, choose(stacks, "PDFS", series="2.1"), Lift())
    assert [(one.stack, one.verdict, one.reason) for one in found] == [
        ("1.1", "skipped", "another series was named"),
        ("2.1", "made", "named by --series"),
        ("3.1", "not a candidate", "it is a derived image"),
        ("4.1", "not a candidate", "it is already synthetic"),
        ("5.1", "not a candidate", "it is simulated"),
        ("6.1", "not a candidate", "mixed matrix ((file))"),
        ("7.1", "not a candidate", "its contrast is unknown, not PD"),
    ]


def test_file_names_are_taken_out_and_numbers_stay() -> None:
    files = [Path("x/1"), Path("x/IM_0001"), Path("x/IM_00011"), Path("x/a.dcm")]
    text = "stack 1.1: IM_00011, IM_0001 and a.dcm lie in 1 place"
    assert without_file_names(text, files) == "stack 1.1: (file), (file) and (file) lie in 1 place"
