# SPDX-License-Identifier: Apache-2.0
"""The fixed simulated benchmark as targets: from the cache, or made there once."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Callable
from pathlib import Path

from scripts.simulation.benchmark import SECTION, write_benchmark
from scripts.simulation.preset import load_preset, preset_hash
from scripts.simulation.study import SIMULATOR_VERSION
from scripts.synthesis.staging import staged_output

BENCHMARK = "benchmark-v1"

logger = logging.getLogger(__name__)


def benchmark_notes(root: Path) -> list[str]:
    """What the tables say of a benchmark that is not the whole set: its scores are not those of the set.

    Args:
        root: any folder of targets.
    """
    path = root / "benchmark.json"
    if not path.is_file():
        return []
    content = json.loads(path.read_text(encoding="utf-8"))
    name, cases = str(content.get("preset", BENCHMARK)), content.get("cases", [])
    knees = len({case["knee"] for case in cases})
    wanted = load_preset(name)[SECTION] if name == BENCHMARK else {}
    target = root / cases[0]["name"] / "PDFS.nii.gz" if cases else root
    import nibabel

    size = list(nibabel.load(target).shape)[::-1] if target.is_file() else wanted.get("shape")  # type: ignore[attr-defined]
    if wanted and (knees, size) == (wanted["knees"], list(wanted["shape"])):
        return [f"{name}, simulator version {content.get('simulator_version')}: {knees} knees"]
    return [f"{knees} knees, a part or another size of {name}, or another set: scores are not those of {BENCHMARK}"]


def cached_benchmark(cache: Path, tell: Callable[[str, int, int], None]) -> Path:
    """The folder of the benchmark, made on first use: 40 knees in three planes, most of them twice.

    Args:
        cache: folder of caches.
        tell: told how far it is.

    Raises:
        OutputError: the cache cannot be written.
    """
    folder = cache / f"{BENCHMARK}-v{SIMULATOR_VERSION}-{preset_hash(load_preset(BENCHMARK))}"
    if (folder / "benchmark.json").is_file():
        return folder
    logger.info("Simulating %s once, to be kept in %s: 216 stacks, each about 9 s of one core", BENCHMARK, folder)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    with staged_output(folder) as partial:
        write_benchmark(partial, BENCHMARK, workers=cores, tell=lambda done, total: tell("simulating", done, total))
    return folder
