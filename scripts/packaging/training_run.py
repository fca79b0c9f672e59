# SPDX-License-Identifier: Apache-2.0
"""What a training run left in its folder, as far as a package of its weights needs it."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scripts.errors import UsageError, WeightsError

# Where the code of a package's network may come from: the package itself and what it depends on.
_CODE = ("scripts", "monai", "torch")


@dataclass(frozen=True)
class TrainingRun:
    """A run and one of its checkpoints.

    Args:
        folder: the run folder.
        checkpoint: the weights, one of its files.
        config: the run's configuration, references as text.
        record: its ``run.json``; empty where there is none.
        network: settings of the network, without references.
        contrasts: names of the two contrasts.
        epoch: epoch of the weights; 0 if unknown.
        scores: what that epoch's row of ``curves.csv`` says of validation, by name.
        weights: state dict as a file's content.
        parameters: number of the network's parameters.
    """

    folder: Path
    checkpoint: Path
    config: Mapping[str, Any]
    record: Mapping[str, Any]
    network: Mapping[str, Any]
    contrasts: tuple[str, str]
    epoch: int
    scores: Mapping[str, float]
    weights: bytes
    parameters: int

    @property
    def simulated(self) -> bool:
        """Whether it was trained on simulated knees and nothing else."""
        return not (self.config.get("dataset_dir") or self.config.get("manifest") or handed_over(self.config))

    def text(self, name: str) -> str:
        """Text of a file of the run folder; empty where it is not there."""
        path = self.folder / name
        return path.read_text(encoding="utf-8") if path.is_file() else ""

    def panel(self) -> bytes:
        """The picture of the weights' epoch, or of the last one before it; empty where there is none."""
        panels = sorted((self.folder / "panels").glob("epoch_*.png"))
        upto = [path for path in panels if not self.epoch or int(path.stem.partition("_")[2]) <= self.epoch]
        return upto[-1].read_bytes() if upto else b""


def handed_over(config: Mapping[str, Any]) -> bool:
    """Whether a config holds the list of its pairs, as MONAI Label hands it over, in place of how to find them."""
    train = config.get("train")
    dataset = train.get("dataset") if isinstance(train, Mapping) else None
    return isinstance(dataset, Mapping) and isinstance(dataset.get("data"), list)


def read_run(checkpoint: Path) -> TrainingRun:
    """Read a run from one of its checkpoints.

    Args:
        checkpoint: ``best.pt``, ``last.pt`` or ``model.pt`` in its run folder, with ``config.yaml`` beside it.

    Raises:
        UsageError: no ``config.yaml``, or one whose network cannot be packed.
        WeightsError: no weights, or not those of that network.
    """
    import torch

    from scripts.bundle_config import read_config
    from scripts.handlers.run_config import look_up
    from scripts.weights import load_weights, read_weights

    state = read_weights(checkpoint)
    folder = checkpoint.parent
    if not (folder / "config.yaml").is_file():
        raise UsageError(f"no config.yaml beside {checkpoint.name}; need the run folder that training left; name it.")
    config = read_config(folder / "config.yaml")
    network, contrasts = look_up(config, config.get("network_def")), look_up(config, config.get("contrasts"))
    if not isinstance(network, Mapping) or not isinstance(contrasts, list) or len(contrasts) != 2:
        raise UsageError("config.yaml of the run has no network_def or no two contrasts; need a run of this project.")
    check_packable(network, "network_def")
    built = build_network(network)
    try:
        load_weights(built, checkpoint)
    except WeightsError as error:
        raise WeightsError(f"{checkpoint.name} is not of the network in the config.yaml beside it.") from error
    stream = io.BytesIO()
    torch.save(state, stream)
    epoch, scores = _scores(folder, _epoch(checkpoint))
    return TrainingRun(
        folder=folder,
        checkpoint=checkpoint,
        config=config,
        record=_record(folder),
        network=network,
        contrasts=(str(contrasts[0]), str(contrasts[1])),
        epoch=epoch,
        scores=scores,
        weights=stream.getvalue(),
        parameters=sum(parameter.numel() for parameter in built.parameters()),
    )


def check_packable(part: Any, name: str) -> None:
    """Refuse a part of a run's config that could not be built in a package.

    Args:
        part: the part, references to other parts followed.
        name: its id.

    Raises:
        UsageError: it names code that no package holds, or refers to other parts of the config in an expression.
    """
    for key, text in _named_texts(part):
        if key == "_target_" and "." in text and text.partition(".")[0] not in _CODE:
            raise UsageError(
                f"{name} is made by {text}, which a package does not hold; need code of scripts, monai or torch; "
                "move it into scripts."
            )
        if text.startswith("@") or (text.startswith("$") and "@" in text):
            raise UsageError(f"{name} refers to {text}; need plain values in the run's config.yaml; write them out.")


def _named_texts(value: Any, key: str = "") -> Iterator[tuple[str, str]]:
    if isinstance(value, Mapping):
        for name, item in value.items():
            yield from _named_texts(item, str(name))
    elif isinstance(value, list):
        for item in value:
            yield from _named_texts(item, key)
    elif isinstance(value, str):
        yield key, value


def build_network(network: Mapping[str, Any]) -> Any:
    """The network that settings without references describe, weights drawn anew."""
    from monai.bundle import ConfigParser

    return ConfigParser({"network_def": dict(network)}).get_parsed_content("network_def")


def _record(folder: Path) -> Mapping[str, Any]:
    try:
        record = json.loads((folder / "run.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return record if isinstance(record, dict) else {}


def _epoch(checkpoint: Path) -> int:
    import torch

    state = torch.load(checkpoint, map_location="cpu", weights_only=True)
    epoch = state.get("epoch", 0) if isinstance(state, Mapping) else 0
    return epoch if isinstance(epoch, int) else 0


def _scores(folder: Path, epoch: int) -> tuple[int, dict[str, float]]:
    from scripts.handlers.curves import read_curves

    rows = read_curves(folder / "curves.csv") if (folder / "curves.csv").is_file() else []
    if not epoch:  # a bare state dict does not say; training keeps the best by validation as model.pt
        scored = [row for row in rows if "val_psnr" in row]
        chosen = max(scored, key=lambda row: row["val_psnr"], default=None)
    else:
        chosen = next((row for row in rows if row["epoch"] == epoch), None)
    if chosen is None:
        return epoch, {}
    return int(chosen["epoch"]), {k: v for k, v in chosen.items() if k.startswith(("val_", "psnr_", "ssim_"))}
