# SPDX-License-Identifier: Apache-2.0
"""What training on these pairs would take on this machine: memory and disk by arithmetic, time by a few real steps."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from scripts.checking.pair import Pair
from scripts.devices import describe
from scripts.engines import CrossContrastTrainer
from scripts.losses import CrossContrastLoss

BYTES_PER_VOXEL = 4
"""Both contrasts as float16."""
_WARM, _STEPS, _LONGEST = 1, 4, 15.0
_ROOM = 0.25  # share of the machine's memory that pairs may take before streaming is advised


@dataclass(frozen=True)
class Estimate:
    """What training would take.

    Args:
        device: the device at hand, in words.
        prepared_gib: all pairs as they are kept: on disk, and in memory where they are resident.
        memory_gib: of this machine; None if it does not say.
        loading: which way of loading is advised.
        pairs_per_second: measured rate of the training step; None where it was not measured.
        device_gib: highest memory of the device in those steps; None on a CPU.
        epoch_minutes: time of an epoch's steps, by that rate.
        training_hours: of all epochs.
        settings: what was trained: batch, crop, samples, epochs.
    """

    device: str
    prepared_gib: float
    memory_gib: float | None
    loading: str
    pairs_per_second: float | None = None
    device_gib: float | None = None
    epoch_minutes: float | None = None
    training_hours: float | None = None
    settings: str = ""

    @property
    def sentence(self) -> str:
        """The estimate in words."""
        memory = "" if self.memory_gib is None else f" of {self.memory_gib:.0f} GiB memory"
        said = f"{self.prepared_gib:.2f} GiB once preprocessed{memory}: loading: {self.loading}"
        if self.pairs_per_second is None:
            return f"{said}."
        said += f". On {self.device} a step takes {self.settings}"
        said += f", measured: {self.pairs_per_second:.1f} pairs/s"
        if self.device_gib is not None:
            said += f" and {self.device_gib:.1f} GiB on the device"
        return (
            f"{said}; {self.epoch_minutes:.0f} min an epoch, {self.training_hours:.1f} h in all, loading not counted."
        )


def estimate(pairs: Sequence[Pair], config: Mapping[str, Any] | None, device: torch.device) -> Estimate:
    """Say what training takes.

    Args:
        pairs: as checked.
        config: ``train.yaml``, merged; None measures no step.
        device: where to train.
    """
    voxels = sum(_voxels(pair) for pair in pairs)
    prepared = BYTES_PER_VOXEL * voxels / 2**30
    memory = _memory_gib()
    loading = "resident" if memory is not None and prepared < _ROOM * memory else "streamed"
    told = describe(device)
    name = str(told.get("name") or f"this {told['device']} ({torch.get_num_threads()} threads)")
    if config is None:
        return Estimate(name, prepared, memory, loading)
    rate, held, settings = _measured(config, device)
    samples, epochs = int(config["samples_per_epoch"]), int(config["max_epochs"])
    seconds = samples / rate
    words = f"{settings}, {samples} crops an epoch, {epochs} epochs"
    return Estimate(name, prepared, memory, loading, rate, held, seconds / 60, epochs * seconds / 3600, words)


def _voxels(pair: Pair) -> int:
    if pair.grids is None:
        return 0
    slices, rows, columns = pair.grids[0].shape
    return slices * rows * columns


def _memory_gib() -> float | None:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    except (ValueError, OSError, AttributeError):
        return None


def _measured(config: Mapping[str, Any], device: torch.device) -> tuple[float, float | None, str]:
    """Rate [pairs/s] and memory [GiB] of the config's own training step on noise, which costs what knees cost."""
    from ignite.engine import Events
    from monai.bundle import ConfigParser

    network = ConfigParser({key: config[key] for key in ("contrasts", "network_def")}).get_parsed_content("network_def")
    batch, (height, width) = int(config["batch_size"]), config["augmentation"]["size"]
    given = {key: torch.rand(batch, 1, height, width) for key in ("image", "label")}
    loss = CrossContrastLoss(config["loss_weights"], config["squared_below"])
    network = network.to(device)
    trainer = CrossContrastTrainer(
        device=device, max_epochs=1, train_data_loader=[given] * (_WARM + _STEPS), network=network,
        optimizer=torch.optim.AdamW(network.parameters()), loss_function=loss,
    )  # fmt: skip
    times: list[float] = []
    started = time.perf_counter()

    def note(engine: Any) -> None:
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        times.append(time.perf_counter())
        if len(times) > _WARM and times[-1] - started > _LONGEST:
            engine.terminate()

    trainer.add_event_handler(Events.ITERATION_COMPLETED, note)
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    trainer.run()
    held = torch.cuda.max_memory_allocated(device) / 2**30 if device.type == "cuda" else None
    rate = batch * (len(times) - _WARM) / max(times[-1] - times[_WARM - 1], 1e-9)
    return rate, held, f"{batch} crops of {height} x {width}"
