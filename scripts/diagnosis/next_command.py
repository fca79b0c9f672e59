# SPDX-License-Identifier: Apache-2.0
"""What to type after a verdict."""

from __future__ import annotations

import json
import shlex
from typing import Any

from scripts.diagnosis.verdict import Kind, Verdict


def next_command(verdict: Verdict, config: str = "", run_dir: str = "") -> str:
    """One command line.

    Args:
        verdict: the verdict.
        config: the config that was diagnosed; empty for ``train.yaml``.
        run_dir: the run folder that was diagnosed, if it was one.
    """
    train = ["kneesynth", "train", *(["--config", config] if config else [])]
    if verdict.kind is Kind.HEALTHY:
        if not run_dir:
            return shlex.join(train)
        evaluate = "python -m monai.bundle run evaluating --config_file bundle/configs/evaluate.yaml --checkpoint"
        return f"{evaluate} {shlex.quote(f'{run_dir}/model.pt')}"
    if verdict.kind is Kind.EARLY:
        return shlex.join([*train, *(["--resume", f"run_dir={run_dir}"] if run_dir else [])])
    if verdict.kind is Kind.UNPAIRED or not verdict.settings:
        return shlex.join(["kneesynth", "diagnose", run_dir or config or "bundle/configs/train.yaml"])
    return shlex.join([*train, *(f"{key}={_text(value)}" for key, value in verdict.settings.items())])


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)
