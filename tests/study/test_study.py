# SPDX-License-Identifier: Apache-2.0
"""What a study compares: the grid, the cost of a network, the direct networks beside ours."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

from scripts.errors import UsageError
from scripts.networks import CrossContrastNet
from scripts.study.cost import cost_of
from scripts.study.direct import DirectPair
from scripts.study.grid import GRIDS, Cell, read_grid
from scripts.study.train_cell import EPOCHS, cell_config, train_cell


def direct(stride: int = 4) -> DirectPair:
    return DirectPair(["PD", "PDFS"], nn.Conv2d(1, 1, 3, padding=1), nn.Conv2d(1, 1, 3, padding=1), stride)


def test_direct_networks_have_a_direction_each_and_take_any_size() -> None:
    network, a, b = direct(), torch.rand(2, 1, 9, 10), torch.rand(2, 1, 9, 10)
    paths = network.pair(a, b)
    assert set(paths) == {"b_from_a", "a_from_b"}
    assert paths["b_from_a"].shape == a.shape
    torch.testing.assert_close(paths["b_from_a"], network(a, 1))
    torch.testing.assert_close(paths["a_from_b"], network(b, 0))
    with torch.no_grad():
        network.b_to_a.bias.add_(1)
    assert torch.equal(network(a, 1), paths["b_from_a"]) and not torch.equal(network(b, 0), paths["a_from_b"])
    with pytest.raises(ValueError, match="two different"):
        DirectPair(["PD", "PD"], nn.Identity(), nn.Identity())


def test_cost_counts_multiplications_and_additions() -> None:
    cost = cost_of(direct(), (8, 12))
    forward = 2 * 9 * 8 * 12  # of one convolution of nine weights
    assert cost.parameters == 2 * 10
    assert cost.slice_flops == forward
    # Both directions, and backward to the weights alone: the image needs no gradient.
    assert cost.step_flops == 2 * 2 * forward


def test_a_depthwise_convolution_costs_its_own_weights_backward_too() -> None:
    depthwise = nn.Sequential(nn.Conv2d(1, 6, 1), nn.Conv2d(6, 6, 3, padding=1, groups=6), nn.Conv2d(6, 1, 1))
    cost = cost_of(DirectPair(["PD", "PDFS"], depthwise, nn.Identity(), 4), (8, 12))
    first, middle, last = (2 * weights * 8 * 12 for weights in (6, 9 * 6, 6))
    assert cost.step_flops == 2 * first + 3 * middle + 3 * last  # the image needs no gradient


def test_skips_cost_arithmetic_and_counting_leaves_the_network_as_it_was() -> None:
    def network(strategy: str) -> CrossContrastNet:
        parts = {"features": [8, 16]}
        return CrossContrastNet(
            ["PD", "PDFS"], parts | {"latent_channels": 16}, {"features": [16, 8]}, {"features": [16, 8]}, strategy
        )

    net = network("source_skip").train()
    with_skips, without = cost_of(net, (16, 16)), cost_of(network("no_skip"), (16, 16))
    assert with_skips.slice_flops > without.slice_flops and with_skips.parameters > without.parameters
    assert net.training and all(parameter.grad is None for parameter in net.parameters())


@pytest.mark.parametrize("name", [path.stem for path in GRIDS.glob("*.yaml")])
def test_each_row_of_a_grid_is_a_setting_of_its_own_and_can_be_built(name: str, tmp_path: Path) -> None:
    cells = read_grid(name).cells
    assert len({cell.key for cell in cells}) == len(cells)
    for row in {cell.name for cell in cells}:
        cell = next(one for one in cells if one.name == row)
        config, cost = cell_config(cell, tmp_path, str(tmp_path))
        spent = cost.step_flops * EPOCHS * config["samples_per_epoch"]
        assert spent == pytest.approx(cell.budget, rel=0.05)  # equal arithmetic for every row, to whole steps


def test_a_cell_is_named_by_what_it_is_trained_with() -> None:
    cell = Cell("row", 1, {"learning_rate": 0.1}, 1e9)
    assert cell.key == Cell("row", 1, {"learning_rate": 0.1}, 1e9).key
    others = [
        Cell("row", 2, cell.settings, 1e9),
        Cell("row", 1, {"learning_rate": 0.2}, 1e9),
        Cell("row", 1, cell.settings, 2e9),
    ]
    assert len({cell.key, *(other.key for other in others)}) == 4


def test_a_grid_that_is_not_one_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no grid"):
        read_grid("nonesuch")
    (tmp_path / "grid.yaml").write_text("cells: {}\n", encoding="utf-8")
    with pytest.raises(UsageError, match="need"):
        read_grid(tmp_path / "grid.yaml")


@pytest.mark.slow
@pytest.mark.parametrize("row", ["basic_unet", "source_skip"])
def test_a_cell_is_trained_once_and_within_its_budget(row: str, tmp_path: Path) -> None:
    cell = next(one for one in read_grid("cpu").cells if one.name == row)
    small = {
        "simulated::studies": {"training": 1, "validation": 1, "test": 1},
        "simulated::shape": [2, 32, 32],
        "augmentation::size": [32, 32],
    }
    cell = replace(cell, settings={**cell.settings, **small}, budget=1.0)  # the least there is: a step per epoch
    found = train_cell(cell, tmp_path / "cell", str(tmp_path / "cache"))
    rows = (Path(found["run"]) / "curves.csv").read_text(encoding="utf-8").splitlines()
    assert len(rows) == 1 + EPOCHS and found["steps"] == EPOCHS
    assert (Path(found["run"]) / "model.pt").is_file()
    before = (Path(found["run"]) / "curves.csv").stat().st_mtime_ns
    assert train_cell(cell, tmp_path / "cell", str(tmp_path / "cache")) == found
    assert (Path(found["run"]) / "curves.csv").stat().st_mtime_ns == before
