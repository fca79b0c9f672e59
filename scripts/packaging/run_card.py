# SPDX-License-Identifier: Apache-2.0
"""What the README and the metadata of a package say of weights that a run made: what the run recorded, nothing more."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import PurePath
from typing import Any

from scripts.packaging.training_run import TrainingRun
from scripts.synthesis.uncertainty import KEY as UNCERTAINTY

PANEL, CURVES = "panel.png", "curves.png"

_RANGES = ("simulated", "augmentation", "noisy_targets", "samples_per_epoch", "batch_size")
_PLACES = ("cache_dir",)


def run_parts(run: TrainingRun, parts: Mapping[str, str]) -> dict[str, str]:
    """Text of the README's places.

    Args:
        run: the run.
        parts: what holds for any weights of this code, see `general_parts`.
    """
    first, second = run.contrasts
    return {
        **parts,
        "description": (
            f"Turns a knee MR series of contrast {first} into {second}, or back, slice by slice. One content encoder, "
            f"one decoder for each contrast; {run.parameters / 1e6:.2g} M parameters.\n\n"
            "**These weights were made by a training run of the user's own.** Nobody but whoever trained them has "
            "judged them; this page holds what the run recorded of itself."
        ),
        "training": _training(run),
        "scores": _scores(run),
        "failures": (
            "- No failure of these weights is known, because none was looked for: look at scans that training never "
            "saw, and measure them (`python -m scripts evaluate STUDY --scorecard`).\n"
            "- Scans that differ from the training data in sequence, field strength, plane or resolution."
        ),
        "licences": (
            "Code Apache-2.0. The weights belong to whoever trained them, who says on which terms they may be used."
        ),
    }


def run_metadata(run: TrainingRun, metadata: Mapping[str, Any], name: str, version: str, sha256: str) -> dict[str, Any]:
    """Content of ``metadata.json``.

    Args:
        run: the run.
        metadata: the bundle's own.
        name: name of the package.
        version: version of the package.
        sha256: of its weights.
    """
    pairs = _data(run).get("pairs")
    count = f"{pairs} " if pairs else ""
    first, second = run.contrasts
    own = {key: value for key, value in metadata.items() if key != UNCERTAINTY}  # which belongs to other weights
    return {
        **own,
        "name": name,
        "version": version,
        "changelog": {version: f"weights of a training run, epoch {run.epoch}" if run.epoch else "weights of a run"},
        "task": f"Synthesis of knee MRI of contrast {second} from {first}, and back",
        "description": f"{metadata['description']} The weights are of a training run of the user's own.",
        "authors": f"Whoever trained the weights; code: {metadata['authors']}",
        "data_source": f"{count}simulated knees" if run.simulated else f"{count}pairs of the user's own",
        "data_type": "simulated" if run.simulated else "acquired",
        "weights_sha256": sha256,
        "training": {
            "contrasts": list(run.contrasts),
            "epoch": run.epoch,
            "seconds": run.record.get("seconds"),
            "seed": run.record.get("seed"),
            "commit": run.record.get("commit"),
            "data": _data(run),
            "validation": dict(run.scores),
            "ranges": ranges(run),
        },
    }


def ranges(run: TrainingRun) -> dict[str, Any]:
    """Within what the run drew its training data."""
    found = {key: run.config[key] for key in _RANGES if key in run.config}
    if not run.simulated:
        found.pop("simulated", None)
    elif isinstance(found.get("simulated"), Mapping):
        found["simulated"] = {key: value for key, value in found["simulated"].items() if key not in _PLACES}
    return found


def run_pictures(run: TrainingRun) -> dict[str, bytes]:
    """Pictures that the README shows."""
    curves = run.folder / CURVES
    found = {PANEL: run.panel(), CURVES: curves.read_bytes() if curves.is_file() else b""}
    return {name: content for name, content in found.items() if content}


def _data(run: TrainingRun) -> Mapping[str, Any]:
    data = run.record.get("data")
    return data if isinstance(data, Mapping) else {}


def _training(run: TrainingRun) -> str:
    methods = run.text("METHODS.md").partition("\n")[2].strip()
    start = str(run.config.get("initial_weights") or "")
    if start:  # a path of the machine it was trained on
        methods = methods.replace(start, PurePath(start).name)
    hardware = run.record.get("hardware")
    hardware = hardware if isinstance(hardware, Mapping) else {}
    unknown = "not recorded"
    rows = {
        "Epoch of these weights": run.epoch or unknown,
        "Time of the whole run": f"{run.record['seconds'] / 60:.1f} minutes" if "seconds" in run.record else unknown,
        "Machine": ", ".join(str(hardware[key]) for key in ("gpu", "processor") if key in hardware) or unknown,
        "Data": ", ".join(f"{key} {value}" for key, value in _data(run).items()) or unknown,
        **{f"Range: {key}": _plain(value) for key, value in ranges(run).items()},
    }
    table = "| | |\n|---|---|\n" + "\n".join(f"| {name} | {value} |" for name, value in rows.items())
    return f"{methods}\n\n{table}".strip()


def _scores(run: TrainingRun) -> str:
    if not run.scores:
        return "The run recorded no validation of these weights."
    rows = "\n".join(f"| {name.replace('_', ' ')} | {value:.3f} |" for name, value in run.scores.items())
    pictures = "\n\n".join(f"![{name.partition('.')[0]} of the run]({name})" for name in run_pictures(run))
    kind = "simulated knees" if run.simulated else "the run's own validation pairs"
    return (
        f"Validation of epoch {run.epoch} on {kind} (PSNR in dB, data range 1.0; SSIM; both inside the body). The "
        "epoch was chosen by such a score, so scans that took no part are worse.\n\n"
        f"| score | mean |\n|---|---|\n{rows}\n\n{pictures}"
    )


def _plain(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{key} ({_plain(item)})" for key, item in value.items() if key != "_target_")
    return " to ".join(map(str, value)) if isinstance(value, list) else str(value)
