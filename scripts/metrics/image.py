# SPDX-License-Identifier: Apache-2.0
"""How far a synthesised volume is from its target: PSNR, SSIM, MAE and NMSE inside the body, one number per volume.

Every function takes ``pred``, ``target`` and ``body`` of one shape ``(B, 1, D, H, W)`` (volumes, channel, slices, rows,
columns) and gives one value per volume, ``(B,)``. The error is pooled over the body of the whole volume, never averaged
over slices, so that a thin first slice weighs what it holds. Intensities are on the fixed scale where 1.0 is the
contrast's own 99.5th percentile in the body; the data range is 1.0, whatever the brightest voxel.

The body mask is an argument: a metric that made its own mask would measure another body for each method.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from types import MappingProxyType

import torch
from monai.utils import convert_to_tensor
from torch import Tensor

DATA_RANGE = 1.0
SSIM_WINDOW = 11
SSIM_SIGMA = 1.5
SSIM_K1 = 0.01
SSIM_K2 = 0.03

HIGHER_IS_BETTER: Mapping[str, bool] = MappingProxyType({"psnr": True, "ssim": True, "mae": False, "nmse": False})
"""The scores by name, in the order of the tables."""


def psnr(pred: Tensor, target: Tensor, body: Tensor, data_range: float = DATA_RANGE) -> Tensor:
    """Peak signal-to-noise ratio in the body: ``10 log10(data_range^2 / MSE)``.

    Args:
        pred: synthesised volumes, ``(B, 1, D, H, W)``, fixed intensity scale.
        target: reference volumes, same shape and scale.
        body: where to measure; same shape, non-zero inside.
        data_range: the peak, 1.0 on the fixed scale.

    Returns:
        ``(B,)`` in dB, float64; infinite for equal volumes.

    Raises:
        ValueError: for shapes that differ or are not ``(B, 1, D, H, W)``, an empty body or a value that is not finite.
    """
    return _decibel(_squared_error(*_checked(pred, target, body)), data_range)


def mae(pred: Tensor, target: Tensor, body: Tensor) -> Tensor:
    """Mean absolute error in the body, ``(B,)``, on the fixed scale. Arguments and errors as in :func:`psnr`."""
    pred, target, body = _checked(pred, target, body)
    return _body_mean((pred - target).abs(), body)


def nmse(pred: Tensor, target: Tensor, body: Tensor) -> Tensor:
    """Normalised squared error in the body, ``|pred - target|^2 / |target|^2``, ``(B,)``.

    As in fastMRI (Zbontar 2018, arXiv:1811.08839). Arguments and errors as in :func:`psnr`; infinite or not a number
    where the target is zero in the whole body.
    """
    pred, target, body = _checked(pred, target, body)
    return _squared_error(pred, target, body) / _body_mean(target**2, body)


def ssim(pred: Tensor, target: Tensor, body: Tensor, data_range: float = DATA_RANGE) -> Tensor:
    """Structural similarity, slice by slice in two dimensions, averaged over the body of the volume.

    Window and constants of Wang 2004 (doi:10.1109/TIP.2003.819861): Gaussian, 11 x 11 pixels, sigma 1.5, K1 = 0.01,
    K2 = 0.03. Slices are 3-4 mm apart and pixels 0.3-0.6 mm: a window across slices would mix unlike anatomy. A pixel
    counts where it lies in the body and its window lies within the image; nothing is padded.

    Args:
        pred: as in :func:`psnr`; at least 11 rows and columns.
        target: as in :func:`psnr`.
        body: as in :func:`psnr`.
        data_range: the peak of the stabilising constants, 1.0 on the fixed scale.

    Returns:
        ``(B,)``, float64, at most 1.

    Raises:
        ValueError: as in :func:`psnr`, for slices smaller than the window, and for a body that only touches the border.
    """
    return _mean_ssim(*_checked(pred, target, body), data_range)


def ssim_map(pred: Tensor, target: Tensor, data_range: float = DATA_RANGE) -> Tensor:
    """The SSIM of every pixel whose window lies within the image (Wang 2004, equation 13).

    The local moments are sums of shifted slices in double precision: a convolution on a recent GPU rounds to ten bits
    by default (TF32), which is as coarse as the constant that steadies the variance.

    Args:
        pred: slices ``(..., H, W)``, at least 11 x 11.
        target: same shape.
        data_range: as in :func:`ssim`.

    Returns:
        ``(..., H - 10, W - 10)``, float64.

    Raises:
        ValueError: for shapes that differ or slices smaller than the window.
    """
    if pred.shape != target.shape or pred.ndim < 2:
        raise ValueError(f"SSIM needs two images of one shape, got {tuple(pred.shape)} and {tuple(target.shape)}")
    _check_window(pred)
    pred, target = pred.double(), target.double()
    moments = torch.stack([pred, target, pred**2, target**2, pred * target])
    mean_p, mean_t, square_p, square_t, product = _windowed(_windowed(moments, -2), -1)
    variance_p, variance_t, covariance = square_p - mean_p**2, square_t - mean_t**2, product - mean_p * mean_t
    c1, c2 = (SSIM_K1 * data_range) ** 2, (SSIM_K2 * data_range) ** 2
    luminance = (2 * mean_p * mean_t + c1) / (mean_p**2 + mean_t**2 + c1)
    structure = (2 * covariance + c2) / (variance_p + variance_t + c2)
    return luminance * structure


def match_gain(pred: Tensor, target: Tensor, body: Tensor) -> tuple[Tensor, Tensor]:
    """Scale each prediction by the one factor that brings it closest to its target in the body.

    The receiver gain between two scans is arbitrary and not anatomy; this takes it out, and nothing else: one
    least-squares number per volume, ``sum(pred * target) / sum(pred^2)``. It uses the answer, so what is measured
    behind it stands apart from what is measured as stored.

    Args:
        pred: as in :func:`psnr`.
        target: as in :func:`psnr`.
        body: as in :func:`psnr`.

    Returns:
        The scaled predictions ``(B, 1, D, H, W)`` and the gains ``(B,)``; a prediction that is zero in the whole body
        keeps gain 1.

    Raises:
        ValueError: as in :func:`psnr`.
    """
    pred, target, body = _checked(pred, target, body)
    energy = _body_mean(pred**2, body)
    gain = torch.where(energy > 0, _body_mean(pred * target, body) / energy, torch.ones_like(energy))
    return pred * gain.view(-1, 1, 1, 1, 1), gain


def score(pred: Tensor, target: Tensor, body: Tensor, data_range: float = DATA_RANGE) -> dict[str, Tensor]:
    """All scores by name, each ``(B,)``; keys as in ``HIGHER_IS_BETTER``, arguments and errors as in :func:`ssim`."""
    pred, target, body = _checked(pred, target, body)
    squared_error = _squared_error(pred, target, body)
    return {
        "psnr": _decibel(squared_error, data_range),
        "ssim": _mean_ssim(pred, target, body, data_range),
        "mae": _body_mean((pred - target).abs(), body),
        "nmse": squared_error / _body_mean(target**2, body),
    }


def _checked(pred: Tensor, target: Tensor, body: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Plain double tensors and a boolean mask of one shape, or a message that says what does not fit."""
    shapes = [tuple(tensor.shape) for tensor in (pred, target, body)]
    if len(set(shapes)) != 1 or len(shapes[0]) != 5 or shapes[0][1] != 1:
        got = ", ".join(str(shape) for shape in shapes)
        raise ValueError(f"pred, target and body need one shape (B, 1, D, H, W), got {got}")
    pred = convert_to_tensor(pred, track_meta=False).detach().double()
    target = convert_to_tensor(target, track_meta=False).detach().double()
    body = convert_to_tensor(body, track_meta=False) > 0
    if not bool(body.flatten(1).any(dim=1).all()):
        raise ValueError("the body mask is empty: there is nothing to measure in")
    for name, tensor in (("pred", pred), ("target", target)):
        # An average that leaves such a volume out would flatter the model that broke.
        if not bool(torch.isfinite(tensor).all()):
            raise ValueError(f"{name} holds values that are not finite: the volume cannot be scored")
    return pred, target, body


