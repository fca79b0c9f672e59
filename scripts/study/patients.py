# SPDX-License-Identifier: Apache-2.0
"""How many patients it takes: fine-tuning beside training from scratch, for a scanner that the weights have not seen.

The scanner is simulated (preset ``elsewhere``); the pairs are handed over as a user's would be: noisy images and a
manifest. A part of the patients of each size is held back to choose the epoch by. Every run has the same steps.
"""

from __future__ import annotations

import csv
import json
import logging
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
import yaml

from scripts.bundle_config import load_config
from scripts.errors import KneeSynthError
from scripts.handlers.files import write_text_atomically
from scripts.metrics.summary import AS_STORED, Estimate, bootstrap_mean
from scripts.simulation.cohort import Patient, simulated_cohort
from scripts.software import default_root
from scripts.study.rows import write_csv

SHIPPED, FINETUNED, SCRATCH = "shipped", "fine-tuned", "from scratch"
ELSEWHERE, HOME = "elsewhere", "clinical"
PATIENTS = "patients.csv"
_MODEL = "model.pt"
_HELD_BACK = 10  # one patient of so many, and at least one, is validated on

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Plan:
    """What is trained and measured.

    Args:
        sizes: numbers of patients that a group has, those it validates on included.
        seeds: of each training.
        tested: patients of each scanner to measure on.
        shape: slices, rows and columns.
        settings: on top of ``finetune.yaml``, for all runs.
    """

    sizes: tuple[int, ...] = (5, 10, 20, 50, 100)
    seeds: tuple[int, ...] = (0,)
    tested: int = 20
    shape: tuple[int, int, int] = (12, 192, 192)
    settings: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Learned:
    """What some weights are worth in one direction on one scanner; means over patients with 95 % intervals [dB].

    Args:
        start: `SHIPPED`, `FINETUNED` or `SCRATCH`.
        patients: that they were trained with; 0 for the shipped weights.
        seed: of the training.
        scanner: preset of the patients they are measured on.
        direction: of the synthesis.
        reference: what it is compared with: the target as ``noisy`` as it was acquired, which a user has too, or
            ``clean``, as it ought to be: without noise, evenly suppressed.
        tested: how many patients.
        psnr: as stored.
        low: of its interval.
        high: of it.
        gain: over the shipped weights, paired by patient.
        gain_low: of its interval.
        gain_high: of it.
    """

    start: str
    patients: int
    seed: int
    scanner: str
    direction: str
    reference: str
    tested: int
    psnr: float
    low: float
    high: float
    gain: float
    gain_low: float
    gain_high: float


def run_patients(plan: Plan, out: Path, cache_dir: Path) -> list[Learned]:
    """Train and measure all of a plan; what is done stays done.

    Args:
        plan: what to do.
        out: folder of the runs and of `PATIENTS`.
        cache_dir: where simulated patients are kept.

    Raises:
        KneeSynthError: a training or an evaluation ended with an error.
    """
    tests = {scanner: _test_manifest(plan, scanner, out, cache_dir) for scanner in (ELSEWHERE, HOME)}
    own = default_root() / "models" / _MODEL
    shipped = {scanner: _scores(own, out / SHIPPED / scanner, test) for scanner, test in tests.items()}
    found = _lines(SHIPPED, 0, 0, shipped, shipped)
    pairs = _pairs(simulated_cohort(cache_dir, "training", max(plan.sizes), 0, plan.shape, ELSEWHERE), clean=False)
    for size in plan.sizes:
        for start in (FINETUNED, SCRATCH):
            for seed in plan.seeds:
                folder = out / f"{start.replace(' ', '_')}-{size}-seed{seed}"
                weights = _train(plan, folder, pairs[:size], start, seed)
                scores = {scanner: _scores(weights, folder / scanner, test) for scanner, test in tests.items()}
                found += _lines(start, size, seed, scores, shipped)
                logger.info("%s with %d patients, seed %d: done", start, size, seed)
                write_text_atomically(out / PATIENTS, write_csv(found, Learned))
    return found


def joined(before: Sequence[Learned], now: Sequence[Learned]) -> list[Learned]:
    """What was measured before, with what was measured now in place of the same; in the order of `Plan`.

    Measured against other shipped weights, what was measured before is dropped.
    """
    shipped = [[one for one in lines if one.start == SHIPPED] for lines in (before, now)]
    anew = {(one.start, one.patients, one.seed) for one in now}
    kept = (
        [one for one in before if (one.start, one.patients, one.seed) not in anew] if shipped[0] == shipped[1] else []
    )
    starts = (SHIPPED, FINETUNED, SCRATCH)
    return sorted([*kept, *now], key=lambda one: (one.patients, starts.index(one.start), one.seed))


