# SPDX-License-Identifier: Apache-2.0
"""What each voxel of a cached simulated patient is made of most: the simulator's own answer."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor

from scripts.handlers.files import write_atomically
from scripts.intervals.scale_network import TISSUES as SEEN
from scripts.simulation.anatomy.structures import LABEL
from scripts.simulation.cohort import Patient
from scripts.simulation.stack import Stack
from scripts.simulation.study import StudyParameters, map_study
from scripts.simulation.tissue import INDEX

logger = logging.getLogger(__name__)

SUBCUTANEOUS = "subcutaneous fat"
TISSUES: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        SUBCUTANEOUS: ("subcutaneous_fat",),
        "marrow": ("marrow_fat", "marrow_water", "oedema_water"),
        "muscle": ("muscle",),
        "cartilage": ("cartilage_deep", "cartilage_superficial"),
        "fluid": ("fluid",),
        "meniscus": ("meniscus",),
        "ligament or tendon": ("ligament", "tendon"),
        "cortical bone": ("cortex",),
    }
)
"""Tissues that intervals have to hold in, and the compartments that they are made of."""


def thinned(stack: Stack, every: int) -> Stack:
    """Of so many slices of a stack one, the first included, each where and as thick as it was."""
    if every == 1:
        return stack
    slices, rows, columns = stack.shape
    few = replace(
        stack, shape=(-(-slices // every), rows, columns), spacing=(every * stack.spacing[0], *stack.spacing[1:])
    )
    shift = stack.affine_lps[:3, 3] - few.affine_lps[:3, 3]
    x, y, z = (torch.tensor(stack.centre, dtype=torch.float64) + shift).tolist()
    return replace(few, centre=(x, y, z))


def tissue_masks(patient: Patient, cache_dir: Path, every: int = 1) -> dict[str, Tensor]:
    """Masks ``(D, H, W)`` of `TISSUES`, where a tissue fills most of a voxel; the maps are made anew and kept.

    Args:
        patient: scanned.
        cache_dir: where to keep what its voxels are made of.
        every: so many slices, one is wanted.
    """
    path = cache_dir / "tissues" / patient.folder.parents[1].name / f"{patient.folder.name}-{every}.pt"
    if not path.is_file():
        parameters = StudyParameters.from_dict(patient.drawn["parameters"])
        maps = map_study(replace(parameters, stack=thinned(parameters.stack, every)))
        most = maps.share.argmax(0, keepdim=True)
        content = {"compartment": maps.compartment.gather(0, most)[0].clone(), "labels": maps.labels.clone()}
        write_atomically(path, lambda stream: torch.save(content, stream))
    content = torch.load(path, weights_only=True)
    made_of, labels = content["compartment"], content["labels"]
    found = {}
    for name, compartments in TISSUES.items():
        numbers = torch.tensor([INDEX[one] for one in compartments], dtype=made_of.dtype)
        found[name] = torch.isin(made_of, numbers)
    found[SUBCUTANEOUS] &= labels == LABEL["subcutaneous_fat"]
    return found


def tissue_numbers(patient: Patient, cache_dir: Path, every: int = 1) -> Tensor:
    """Number of each voxel's tissue among those that the head tells apart, uint8 ``(D, H, W)``; air is "other" too.

    Args:
        patient: see `tissue_masks`.
        cache_dir: of it.
        every: of it.
    """
    masks = tissue_masks(patient, cache_dir, every)
    found = torch.full(next(iter(masks.values())).shape, len(SEEN) - 1, dtype=torch.uint8)
    for name, mask in masks.items():
        found[mask] = SEEN.index(name)
    return found


def tissues_of_predictions(items: Sequence[Mapping[str, Any]], cache_dir: str, every: int) -> list[Tensor | None]:
    """What `tissue_numbers` says of each file of `cached_predictions`; None for pairs that nobody simulated.

    Args:
        items: pairs; a simulated one lies in the folder of its patient.
        cache_dir: where to keep tissue maps.
        every: so many slices, one is wanted.
    """
    found: list[Tensor | None] = []
    for number, item in enumerate(items, 1):
        folder = Path(item["image"]).parent if isinstance(item["image"], str) else None
        known = folder is not None and (folder / "drawn.json").is_file()
        tissue = tissue_numbers(Patient(folder), Path(cache_dir), every) if known and folder is not None else None
        found += [tissue, tissue]  # one file for each direction
        if number % 8 == 0 or number == len(items):
            logger.info("Tissues of %d of %d patients", number, len(items))
    return found
