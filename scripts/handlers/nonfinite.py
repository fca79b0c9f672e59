# SPDX-License-Identifier: Apache-2.0
"""Stop training at a loss that is no number, and say which batch it was."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from ignite.engine import Engine, Events
from torch import nn

from scripts.errors import KneeSynthError
from scripts.handlers.checkpoint import bare
from scripts.handlers.files import write_atomically
from scripts.processes import rank


class StopOnNonFinite:
    """End the run with an error at the first loss that is NaN or infinite.

    The weights of that moment go to ``nonfinite.pt``; ``last.pt`` still holds the last finished epoch. Runs on all
    ranks, each looking at its own batches.

    Args:
        run_dir: folder of the run.
        network: the network.
        interval: iterations between looks; by default 1 where the loss is on the CPU, else 50. A look waits for the
            device, so in between the losses are only remembered there, and the first bad one is still named.
        identity: entries of the batch that name its members (positions, not patients); those present are reported.
    """

    def __init__(
        self, run_dir: str, network: nn.Module, interval: int | None = None, identity: Sequence[str] = ("origin",)
    ) -> None:
        self.run_dir = Path(run_dir)
        self.network = network
        self.interval = interval
        self.identity = tuple(identity)
        self._seen: list[tuple[int, str, torch.Tensor]] = []

    def attach(self, engine: Engine) -> None:
        """Attach to the trainer ``engine``."""
        engine.add_event_handler(Events.ITERATION_COMPLETED, self._remember)
        engine.add_event_handler(Events.EPOCH_COMPLETED, self._look)

    def _remember(self, engine: Engine) -> None:
        loss = loss_of(engine.state.output)
        self._seen.append((engine.state.iteration, describe(engine.state.batch, self.identity), loss.detach()))
        if len(self._seen) >= (self.interval or (1 if loss.device.type == "cpu" else 50)):
            self._look(engine)

    def _look(self, engine: Engine) -> None:
        seen, self._seen = self._seen, []
        if not seen:
            return
        losses = torch.stack([loss for _, _, loss in seen]).cpu()
        bad = (~torch.isfinite(losses)).nonzero().flatten().tolist()
        if not bad:
            return
        iteration, who, _ = seen[bad[0]]
        length = engine.state.epoch_length or iteration
        batch = (iteration - 1) % length + 1
        path = self.run_dir / (f"nonfinite-rank{rank()}.pt" if rank() else "nonfinite.pt")
        state = {
            "epoch": int(engine.state.epoch),
            "batch": batch,
            "members": who,
            "network": {name: value.detach().cpu() for name, value in bare(self.network).state_dict().items()},
        }
        write_atomically(path, lambda stream: torch.save(state, stream))
        raise KneeSynthError(
            f"the loss is {losses[bad[0]].item()} in epoch {engine.state.epoch}, batch {batch} of {length}{who}; "
            f"need finite losses: look at those images, or lower the learning rate (weights of that moment: {path})."
        )


def loss_of(output: Any) -> torch.Tensor:
    """The scalar loss in what a trainer's iteration left: a dict, a decollated list of dicts, or the loss itself."""
    if isinstance(output, Sequence) and output and isinstance(output[0], Mapping):
        output = output[0]
    value = output["loss"] if isinstance(output, Mapping) else output
    return torch.as_tensor(value, dtype=torch.float32).mean()


def describe(batch: Any, keys: Sequence[str]) -> str:
    """The batch's members by the entries ``keys`` it has, as `` (index 3, 7; slice 11, 0)``; empty without any."""
    members = [batch] if isinstance(batch, Mapping) else batch if isinstance(batch, list | tuple) else []
    found: list[str] = []
    for key in keys:
        values: list[Any] = []
        for member in members:
            if isinstance(member, Mapping) and key in member:
                value = member[key]
                value = value.tolist() if isinstance(value, torch.Tensor) else value
                values += value if isinstance(value, list | tuple) else [value]
        if values:
            found.append(f"{key} {', '.join(str(value) for value in values)}")
    return f" ({'; '.join(found)})" if found else ""