def _pairs(patients: Sequence[Patient], clean: bool) -> list[dict[str, str]]:
    names = {"image": "PD", "label": "PDFS"} | (
        {"image_clean": "PD_clean", "label_clean": "PDFS_clean"} if clean else {}
    )
    return [
        {"patient": patient.folder.name} | {key: str(patient.folder / f"{name}.pt") for key, name in names.items()}
        for patient in patients
    ]


def _test_manifest(plan: Plan, scanner: str, out: Path, cache_dir: Path) -> Path:
    listed = _pairs(simulated_cohort(cache_dir, "test", plan.tested, 0, plan.shape, scanner), clean=True)
    return _write(out / f"test-{scanner}.json", {"pairs": [pair | {"section": "test"} for pair in listed]})


def _train(plan: Plan, folder: Path, pairs: Sequence[Mapping[str, str]], start: str, seed: int) -> Path:
    weights = folder / "run" / _MODEL
    if (folder / "trained").is_file():
        return weights
    held_back = max(1, len(pairs) // _HELD_BACK)
    sections = ["validation"] * held_back + ["training"] * (len(pairs) - held_back)
    listed = [dict(pair) | {"section": section} for pair, section in zip(pairs, sections, strict=True)]
    configs = default_root() / "configs"
    settings = {
        "manifest": str(_write(folder / "pairs.json", {"pairs": listed})),
        "seed": seed,
        "resume": True,
        "patience": 1000,
        "cache_dir": str(folder / "cache"),
    }
    if start == SCRATCH:
        base = load_config(configs / "train.yaml")
        settings |= {"initial_weights": "", "learning_rate": base["learning_rate"]}
    config = load_config(configs / "train.yaml", [configs / "finetune.yaml", dict(plan.settings), settings])
    config["run_dir"]["run_dir"] = str(folder / "run")
    path = folder / "train.yaml"
    path.write_text(yaml.safe_dump(config, sort_keys=False), encoding="utf-8")
    _bundle("training", path)
    write_text_atomically(folder / "trained", "")
    return weights


Scores = Mapping[tuple[str, str], Mapping[str, float]]


def _scores(weights: Path, folder: Path, manifest: Path) -> Scores:
    """PSNR of the model as stored, by direction and reference, and patient."""
    table = folder / "metrics.csv"
    if not (folder / "summary.md").is_file():
        given = {"--manifest": manifest, "--checkpoint": weights, "--output_dir": folder}
        _bundle("evaluating", default_root() / "configs" / "evaluate.yaml", given)
    found: dict[tuple[str, str], dict[str, float]] = {}
    with table.open(encoding="utf-8", newline="") as stream:
        for row in csv.DictReader(stream):
            if (row["method"], row["scaling"]) == ("model", AS_STORED):
                found.setdefault((row["direction"], row["reference"]), {})[row["patient"]] = float(row["psnr"])
    return found


def _lines(
    start: str,
    patients: int,
    seed: int,
    scores: Mapping[str, Scores],
    shipped: Mapping[str, Scores],
) -> list[Learned]:
    lines = []
    for scanner, measured in scores.items():
        for (direction, reference), by_patient in measured.items():
            before = shipped[scanner][direction, reference]
            value = _mean(list(by_patient.values()))
            gain = _mean([by_patient[patient] - before[patient] for patient in by_patient])
            told = (value.mean, value.low, value.high, gain.mean, gain.low, gain.high)
            lines.append(Learned(start, patients, seed, scanner, direction, reference, len(by_patient), *told))
    return lines


def _mean(values: list[float]) -> Estimate:
    return bootstrap_mean(torch.tensor(values, dtype=torch.float64))


def _write(path: Path, content: Mapping[str, Any]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text_atomically(path, json.dumps(content, indent=1))
    return path.resolve()


def _bundle(run_id: str, config: Path, given: Mapping[str, Path] | None = None) -> None:
    # In a process of its own, from the repository root: see train_cell.
    root = default_root()
    command = [sys.executable, "-m", "monai.bundle", "run", run_id, "--config_file", str(config.resolve())]
    command += ["--meta_file", str(root / "configs" / "metadata.json"), "--bundle_root", str(root)]
    command += [text for key, value in (given or {}).items() for text in (key, str(value.resolve()))]
    outcome = subprocess.run(command, cwd=root.parent, check=False)
    if outcome.returncode:
        raise KneeSynthError(f"{run_id} ended with exit code {outcome.returncode}; see its log above.")
