# SPDX-License-Identifier: Apache-2.0
"""Which series headers allow to be partners, and the reason where they do not."""

from __future__ import annotations

from dataclasses import replace

import pytest

from scripts.pairing.candidates import Candidate, Exam
from scripts.pairing.partners import REASONS, propose

PD = Candidate(("a/1.dcm",), "PD", "s", "p", "f", "sagittal", "L", "KNEE", "g")
PDFS = replace(PD, files=("b/1.dcm",), contrast="PDFS")


def reasons(*candidates: Candidate) -> list[str]:
    proposals, refusals = propose(Exam("e", "p", candidates))
    assert all(refusal.reason in REASONS for refusal in refusals)
    return sorted(["proposed"] * len(proposals) + [refusal.reason for refusal in refusals])


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({}, "proposed"),
        ({"side": ""}, "proposed"),
        ({"frame": "other"}, "proposed"),
        ({"plane": "coronal"}, "other_plane"),
        ({"side": "R"}, "other_patient"),
        ({"person": "q"}, "other_patient"),
        ({"study": "t"}, "other_patient"),
        ({"body_part": "SHOULDER"}, "other_body_part"),
        ({"problem": ("unreadable", "cut off")}, "unreadable"),
        ({"problem": ("geometry", "a gap")}, "geometry"),
        ({"contrast": "other"}, "no_partner"),
    ],
)
def test_each_fault_of_the_only_partner_has_its_reason(change: dict[str, object], reason: str) -> None:
    assert reasons(PD, replace(PDFS, **change)) == [reason]


def test_of_two_pd_series_that_may_be_suppressed_images_decide() -> None:
    other = replace(PD, files=("c/1.dcm",), fat_open=True)
    proposals, refusals = propose(Exam("e", "p", (PD, other)))
    assert not refusals and [(one.image, one.labels, one.undecided) for one in proposals] == [(PD, (other,), True)]
    assert reasons(PD, replace(other, fat_open=False)) == ["no_partner", "no_partner"]
    assert reasons(PD, replace(other, plane="coronal")) == ["no_partner", "no_partner"]
    proposals, _ = propose(Exam("e", "p", (PD, PDFS, other)))
    assert not any(one.undecided for one in proposals)  # there is one that says so


def test_a_series_alone_is_refused_whichever_it_is() -> None:
    assert reasons(PD) == reasons(PDFS) == ["no_partner"]
    coronal = replace(PD, files=("c/1.dcm",), plane="coronal")
    assert reasons(PD, PDFS, coronal) == ["no_partner", "proposed"] or reasons(PD, PDFS, coronal) == [
        "other_plane",
        "proposed",
    ]


def test_another_body_part_is_told_before_anything_else() -> None:
    shoulder = {"body_part": "SHOULDER"}
    assert reasons(replace(PD, **shoulder), replace(PDFS, **shoulder)) == ["other_body_part"]
    assert reasons(replace(PD, body_part="EXTREMITY"), PDFS) == ["proposed"]


def test_of_several_partners_those_of_the_same_grid_are_asked() -> None:
    other = replace(PDFS, files=("c/1.dcm",), grid="another")
    (proposal,), _ = propose(Exam("e", "p", (PD, other, PDFS)))
    assert proposal.labels == (PDFS,)
    twin = replace(PDFS, files=("d/1.dcm",))
    (proposal,), _ = propose(Exam("e", "p", (PD, PDFS, twin)))
    assert proposal.labels == (PDFS, twin)
