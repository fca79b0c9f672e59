# SPDX-License-Identifier: Apache-2.0
"""What a network costs: parameters, arithmetic of a slice and of a training step."""

from __future__ import annotations

import copy
import math
from dataclasses import asdict, dataclass
from typing import Any, cast

import torch
import torch.nn as nn
from torch.utils.flop_counter import FlopCounterMode

from scripts.losses import CrossContrastLoss
from scripts.networks import CrossContrastNet


@dataclass(frozen=True)
class Cost:
    """Cost of a network.

    Args:
        parameters: number of weights.
        slice_flops: floating-point operations to synthesise one slice (a multiplication and an addition are two).
        step_flops: operations of one training step, forward and backward, per slice of the batch.
    """

    parameters: int
    slice_flops: float
    step_flops: float

    def as_row(self) -> dict[str, float]:
        """Plain values for a table."""
        return asdict(self)


def cost_of(network: nn.Module, size: tuple[int, int], recon: float = 1.0) -> Cost:
    """Count the operations of convolutions and matrix products, as `torch.utils.flop_counter` does.

    Args:
        network: a `CrossContrastNet` or what behaves like one.
        size: rows and columns of a slice.
        recon: weight of the recon loss; without it the same-domain paths are not computed.
    """
    # On the meta device nothing is computed: counting a network of 400 GFLOP costs no more than a small one.
    counted = copy.deepcopy(network).to("meta")
    image = torch.rand(1, getattr(network, "in_channels", 1), *size, device="meta")
    with FlopCounterMode(display=False) as once, torch.no_grad():
        counted.eval()(image)
    with FlopCounterMode(display=False, custom_mapping=_GROUPED) as step:
        loss = CrossContrastLoss({"content": 1.0, "recon": recon, "cross": 1.0})
        paths = cast(CrossContrastNet, counted.train()).pair(image, image.flip(-1), loss.needs_same_domain)
        loss(paths, image[:, :1], image[:, :1])["loss"].backward()
    parameters = sum(parameter.numel() for parameter in counted.parameters())
    return Cost(parameters, float(once.get_total_flops()), float(step.get_total_flops()))


def _conv_backward(grad_out: list[int], image: list[int], weight: list[int], *settings: Any, **_: Any) -> int:
    """Operations of a convolution's backward pass: each gradient asked for costs as much as the convolution.

    The counter's own formula leaves out that each weight of a grouped convolution meets a share of the channels only.
    """
    _bias, _stride, _padding, _dilation, transposed, _output_padding, _groups, wanted, *_rest = settings
    pixels = image if transposed else grad_out
    return 2 * math.prod(pixels) * math.prod(weight[1:]) * sum(wanted[:2])  # of image and weights


_GROUPED = {torch.ops.aten.convolution_backward: _conv_backward}
