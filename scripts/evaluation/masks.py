# SPDX-License-Identifier: Apache-2.0
"""Which tissue lies where: the simulator's labels, masks of the user's own, or fat and muscle found automatically."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from torch import Tensor

from scripts.errors import GeometryError, UsageError
from scripts.evaluation.found import stem
from scripts.evaluation.volumes import Volume, load_volume, misfit
from scripts.metrics.tissue import tissue_masks
from scripts.simulation.anatomy.structures import LABEL, STRUCTURES
from scripts.transforms.nifti import is_nifti

LABELS = "labels.json"
"""Beside label maps: the values of each tissue, as ``{"muscle": [1], "fat": [2, 3]}``."""
_CARTILAGE = ("femoral_cartilage", "medial_tibial_cartilage", "lateral_tibial_cartilage", "patellar_cartilage")
SIMULATED: Mapping[str, Sequence[int]] = {
    name: [LABEL[structure] for structure in structures]
    for name, structures in {
        "muscle": ("muscle",),
        "fat": ("subcutaneous_fat", "fat_pad", "intermuscular_fat"),
        "marrow": ("femur", "tibia", "patella", "fibula"),
        "cartilage": _CARTILAGE,
        "meniscus": ("medial_meniscus", "lateral_meniscus"),
        "fluid": ("joint_fluid", "cyst"),
    }.items()
}
"""Tissues of the simulator's label maps."""


def simulated_masks(path: Path, like: Volume) -> dict[str, Tensor]:
    """Tissues of a simulated knee.

    Raises:
        KneeSynthError: it cannot be read, lies on another grid, or holds values that the simulator does not give.
    """
    labels = _fitting(path, like, "labels")
    if float(labels.max()) >= len(STRUCTURES):
        raise UsageError("labels: values that the simulator does not give; need its own; make the set again")
    return tissue_masks(labels.long(), SIMULATED)


def find_masks(root: Path, keys: Sequence[str]) -> tuple[dict[str, Path], dict[str, list[int]]]:
    """Masks of the user's own, by case.

    Args:
        root: holds ``CASE.nii.gz``, label maps, with `LABELS` beside them; or ``CASE/TISSUE.nii.gz``, a mask each.
        keys: cases; a case without masks is measured without.

    Returns:
        File or folder by case, and the label values by tissue (empty for folders of masks).

    Raises:
        UsageError: nothing for any case, or label maps without `LABELS`.
    """
    if not root.is_dir():
        raise UsageError(f"--masks {root.name}: no such folder; need CASE.nii.gz or CASE/TISSUE.nii.gz; check the path")
    found = {}
    for entry in root.iterdir():
        if stem(entry) in keys and (entry.is_dir() or is_nifti(entry)):
            found[stem(entry)] = entry
    if not found:
        raise UsageError(f"--masks {root.name}: for no case that is scored; need the names of the targets; rename them")
    maps = [path for path in found.values() if path.is_file()]
    try:
        values = json.loads((root / LABELS).read_text(encoding="utf-8")) if maps else {}
        return found, {str(name): [int(value) for value in listed] for name, listed in values.items()}
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise UsageError(
            f'--masks: label maps without a readable {LABELS}; need {{"muscle": [1], "fat": [2, 3]}}; write it'
        ) from error


def given_masks(entry: Path, values: Mapping[str, Sequence[int]], like: Volume) -> dict[str, Tensor]:
    """Tissues of one case of `find_masks`.

    Raises:
        KneeSynthError: they cannot be read or lie on another grid.
    """
    if entry.is_file():
        return tissue_masks(_fitting(entry, like, "masks").long(), values)
    files = sorted(path for path in entry.iterdir() if is_nifti(path))
    return {stem(path): _fitting(path, like, f"mask {stem(path)}") != 0 for path in files}


def _fitting(path: Path, like: Volume, what: str) -> Tensor:
    labels = load_volume(str(path), what, blank=True)
    if apart := misfit(labels, like):
        raise GeometryError(f"{what}: {apart} of the target; need its grid; draw them on it")
    return labels.voxels.round()
