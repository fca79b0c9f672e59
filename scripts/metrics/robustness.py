# SPDX-License-Identifier: Apache-2.0
"""Does the synthesis hold still when its source is changed in a way that should not matter?

Each perturbation says how it changes a source and how the same change is undone on a prediction. A network that copies
its source is stable by definition: what undoing does not bring back (interpolation, noise) is the floor, and stands
beside every result. All of it on the whole path from the source's intensities to the prediction on the source's scale,
normalisation included: a bare network that expects one scale fails the gain, and rightly so.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from scripts.metrics.masked import mask_of, volumes_of

Change = Callable[[Tensor], Tensor]
"""Volume ``(D, H, W)`` to volume of the same shape."""

_WHOLE = 1e-3  # how far a volume of ones may be from one where nothing is missing


@dataclass(frozen=True)
class Perturbation:
    """One change of the source.

    Attributes:
        name: row of the table.
        change: applied to the source; to a target that the prediction is measured against, apply it too.
        undo: applied to the prediction, so that it can be measured against the unchanged target.
        moves: whether voxels change place; only then may some leave the image.
    """

    name: str
    change: Change
    undo: Change
    moves: bool = False


@dataclass(frozen=True)
class Stability:
    """How far the prediction moved.

    Attributes:
        name: of the perturbation.
        change: ``rms[undo(f(change(a))) - f(a)] / rms[f(a)]`` in the body.
        floor: the same for a network that copies its source: what the measurement itself does. At or below it, the
            synthesis is as stable as a copy.
    """

    name: str
    change: float
    floor: float


def stability(network: Change, source: Tensor, body: Tensor, perturbations: Sequence[Perturbation]) -> list[Stability]:
    """One row per perturbation.

    Stable is not right: a network that answers zero is refused here, one that answers the same picture to every knee
    fails the flip and the shift only. Read beside the errors.

    Args:
        network: the whole path from source to prediction, volumes ``(D, H, W)`` on the source's scale.
        source: ``(D, H, W)`` or ``(1, D, H, W)``.
        body: where to compare, same shape; what a perturbation pushed out of the image is left out.
        perturbations: for example `standard_perturbations`.

    Raises:
        ValueError: for shapes that differ, values that are not finite, an empty body or a prediction that is zero
            in it.
    """
    (volume,) = volumes_of(source=source)
    inside = mask_of(body, volume, "body")
    dtype = source.dtype

    def predict(values: Tensor) -> Tensor:
        (prediction,) = volumes_of(prediction=network(values.to(dtype)))
        return prediction

    still, rows = predict(volume), []
    for perturbation in perturbations:
        kept = inside
        if perturbation.moves:
            # Beside what left the image a cubic interpolation overshoots too.
            whole = perturbation.undo(perturbation.change(torch.ones_like(volume)))
            kept = inside & ((whole - 1).abs() < _WHOLE)
        changed = perturbation.change(volume)
        moved = perturbation.undo(predict(changed))
        copied = perturbation.undo(changed)
        rows.append(Stability(perturbation.name, _difference(moved, still, kept), _difference(copied, volume, kept)))
    return rows


def standard_perturbations(sigma: float, seed: int = 0) -> list[Perturbation]:
    """The rows of the stability table: gain, flip, half a pixel, zoom, noise and coil shading.

    Args:
        sigma: standard deviation of the added noise, on the source's scale.
        seed: of that noise.
    """
    return [
        gain(0.5),
        gain(2.0),
        flip(),
        shift(0.5),
        zoom(0.8),
        zoom(1.25),
        fresh_noise(sigma, seed),
        shading(2.0),
    ]


def gain(factor: float) -> Perturbation:
    """Another receiver gain."""
    return Perturbation(f"gain x{factor:g}", lambda volume: volume * factor, lambda volume: volume / factor)


def flip() -> Perturbation:
    """Columns in reverse order: the other knee."""
    return Perturbation("flip", lambda volume: volume.flip(-1), lambda volume: volume.flip(-1), moves=True)


def shift(pixels: float) -> Perturbation:
    """Rows and columns further on by a part of a pixel, by Fourier transform: without loss, round the border."""

    def moved(by: float) -> Change:
        def change(volume: Tensor) -> Tensor:
            spectrum = torch.fft.fft2(volume)
            for dim in (-2, -1):
                size = volume.shape[dim]
                wave = torch.fft.fftfreq(size, device=volume.device, dtype=torch.float64)
                turn = torch.polar(torch.ones_like(wave), -2 * math.pi * by * wave)
                if size % 2 == 0:
                    # The highest frequency has no sign: half a pixel cannot be given to it and taken back.
                    turn[size // 2] = 1
                spectrum = spectrum * (turn[:, None] if dim == -2 else turn)
            return torch.fft.ifft2(spectrum).real.to(volume.dtype)

        return change

    return Perturbation(f"shift {pixels:g} pixel", moved(pixels), moved(-pixels), moves=True)


def zoom(factor: float) -> Perturbation:
    """Another pixel size: the knee ``factor`` times as large on the same grid, by cubic interpolation.

    Below 1 it brings in the border as zero; above 1 the outer part leaves the image. Interpolation smooths the noise
    and, below 1, detail that the coarser grid cannot hold.
    """

    def scaled(by: float) -> Change:
        def change(volume: Tensor) -> Tensor:
            depth = volume.shape[0]
            theta = torch.tensor([[1 / by, 0, 0], [0, 1 / by, 0]], dtype=volume.dtype, device=volume.device)
            grid = F.affine_grid(theta.expand(depth, 2, 3), [depth, 1, *volume.shape[-2:]], align_corners=False)
            return F.grid_sample(volume[:, None], grid, mode="bicubic", align_corners=False)[:, 0]

        return change

    return Perturbation(f"zoom x{factor:g}", scaled(factor), scaled(1 / factor), moves=True)


def fresh_noise(sigma: float, seed: int = 0) -> Perturbation:
    """More noise on the source: the magnitude of source and complex white noise.

    It is not undone: the prediction should not move.
    Here the floor is the noise itself, and change over floor says how much of it came through.
    """

    def change(volume: Tensor) -> Tensor:
        generator = torch.Generator().manual_seed(seed)
        noise = sigma * torch.randn((2, *volume.shape), generator=generator, dtype=torch.float64)
        real, imaginary = noise.to(volume)
        return torch.hypot(volume + real, imaginary)

    return Perturbation("fresh noise", change, lambda volume: volume)


def shading(ratio: float) -> Perturbation:
    """More coil shading: ``ratio`` times as bright at the last column as at the first, exponentially between.

    The target carries the source's shading by definition, so it is divided out of the prediction.
    """

    def field(volume: Tensor) -> Tensor:
        place = torch.linspace(-0.5, 0.5, volume.shape[-1], device=volume.device, dtype=volume.dtype)
        return torch.exp(math.log(ratio) * place)

    return Perturbation(
        f"shading 1:{ratio:g}", lambda volume: volume * field(volume), lambda volume: volume / field(volume)
    )


def _difference(moved: Tensor, still: Tensor, kept: Tensor) -> float:
    energy = float(still[kept].square().sum())
    if not energy > 0:
        raise ValueError("the prediction is zero wherever it could be compared: its stability means nothing")
    return math.sqrt(float((moved - still)[kept].square().sum()) / energy)
