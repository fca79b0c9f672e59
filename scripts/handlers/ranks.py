# SPDX-License-Identifier: Apache-2.0
"""Which process may write: in a run of several processes only the first one does."""

from __future__ import annotations

import torch.distributed as dist


def rank() -> int:
    """Rank of this process; 0 where nothing is distributed."""
    return dist.get_rank() if dist.is_available() and dist.is_initialized() else 0


def is_first_rank() -> bool:
    """Whether this process writes files and log lines."""
    return rank() == 0


def from_first_rank(value: str) -> str:
    """The first process's value of a text, in every process (they must not disagree on a folder's name)."""
    if not (dist.is_available() and dist.is_initialized()) or dist.get_world_size() == 1:
        return value
    box = [value]
    dist.broadcast_object_list(box, src=0)
    return box[0]
