# SPDX-License-Identifier: Apache-2.0
"""What the bundle's contract tests share: where the configs are and which of them run alone."""

from __future__ import annotations

from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
CONFIGS = ROOT / "bundle" / "configs"


@pytest.fixture(autouse=True)
def repository_root(monkeypatch: pytest.MonkeyPatch) -> Path:
    """Configs name their files from the repository root."""
    monkeypatch.chdir(ROOT)
    return ROOT


@pytest.fixture(scope="session")
def configs() -> Path:
    return CONFIGS
