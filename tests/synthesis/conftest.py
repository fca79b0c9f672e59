# SPDX-License-Identifier: Apache-2.0
"""A bundle to damage, and stacks made of words alone."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from scripts.dicom.index import Stack


@pytest.fixture
def bundle(random_bundle: Path, tmp_path: Path) -> Path:
    """A copy of it to damage."""
    return Path(shutil.copytree(random_bundle, tmp_path / "bundle"))


@pytest.fixture
def stack() -> Callable[..., Stack]:
    """A function that makes a sound, acquired sagittal PD stack; arguments change single facts."""
    plain = Stack(
        id="1.1",
        series_instance_uid="1.2.3.1",
        study_instance_uid="1.2.3",
        frame_of_reference_uid="1.2.3.9",
        modality="MR",
        description="",
        body_part="KNEE",
        plane="sagittal",
        slices=24,
        shape=(256, 256),
        spacing_mm=(3.3, 0.5, 0.5),
        echo_time=0.03,
        repetition_time=3.0,
        echo_number=1,
        contrast="PD",
        evidence=(),
        usable=True,
        reason="",
        refusal_code=0,
        files=(),
        derived=False,
        synthetic=False,
        simulated=False,
        localizer=False,
    )

    def make(number: int = 1, **facts: Any) -> Stack:
        named = {"id": f"{number}.1", "series_instance_uid": f"1.2.3.{number}"}
        return dataclasses.replace(plain, **{**named, **facts})

    return make
