# SPDX-License-Identifier: Apache-2.0
"""The intensity mapping is the bound it claims to be."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from scripts.metrics.baselines import BASELINES, fit_histogram_match, fit_intensity_mapping, map_tissues
from scripts.metrics.image import match_gain


def pair(levels: int | None = None) -> tuple[Tensor, Tensor, Tensor]:
    """A source, a target that depends on it in a bent and noisy way, and a body mask."""
    generator = torch.Generator().manual_seed(11)
    source = torch.rand((1, 4, 40, 40), generator=generator)
    if levels:
        source = (source * (levels - 1)).round() / (levels - 1)
    target = torch.sin(5 * source).abs() + 0.1 * torch.randn(source.shape, generator=generator)
    body = torch.zeros_like(source, dtype=torch.bool)
    body[..., 4:-4, 6:-6] = True
    return source, target, body


def squared_error(pred: Tensor, target: Tensor, body: Tensor) -> float:
    return float(((pred - target).double() ** 2)[body].mean())


def test_with_few_grey_values_it_is_the_conditional_mean() -> None:
    source, target, body = pair(levels=40)
    mapped = fit_intensity_mapping(source, target, body)(source)
    for level in source[body].unique():
        here = body & (source == level)
        torch.testing.assert_close(mapped[here].unique(), target[here].mean().reshape(1), rtol=1e-5, atol=1e-6)


def test_no_look_up_table_beats_it() -> None:
    source, target, body = pair(levels=64)
    index = (source * 63).round().long()
    best = squared_error(fit_intensity_mapping(source, target, body)(source), target, body)
    truth = torch.sin(5 * torch.linspace(0, 1, 64)).abs()
    generator = torch.Generator().manual_seed(5)
    for trial in range(200):
        # Tables from wild to within a hair of the true relation, half of them increasing.
        table = truth + torch.randn(64, generator=generator) * 10 ** (-trial / 50)
        if trial % 2:
            table = table.sort().values
        assert squared_error(table[index], target, body) > best


def test_on_continuous_grey_values_it_beats_the_means_of_as_many_bins() -> None:
    source, target, body = pair()
    best = squared_error(fit_intensity_mapping(source, target, body, knots=32)(source), target, body)
    edges = torch.quantile(source[body], torch.linspace(0, 1, 33))
    index = torch.bucketize(source, edges[1:-1])
    means = torch.stack([target[body & (index == i)].mean() for i in range(32)])
    assert best < squared_error(means[index], target, body)
    assert best < squared_error(torch.sin(5 * source).abs(), target, body) * 1.001


def test_an_exact_relation_is_recovered() -> None:
    source, _, body = pair()
    line = 0.3 - 0.2 * source
    torch.testing.assert_close(fit_intensity_mapping(source, line, body)(source)[body], line[body], rtol=0, atol=1e-6)
    curve = torch.exp(-3 * source) + 0.2 * torch.sin(9 * source)
    assert squared_error(fit_intensity_mapping(source, curve, body)(source), curve, body) < 1e-9


def test_its_own_best_gain_is_one() -> None:
    source, target, body = pair()
    mapped = fit_intensity_mapping(source, target, body)(source)
    _, gain = match_gain(mapped[None], target[None], body[None])
    assert float(gain) == pytest.approx(1.0, abs=1e-6)


def test_it_is_fitted_in_the_body_alone_and_applied_everywhere() -> None:
    source, target, body = pair()
    elsewhere = torch.where(body, target, torch.full_like(target, 50.0))
    mapped = fit_intensity_mapping(source, elsewhere, body)(source)
    torch.testing.assert_close(mapped, fit_intensity_mapping(source, target, body)(source))
    assert mapped.shape == source.shape and mapped.dtype == source.dtype
    beyond = fit_intensity_mapping(source, target, body)(torch.tensor([-5.0, 5.0]))
    ends = fit_intensity_mapping(source, target, body)(torch.stack([source[body].min(), source[body].max()]))
    torch.testing.assert_close(beyond, ends)


def test_a_constant_source_maps_to_the_mean() -> None:
    _, target, body = pair()
    mapped = fit_intensity_mapping(torch.full_like(target, 0.5), target, body)(torch.full_like(target, 0.5))
    torch.testing.assert_close(mapped, torch.full_like(target, float(target[body].mean())))


def test_the_histogram_match_takes_over_the_histogram_in_rising_order() -> None:
    source, target, body = pair()
    mapping = fit_histogram_match(source, target, body)
    probabilities = torch.linspace(0.01, 0.99, 25)
    mapped = torch.quantile(mapping(source)[body], probabilities)
    torch.testing.assert_close(mapped, torch.quantile(target[body], probabilities), rtol=0, atol=5e-3)
    assert mapping.values.diff().ge(0).all()


def test_the_bound_is_the_best_of_the_baselines() -> None:
    source, target, body = pair()
    errors = {name: squared_error(make(source, target, body), target, body) for name, make in BASELINES.items()}
    assert min(errors, key=lambda name: errors[name]) == "intensity mapping"
    torch.testing.assert_close(BASELINES["copy"](source, target, body), source)


@pytest.mark.parametrize("fit", [fit_intensity_mapping, fit_histogram_match])
def test_wrong_input_is_refused(fit) -> None:  # type: ignore[no-untyped-def]
    source, target, body = pair()
    with pytest.raises(ValueError, match="one shape"):
        fit(source[:, :2], target, body)
    with pytest.raises(ValueError, match="at least 2 knots"):
        fit(source, target, body, knots=1)
    with pytest.raises(ValueError, match="mask is empty"):
        fit(source, target, torch.zeros_like(body))


def test_one_gain_per_tissue_undoes_gains_per_tissue_exactly_and_means_paint() -> None:
    source, _, body = pair()
    masks = {"left": torch.zeros_like(body), "top": torch.zeros_like(body)}
    masks["left"][..., :20], masks["top"][..., :15, 20:] = True, True
    gains = torch.where(masks["left"], 0.2, torch.where(masks["top"], 3.0, 0.7))
    torch.testing.assert_close(map_tissues(source, gains * source, body, masks)[body], (gains * source)[body])
    outside = ~body
    torch.testing.assert_close(map_tissues(source, gains * source, body, masks)[outside], source[outside])
    painted = map_tissues(source, gains, body, masks, own_mean=True)
    torch.testing.assert_close(painted[body], gains[body])


def test_no_other_gains_or_means_come_closer() -> None:
    source, target, body = pair()
    masks = {"left": torch.zeros_like(body)}
    masks["left"][..., :20] = True
    generator = torch.Generator().manual_seed(3)
    for own_mean in (False, True):
        mapped = map_tissues(source, target, body, masks, own_mean)
        best = squared_error(mapped, target, body)
        for _ in range(20):
            left, rest = (1 + 0.05 * torch.randn(2, generator=generator)).tolist()
            assert squared_error(mapped * torch.where(masks["left"], left, rest), target, body) >= best
    whole = map_tissues(source, target, body, {})
    _, gain = match_gain(whole[None], target[None], body[None])
    assert float(gain) == pytest.approx(1.0, abs=1e-6)


def test_tissues_that_overlap_or_do_not_fit_are_refused() -> None:
    source, target, body = pair()
    with pytest.raises(ValueError, match="'two' overlaps"):
        map_tissues(source, target, body, {"one": body, "two": body})
    with pytest.raises(ValueError, match="'one' has shape"):
        map_tissues(source, target, body, {"one": body[:, :2]})
