# SPDX-License-Identifier: Apache-2.0
"""Candidates for a better default do what their rows say."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from scripts.blocks import ResidualBlock
from scripts.data.augmentation import Augmentation
from scripts.data.slices import SimulatedSlices
from scripts.simulation.cohort import simulated_cohort
from scripts.study.candidates import (
    HintedNet,
    LargeKernelNet,
    NeighbourInferer,
    NeighbourNet,
    RicianLoss,
    SimulatedNeighbours,
    noise_level,
    rician_mean,
)

SMALL: dict[str, Any] = {
    "contrasts": ["PD", "PDFS"],
    "encoder": {"features": [4, 8], "latent_channels": 8},
    "decoder_a": {"features": [8, 4]},
    "decoder_b": {"features": [8, 4]},
}


def test_the_hint_multiplies_the_source() -> None:
    network, x = HintedNet(**SMALL).eval(), torch.rand(2, 1, 9, 10)
    for decoder in (network.decoder_a, network.decoder_b):
        torch.nn.init.zeros_(decoder.head[1].weight)
        with torch.no_grad():
            decoder.head[1].bias.copy_(torch.tensor([0.25, 0.5]))
    torch.testing.assert_close(network(x), 0.25 * x + 0.5)
    torch.testing.assert_close(network.hint(x), torch.full_like(x, 0.25))
    paths = network.pair(x, 2 * x)
    torch.testing.assert_close(paths["b_from_a"], 0.25 * x + 0.5)
    torch.testing.assert_close(paths["a_from_b"], 0.5 * x + 0.5)
    with pytest.raises(ValueError, match="without recon"):
        network.pair(x, x, same_domain=True)


def test_large_kernels_take_the_place_of_all_blocks() -> None:
    network = LargeKernelNet(**SMALL).train()
    assert not any(isinstance(module, ResidualBlock) for module in network.modules())
    image = torch.rand(1, 1, 16, 16)
    network(image).sum().backward()
    assert all(p.grad is not None for p in (*network.encoder.parameters(), *network.decoder_b.parameters()))


def test_a_slice_is_shown_between_its_neighbours() -> None:
    seen: list[Tensor] = []

    def network(stack: Tensor, target: int) -> Tensor:
        seen.append(stack)
        return stack[:, 1:2]

    volume = torch.arange(4.0).view(1, 1, 4, 1, 1).expand(1, 1, 4, 2, 2)
    made = NeighbourInferer(["PD", "PDFS"], batch_size=16)(volume, network)
    assert torch.equal(made, volume)
    assert seen[0][:, :, 0, 0].tolist() == [[0, 0, 1], [0, 1, 2], [1, 2, 3], [2, 3, 3]]
    network_of_three = NeighbourNet(**SMALL).eval()
    assert NeighbourInferer(["PD", "PDFS"])(volume, network_of_three).shape == volume.shape


@pytest.mark.slow
def test_neighbours_are_other_slices_of_one_scan(tmp_path: Path) -> None:
    preset = "clinical_training"
    (patient,) = simulated_cohort(tmp_path, "training", 1, 0, (6, 48, 48), preset, scanned=False, workers=1)
    data = [{"maps": str(patient.folder / "maps.pt"), "preset": preset}]
    augmentation = Augmentation(size=(32, 32))
    alone = SimulatedSlices(data, augmentation, 4)[2]
    between = SimulatedNeighbours(data, augmentation, 4)[2]
    for key in ("image_input", "label_input"):
        assert between[key].shape == (3, 32, 32)
        assert torch.equal(between[key][1:2], alone[key])
        before, middle, after = between[key]
        for other in (before, after):
            assert not torch.equal(other, middle)
            assert torch.corrcoef(torch.stack((other.flatten(), middle.flatten())))[0, 1] > 0.3
    assert torch.equal(between["image"], alone["image"])


def test_noise_makes_of_a_signal_what_rice_says() -> None:
    generator = torch.Generator().manual_seed(1)
    quiet = torch.tensor([0.0, 0.05, 0.1, 0.5])[:, None].expand(4, 200_000)
    noise = 0.1 * torch.randn((2, *quiet.shape), generator=generator)
    expected = torch.hypot(quiet + noise[0], noise[1]).mean(1)
    torch.testing.assert_close(rician_mean(quiet[:, 0], torch.tensor(0.1)), expected, rtol=5e-3, atol=0)


def test_noise_is_found_in_an_image_and_a_right_prediction_loses_less_than_its_magnitude() -> None:
    generator = torch.Generator().manual_seed(2)
    quiet = torch.full((2, 1, 64, 64), 0.25)
    quiet[..., 32:] = 0.6
    noise = 0.08 * torch.randn((2, *quiet.shape), generator=generator)
    noisy = torch.hypot(quiet + noise[0], noise[1])
    assert noise_level(noisy).flatten().tolist() == pytest.approx([0.08, 0.08], rel=0.1)
    assert noise_level(torch.zeros(1, 1, 8, 8)).item() == 0
    loss = RicianLoss({"content": 0, "recon": 0, "cross": 1}, squared_below=1.0)
    dark = 0.05 * torch.ones(1, 1, 64, 64)
    noisy = torch.cat((torch.hypot(dark + noise[0, :1], noise[1, :1])[..., :32], noisy[:1, ..., 32:]), dim=-1)
    right = torch.cat((dark[..., :32], quiet[:1, ..., 32:]), dim=-1)
    lifted = torch.cat((noisy[..., :32].mean() * torch.ones_like(dark[..., :32]), right[..., 32:]), dim=-1)
    assert loss.difference(right, noisy) < loss.difference(lifted, noisy) < loss.difference(-right, noisy)
