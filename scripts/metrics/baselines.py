# SPDX-License-Identifier: Apache-2.0
"""What a synthesis has to beat: copying the source, and the best that a change of grey values alone can do.

All mappings are fitted on the answer, per volume: they are oracles that no one could use, and bounds. A network that
does not beat the intensity mapping has learnt a contrast curve, not anatomy.
The mapping per tissue knows the labels too.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import torch
from monai.utils import convert_to_tensor
from torch import Tensor

KNOTS = 256


@dataclass(frozen=True)
class IntensityMapping:
    """A continuous, piecewise linear function of the source intensity, constant beyond its first and last knot.

    Attributes:
        knots: source intensities, ascending and distinct, ``(K,)`` float64.
        values: the mapped intensities there, ``(K,)`` float64.
    """

    knots: Tensor
    values: Tensor

    def __call__(self, source: Tensor) -> Tensor:
        """Map every voxel of ``source`` (any shape); the result has its shape and dtype."""
        plain = convert_to_tensor(source, track_meta=False)
        if self.knots.numel() == 1:
            return torch.full_like(plain, float(self.values[0]))
        left, weight = _between(plain.double(), self.knots)
        return torch.lerp(self.values[left], self.values[left + 1], weight).to(plain.dtype)


def fit_intensity_mapping(source: Tensor, target: Tensor, body: Tensor, knots: int = KNOTS) -> IntensityMapping:
    """The mapping of source intensity that comes closest to the target: least squares over the body of one volume.

    Among all functions of the source intensity the conditional mean of the target has the least squared error, so the
    highest PSNR. It is fitted here as the least-squares linear spline (a fit by bins would leave steps). Knots are
    sample values: ``knots`` of equal count, so that crowded grey values are resolved, and ``knots`` of equal distance,
    so that the bright tail is. With no more distinct grey values than ``knots`` it *is* the conditional mean.

    Args:
        source: the acquired volume, any shape.
        target: what it should become, same shape. For the bound against a clean target, fit on the clean target.
        body: non-zero where to fit, same shape.
        knots: number of knots of each kind.

    Returns:
        The mapping; apply it to the whole source volume.

    Raises:
        ValueError: for shapes that differ, an empty body or fewer than 2 knots.
    """
    x, y = _body_values(source, target, body, knots)
    places = _knots(x, knots)
    if places.numel() == 1:
        return IntensityMapping(places, y.mean().reshape(1))
    left, weight = _between(x, places)
    size = places.numel()
    # Normal equations of the hat functions: tridiagonal, and regular because every knot is itself a sample.
    diagonal = _binned(left, (1 - weight) ** 2, size) + _binned(left + 1, weight**2, size)
    neighbour = _binned(left, weight * (1 - weight), size)[:-1]
    right_hand = _binned(left, (1 - weight) * y, size) + _binned(left + 1, weight * y, size)
    normal = torch.diag(diagonal) + torch.diag(neighbour, 1) + torch.diag(neighbour, -1)
    return IntensityMapping(places, torch.linalg.solve(normal, right_hand))


def fit_histogram_match(source: Tensor, target: Tensor, body: Tensor, knots: int = KNOTS) -> IntensityMapping:
    """The increasing mapping that gives the source the target's histogram in the body.

    Brightest goes to brightest, whatever the anatomy: fat on PD is given the grey of fluid on PDFS. Arguments,
    result and errors as in :func:`fit_intensity_mapping`.
    """
    x, y = _body_values(source, target, body, knots)
    rank = torch.linspace(0, x.numel() - 1, 2 * knots, device=x.device, dtype=torch.float64).round().long()
    places, group = torch.unique(x.sort().values[rank], return_inverse=True)
    heights = y.sort().values[rank]
    # A grey value that fills several ranks is given the mean of theirs.
    count = _binned(group, torch.ones_like(heights), places.numel())
    return IntensityMapping(places, _binned(group, heights, places.numel()) / count)


def copy_source(source: Tensor, target: Tensor, body: Tensor) -> Tensor:
    """The source itself, offered as if it were the target."""
    return source


def map_intensity(source: Tensor, target: Tensor, body: Tensor) -> Tensor:
    """The source behind its best intensity mapping, see :func:`fit_intensity_mapping`."""
    return fit_intensity_mapping(source, target, body)(source)


def match_histogram(source: Tensor, target: Tensor, body: Tensor) -> Tensor:
    """The source with the target's histogram, see :func:`fit_histogram_match`."""
    return fit_histogram_match(source, target, body)(source)


