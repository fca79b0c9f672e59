# SPDX-License-Identifier: Apache-2.0
"""Whether the two images of a pair show the same knee at the same place, whatever their contrasts are."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from scripts.body import body_mask
from scripts.diagnosis.evidence import Pairing

BINS = 16
"""Bins of intensity in the joint histogram; a slice has thousands of pixels for 256 of them."""
_SIGMA, _HUMP = 1.0, 5.0  # pixels: noise is smoothed before edges are taken; a true peak is narrower than the hump


def pairing_evidence(a: Tensor, b: Tensor, patient: Tensor | None = None) -> Pairing:
    """Compare pairs with unrelated pairs out of the same images.

    Args:
        a: slices of contrast a, ``(N, 1, H, W)``, N at least 2.
        b: slices of contrast b.
        patient: number of the patient of each slice ``(N,)``; unrelated pairs are then of different patients where
            there are several.

    Raises:
        ValueError: for fewer than two pairs.
    """
    if len(a) < 2:
        raise ValueError(f"{len(a)} pair of slices; need at least 2 to compare with unrelated ones; take more batches.")
    a, b = a.float().cpu(), b.float().cpu()
    # Both images of a slice turned alike leave shifts and information as they are, and unrelated ones unrelated.
    partners = _partners(len(a), patient)
    own = [overlap(a[i : i + 1], b[i : i + 1]) for i in range(len(a))]
    other = [overlap(a[i : i + 1], b[j : j + 1])[1] for i, j in partners]
    shared = torch.tensor([mutual_information(a[i], b[i]) for i in range(len(a))]).mean()
    unshared = torch.tensor([mutual_information(a[i], b[j]) for i, j in partners]).mean()
    return Pairing(
        shift=float(torch.tensor([shift for shift, _ in own]).median()),
        peak=float(torch.tensor([peak for _, peak in own]).median() / max(float(torch.tensor(other).median()), 1e-9)),
        information=float(shared / max(float(unshared), 1e-4)),
        pairs=len(a),
    )


def _partners(count: int, patient: Tensor | None) -> list[tuple[int, int]]:
    every = [(i, j) for i in range(count) for j in range(count) if i != j]
    if patient is not None:
        strangers = [(i, j) for i, j in every if int(patient[i]) != int(patient[j])]
        every = strangers or every
    return every[:: -(-len(every) // 40)]


def mutual_information(a: Tensor, b: Tensor) -> float:
    """Mutual information of two images in the body of either [nat], from a joint histogram of equally filled bins.

    The bias of a histogram's entropy, half a count per filled bin (Miller 1955), is taken off.

    Args:
        a: image, any shape.
        b: image of the same shape.
    """
    inside = body_mask(a) | body_mask(b)
    x, y = (_bins(image[inside]) for image in (a, b))
    if x.numel() == 0:
        return 0.0
    joint = torch.bincount(x * BINS + y, minlength=BINS * BINS).reshape(BINS, BINS).double()
    filled = [(joint > 0).sum(), (joint.sum(0) > 0).sum(), (joint.sum(1) > 0).sum()]
    p = joint / joint.sum()
    expected = p.sum(0, keepdim=True) * p.sum(1, keepdim=True)
    raw = float(torch.xlogy(p, p / expected.clamp(min=1e-12)).sum())
    bias = float(filled[0] - filled[1] - filled[2] + 1) / (2 * x.numel())
    return max(raw - bias, 0.0)


def _bins(values: Tensor) -> Tensor:
    edges = torch.quantile(values, torch.linspace(0, 1, BINS + 1)[1:-1]) if values.numel() else values
    return torch.bucketize(values, edges)


def overlap(a: Tensor, b: Tensor) -> tuple[float, float]:
    """Where two images fit best, by normalised gradient fields at every shift.

    The measure is the mean squared cosine between the gradients (Haber and Modersitzki 2006), which takes edges in any
    contrast and of either sign. A sum over ``(n_a . n_b)^2`` splits into three correlations, so all shifts come from
    Fourier transforms.

    Args:
        a: image ``(1, 1, H, W)``.
        b: image of the same shape.

    Returns:
        Distance of the best shift from none [pixels], and its height over the hump around it, in standard deviations of
        the whole surface.
    """
    height, width = a.shape[-2:]
    size = [2 * height, 2 * width]  # no wrap-around
    fields = [_normalised_gradient(image) for image in (a, b)]
    spectra = [[torch.fft.rfft2(part, s=size) for part in (x * x, y * y, x * y)] for x, y in fields]
    total = sum(weight * p.conj() * q for weight, p, q in zip((1, 1, 2), *spectra, strict=True))
    surface = torch.fft.fftshift(torch.fft.irfft2(total, s=size))
    reach_down, reach_right = height // 3, width // 3
    surface = surface[height - reach_down : height + reach_down + 1, width - reach_right : width + reach_right + 1]
    surface = surface - _smooth(surface[None, None], _HUMP)[0, 0]
    place = int(surface.argmax())
    down, right = place // surface.shape[1] - reach_down, place % surface.shape[1] - reach_right
    return (down**2 + right**2) ** 0.5, float(surface.max() / surface.std().clamp(min=1e-12))


def _normalised_gradient(image: Tensor) -> tuple[Tensor, Tensor]:
    image = _smooth(image, _SIGMA)[0, 0]
    down, right = torch.gradient(image)
    strength = (down.square() + right.square()).sqrt()
    edge = strength.mean() + 1e-9  # an edge stands out from the mean gradient, noise does not
    scale = (strength.square() + edge**2).sqrt()
    return down / scale, right / scale


def _smooth(image: Tensor, sigma: float) -> Tensor:
    radius = int(3 * sigma)
    kernel = torch.exp(-0.5 * (torch.arange(-radius, radius + 1) / sigma).square())
    kernel = (kernel / kernel.sum()).to(image)
    image = F.pad(image, [radius] * 4, mode="replicate")
    return F.conv2d(F.conv2d(image, kernel.view(1, 1, -1, 1)), kernel.view(1, 1, 1, -1))
