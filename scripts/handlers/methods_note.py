# SPDX-License-Identifier: Apache-2.0
"""``METHODS.md``: the run as a paragraph for a paper, written from what was run."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from ignite.engine import Engine, Events
from torch import nn
from torch.optim import Optimizer

from scripts.handlers.checkpoint import bare
from scripts.handlers.curves import CurvesCSV
from scripts.handlers.environment import hardware, versions
from scripts.handlers.files import write_text_atomically
from scripts.handlers.first_epoch import at_first_epoch
from scripts.handlers.run_config import enclosing_config, look_up
from scripts.processes import is_first_rank, world_size
from scripts.software import git_commit
from scripts.weights import describe_weights

NAMES = {"python": "Python", "torch": "PyTorch", "monai": "MONAI", "numpy": "NumPy", "pytorch-ignite": "Ignite"}
_TERMS = {
    "structure": "structure is 1 - SSIM of the images of the other contrast",
    "edges": "edges are differences of their gradients",
}
"""What terms of the loss are that are no differences of intensities."""


class MethodsNote:
    """Write ``METHODS.md`` after each epoch: network, losses, data, optimiser, epochs, scores, hardware, versions.

    Says in words that data are simulated where they are. First rank only; list it after `CurvesCSV`.

    Args:
        run_dir: folder of the run.
        network: the network.
        optimizer: its optimiser.
        curves: the run's table, read for epochs, time and scores.
        loss_weights: weight of each loss term, in the order to name them.
        squared_below: differences between images that counted squared.
        lesion_weight: how much more than others the pixels of simulated lesions counted.
        rehearsal: share of simulated slices among those of the pairs.
        initial_weights: the file that training started from; empty if from random weights.
        data: the data in words or as a mapping of plain values (counts, sizes, fingerprint).
        simulated: whether the images are simulated; None leaves it unsaid.
        architecture: what the network is, in words.
        contrasts: names of the two contrasts.
        lr_scheduler: its class is named.
        key_metric: the metric the best epoch is chosen by; larger is better.
        seed: seed of the run.
        device: where it trains.
        network_id: id of the network's settings in the configuration.
    """

    def __init__(
        self,
        run_dir: str,
        network: nn.Module,
        optimizer: Optimizer,
        curves: CurvesCSV,
        loss_weights: Mapping[str, float] | None = None,
        squared_below: float = 0.0,
        lesion_weight: float = 0.0,
        rehearsal: float = 0.0,
        initial_weights: str = "",
        data: str | Mapping[str, Any] | None = None,
        simulated: bool | None = None,
        architecture: str = "",
        contrasts: Sequence[str] = ("PD", "PDFS"),
        lr_scheduler: Any | None = None,
        key_metric: str = "val_psnr",
        seed: int | None = None,
        device: str | torch.device | None = None,
        network_id: str = "network_def",
    ) -> None:
        self.run_dir = Path(run_dir)
        self.network = bare(network)
        self.optimizer = optimizer
        self.curves = curves
        self.loss_weights = dict(loss_weights or {})
        self.squared_below = squared_below
        self.lesion_weight, self.rehearsal = lesion_weight, rehearsal
        self.initial_weights = describe_weights(initial_weights) if initial_weights else ""
        self.data = data
        self.simulated = simulated
        self.architecture = architecture
        self.contrasts = tuple(contrasts)
        self.lr_scheduler = lr_scheduler
        self.key_metric = key_metric
        self.seed = seed
        self.device = torch.device(device) if device is not None else None
        config = enclosing_config()
        settings = look_up(config, config.get(network_id, {}))
        named = settings.items() if isinstance(settings, Mapping) else ()  # an expression says nothing by itself
        told = ("contrasts",)  # in the sentence itself
        self._settings = {k: v for k, v in named if not k.startswith("_") and v is not None and k not in told}
        self._facts: dict[str, Any] = {}

    def attach(self, engine: Engine) -> None:
        """Attach to the trainer ``engine``."""
        if not is_first_rank():
            return
        at_first_epoch(engine, self._look_around)
        engine.add_event_handler(Events.EPOCH_COMPLETED, self._write)

    def _look_around(self, _: Engine) -> None:
        self._facts = {"hardware": hardware(self.device), "versions": versions(), "commit": git_commit()}

    def _write(self, engine: Engine) -> None:
        write_text_atomically(self.run_dir / "METHODS.md", f"# Methods\n\n{self.paragraph(engine)}\n")

    def paragraph(self, engine: Engine) -> str:
        """The paragraph, from the run as it stands."""
        sentences = [self._network(), self._losses(), self._data(), self._optimisation(engine), self._scores()]
        sentences += [self._machine(), self._software()]
        return " ".join(sentence for sentence in sentences if sentence)

    def _network(self) -> str:
        million = sum(parameter.numel() for parameter in self.network.parameters()) / 1e6
        settings = "; ".join(f"{key.replace('_', ' ')} {_value(value)}" for key, value in self._settings.items())
        inner = ", ".join(part for part in (self.architecture, settings, f"{million:.2f} million parameters") if part)
        a, b = self.contrasts
        name = type(self.network).__name__
        return f"A network ({name}: {inner}) was trained to synthesise {b} from {a} and {a} from {b}."

    def _losses(self) -> str:
        if not self.loss_weights:
            return ""
        terms = " + ".join(f"{weight:g} {name}" for name, weight in self.loss_weights.items())
        smooth = (
            f" Differences between images below {self.squared_below:g} counted squared." if self.squared_below else ""
        )
        told = "".join(f"; {_TERMS[name]}" for name in self.loss_weights if name in _TERMS)
        lesions = (
            f" Pixels of simulated lesions counted {1 + self.lesion_weight:g} times." if self.lesion_weight else ""
        )
        return f"The loss was the weighted sum {terms}, of absolute differences{told}.{smooth}{lesions}"

    def _data(self) -> str:
        if self.simulated is None and not self.data:
            return ""
        detail = self.data if isinstance(self.data, str) else _listing(self.data or {})
        if self.simulated:
            told = "All images, of training and of validation, were simulated; no patient's image was used"
            return f"{told}{_colon(detail)}."
        kind = "were acquired, not simulated" if self.simulated is False else "are described as follows"
        told = f" Among the slices trained on, {self.rehearsal:.0%} were of simulated knees." if self.rehearsal else ""
        return f"Training and validation images {kind}{_colon(detail)}.{told}"

    def _optimisation(self, engine: Engine) -> str:
        group = self.optimizer.param_groups[0]
        words = [f"initial learning rate {group.get('initial_lr', group['lr']):g}"]
        if group.get("weight_decay"):
            words.append(f"weight decay {group['weight_decay']:g}")
        if self.lr_scheduler is not None:
            words.append(f"schedule {type(self.lr_scheduler).__name__}")
        size = getattr(engine.state.dataloader, "batch_size", None)
        batches = f"{engine.state.epoch_length} batches" + (f" of {size * world_size()}" if size else "")
        if world_size() > 1:
            batches += f", shared by {world_size()} processes"
        epochs, planned = engine.state.epoch, engine.state.max_epochs
        done = f"{epochs} epochs" if epochs == planned else f"{epochs} of {planned} planned epochs"
        start = f"Starting from the weights {self.initial_weights}, it" if self.initial_weights else "It"
        return (
            f"{start} was optimised with {type(self.optimizer).__name__} ({', '.join(words)}) for {done} of {batches}."
        )

    def _scores(self) -> str:
        judged = [row for row in self.curves.rows if self.key_metric in row]
        if not judged:
            return "No validation had been run by then."
        best = max(judged, key=lambda row: row[self.key_metric])
        training = {"epoch", "loss", "content", "recon", "cross", "lr", "seconds"}
        scores = ", ".join(_score(name, value) for name, value in best.items() if name not in training)
        return f"The weights of epoch {best['epoch']:.0f}, the best by {_words(self.key_metric)}, were kept ({scores})."

    def _machine(self) -> str:
        machine = self._facts.get("hardware", {})
        seconds = sum(row.get("seconds", 0.0) for row in self.curves.rows)
        units = ((3600, "hours"), (60, "minutes"), (1, "seconds"))
        size, unit = next((one for one in units if seconds >= one[0]), units[-1])
        took = f"{seconds / size:.1f} {unit}"
        threads = machine.get("threads", 1)
        name = machine.get("gpu") or f"{machine.get('processor')} ({threads} thread{'s' if threads != 1 else ''})"
        return f"Training took {took}, validation not counted, on {name}."

    def _software(self) -> str:
        found = self._facts.get("versions", {})
        used = ", ".join(f"{NAMES.get(name, name)} {number}" for name, number in found.items())
        commit = self._facts.get("commit")
        number, _, changed = (commit or "").partition("+")
        code = f", code at commit {number[:12]}{' with changes' if changed else ''}" if commit else ""
        seed = f"; random seed {self.seed}" if self.seed is not None else ""
        return f"Software: {used}{code}{seed}."


def _colon(detail: str) -> str:
    return f": {detail}" if detail else ""


def _listing(values: Mapping[str, Any]) -> str:
    return ", ".join(f"{key.replace('_', ' ')} {_value(value)}" for key, value in values.items())


def _value(value: Any) -> str:
    if isinstance(value, Mapping):
        return f"({_listing(value)})"
    if isinstance(value, list | tuple):
        return "/".join(_value(item) for item in value)
    text = str(value)
    return text[:16] if re.fullmatch("[0-9a-f]{32,}", text) else text  # enough of a hash for a paper


def _words(metric: str) -> str:
    words = metric.replace("val_", "validation ").split("_")
    return " ".join(words).replace("psnr", "PSNR").replace("ssim", "SSIM")


def _score(name: str, value: float) -> str:
    return f"{_words(name)} {value:.2f} dB" if "psnr" in name else f"{_words(name)} {value:.3f}"
