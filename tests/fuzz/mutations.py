# SPDX-License-Identifier: Apache-2.0
"""What is done to a sound study: a few harms, drawn from a seed, to one file or to all of them alike."""

from __future__ import annotations

import random
from collections.abc import Mapping

from tests.fuzz.elements import File
from tests.fuzz.harms import HARMS, any_value
from tests.fuzz.seeds import Study

_NAMES = (
    "a\nb.dcm", "\x1b[2J.dcm", "[red].dcm", "x" * 250, "deep/er/a.dcm", " ", "-o.dcm", "%s.dcm", "\udcff.dcm",
    "a.nii.gz", "report.json", "frames/1",
)  # fmt: skip


def mutated(studies: Mapping[str, Study], seed: int, index: int) -> tuple[str, Study]:
    """Input number ``index`` of a seed: its name in words, and its files."""
    rng = random.Random(f"{seed}/{index}")
    name = rng.choice(sorted(studies))
    study = [file.copy() for file in studies[name]]
    done = []
    for _ in range(rng.choice((1, 1, 1, 2, 2, 3, 4))):
        if rng.random() < 0.08:
            harm = rng.choice(_ON_STUDIES)
            harm(study, studies, rng)
            done.append(harm.__name__)
            continue
        (change,) = rng.choices(list(HARMS), list(HARMS.values()))
        every = rng.random() < 0.4
        # A seed of its own, so that all files of a study come to the same harm: a consistent lie gets furthest.
        state = rng.random()
        for file in study if every else [rng.choice(study)]:
            change(file, random.Random(state))
        done.append(f"{change.__name__} of {'every file' if every else 'one file'}")
    return f"{name}: {', '.join(done)}", study


def lost_file(study: Study, studies: Mapping[str, Study], rng: random.Random) -> None:
    if len(study) > 1:
        del study[rng.randrange(len(study))]


def copied_file(study: Study, studies: Mapping[str, Study], rng: random.Random) -> None:
    copy = rng.choice(study).copy()
    copy.name = "copy.dcm"
    if rng.random() < 0.5:
        any_value(copy, rng)
    study.append(copy)


def foreign_file(study: Study, studies: Mapping[str, Study], rng: random.Random) -> None:
    other = rng.choice(studies[rng.choice(sorted(studies))]).copy()
    other.name = "foreign.dcm"
    study.append(other)


def odd_name(study: Study, studies: Mapping[str, Study], rng: random.Random) -> None:
    rng.choice(study).name = rng.choice(_NAMES)


def no_dicom(study: Study, studies: Mapping[str, Study], rng: random.Random) -> None:
    raw = rng.choice((b"", b"\x08\0" * 300, bytes(128) + b"DICM", rng.randbytes(1000), b"<?xml?>", b"\x1f\x8b\x08\0"))
    study.append(File(rng.choice(("x.dcm", "DICOMDIR", "x.nii.gz", "task.json")), [], [], "", raw))


_ON_STUDIES = (lost_file, copied_file, foreign_file, odd_name, no_dicom)
