# SPDX-License-Identifier: Apache-2.0
"""Evidence of the network's parts: which of them training can move, and which answer at all."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from scripts.diagnosis.evidence import Part

PARTS = ("encoder", "decoder_a", "decoder_b")


def parts_evidence(network: nn.Module, unmoved: frozenset[str], spreads: Mapping[str, float]) -> dict[str, Part]:
    """Judge the parameters of each part after a backward pass of the training loss.

    Args:
        network: the network, with the gradients of that pass.
        unmoved: names of the parameters that training leaves alone, see `left_alone` and `never_stepped`.
        spreads: contrast of each decoder's images relative to the targets'.
    """
    found = {}
    for name in PARTS:
        part = getattr(network, name, None)
        if not isinstance(part, nn.Module):
            continue
        parameters = {f"{name}.{key}": parameter for key, parameter in part.named_parameters()}
        still = {key for key, parameter in parameters.items() if not parameter.requires_grad or key in unmoved}
        live = {key: parameter for key, parameter in parameters.items() if key not in still}
        dead = [key for key, parameter in live.items() if parameter.grad is None or not bool(parameter.grad.any())]
        found[name] = Part(
            frozen=_share(parameters, still),
            dead=_share(live, dead),
            broken=any(not bool(torch.isfinite(parameter).all()) for parameter in parameters.values()),
            spread=spreads.get(name),
        )
    return found


def _share(parameters: Mapping[str, Tensor], chosen: Any) -> float:
    total = sum(parameter.numel() for parameter in parameters.values())
    return sum(parameters[key].numel() for key in chosen) / total if total else 0.0


def left_alone(network: nn.Module, optimizer: Optimizer | None) -> frozenset[str]:
    """Names of the parameters that an optimiser does not hold, or steps with a learning rate of zero."""
    if optimizer is None:
        return frozenset()
    # A schedule may start or end at zero: only groups that stand still beside others that move count.
    rates = [float(group["lr"]) for group in optimizer.param_groups]
    moving = [group for group, rate in zip(optimizer.param_groups, rates, strict=True) if rate > 0 or not any(rates)]
    held = {id(parameter) for group in moving for parameter in group["params"]}
    return frozenset(name for name, parameter in network.named_parameters() if id(parameter) not in held)


def never_stepped(network: nn.Module, optimizer_state: Mapping[str, Any] | None) -> frozenset[str]:
    """Names of the parameters that an optimiser with a memory, as Adam, has no memory of, or one of zeros only.

    Args:
        network: the network that was trained.
        optimizer_state: state dict of its optimiser, as in a checkpoint; where it holds another number of parameters
            than the network, nothing can be said of single ones.
    """
    if not optimizer_state or not optimizer_state.get("state"):
        return frozenset()
    order = [index for group in optimizer_state["param_groups"] for index in group["params"]]
    names = [name for name, _ in network.named_parameters()]
    if len(order) != len(names):
        return frozenset()
    memory = optimizer_state["state"]
    return frozenset(name for name, index in zip(names, order, strict=True) if not _remembers(memory.get(index)))


def _remembers(entry: Mapping[str, Any] | None) -> bool:
    if entry is None:
        return False
    averages = [value for key, value in entry.items() if isinstance(value, Tensor) and key != "step"]
    return not averages or any(bool(value.any()) for value in averages)
