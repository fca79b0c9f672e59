# SPDX-License-Identifier: Apache-2.0
"""A world small enough to learn in seconds: textured anatomies in two contrasts, under shading and noise."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any

import pytest
import torch
from torch import Tensor

from scripts.diagnosis.evidence import Evidence, Measured
from scripts.diagnosis.measured import measure
from scripts.diagnosis.static import static_evidence
from scripts.losses import CrossContrastLoss
from scripts.networks import CrossContrastNet

SEEDS = (0, 1, 2)
WEIGHTS = {"content": 0.002, "recon": 0.05, "cross": 1.0}
SIDE, BATCH, BATCHES = 48, 4, 3
TISSUES = torch.tensor([[0.9, 0.15], [0.6, 0.8], [0.35, 0.45], [0.15, 0.95]])  # signal in a and b


def smooth_field(generator: torch.Generator, count: int, sigma: float) -> Tensor:
    """Random fields ``(count, SIDE, SIDE)`` of unit variance and the given correlation length [pixels]."""
    frequency = torch.fft.fftfreq(SIDE)[:, None].square() + torch.fft.fftfreq(SIDE)[None].square()
    noise = torch.randn(count, SIDE, SIDE, generator=generator)
    field = torch.fft.ifft2(torch.fft.fft2(noise) * torch.exp(-2 * (torch.pi * sigma) ** 2 * frequency)).real
    return field / field.flatten(1).std(1)[:, None, None]


def pair(generator: torch.Generator, noise: float = 0.1) -> tuple[Tensor, Tensor]:
    """One anatomy in both contrasts, each ``(1, SIDE, SIDE)``."""
    line = torch.linspace(-1, 1, SIDE)
    axes = 0.75 + 0.2 * torch.rand(2, generator=generator)
    wobble = 0.15 * smooth_field(generator, 1, 8)[0]
    body = ((line[:, None] / axes[0]).square() + (line[None] / axes[1]).square() + wobble) < 1
    tissue = smooth_field(generator, len(TISSUES), 5).argmax(0)
    texture = 1 + 0.05 * smooth_field(generator, 1, 1)[0]
    tilt = torch.randn(2, generator=generator) * 0.5
    shading = torch.exp(tilt[0] * line[:, None] + tilt[1] * line[None])
    images = TISSUES[tissue].movedim(-1, 0) * texture * shading * body
    images = (images + noise * torch.randn(images.shape, generator=generator)).abs()
    return images[:1], images[1:]


def batches(seed: int, count: int = BATCHES, size: int = BATCH) -> list[dict[str, Tensor]]:
    """Batches as the training's loader gives them; each slice is a patient of its own."""
    generator = torch.Generator().manual_seed(seed)
    out = []
    for start in range(0, count * size, size):
        a, b = zip(*(pair(generator) for _ in range(size)), strict=True)
        origin = torch.tensor([[start + index, 0] for index in range(size)])
        out.append({"image": torch.stack(a), "label": torch.stack(b), "gain": torch.ones(size, 2), "origin": origin})
    return out


def small_network(seed: int, strategy: str = "source_skip", **settings: Any) -> CrossContrastNet:
    torch.manual_seed(seed)
    return CrossContrastNet(
        **{
            "contrasts": ["PD", "PDFS"],
            "encoder": {"features": [8, 16], "latent_channels": 16},
            "decoder_a": {"features": [16, 8]},
            "decoder_b": {"features": [16, 8]},
            "cross_domain_strategy": strategy,
            "allow_asymmetric": True,
        }
        | settings
    )


@dataclass
class Trained:
    """A network that was trained for a moment, its optimiser and its curves."""

    network: CrossContrastNet
    optimizer: torch.optim.Optimizer
    weights: Mapping[str, float]
    strategy: str
    rows: list[dict[str, float]] = field(default_factory=list)

    def measured(self, data: list[dict[str, Tensor]], optimizer: torch.optim.Optimizer | None = None) -> Measured:
        loss = CrossContrastLoss(self.weights)
        return measure(self.network, data, loss, len(data), optimizer or self.optimizer)

    def evidence(self, data: list[dict[str, Tensor]], epochs: int | None = 10) -> Evidence:
        return Evidence(static_evidence(self.weights, self.strategy), self.measured(data), None, epochs)


def train(
    seed: int, strategy: str = "source_skip", weights: Mapping[str, float] = WEIGHTS, epochs: int = 3, steps: int = 18
) -> Trained:
    torch.set_num_threads(1)
    network = small_network(seed, strategy)
    optimizer = torch.optim.Adam(network.parameters(), lr=6e-3)
    loss, data = CrossContrastLoss(weights), batches(100 + seed, 24)
    run = Trained(network, optimizer, weights, strategy)
    for epoch in range(epochs):
        sums = dict.fromkeys(("loss", "content", "recon", "cross"), 0.0)
        for step in range(steps):
            batch = data[(epoch * steps + step) % len(data)]
            terms = loss(network.pair(batch["image"], batch["label"]), batch["image"], batch["label"])
            optimizer.zero_grad()
            terms["loss"].backward()
            torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
            optimizer.step()
            sums = {name: total + float(terms[name].detach()) / steps for name, total in sums.items()}
        run.rows.append({"epoch": epoch + 1, **sums})
    return run


@pytest.fixture(scope="package", params=SEEDS, ids=lambda seed: f"seed {seed}")
def seed(request: pytest.FixtureRequest) -> int:
    return int(request.param)


@pytest.fixture(scope="package")
def trained_once() -> Callable[[int], Trained]:
    """The healthy run of a seed, trained at first use and never changed."""
    runs: dict[int, Trained] = {}

    def get(seed: int) -> Trained:
        if seed not in runs:
            runs[seed] = train(seed)
        return runs[seed]

    return get


@pytest.fixture
def healthy(seed: int, trained_once: Callable[[int], Trained]) -> Trained:
    """A copy of the healthy run, to plant a fault in; its optimiser moves the copy."""
    run = trained_once(seed)
    network = deepcopy(run.network)
    return Trained(network, torch.optim.Adam(network.parameters(), lr=1e-3), run.weights, run.strategy, run.rows)


@pytest.fixture
def data(seed: int) -> list[dict[str, Tensor]]:
    """Batches that the run has not seen."""
    return batches(50 + seed)


@pytest.fixture(scope="session")
def world() -> Any:
    """The functions of this file, which pytest's import mode keeps from being imported by name."""
    from types import SimpleNamespace

    return SimpleNamespace(train=train, batches=batches, small_network=small_network, Trained=Trained, WEIGHTS=WEIGHTS)
