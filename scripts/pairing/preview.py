# SPDX-License-Identifier: Apache-2.0
"""Small pictures of one slice of a pair, before and after, for the page on which a person reviews it."""

from __future__ import annotations

import base64
from collections.abc import Mapping

import numpy as np
import torch

from scripts.pairing.volume import Working

_SIDE = 176
_TILE = 22  # pixels of a checkerboard's field


def preview(
    before: Working,
    partners: Mapping[int, int],
    shift_mm: tuple[float, float],
    after: tuple[Working, tuple[float, float]] | None,
) -> dict[str, str]:
    """Pictures of the middle slice: PD, PDFS, and both as a checkerboard at the headers' place and, if any, at the new.

    Args:
        before: both images by their positions.
        partners: slices of PD and of PDFS.
        shift_mm: of the first checkerboard.
        after: both images turned, and the shift that was found.

    Returns:
        JPEG as data URLs under ``pd``, ``pdfs``, ``before`` and ``after``.
    """
    if not partners:
        return {}
    k, m = sorted(partners.items())[len(partners) // 2]
    pictures = {"pd": _url(_grey(before.image[k]))}
    pd, pdfs = _grey(before.image[k]), _grey(_moved(before.label[m], shift_mm, before.pixel_mm))
    pictures["before"] = _url(_checkerboard(pd, pdfs))
    if after is not None:
        both, shift = after
        there = _grey(_moved(both.label[m], shift, both.pixel_mm))
        pictures["pdfs"], pictures["after"] = _url(there), _url(_checkerboard(pd, there))
    else:
        pictures["pdfs"] = _url(pdfs)
    return pictures


def _moved(image: torch.Tensor, shift_mm: tuple[float, float], pixel_mm: float) -> torch.Tensor:
    shift = [round(value / pixel_mm) for value in shift_mm]
    return torch.roll(image, (-shift[1], -shift[0]), (0, 1))


def _grey(image: torch.Tensor) -> np.ndarray:
    top = float(torch.quantile(image.flatten(), 0.995)) or 1.0
    return (image / top).clamp(0, 1).sqrt().mul(255).byte().numpy()


def _checkerboard(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    rows, columns = np.indices(one.shape)
    return np.where((rows // _TILE + columns // _TILE) % 2 == 0, one, other)


def _url(picture: np.ndarray) -> str:
    import io

    from PIL import Image

    image = Image.fromarray(picture)
    image.thumbnail((_SIDE, _SIDE))
    stream = io.BytesIO()
    image.save(stream, format="JPEG", quality=70)
    return "data:image/jpeg;base64," + base64.b64encode(stream.getvalue()).decode("ascii")
