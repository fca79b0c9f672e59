# SPDX-License-Identifier: Apache-2.0
"""The scale head: any size, any scale that is there to be learnt; and ranks."""

from __future__ import annotations

import pytest
import torch

from scripts.intervals.laplace import LaplaceLoss, ScaleAndTissueLoss
from scripts.intervals.ranks import ranks
from scripts.intervals.scale_inferer import mirrored_spread, scale_of
from scripts.intervals.scale_network import LEAST, TISSUES, ScaleNet

SMALL = {"features": [4, 8], "fine": 4}


@pytest.mark.parametrize("size", [(32, 32), (37, 50), (9, 61)])
def test_any_size_gives_a_positive_scale_and_probabilities_of_that_size(size: tuple[int, int]) -> None:
    made = ScaleNet(**SMALL)(torch.rand(2, 3, *size), 0)
    assert made.shape == (2, 1 + len(TISSUES), *size)
    assert (made[:, :1] >= LEAST).all() and (made[:, 1:] >= 0).all()
    torch.testing.assert_close(made[:, 1:].sum(1), torch.ones(2, *size))


def test_the_direction_matters_and_may_differ_within_a_batch() -> None:
    torch.manual_seed(0)
    network, x = ScaleNet(**SMALL).eval(), torch.rand(2, 3, 16, 16)
    mixed = network(x, torch.tensor([0, 1]))
    torch.testing.assert_close(mixed, torch.cat((network(x[:1], 0), network(x[1:], 1))))
    assert not torch.allclose(network(x, 0), network(x, 1))


def test_the_shipped_head_is_small() -> None:
    assert sum(parameter.numel() for parameter in ScaleNet().parameters()) < 300_000


def test_the_likelihood_is_best_at_the_mean_absolute_error() -> None:
    error = torch.tensor([0.1, -0.2, 0.6]).view(1, 1, 1, 3)
    label = torch.cat((error, torch.ones_like(error)), 1)
    scales = torch.linspace(0.1, 0.9, 81)
    losses = [float(LaplaceLoss()(torch.full_like(error, float(one)), label)) for one in scales]
    assert float(scales[losses.index(min(losses))]) == pytest.approx(0.3, abs=0.011)
    outside = torch.cat((error, torch.zeros_like(error)), 1)
    both = torch.cat((label, outside + torch.tensor([9.0, 0.0]).view(1, 2, 1, 1)), 3)
    torch.testing.assert_close(
        LaplaceLoss()(torch.full((1, 1, 1, 6), 0.3), both), LaplaceLoss()(torch.full((1, 1, 1, 3), 0.3), label)
    )


def test_a_tissue_that_is_not_known_teaches_nothing() -> None:
    pred = torch.cat((torch.full((1, 1, 1, 2), 0.3), torch.full((1, len(TISSUES), 1, 2), 1 / len(TISSUES))), 1)
    label = torch.tensor([[[0.1, 0.2]], [[1.0, 1.0]], [[2.0, -1.0]]])[None]
    scale = float(LaplaceLoss()(pred[:, :1], label[:, :2]))
    surprise = float(torch.log(torch.tensor(float(len(TISSUES)))))
    assert float(ScaleAndTissueLoss(0.5)(pred, label)) == pytest.approx(scale + 0.5 * surprise, abs=1e-4)
    label[:, 2] = -1
    assert float(ScaleAndTissueLoss(0.5)(pred, label)) == pytest.approx(scale)


def test_it_learns_where_errors_are_large_and_which_tissue_is_where() -> None:
    torch.manual_seed(0)
    network, loss = ScaleNet(**SMALL), ScaleAndTissueLoss()
    optimizer = torch.optim.Adam(network.parameters(), lr=0.01)
    for _ in range(80):
        x = torch.rand(4, 3, 24, 24)
        x[:, 0] = (torch.rand(4, 6, 6) > 0.5).float().repeat_interleave(4, 1).repeat_interleave(4, 2)
        scale = 0.02 + 0.18 * x[:, :1]
        error = scale * torch.distributions.Laplace(0.0, 1.0).sample(scale.shape)
        tissue = torch.where(x[:, :1] > 0.5, 3.0, 2.0)
        value = loss(network(x, 1), torch.cat((error, torch.ones_like(error), tissue), 1))
        optimizer.zero_grad()
        value.backward()
        optimizer.step()
    made = network(x, 1).detach()
    bright = x[:, 0] > 0.5
    assert made[:, 0][bright].median() > 3 * made[:, 0][~bright].median()
    assert ((made[:, 1:].argmax(1) == 3) == bright).float().mean() > 0.9


def test_volumes_of_another_size_are_brought_to_the_head_and_back() -> None:
    seen = []

    class Sum(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.nothing = torch.nn.Parameter(torch.zeros(()))

        def forward(self, x: torch.Tensor, target: int) -> torch.Tensor:
            seen.append((tuple(x.shape[-2:]), target))
            return torch.cat((x.sum(1, keepdim=True), x[:, :1]), 1)

    ramp = torch.linspace(0, 1, 40).expand(1, 5, 60, 40)
    found, tissue = scale_of(Sum(), ramp, ramp, ramp, 1, batch_size=2)
    assert found.shape == ramp.shape
    assert set(seen) == {((384, 256), 1)}
    assert tissue.shape == ramp.shape and tissue.dtype == torch.uint8 and int(tissue.max()) > 245
    torch.testing.assert_close(found[..., 2:-2], 3 * ramp[..., 2:-2], atol=0.02, rtol=0)


def test_a_synthesis_that_commutes_with_mirrors_has_no_spread() -> None:
    source = torch.rand(1, 3, 8, 8)
    assert mirrored_spread(lambda volume: 2 * volume, source, 2 * source).max() == 0
    columns = torch.arange(8.0)
    assert mirrored_spread(lambda volume: volume * columns, source, source * columns).max() > 0


def test_ranks_are_monotone_and_know_nothing_of_the_outside() -> None:
    scale = torch.rand(3, 10, 10)
    body = torch.rand(3, 10, 10) < 0.6
    found = ranks(scale, body)
    assert (found[~body] == 0).all()
    order = scale[body].argsort()
    assert (found[body][order].diff() >= 0).all()
    assert found[body].max() == 100 and found[body].min() > 0
    torch.testing.assert_close(ranks(torch.exp(7 * scale), body), found)  # a scale's own scale does not matter
    same = ranks(torch.ones(4, 4), torch.ones(4, 4) > 0)
    assert (same == 100).all()
    assert (ranks(scale, torch.zeros_like(body)) == 0).all()