def _squared_error(pred: Tensor, target: Tensor, body: Tensor) -> Tensor:
    return _body_mean((pred - target) ** 2, body)


def _decibel(squared_error: Tensor, data_range: float) -> Tensor:
    return 10.0 * torch.log10(data_range**2 / squared_error)


def _mean_ssim(pred: Tensor, target: Tensor, body: Tensor, data_range: float) -> Tensor:
    _check_window(pred)
    margin = SSIM_WINDOW // 2
    inner = body[..., margin : body.shape[-2] - margin, margin : body.shape[-1] - margin]
    if not bool(inner.flatten(1).any(dim=1).all()):
        raise ValueError(f"the body mask lies within {margin} pixels of the image border: SSIM has no window there")
    total = pred.new_zeros(pred.shape[0])
    for volume in range(pred.shape[0]):
        # Slice by slice, so that the memory does not grow with the stack.
        for number in torch.nonzero(inner[volume, 0].flatten(1).any(dim=1)).flatten().tolist():
            values = ssim_map(pred[volume, 0, number], target[volume, 0, number], data_range)
            total[volume] += values[inner[volume, 0, number]].sum()
    return total / inner.flatten(1).sum(dim=1)


def _check_window(image: Tensor) -> None:
    if min(image.shape[-2:]) < SSIM_WINDOW:
        size = tuple(image.shape[-2:])
        raise ValueError(f"SSIM needs slices of at least {SSIM_WINDOW} x {SSIM_WINDOW} pixels, got {size}")


def _body_mean(values: Tensor, body: Tensor) -> Tensor:
    return (values * body).flatten(1).sum(dim=1) / body.flatten(1).sum(dim=1)


def _windowed(values: Tensor, dim: int) -> Tensor:
    """Gaussian-weighted means of 11 neighbours along one dimension, which loses 10; the weights sum to 1."""
    reach = SSIM_WINDOW // 2
    weights = [math.exp(-(offset**2) / (2 * SSIM_SIGMA**2)) for offset in range(reach + 1)]
    total = weights[0] + 2 * sum(weights[1:])
    size = values.shape[dim] - 2 * reach
    mean = values.narrow(dim, reach, size) * (weights[0] / total)
    for offset in range(1, reach + 1):
        both = values.narrow(dim, reach - offset, size) + values.narrow(dim, reach + offset, size)
        mean.add_(both, alpha=weights[offset] / total)
    return mean
