# SPDX-License-Identifier: Apache-2.0
"""The rulers by name: where a protocol looks, how it scores, and how it says so in each table.

Numbers of two protocols cannot be compared: air around the knee alone moves SSIM by tenths.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import torch
import torch.nn.functional as F
from monai.utils import convert_to_tensor
from torch import Tensor

from scripts.errors import UsageError
from scripts.metrics.image import SSIM_K1, SSIM_K2, mae, nmse, psnr, score

FASTMRI_CROP = 320
FASTMRI_WINDOW = 7

Score = Callable[[Tensor, Tensor, Tensor], dict[str, Tensor]]


@dataclass(frozen=True)
class Protocol:
    """One way of measuring.

    Args:
        name: as it stands in tables, files and options.
        says: what a reader needs to know, one phrase.
        score: from ``(pred, target, region)``, each ``(B, 1, D, H, W)``, to the scores of
            `scripts.metrics.image.HIGHER_IS_BETTER`, each ``(B,)``.
        crop: side of the centre of the slices that is measured [pixels]; None for whole slices.
        whole: measured everywhere, else in the body.
    """

    name: str
    says: str
    score: Score
    crop: int | None = None
    whole: bool = False

    def view(self, volume: Tensor) -> Tensor:
        """What of a volume ``(..., H, W)`` is measured."""
        if self.crop is None:
            return volume
        rows, columns = volume.shape[-2:]
        high, wide = min(rows, self.crop), min(columns, self.crop)
        top, left = (rows - high) // 2, (columns - wide) // 2
        return volume[..., top : top + high, left : left + wide]

    def region(self, body: Tensor) -> Tensor:
        """Where it is measured, of the size of `view`: the body, or everywhere."""
        seen = self.view(body)
        return torch.ones_like(seen, dtype=torch.bool) if self.whole else seen


def fastmri_score(pred: Tensor, target: Tensor, region: Tensor) -> dict[str, Tensor]:
    """The scores of fastMRI's public evaluation (github facebookresearch/fastMRI, ``fastmri/evaluate.py``).

    PSNR and SSIM take the largest value of the target's volume as data range; SSIM as in `ssim_uniform`, mean over
    slices; NMSE ``|pred - target|^2 / |target|^2``. MAE is no part of it and stands on this project's scale.

    Args:
        pred: ``(B, 1, D, H, W)``.
        target: the same shape and scale.
        region: where to measure; the evaluation has no mask, so everywhere.

    Returns:
        By name, each ``(B,)`` float64.

    Raises:
        ValueError: shapes that differ, values that are not finite, slices smaller than the window, or a target without
            a value above zero.
    """
    peak = convert_to_tensor(target, track_meta=False).flatten(1).amax(dim=1).double()
    if not bool((peak > 0).all()):
        raise ValueError("the target has no value above zero: there is no data range")
    scale = peak.view(-1, 1, 1, 1, 1)
    volumes = zip(pred, target, peak.tolist(), strict=True)
    return {
        "psnr": psnr(pred / scale, target / scale, region),
        "ssim": torch.stack([ssim_uniform(made[0], asked[0], top).mean() for made, asked, top in volumes]),
        "mae": mae(pred, target, region),
        "nmse": nmse(pred, target, region),
    }


def ssim_uniform(pred: Tensor, target: Tensor, data_range: float, window: int = FASTMRI_WINDOW) -> Tensor:
    """Mean SSIM of each slice with a uniform window, as scikit-image's ``structural_similarity`` has it by default.

    Sample covariance, ``n / (n - 1)``; K1 = 0.01, K2 = 0.03; pixels whose window leaves the slice do not count.

    Args:
        pred: slices ``(D, H, W)``.
        target: the same shape.
        data_range: the peak.
        window: side of the window [pixels].

    Returns:
        ``(D,)`` float64.

    Raises:
        ValueError: shapes that differ or slices smaller than the window.
    """
    if pred.shape != target.shape or pred.ndim != 3:
        raise ValueError(f"SSIM needs slices of one shape, got {tuple(pred.shape)} and {tuple(target.shape)}")
    if min(pred.shape[-2:]) < window:
        raise ValueError(f"SSIM needs slices of at least {window} x {window} pixels, got {tuple(pred.shape[-2:])}")
    x, y = (convert_to_tensor(one, track_meta=False).double()[:, None] for one in (pred, target))
    ux, uy, uxx, uyy, uxy = (F.avg_pool2d(one, window, stride=1) for one in (x, y, x * x, y * y, x * y))
    sample = window**2 / (window**2 - 1)
    vx, vy, vxy = sample * (uxx - ux * ux), sample * (uyy - uy * uy), sample * (uxy - ux * uy)
    c1, c2 = (SSIM_K1 * data_range) ** 2, (SSIM_K2 * data_range) ** 2
    values = (2 * ux * uy + c1) * (2 * vxy + c2) / ((ux * ux + uy * uy + c1) * (vx + vy + c2))
    return values.flatten(1).mean(dim=1)


def protocol(name: str) -> Protocol:
    """The protocol of a name.

    Raises:
        UsageError: there is none.
    """
    if name not in PROTOCOLS:
        raise UsageError(f"protocol {name!r} is unknown; need one of {', '.join(PROTOCOLS)}; correct it")
    return PROTOCOLS[name]


OURS = Protocol(
    "ours",
    "inside the body; data range 1.0, a contrast's own 99.5th percentile there; SSIM Gaussian 11, sigma 1.5, slice by "
    "slice",
    score,
)
FASTMRI = Protocol(
    "fastmri",
    f"whole field of view, centre {FASTMRI_CROP} x {FASTMRI_CROP}; data range the largest value of the target's "
    f"volume; SSIM uniform {FASTMRI_WINDOW} x {FASTMRI_WINDOW}, slice by slice",
    fastmri_score,
    crop=FASTMRI_CROP,
    whole=True,
)
PROTOCOLS: Mapping[str, Protocol] = MappingProxyType({one.name: one for one in (OURS, FASTMRI)})
