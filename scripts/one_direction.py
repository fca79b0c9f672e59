# SPDX-License-Identifier: Apache-2.0
"""A network with its target settled, for formats that know one input and one output (ONNX)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn


class OneDirection(nn.Module):
    """Synthesise one contrast only. Weights go in and out under the names that the network itself gives them.

    Args:
        network: takes ``(B, 1, H, W)`` and the index of the target.
        target: index of the contrast to synthesise.
    """

    def __init__(self, network: nn.Module, target: int) -> None:
        super().__init__()
        self.network, self.target = network, target

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Source slices ``(B, 1, H, W)`` to target slices of the same shape."""
        return self.network(x, self.target)

    def load_state_dict(self, state_dict: Mapping[str, Any], strict: bool = True, assign: bool = False) -> Any:
        """Fill the network from its own state dict."""
        return self.network.load_state_dict(state_dict, strict, assign)

    def state_dict(self, *args: Any, **kwargs: Any) -> Any:
        """The network's own state dict."""
        return self.network.state_dict(*args, **kwargs)
