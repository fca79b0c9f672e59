# SPDX-License-Identifier: Apache-2.0
"""A compiled network learns what the plain one does."""

from __future__ import annotations

import shutil

import pytest
import torch

from scripts.engines import CrossContrastTrainer
from scripts.losses import CrossContrastLoss
from scripts.networks import CrossContrastNet

pytestmark = [
    pytest.mark.slow,  # compiling takes half a minute
    pytest.mark.skipif(shutil.which("g++") is None, reason="no C++ compiler, which torch.compile needs on a CPU"),
]


def trained(compiled: bool) -> list[torch.Tensor]:
    torch.manual_seed(0)
    parts = {"features": [4]}  # small: it is the compiler that takes the time
    network = CrossContrastNet(["PD", "PDFS"], parts | {"latent_channels": 4}, parts, parts)
    batch = {key: torch.rand(2, 1, 24, 24) for key in ("image", "label")}
    trainer = CrossContrastTrainer(
        device=torch.device("cpu"),
        max_epochs=1,
        train_data_loader=[batch] * 3,
        network=network,
        optimizer=torch.optim.SGD(network.parameters(), lr=0.1),
        loss_function=CrossContrastLoss({"content": 0.1, "recon": 0.05, "cross": 1.0}),
        autocast=False,
        compiled=compiled,
    )
    trainer.run()
    return list(network.parameters())


def test_a_compiled_network_learns_what_the_plain_one_does() -> None:
    for found, expected in zip(trained(True), trained(False), strict=True):
        torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-3)
