# SPDX-License-Identifier: Apache-2.0
"""The statistic and its tolerance: rounding stays well below, and faults of many kinds well above."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from scripts.body import body_scale
from scripts.selftest.phantom import _SHELLS, SHAPE, phantom, radius
from scripts.selftest.results import TOLERANCE, blocks_of, read_results
from scripts.selftest.trial import direction, write_phantom
from scripts.software import default_root
from scripts.synthesis.bundle import load_model, read_facts

Fault = Callable[[torch.nn.Module, torch.Tensor], torch.Tensor]


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> torch.Tensor:
    """What the network is given of the phantom, (slices, rows, columns)."""
    _, jobs = write_phantom(tmp_path_factory.mktemp("phantom"))
    data = load_model("PDFS", "cpu").preprocessing({"image": jobs["PDFS"].loadable})
    return data["image"].as_tensor()[0]


@pytest.fixture
def apart(image: torch.Tensor) -> Callable[..., float]:
    """A function that tells how far the synthesis of a network and an image, changed or not, is from what is stored."""
    root = default_root()
    model = load_model("PDFS", "cpu", root)
    stored = read_results(root, read_facts(root).weights_sha256)
    assert stored is not None

    def measure(change: Fault | None = None, autocast: bool = False) -> float:
        seen = image if change is None else change(model.network, image)
        model.inferer.autocast = autocast
        pred = model.inferer(seen[None, None], model.network)[0, 0]
        return float(np.abs(blocks_of(pred) - stored.blocks[direction("PDFS")]).max())

    return measure


def test_rounding_takes_up_less_than_half_of_the_tolerance(
    apart: Callable[..., float], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert apart() < 0.1 * TOLERANCE  # the four digits of the file
    monkeypatch.setattr("scripts.inferers.has_fast_bfloat16", lambda device: True)  # else it is emulated here
    assert 0.1 * TOLERANCE < apart(autocast=True) < 0.5 * TOLERANCE


def _quantile(network: torch.nn.Module, image: torch.Tensor) -> torch.Tensor:
    return image / body_scale(image, 0.99)


def _maximum(network: torch.nn.Module, image: torch.Tensor) -> torch.Tensor:
    return image / image.max()


def _shift(network: torch.nn.Module, image: torch.Tensor) -> torch.Tensor:
    return torch.roll(image, 1, -1)


def _mirrored_kernel(network: torch.nn.Module, image: torch.Tensor) -> torch.Tensor:
    first = next(module for module in network.modules() if isinstance(module, torch.nn.Conv2d))
    first.weight.data = first.weight.data.flip(-1)
    return image


def _dead_channel(network: torch.nn.Module, image: torch.Tensor) -> torch.Tensor:
    first = next(module for module in network.modules() if isinstance(module, torch.nn.Conv2d))
    first.weight.data[0] = 0
    return image


def _noisy_weights(network: torch.nn.Module, image: torch.Tensor) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    for value in network.parameters():
        value.data *= 1 + 0.05 * torch.randn(value.shape, generator=generator)
    return image


@pytest.mark.parametrize("fault", [_quantile, _maximum, _shift, _mirrored_kernel, _dead_channel, _noisy_weights])
def test_a_fault_is_well_above_it(apart: Callable[..., float], fault: Fault) -> None:
    assert apart(fault) > 1.5 * TOLERANCE


def test_no_voxel_of_the_phantom_hangs_on_the_last_digit_of_a_sine() -> None:
    """Else machines would draw it differently."""
    for number, shell in enumerate(_SHELLS):
        slices = np.linspace(-1, 1, SHAPE[0])[:, None, None]
        assert np.abs(radius(number) - shell[0] * (1 - 0.2 * slices**2)).min() > 1e-9


def test_the_phantom_has_no_symmetry_that_a_turned_volume_could_hide_behind() -> None:
    for contrast in ("PD", "PDFS"):
        volume = phantom(contrast)
        assert volume.shape == SHAPE and len(set(SHAPE)) == 3
        assert all(np.abs(np.flip(volume, axis) - volume).mean() > 0.01 for axis in (1, 2))
        assert all(np.abs(np.roll(volume, 1, axis) - volume).mean() > 0.01 for axis in range(3))
    assert np.abs(phantom("PD") - phantom("PDFS")).mean() > 0.1


def test_results_of_other_weights_are_none(tmp_path: Path) -> None:
    assert read_results(default_root(), "ab" * 32) is None
    assert read_results(tmp_path, "ab" * 32) is None
