# SPDX-License-Identifier: Apache-2.0
"""What can be asked of any synthesis without a single region: edges in place, dark air, no flicker, echoes agreeing.

Volumes are ``(D, H, W)`` arrays in display orientation, on the fixed scale where 1.0 is the contrast's bright end.
"""

from __future__ import annotations

import numpy as np
import torch

from scripts.body import body_mask
from scripts.metrics.body import fill_body
from scripts.metrics.flicker import flicker as measure_flicker
from scripts.scorecard.contrast import Measured

AIR_MARGIN = 8
"""Air begins this many pixels outside the body: blurred skin is not air."""
AIR_QUANTILE = 0.99
"""So that a ghost counts which fills a hundredth of the air."""
AGREEMENT_TILE = 4
"""Side of the tiles whose means two echoes are compared by [pixels]."""

_EDGE_BLUR = 1.0  # standard deviation of the Gaussian before the gradient [pixels]: noise has gradients too
_REACH = 3  # largest whole shift looked for [pixels]
_STEP = 0.02  # fineness of the result [pixels]
_LEAST_BODY = 0.05  # share of a slice that must be body for its edges to count
_TINY = 1e-6


def body_of(source: np.ndarray) -> np.ndarray:
    """The body in the source, dark tissues included, bool ``(D, H, W)``."""
    return fill_body(body_mask(torch.as_tensor(source, dtype=torch.float32))).numpy()


def edge_shift(source: np.ndarray, synthesis: np.ndarray, body: np.ndarray) -> Measured | None:
    """How far the edges of the synthesis lie from those of the source [pixels]: median over slices.

    Contrast turns round between PD and PDFS, and many an edge is strong in one and weak in the other; where edges lie
    and which way they run stays. So slices are registered by their normalised gradient fields (Haber and Modersitzki
    2006, doi:10.1007/11866763_89): the shift with the largest sum of squared cosines between the two fields.
    """
    shifts = {}
    for number in range(source.shape[0]):
        if body[number].mean() >= _LEAST_BODY:
            shift = register(source[number], synthesis[number], body[number])
            shifts[f"slice {number}"] = float(np.hypot(shift[0], shift[1]))
    return Measured(float(np.median(list(shifts.values()))), shifts) if shifts else None


def register(reference: np.ndarray, moved: np.ndarray, body: np.ndarray) -> tuple[float, float]:
    """Rows and columns by which ``moved`` lies further on than ``reference``.

    The correlation is found for whole pixels by a Fourier transform, then evaluated from its Fourier series around the
    peak (Guizar-Sicairos 2008, doi:10.1364/OL.33.000156).

    Args:
        reference: slice ``(H, W)``.
        moved: slice of the same shape, contrast may be another.
        body: where the usual size of a gradient is taken from.

    Returns:
        The shift, at most 4 pixels each way, in steps of 0.02.
    """
    product = np.zeros(reference.shape, dtype=np.complex128)
    for one, other in zip(_edges(reference, body), _edges(moved, body), strict=True):
        product += np.fft.fft2(other - other.mean()) * np.conj(np.fft.fft2(one - one.mean()))
    rows, columns = reference.shape
    coarse = np.fft.ifft2(product).real
    steps = np.arange(-_REACH, _REACH + 1)
    near = coarse[(steps % rows)[:, None], (steps % columns)[None, :]]
    top, left = divmod(int(np.argmax(near)), near.shape[1])
    fine = np.arange(-round(1 / _STEP), round(1 / _STEP) + 1) * _STEP
    r, c = steps[top] + fine, steps[left] + fine
    waves_r = np.exp(2j * np.pi * r[:, None] * np.fft.fftfreq(rows)[None, :])
    waves_c = np.exp(2j * np.pi * np.fft.fftfreq(columns)[:, None] * c[None, :])
    peak = (waves_r @ product @ waves_c).real
    i, j = divmod(int(np.argmax(peak)), peak.shape[1])
    return float(r[i]), float(c[j])