def map_tissues(
    source: Tensor, target: Tensor, body: Tensor, masks: Mapping[str, Tensor], own_mean: bool = False
) -> Tensor:
    """The source with one gain per tissue, or the target's mean painted into each tissue.

    An oracle twice over: it is given the labels and, in each tissue, the answer. With gains,
    ``sum(source target) / sum(source^2)`` in the tissue, it keeps the source's texture and noise; with means it has
    none, and is what a perfect segmentation with the right grey values would score. What no mask covers in the body is
    one more tissue; outside the body the source stays as it is.

    Args:
        source: the acquired volume, any shape.
        target: what it should become, same shape; the clean one for the bound against a clean target.
        body: non-zero in the body, same shape.
        masks: tissues by name, non-zero inside, same shape; they may not overlap in the body.
        own_mean: paint means instead of applying gains.

    Returns:
        The volume that stands in for a synthesis, in the source's shape and dtype.

    Raises:
        ValueError: for shapes that differ, an empty body or tissues that overlap.
    """
    x, y = _body_values(source, target, body, knots=KNOTS)
    inside = convert_to_tensor(body, track_meta=False) > 0
    tissue = torch.zeros_like(x, dtype=torch.long)
    for number, (name, mask) in enumerate(masks.items(), start=1):
        if mask.shape != source.shape:
            raise ValueError(
                f"'{name}' has shape {tuple(mask.shape)}, the source {tuple(source.shape)}: need one shape"
            )
        here = (convert_to_tensor(mask, track_meta=False) != 0)[inside]
        if bool((tissue[here] > 0).any()):
            raise ValueError(f"'{name}' overlaps another tissue: each voxel needs one")
        tissue[here] = number
    size = len(masks) + 1
    basis = torch.ones_like(x) if own_mean else x
    square = _binned(tissue, basis**2, size)
    factor = torch.where(square > 0, _binned(tissue, basis * y, size) / square, torch.ones_like(square))
    mapped = convert_to_tensor(source, track_meta=False).clone()
    mapped[inside] = (basis * factor[tissue]).to(mapped.dtype)
    return mapped


COPY = "copy"
INTENSITY_MAPPING = "intensity mapping"
HISTOGRAM_MATCH = "histogram match"
BASELINES: Mapping[str, Callable[[Tensor, Tensor, Tensor], Tensor]] = MappingProxyType(
    {COPY: copy_source, INTENSITY_MAPPING: map_intensity, HISTOGRAM_MATCH: match_histogram}
)
"""Name -> function of ``(source, target, body)``, volumes of one shape, that gives the stand-in for a synthesis."""


def _body_values(source: Tensor, target: Tensor, body: Tensor, knots: int) -> tuple[Tensor, Tensor]:
    """The voxels of source and target in the body, flat and in double precision."""
    if not source.shape == target.shape == body.shape:
        shapes = ", ".join(str(tuple(volume.shape)) for volume in (source, target, body))
        raise ValueError(f"source, target and body need one shape, got {shapes}")
    if knots < 2:
        raise ValueError(f"a mapping needs at least 2 knots, got {knots}")
    inside = convert_to_tensor(body, track_meta=False) > 0
    if not bool(inside.any()):
        raise ValueError("the body mask is empty: there is nothing to fit on")
    x = convert_to_tensor(source, track_meta=False)[inside].double()
    y = convert_to_tensor(target, track_meta=False)[inside].double()
    return x, y


def _knots(x: Tensor, knots: int) -> Tensor:
    """Distinct sample values: all of them if they are few, else by equal count and by equal distance."""
    ascending = x.sort().values
    distinct = torch.unique_consecutive(ascending)
    if distinct.numel() <= knots:
        return distinct
    rank = torch.linspace(0, ascending.numel() - 1, knots, device=x.device, dtype=torch.float64).round().long()
    grid = torch.linspace(float(ascending[0]), float(ascending[-1]), knots, device=x.device, dtype=torch.float64)
    place = torch.searchsorted(distinct, grid).clamp(max=distinct.numel() - 1)
    return torch.unique(torch.cat([ascending[rank], distinct[place]]))


def _between(x: Tensor, knots: Tensor) -> tuple[Tensor, Tensor]:
    """For each value the knot on its left (never the last) and its place in [0, 1] on the way to the next."""
    left = (torch.searchsorted(knots, x.contiguous(), right=True) - 1).clamp(0, knots.numel() - 2)
    weight = (x - knots[left]) / (knots[left + 1] - knots[left])
    return left, weight.clamp(0, 1)


def _binned(index: Tensor, weight: Tensor, size: int) -> Tensor:
    return torch.bincount(index, weights=weight, minlength=size)
