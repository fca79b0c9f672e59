# SPDX-License-Identifier: Apache-2.0
"""How bright each tissue is, and how well tissues are told apart.

Volumes are ``(D, H, W)`` or ``(1, D, H, W)``. Tissues come in as masks by name (:func:`tissue_masks` makes them of a
label map), and results go out by the same names; a tissue without a voxel in this volume is left out of the result.
Means are plain means of the magnitude: where there is hardly any signal they include the noise floor, so take the clean
target where there is one. Coil shading does not cancel: compare volumes of one coil.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import torch
from monai.utils import convert_to_tensor
from torch import Tensor

from scripts.metrics.masked import mask_of, volumes_of

Masks = Mapping[str, Tensor]


def tissue_masks(labels: Tensor, values: Mapping[str, Iterable[int]]) -> dict[str, Tensor]:
    """Masks by name out of a label map.

    Args:
        labels: whole numbers, any shape.
        values: the labels that make up each tissue, by its name.

    Returns:
        Boolean masks of the shape of ``labels``; those that are empty too.
    """
    plain = convert_to_tensor(labels, track_meta=False)
    return {
        name: torch.isin(plain, torch.tensor(list(wanted), device=plain.device, dtype=plain.dtype))
        for name, wanted in values.items()
    }


def tissue_means(volume: Tensor, masks: Masks) -> dict[str, float]:
    """Mean signal of each tissue.

    Raises:
        ValueError: for shapes that differ or values that are not finite.
    """
    return {name: float(values.mean()) for name, values in _values(volume, masks).items()}


def relative_signals(volume: Tensor, masks: Masks, anchor: str) -> dict[str, float]:
    """Mean signal of each tissue over that of the anchor, usually muscle: the arbitrary receiver gain cancels.

    Raises:
        ValueError: as :func:`tissue_means`, and for an anchor that has no voxel or no signal.
    """
    means = tissue_means(volume, masks)
    reference = _anchor(means, anchor)
    return {name: mean / reference for name, mean in means.items()}


def suppression_ratio(suppressed: Tensor, plain: Tensor, masks: Masks, tissue: str, anchor: str) -> float:
    """Fat-suppression ratio ``FSR = S_fat(PDFS) / S_fat(PD)``, each over the anchor's signal in the same volume.

    1 is fat as bright as without suppression; about .10 to .18 is what spectral suppression leaves of it (olefinic fat
    and regrowth). Both volumes need one coil shading, else the two scans' shadings are in the ratio.

    Args:
        suppressed: the fat-suppressed volume, acquired or synthesised.
        plain: the volume without suppression.
        masks: by name, with ``tissue`` and ``anchor`` among them.
        tissue: whose suppression is asked for.
        anchor: the tissue that suppression leaves alone, usually muscle.

    Raises:
        ValueError: as :func:`relative_signals`, and for a tissue that has no voxel, or no signal in ``plain``.
    """
    chosen = {name: masks[name] for name in (tissue, anchor) if name in masks}
    suppressed, plain = volumes_of(suppressed=suppressed, plain=plain)
    before = relative_signals(plain, chosen, anchor)
    bright = _anchor(before, tissue)
    return relative_signals(suppressed, chosen, anchor)[tissue] / bright


def contrasts_to_noise(
    volume: Tensor, masks: Masks, pairs: Iterable[tuple[str, str]], sigma: float
) -> dict[tuple[str, str], float]:
    """Contrast-to-noise ratio of pairs of tissues, ``(mean(one) - mean(other)) / sigma``.

    The sign says which is brighter.     A synthesis has little noise of its own, and dividing by it would reward blur.
    Give prediction and target the *same* ``sigma``, that of the acquired target: then the two ratios differ by contrast
    alone.

    Args:
        volume: prediction or target.
        masks: by name.
        pairs: names of tissues; a pair of which one is absent is left out.
        sigma: standard deviation of the noise, above 0, on the volume's scale.

    Raises:
        ValueError: as :func:`tissue_means`, for a sigma that is not positive, or a name that has no mask.
    """
    if not sigma > 0:
        raise ValueError(f"sigma is {sigma:g}: contrast needs a positive noise to be compared with")
    means, wanted = tissue_means(volume, masks), list(pairs)
    unknown = sorted({name for pair in wanted for name in pair} - set(masks))
    if unknown:
        raise ValueError(f"there is no mask for {', '.join(unknown)}; there are {', '.join(sorted(masks))}")
    return {
        (one, other): (means[one] - means[other]) / sigma for one, other in wanted if one in means and other in means
    }


def signal_errors(prediction: Tensor, target: Tensor, masks: Masks) -> dict[str, float]:
    """Relative signal error of each tissue, ``mean(prediction) / mean(target) - 1``; 0.1 is 10 % too bright.

    As stored; for the error beside a tissue that is right by definition, divide :func:`relative_signals` of the two.
    Not a number for a tissue that is zero in the target.

    Raises:
        ValueError: for shapes that differ or values that are not finite.
    """
    prediction, target = volumes_of(prediction=prediction, target=target)
    shown, true = tissue_means(prediction, masks), tissue_means(target, masks)
    return {name: shown[name] / true[name] - 1 if true[name] else float("nan") for name in true}


def variations(volume: Tensor, masks: Masks) -> dict[str, float]:
    """Coefficient of variation of each tissue: standard deviation (n - 1) over mean.

    Texture, noise and, with a surface coil, mostly shading: it says little alone. Lower in the prediction than in the
    clean target means texture that was smoothed away. Not a number for a tissue of one voxel or of mean zero.

    Raises:
        ValueError: for shapes that differ or values that are not finite.
    """
    found = {}
    for name, values in _values(volume, masks).items():
        mean = float(values.mean())
        found[name] = float(values.std()) / mean if values.numel() > 1 and mean else float("nan")
    return found


def _values(volume: Tensor, masks: Masks) -> dict[str, Tensor]:
    (plain,) = volumes_of(volume=volume)
    inside = {name: mask_of(mask, plain, name, least=0) for name, mask in masks.items()}
    return {name: plain[mask] for name, mask in inside.items() if bool(mask.any())}


def _anchor(means: Mapping[str, float], anchor: str) -> float:
    if anchor not in means:
        raise ValueError(f"'{anchor}' has no voxel in this volume: there is nothing to compare with")
    if not means[anchor] > 0:
        raise ValueError(f"'{anchor}' has mean {means[anchor]:g}: need signal to compare with")
    return means[anchor]
