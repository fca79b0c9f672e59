# SPDX-License-Identifier: Apache-2.0
"""Simulated patients and what the bundle's synthesis makes of them, cached; and the head over them."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from monai.transforms import Compose
from torch import Tensor, nn

from scripts.data.pairs import simulated_pairs
from scripts.intervals.calibration import Pair
from scripts.intervals.scale_inferer import scale_of
from scripts.simulation.cohort import Patient
from scripts.simulation.study import CONTRASTS
from scripts.synthesis.bundle import load_model
from scripts.transforms.intensity import NormalizeMagnituded
from scripts.transforms.orientation import DisplayOrientationd
from scripts.transforms.series import LoadKneeSeriesd
from scripts.uncertainty.predictions import cached_predictions
from scripts.uncertainty.tissues import tissue_numbers

logger = logging.getLogger(__name__)

KEYS = ("image", "label", "image_clean", "label_clean")


@dataclass(frozen=True)
class Cohort:
    """Which simulated patients.

    Args:
        section: training, validation or test; sections never share a knee.
        seed: of the cohort.
        preset: what is drawn.
        shape: slices, rows and columns.
        studies: how many.
        every: so many slices, one is looked at: neighbours say much the same.
    """

    section: str
    seed: int
    preset: str
    shape: tuple[int, int, int]
    studies: int
    every: int = 1

    @property
    def words(self) -> str:
        """For people."""
        size = " x ".join(map(str, self.shape))
        few = "" if self.every == 1 else f", every {self.every}. slice"
        return f"{self.studies} of section {self.section}, seed {self.seed}, preset {self.preset}, {size}{few}"


CALIBRATED_ON = (
    Cohort("validation", 1, "sparse", (12, 256, 256), 40, every=4),
    Cohort("test", 0, "clinical", (24, 256, 256), 20, every=4),
)
"""Other patients than those that the synthesis or the head was trained or chosen on."""
TRIED_ON = Cohort("test", 3, "sparse", (12, 256, 256), 32, every=4)
"""Yet other patients, on whom nothing was chosen."""


@dataclass(frozen=True)
class Case:
    """One patient and direction.

    Args:
        patient: of the cohort.
        pair: volumes ``(D, H, W)``.
        every: so many slices of the patient, one is in the pair.
    """

    patient: Patient
    pair: Pair
    every: int = 1


def cases(cohort: Cohort, head: nn.Module, cache_dir: Path, root: Path) -> Iterator[Case]:
    """Each patient and direction of a cohort, with the head's scale.

    Args:
        cohort: which.
        head: a `ScaleNet`.
        cache_dir: of simulated patients and predictions.
        root: bundle folder.
    """
    items = simulated_pairs(
        str(cache_dir), cohort.section, cohort.studies, cohort.seed, cohort.shape, cohort.preset, True
    )
    model = load_model(CONTRASTS[1], "auto", root)
    files = cached_predictions(
        items, preprocessing(), model.network.to(model.device), str(root / "models" / "model.pt"), model.inferer,
        CONTRASTS, str(cache_dir), {"least_side": getattr(model.inferer, "least_side", 0)}, cohort.every,
    )  # fmt: skip
    head = head.eval()
    for number, path in enumerate(files):
        patient = Patient(Path(items[number // 2]["image"]).parent)
        tissue = tissue_numbers(patient, cache_dir, cohort.every)
        yield Case(patient, read_pair(path, head, patient.folder.name, tissue), cohort.every)


def read_pair(path: Path, head: nn.Module, patient: str, tissue: Tensor | None = None) -> Pair:
    """One file of `cached_predictions` with the head's scale."""
    content = torch.load(path, weights_only=True)
    target = int(content["target"])
    source, prediction, spread = content["inputs"].float().transpose(0, 1).split(1)
    error, body = content["label"].float().transpose(0, 1)
    scale, seen = scale_of(head, source, prediction, spread, target)
    return Pair(
        patient, CONTRASTS[target], source[0], prediction[0], scale[0], prediction[0] + error, body > 0.5, seen, tissue
    )  # fmt: skip


def preprocessing() -> Compose:
    """What scans go through before the network, without the gate: these are known."""
    return Compose(
        [
            LoadKneeSeriesd(KEYS, allow_missing_keys=True),
            DisplayOrientationd(KEYS, allow_missing_keys=True),
            NormalizeMagnituded(KEYS, allow_missing_keys=True),
        ]
    )


def pairs_of(found: Sequence[Case] | Iterator[Case]) -> Iterator[Pair]:
    """The pairs alone."""
    for one in found:
        yield one.pair


def inside(pair: Pair) -> tuple[Tensor, Tensor]:
    """Error and scale of the body's pixels."""
    return (pair.truth - pair.prediction)[pair.body], pair.scale[pair.body]