def air_level(synthesis: np.ndarray, body: np.ndarray) -> Measured | None:
    """The 99th percentile of the synthesis in the air around the knee, on the fixed scale."""
    grown = torch.nn.functional.max_pool2d(
        torch.as_tensor(body, dtype=torch.float32)[:, None], 2 * AIR_MARGIN + 1, stride=1, padding=AIR_MARGIN
    )
    air = synthesis[grown[:, 0].numpy() == 0]
    if air.size == 0:
        return None
    return Measured(float(np.quantile(air, AIR_QUANTILE)), {"mean": float(air.mean()), "voxels": float(air.size)})


def flicker(source: np.ndarray, synthesis: np.ndarray, body: np.ndarray) -> Measured | None:
    """How much the brightness of whole slices jumps, see :func:`scripts.metrics.flicker.flicker`; 0.05 is 5 %."""
    found = measure_flicker(*(torch.as_tensor(volume) for volume in (source, synthesis, body)))
    if found is None:
        return None
    return Measured(found.value, {f"slice {number}": jump for number, jump in found.jumps.items()})


def disagreement(one: np.ndarray, other: np.ndarray, body: np.ndarray) -> Measured | None:
    """How different two images are that ought to be one: ``rms(one - g other) / rms(one)`` in the body.

    Means of 4 x 4 pixels are compared, so that the noise of the two sources says little. ``g`` is the one gain that
    brings the images closest, since each is divided by its own bright end.
    """
    inside = _tiles(body, AGREEMENT_TILE) == 1
    a, b = _tiles(one, AGREEMENT_TILE)[inside], _tiles(other, AGREEMENT_TILE)[inside]
    if a.size == 0 or not (a**2).sum() > 0:
        return None
    gain = float((a * b).sum() / max((b**2).sum(), _TINY))
    return Measured(float(np.sqrt(((a - gain * b) ** 2).sum() / (a**2).sum())), {"gain": gain})


def _tiles(volume: np.ndarray, size: int) -> np.ndarray:
    """Means of square tiles within each slice; what is left over at the far border is cut off."""
    depth, rows, columns = volume.shape[0], volume.shape[1] // size, volume.shape[2] // size
    cut = volume[:, : rows * size, : columns * size].astype(np.float64)
    return np.asarray(cut.reshape(depth, rows, size, columns, size).mean(axis=(2, 4)))


def _edges(image: np.ndarray, body: np.ndarray) -> list[np.ndarray]:
    """Products of the components of a slice's normalised gradient field, faded out at the border.

    ``(n . m)^2`` is a sum of three products, one of each field: ``nx^2``, ``ny^2`` and ``sqrt(2) nx ny``. A gradient
    counts in full where it is well above the median in the body.
    """
    smooth = _blur(_blur(np.asarray(image, dtype=np.float64), 0), 1)
    down, right = np.gradient(smooth)
    usual = float(np.median(np.hypot(down, right)[body])) if body.any() else 0.0
    size = np.sqrt(down**2 + right**2 + max(usual, _TINY) ** 2)
    fade = np.outer(_fade(image.shape[0]), _fade(image.shape[1]))
    n, m = down / size, right / size
    return [fade * n * n, fade * m * m, fade * np.sqrt(2) * n * m]


def _blur(image: np.ndarray, axis: int) -> np.ndarray:
    reach = int(np.ceil(3 * _EDGE_BLUR))
    weights = np.exp(-0.5 * (np.arange(-reach, reach + 1) / _EDGE_BLUR) ** 2)
    padded = np.pad(image, [(reach, reach) if a == axis else (0, 0) for a in (0, 1)], mode="edge")
    size = image.shape[axis]
    parts = [w * np.take(padded, range(k, k + size), axis=axis) for k, w in enumerate(weights / weights.sum())]
    return np.asarray(sum(parts))


def _fade(side: int, margin: int = 8) -> np.ndarray:
    """One inside, a cosine to zero at the border, so that the Fourier transform's wrapping meets no step."""
    distance = np.minimum(np.arange(side), np.arange(side)[::-1]) / min(margin, max(side // 4, 1))
    return np.asarray(np.sin(np.pi / 2 * np.clip(distance, 0, 1)))
