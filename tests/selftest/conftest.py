# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from scripts.software import default_root


@pytest.fixture
def shipped(tmp_path: Path) -> Path:
    """A copy of the bundle, its weights and their stored results, to damage."""
    root = tmp_path / "bundle"
    for part in ("configs", "models"):
        shutil.copytree(default_root() / part, root / part)
    return root


@pytest.fixture
def bless() -> Callable[[Path], None]:
    """A function that gives the weights of a bundle the hash that metadata and stored results name."""

    def make(root: Path) -> None:
        digest = hashlib.sha256((root / "models" / "model.pt").read_bytes()).hexdigest()
        for name in ("configs/metadata.json", "models/selftest.json"):
            if (root / name).is_file():
                (root / name).write_text(json.dumps(json.loads((root / name).read_text()) | {"weights_sha256": digest}))

    return make


@pytest.fixture
def one_direction(monkeypatch: pytest.MonkeyPatch) -> None:
    """The selftest of PD to PDFS alone, where that is enough."""
    monkeypatch.setattr("scripts.selftest.trial.TARGETS", ("PDFS",))
