# SPDX-License-Identifier: Apache-2.0
"""A bundle with random weights of the shipped architecture, made once, and stacks made of words alone."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import shutil
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from scripts.dicom.index import Stack

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="session")
def random_bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The repository's bundle, its weights replaced by random ones under their right hash."""
    import torch
    from monai.bundle import ConfigParser

    root = tmp_path_factory.mktemp("random") / "bundle"
    shutil.copytree(ROOT / "bundle" / "configs", root / "configs")
    (root / "models").mkdir()
    parser = ConfigParser()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        parser.read_config(root / "configs" / "inference.yaml")
        torch.manual_seed(0)
        torch.save(parser.get_parsed_content("network_def").state_dict(), root / "models" / "model.pt")
    metadata = json.loads((root / "configs" / "metadata.json").read_text())
    metadata["weights_sha256"] = hashlib.sha256((root / "models" / "model.pt").read_bytes()).hexdigest()
    (root / "configs" / "metadata.json").write_text(json.dumps(metadata))
    return root


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
