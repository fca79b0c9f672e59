# SPDX-License-Identifier: Apache-2.0
"""What is measured of one method: images, noise, stability and lesions, one number per knee, direction and measure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass

import torch
from torch import Tensor, nn

from scripts.body import body_scale
from scripts.inferers import SliceStackInferer
from scripts.metrics.blobs import bright_blobs
from scripts.metrics.flicker import flicker
from scripts.metrics.image import mae, match_gain, psnr, ssim
from scripts.metrics.leakage import noise_in_error, noise_leakage, noise_share
from scripts.metrics.lesion import LesionContrast, compare_lesion
from scripts.metrics.robustness import Change, Perturbation, stability, standard_perturbations
from scripts.metrics.sharpness import bright_rim, edge_sharpness
from scripts.metrics.tissue import contrasts_to_noise, relative_signals, tissue_masks
from scripts.metrics.wiener import wiener_leakage
from scripts.simulation.anatomy.structures import LABEL
from scripts.simulation.study import CONTRASTS
from scripts.study.knees import Knee, Twins, body_of

Predict = Callable[[Tensor, int], Tensor]
"""A source ``(D, H, W)`` on its fixed scale and the number of the target contrast, to the target on its own."""

SNRS = (10, 3)
"""Signal of muscle over the noise, at which leakage is measured."""
_CARTILAGE = ("femoral_cartilage", "medial_tibial_cartilage", "lateral_tibial_cartilage", "patellar_cartilage")
TISSUES = {
    "muscle": [LABEL["muscle"]],
    "cartilage": [LABEL[name] for name in _CARTILAGE],
    "fat": [LABEL["subcutaneous_fat"]],
    "marrow": [LABEL[name] for name in ("femur", "tibia", "patella", "fibula")],
    "fluid": [LABEL["joint_fluid"]],
}
LEAKING = ("muscle", "cartilage")
"""Tissues in which leakage is measured."""
CHANGE, FLOOR = "change, ", "floor, "
"""Before the name of a perturbation: how far the synthesis moved, and how far a copy would have."""
LEAST_TISSUE = 30
"""Voxels of a tissue that a knee needs to be measured in it."""
LEAST_BLOB = 4
"""Voxels of a false bright blob: at the study's coarse pixels a disc of about 4 mm."""


@dataclass(frozen=True)
class Measured:
    """One number.

    Args:
        patient: the knee.
        direction: as ``PD to PDFS``.
        measure: its name.
        value: of it.
    """

    patient: str
    direction: str
    measure: str
    value: float


@dataclass(frozen=True)
class MeasuredLesion:
    """One lesion in one direction; see `scripts.metrics.lesion.LesionContrast`.

    Args:
        direction: as ``PD to PDFS``.
        kind: of the lesion.
        size: as drawn [mm].
        patient: the knee.
        true: contrast on the clean target.
        predicted: on the synthesis.
        visibility: contrast-to-noise ratio on the clean source.
    """

    direction: str
    kind: str
    size: float
    patient: str
    true: float
    predicted: float
    visibility: float

    @property
    def contrast(self) -> LesionContrast:
        """Without its kind, for the fit."""
        return LesionContrast(self.patient, self.true, self.predicted, self.visibility)


def direction(target: int) -> str:
    """Name of the direction that ends in a contrast."""
    return f"{CONTRASTS[1 - target]} to {CONTRASTS[target]}"


def predictor(network: nn.Module, inferer: Callable[..., Tensor] | None = None) -> Predict:
    """A trained network as a function of volumes.

    Args:
        network: the network.
        inferer: how it is used; by default slice by slice as they are, or as the network's kind demands.
    """
    if inferer is None:
        inferer = getattr(network, "inferer", SliceStackInferer)(CONTRASTS, batch_size=16)
    network = network.eval().to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def predict(source: Tensor, target: int) -> Tensor:
        return inferer(source.float()[None, None], network, target=CONTRASTS[target])[0, 0]

    return predict


def measure_images(prediction: Tensor, knee: Knee, target: int) -> dict[str, float]:
    """How close a synthesis is to the clean target: as stored, and behind one gain for what a gain should not touch.

    Args:
        prediction: ``(D, H, W)`` on the target's fixed scale.
        knee: what it was made of.
        target: number of the contrast that was made.
    """
    truth, source = knee.targets[target], knee.sources[1 - target]
    shown, true, body = (volume[None, None] for volume in (prediction, truth, knee.body))
    matched, gain = match_gain(shown, true, body)
    even = matched[0, 0]
    found = {
        "psnr": float(psnr(shown, true, body)),
        "ssim": float(ssim(shown, true, body)),
        "mae": float(mae(shown, true, body)),
        "psnr_gain_matched": float(psnr(matched, true, body)),
        "ssim_gain_matched": float(ssim(matched, true, body)),
        "psnr_acquired": float(psnr(shown, knee.sources[target][None, None], body)),
        "gain": float(gain),
        "edge": edge_sharpness(even, truth, knee.body),
    }
    masks = {name: mask for name, mask in _tissues(knee).items() if int(mask.sum()) >= LEAST_TISSUE}
    lit = {name for name, mask in masks.items() if float(prediction[mask].mean()) > 0}  # a failed network may make 0
    if "fat" in lit:
        found["rim"] = bright_rim(prediction, truth, masks["fat"], knee.body)
    if "muscle" in lit:
        made, asked = (relative_signals(volume, masks, "muscle") for volume in (prediction, truth))
        found |= {f"{name}_over_muscle_error": made[name] - asked[name] for name in masks if name != "muscle"}
    pairs = [("fluid", "cartilage"), ("cartilage", "muscle")]
    pairs = [pair for pair in pairs if set(pair) <= set(masks)]
    sigma = knee.sigma[target]  # of the acquired target
    made_cnr, asked_cnr = (contrasts_to_noise(volume, masks, pairs, sigma) for volume in (even, truth))
    found |= {f"cnr_{one}_{other}_error": made_cnr[one, other] - asked_cnr[one, other] for one, other in pairs}
    jumps = [flicker(source, volume, knee.body) for volume in (prediction, truth)]
    if jumps[0] is not None and jumps[1] is not None:
        found["flicker_excess"] = jumps[0].value - jumps[1].value
    return found


