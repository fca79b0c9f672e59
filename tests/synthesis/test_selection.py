# SPDX-License-Identifier: Apache-2.0
"""Which series: one candidate is taken, several are a question, and each refusal has its own code."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from scripts.dicom.index import Stack
from scripts.errors import DecodeError, GateError, GeometryError, KneeSynthError, SourceError, UsageError
from scripts.synthesis.selection import AmbiguousSource, Lift, choose

Make = Callable[..., Stack]
FORCE = Lift(force=True)


def test_one_candidate_is_taken_whatever_else_lies_there(stack: Make) -> None:
    others = [
        stack(2, contrast="PDFS", plane="coronal"),
        stack(3, contrast="other"),
        stack(4, localizer=True),
        stack(5, derived=True),
        stack(6, synthetic=True),
        stack(7, usable=False, reason="gap of 6.00 mm", refusal_code=5),
        stack(8, modality="CT", contrast="unknown", usable=False, reason="not MR (CT)", refusal_code=6),
    ]
    chosen = choose([*others, stack(1)], "PDFS").choices
    assert [(c.stack.id, c.target, c.warnings) for c in chosen] == [("1.1", "PDFS", ())]


def test_notes_of_the_reader_become_warnings(stack: Make) -> None:
    (choice,) = choose([stack(1, notes=("MONOCHROME1: values are inverted.",))], "PDFS").choices
    assert choice.warnings == ("MONOCHROME1: values are inverted.",)


def test_the_pieces_of_one_broken_series_give_its_reason(stack: Make) -> None:
    broken = {"series_instance_uid": "1.2.3.1", "usable": False, "reason": "mixed matrix", "refusal_code": 5}
    with pytest.raises(GeometryError, match="mixed matrix"):
        choose([stack(1, **broken), stack(1, id="1.2", **broken)], "PDFS")


@pytest.mark.parametrize("lift", [Lift(), FORCE], ids=["plain", "force"])
def test_several_candidates_are_asked_about_even_with_force(stack: Make, lift: Lift) -> None:
    stacks = [stack(1), stack(2, plane="coronal"), stack(3, contrast="other")]
    with pytest.raises(AmbiguousSource, match="2 usable PD stacks among 3") as refused:
        choose(stacks, "PDFS", lift=lift)
    assert refused.value.exit_code == 3
    assert refused.value.stacks == tuple(stacks)


def test_no_candidate_among_several_is_asked_about(stack: Make) -> None:
    with pytest.raises(AmbiguousSource, match="no usable PD stacks among 2"):
        choose([stack(1, contrast="PDFS"), stack(2, contrast="other")], "PDFS")


def test_nothing_found_is_no_source() -> None:
    with pytest.raises(SourceError, match="no image series found"):
        choose([], "PDFS")


@pytest.mark.parametrize(
    ("facts", "error", "lifted"),
    [
        ({"contrast": "PDFS"}, GateError, True),
        ({"contrast": "other"}, GateError, True),
        ({"plane": "oblique"}, GateError, True),
        ({"body_part": "SHOULDER"}, GateError, True),
        ({"spacing_mm": (3.3, 1.8, 1.8)}, GateError, True),
        ({"spacing_mm": (12.0, 0.5, 0.5)}, GateError, True),
        ({"slices": 6}, GateError, True),
        ({"localizer": True}, GateError, True),
        ({"derived": True}, GateError, True),
        ({"synthetic": True}, GateError, True),
        ({"modality": "CT", "usable": False, "reason": "not MR (CT)", "refusal_code": 6}, GateError, False),
        ({"usable": False, "reason": "gap of 6.00 mm", "refusal_code": 5}, GeometryError, False),
        ({"usable": False, "reason": "cannot be decoded: cut short", "refusal_code": 4}, DecodeError, False),
    ],
    ids=lambda v: "-".join(v) if isinstance(v, dict) else None,
)
def test_the_only_stack_gives_its_own_reason(
    stack: Make, facts: dict[str, Any], error: type[KneeSynthError], lifted: bool
) -> None:
    for arguments in ({}, {"series": "1.1"}):
        with pytest.raises(error) as refused:
            choose([stack(1, **facts)], "PDFS", **arguments)
        message = str(refused.value)
        assert "stack 1.1" in message and "; need" in message and "\n" not in message
        assert ("--force takes it" in message) == lifted
        if lifted:
            (choice,) = choose([stack(1, **facts)], "PDFS", lift=FORCE, **arguments).choices
            assert any(warning.startswith("Forced") for warning in choice.warnings)
        else:
            with pytest.raises(error):
                choose([stack(1, **facts)], "PDFS", lift=FORCE, **arguments)


def test_series_takes_a_stack_id_or_a_uid_that_holds_one_stack(stack: Make) -> None:
    echoes = [stack(1, id=f"1.{n}", series_instance_uid="1.2.3.1", echo_time=0.01 * n) for n in (1, 2)]
    stacks = [*echoes, stack(2)]
    assert choose(stacks, "PDFS", series="1.2").choices[0].stack is echoes[1]
    assert choose(stacks, "PDFS", series="1.2.3.2").choices[0].stack.id == "2.1"
    with pytest.raises(AmbiguousSource, match="holds 2 stacks") as refused:
        choose(stacks, "PDFS", series="1.2.3.1")
    assert refused.value.stacks == tuple(echoes)
    with pytest.raises(AmbiguousSource, match="no stack of that name"):
        choose(stacks, "PDFS", series="7.7")


def test_all_takes_each_series_without_its_acquired_partner(stack: Make) -> None:
    stacks = [
        stack(1),
        stack(2, contrast="PDFS"),
        stack(3, plane="coronal"),
        stack(4, plane="axial"),
        stack(5, plane="axial", contrast="PDFS", synthetic=True),
    ]
    selection = choose(stacks, "PDFS", all_series=True)
    assert [c.stack.id for c in selection.choices] == ["3.1", "4.1"]
    assert selection.skipped == (("1.1", "its acquired PDFS is there (stack 2.1)"),)


def test_all_never_counts_echoes_as_several_series(stack: Make) -> None:
    in_one_series = [stack(1), stack(1, id="1.2", echo_time=0.04)]
    in_two_series = [stack(1), stack(2, echo_time=0.04)]
    for stacks in (in_one_series, in_two_series):
        with pytest.raises(AmbiguousSource, match="echoes of one acquisition"):
            choose(stacks, "PDFS", all_series=True)


def test_echoes_and_planes_of_one_series_keep_no_other_from_being_made(stack: Make) -> None:
    stacks = [
        stack(1),
        stack(1, id="1.2", echo_time=0.04),
        stack(2, plane="coronal"),
        stack(2, id="2.2", plane="axial"),
    ]
    selection = choose(stacks, "PDFS", all_series=True)
    assert [choice.stack.id for choice in selection.choices] == ["2.1", "2.2"]
    assert [name for name, reason in selection.skipped if "echoes of one acquisition" in reason] == ["1.1", "1.2"]


def test_the_other_knee_s_target_is_no_partner(stack: Make) -> None:
    left, right = [stack(1, side="L"), stack(2, contrast="PDFS", side="L")], stack(3, side="R")
    selection = choose([*left, right], "PDFS", all_series=True)
    assert [choice.stack.id for choice in selection.choices] == ["3.1"]
    unsaid = choose([stack(1), stack(2, contrast="PDFS", side="L"), stack(3, plane="axial")], "PDFS", all_series=True)
    assert [choice.stack.id for choice in unsaid.choices] == ["3.1"]


def test_all_leaves_out_what_the_model_was_not_made_for_and_says_so(stack: Make) -> None:
    selection = choose([stack(1), stack(2, plane="oblique")], "PDFS", all_series=True)
    assert [c.stack.id for c in selection.choices] == ["1.1"]
    assert selection.skipped[0][0] == "2.1" and "oblique" in selection.skipped[0][1]


def test_all_with_every_partner_acquired_has_nothing_to_do(stack: Make) -> None:
    with pytest.raises(AmbiguousSource, match="nothing left of 1 PD series"):
        choose([stack(1), stack(2, contrast="PDFS")], "PDFS", all_series=True)


@pytest.mark.parametrize(("contrast", "target"), [("PD", "PDFS"), ("PDFS", "PD")])
def test_auto_turns_the_only_usable_stack_round(stack: Make, contrast: str, target: str) -> None:
    chosen = choose([stack(1, contrast=contrast), stack(2, contrast="other")], "auto").choices
    assert [(c.stack.id, c.target) for c in chosen] == [("1.1", target)]


def test_auto_with_both_contrasts_is_asked_about(stack: Make) -> None:
    with pytest.raises(AmbiguousSource, match="2 usable PD or PDFS stacks"):
        choose([stack(1), stack(2, contrast="PDFS")], "auto")


def test_simulated_stack_needs_its_own_word_and_nothing_else_lifts_it(stack: Make) -> None:
    simulated = stack(1, synthetic=True, simulated=True)
    for lift in (Lift(), FORCE):
        with pytest.raises(GateError, match="--accept-simulated"):
            choose([simulated], "PDFS", lift=lift)
    (choice,) = choose([simulated], "PDFS", lift=Lift(simulated=True)).choices
    assert any("Simulated input" in warning for warning in choice.warnings)


def test_accepting_simulated_lifts_nothing_else(stack: Make) -> None:
    accepted = Lift(simulated=True)
    with pytest.raises(GateError, match="already synthetic"):
        choose([stack(1, synthetic=True)], "PDFS", lift=accepted)
    with pytest.raises(GateError, match="contrast is PDFS"):
        choose([stack(1, contrast="PDFS", synthetic=True, simulated=True)], "PDFS", lift=accepted)


def test_simulated_study_of_several_series_names_the_way_out(stack: Make) -> None:
    study = [stack(1, synthetic=True, simulated=True), stack(2, synthetic=True, simulated=True, contrast="PDFS")]
    with pytest.raises(AmbiguousSource, match="--accept-simulated"):
        choose(study, "PDFS")


@pytest.mark.parametrize(
    "arguments",
    [{"target": "T2"}, {"target": "auto", "all_series": True}, {"target": "PD", "all_series": True, "series": "1.1"}],
    ids=["unknown target", "all with auto", "all with series"],
)
def test_contradictory_requests_are_usage_errors(stack: Make, arguments: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        choose([stack(1)], **arguments)
