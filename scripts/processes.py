# SPDX-License-Identifier: Apache-2.0
"""The processes that train together: which of them this one is, and what they tell each other.

`torchrun` starts one process per GPU and `join` makes them a group. In a program of one process, which nobody has to
join, every question has the answer of the only process there is.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import TypeVar

import torch
import torch.distributed as dist

from scripts.errors import UsageError

_TOLD_BY_TORCHRUN = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT")
_LONGEST_WAIT = timedelta(days=2)
"""For what one process makes and all others wait for, such as a simulated cohort."""

T = TypeVar("T")

_waiting_group: dist.ProcessGroup | None = None


def join(shared: Mapping[str, int] | None = None, timeout: float = 1800.0) -> None:
    """Join the processes that ``torchrun`` started: by NCCL where there are GPUs, by gloo on CPUs.

    Log lines below a warning are the first process's alone from here on.

    Args:
        shared: numbers that the processes are going to `share`, by name, to be refused before anything is made.
        timeout: seconds after which a process that hears nothing from another one ends with an error.

    Raises:
        UsageError: not started by ``torchrun``, more processes than GPUs on this machine, or a number that cannot be
            shared.
    """
    global _waiting_group
    if _together():
        return
    missing = [name for name in _TOLD_BY_TORCHRUN if name not in os.environ]
    if missing:
        raise UsageError(
            f"{', '.join(missing)} not set; several processes are started by torchrun: put `torchrun --standalone "
            "--nproc_per_node=2` in place of `python`, or leave multi_gpu.yaml out to train in one."
        )
    device = own_device()
    if device.type == "cuda":
        torch.cuda.set_device(device)
    dist.init_process_group("nccl" if device.type == "cuda" else "gloo", timeout=timedelta(seconds=timeout))
    # Waiting is a matter between CPUs, and may take much longer than any step.
    _waiting_group = dist.new_group(backend="gloo", timeout=_LONGEST_WAIT)
    if not is_first_rank():
        logging.disable(logging.INFO)
    for name, number in (shared or {}).items():
        share(number, name)


def leave() -> None:
    """Dissolve the group at the end of a run."""
    global _waiting_group
    if _together():
        _waiting_group = None
        dist.destroy_process_group()
        logging.disable(logging.NOTSET)


def own_device() -> torch.device:
    """The GPU of this process, by its number on its machine; the CPU where there is no GPU.

    Raises:
        UsageError: more processes than GPUs on this machine.
    """
    if not torch.cuda.is_available():
        return torch.device("cpu")
    number, found = int(os.environ.get("LOCAL_RANK", 0)), torch.cuda.device_count()
    if number >= found:
        raise UsageError(
            f"process {number + 1} of this machine finds {found} GPUs; need one for each process: "
            f"start torchrun with --nproc_per_node={found}."
        )
    return torch.device("cuda", number)


def rank() -> int:
    """Number of this process among all; 0 where it is the only one."""
    return dist.get_rank() if _together() else 0


def world_size() -> int:
    """How many processes train together."""
    return dist.get_world_size() if _together() else 1


def is_first_rank() -> bool:
    """Whether this process writes files and log lines."""
    return rank() == 0


def from_first_rank(value: str) -> str:
    """The first process's value of a text, in every process (they must not disagree on a folder's name)."""
    if world_size() == 1:
        return value
    box = [value]
    dist.broadcast_object_list(box, src=0, group=_waiting_group)
    return box[0]


def agreed(value: str, what: str) -> str:
    """A text that must be the same in every process.

    Args:
        value: the text as this process has it.
        what: what it says, and why it may differ, for the error: "the last finished epoch (is the folder shared?)".

    Raises:
        UsageError: in every process, if two of them differ.
    """
    if world_size() > 1:
        values: list[str] = [""] * world_size()
        dist.all_gather_object(values, value, group=_waiting_group)
        other = next((number for number, theirs in enumerate(values) if theirs != values[0]), None)
        if other is not None:
            raise UsageError(
                f"{what} is {values[0]} in the first process and {values[other]} in process {other + 1}; "
                "need the same in all: give all machines the same files."
            )
    return value


def in_turn(make: Callable[[], T]) -> T:
    """Call ``make`` in the first process, then in the first of each further machine, then in the others.

    What the first makes in a cache the others find there, whether or not machines share a file system.
    """
    if world_size() == 1:
        return make()
    mine = 0 if is_first_rank() else 1 if int(os.environ.get("LOCAL_RANK", 0)) == 0 else 2
    made: list[T] = []
    for turn in range(3):
        if turn == mine:
            made.append(make())
        dist.barrier(group=_waiting_group)
    return made[0]


def share(number: int, name: str) -> int:
    """This process's share of a number, the same for all.

    Args:
        number: what all processes do together.
        name: what it is, for the error.

    Raises:
        UsageError: it cannot be divided by the number of processes.
    """
    every, rest = divmod(int(number), world_size())
    if rest or not every:
        nearest = max(1, round(number / world_size())) * world_size()
        raise UsageError(
            f"{name} is {number} and {world_size()} processes share it; need a multiple, so that they do together what "
            f"one would do alone: make it {nearest}."
        )
    return every


def _together() -> bool:
    return dist.is_available() and dist.is_initialized()