def measure_noise(predict: Predict, knee: Knee, target: int) -> dict[str, float]:
    """What a synthesis passes on of white noise at a known level, beside the Wiener filter of the same source."""
    quiet, truth, masks = knee.quiet[1 - target], knee.targets[target], _tissues(knee)
    generator = torch.Generator().manual_seed(int(knee.patient.rpartition("-")[2]))
    found: dict[str, float] = {}
    for snr in SNRS:
        sigma = float(quiet[masks["muscle"]].mean()) / snr
        noisy = [_with_noise(quiet, sigma, generator) for _ in range(2)]
        made = [predict(source, target) for source in noisy]
        for tissue in LEAKING:
            mask = masks[tissue]
            if int(mask.sum()) < LEAST_TISSUE:
                continue
            at = f"{tissue}_snr{snr}"
            error = noise_in_error(made[0], truth, noisy[0], quiet, mask)
            found |= {
                f"nli_{at}": noise_leakage(made[0], made[1], quiet, truth, sigma, mask),
                f"wiener_{at}": wiener_leakage(noisy[0], noisy[1], quiet, sigma, mask),
                f"noise_share_{at}": noise_share(made[0], made[1], truth, mask),
                f"noise_correlation_{at}": error.correlation,
            }
    return found


def measure_stability(predict: Predict, knee: Knee, target: int) -> dict[str, float]:
    """How far a synthesis moves where it should not: change and the floor that a copy of the source would have."""
    source = knee.sources[1 - target]

    def network(volume: Tensor) -> Tensor:
        scale = body_scale(volume)
        return predict(volume / scale, target) * scale

    changes: list[Perturbation] = standard_perturbations(knee.sigma[1 - target])
    if target == 0:
        failed: Change = lambda volume: knee.failed.to(volume)  # noqa: E731
        changes.append(Perturbation("failed suppression", failed, lambda volume: volume))
    found: dict[str, float] = {}
    for row in stability(network, source, knee.body, changes):
        found |= {f"{CHANGE}{row.name}": row.change, f"{FLOOR}{row.name}": row.floor}
    return found


def measure_blobs(predict: Predict, twins: Twins, target: int) -> dict[str, float]:
    """Bright blobs that a synthesis adds to a knee without its lesion, behind one gain."""
    truth = twins.targets[1][target]
    made = predict(twins.sources[1][1 - target], target)
    body = body_of(twins.targets[1])
    even = match_gain(made[None, None], truth[None, None], body[None, None])[0][0, 0]
    return {"blobs": float(len(bright_blobs(even, truth, body, least_voxels=LEAST_BLOB)))}


def measure_lesion(predict: Predict, twins: Twins, target: int) -> MeasuredLesion:
    """The contrast that a synthesis gives a lesion, beside the one that it has."""
    source = 1 - target
    made = predict(twins.sources[0][source], target), predict(twins.sources[1][source], target)
    truth = twins.targets[0][target], twins.targets[1][target]
    quiet = twins.quiet[0][source], twins.quiet[1][source]
    found = compare_lesion(twins.patient, made, truth, quiet, twins.lesion, twins.sigma[source])
    return MeasuredLesion(direction=direction(target), kind=twins.kind, size=twins.size, **asdict(found))


def measured(patient: str, target: int, found: dict[str, float]) -> Iterator[Measured]:
    """Rows of one knee and direction."""
    for name, value in found.items():
        yield Measured(patient, direction(target), name, value)


def measure_network(network: nn.Module, knees: Iterable[Knee], noisy: int = 20, moved: int = 6) -> list[Measured]:
    """All measures of a network but those of lesions.

    Args:
        network: trained.
        knees: held out.
        noisy: of them, the first so many are measured for noise.
        moved: the first so many for stability.
    """
    predict, rows = predictor(network), list[Measured]()
    for number, knee in enumerate(knees):
        for target in (1, 0):
            made = predict(knee.sources[1 - target], target)
            rows += measured(knee.patient, target, measure_images(made, knee, target))
            if not made.any():  # failed: it passes nothing on, and nothing moves it
                continue
            if number < noisy:
                rows += measured(knee.patient, target, measure_noise(predict, knee, target))
            if number < moved:
                rows += measured(knee.patient, target, measure_stability(predict, knee, target))
    return rows


def _with_noise(quiet: Tensor, sigma: float, generator: torch.Generator) -> Tensor:
    noise = sigma * torch.randn((2, *quiet.shape), generator=generator)
    return torch.hypot(quiet + noise[0], noise[1])


def _tissues(knee: Knee) -> dict[str, Tensor]:
    return tissue_masks(knee.labels, TISSUES)
