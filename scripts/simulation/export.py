# SPDX-License-Identifier: Apache-2.0
"""A simulated study as the files that other programs read."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from scripts.simulation.records import as_plain
from scripts.simulation.stack import Stack
from scripts.simulation.study import CONTRASTS, SIMULATOR_VERSION, Study, StudyParameters, simulate_study

_SCOUT_SHAPE = (3, 128, 128)
_SCOUT_SPACING = (20.0, 1.5, 1.5)


def scout_of(parameters: StudyParameters) -> Study:
    """A coarse three-slice localiser of the same knee, in another plane."""
    plane = "coronal" if parameters.stack.plane == "sagittal" else "sagittal"
    stack = Stack(plane, _SCOUT_SHAPE, _SCOUT_SPACING, thickness=6.0, centre=parameters.stack.centre)
    return simulate_study(replace(parameters, stack=stack), sub_slices=1)


def volumes_of(study: Study) -> dict[str, Tensor]:
    """Every volume of a study by its file's name, each ``(D, H, W)``.

    ``PD`` and ``PDFS`` are the noisy scans, ``<contrast>_clean`` the noise-free target of a synthesis of that contrast
    from the other one, ``labels`` the structures, ``lesion`` the share that lesions changed (0..1), and
    ``proton_density``, ``t1`` [s], ``t2`` [s], ``fat_fraction`` the parameter maps.
    """
    volumes = dict(zip(CONTRASTS, study.noisy, strict=True))
    volumes |= {f"{name}_clean": volume for name, volume in zip(CONTRASTS, study.clean, strict=True)}
    return volumes | {"labels": study.labels, "lesion": study.lesion} | study.quantities()


def write_nifti(folder: Path, study: Study, names: Sequence[str] | None = None) -> list[Path]:
    """Write the volumes of a study as ``<name>.nii.gz``.

    Axes are (columns, rows, slices), as a converter would give them; the affine is RAS [mm].

    Args:
        folder: exists.
        study: what to write.
        names: which of `volumes_of`; all of them if None.

    Returns:
        The files.
    """
    volumes = volumes_of(study)
    return [write_volume(folder / f"{name}.nii.gz", volumes[name], study.affine_lps) for name in names or list(volumes)]


def write_volume(path: Path, volume: Tensor, affine_lps: Tensor, step: float | None = None) -> Path:
    """Write one volume ``(D, H, W)`` as NIfTI.

    Args:
        path: of the file.
        volume: what to write.
        affine_lps: of (slice, row, column, 1).
        step: store whole multiples of it as int16, with the step as the file's scale factor; None keeps the numbers.
    """
    import nibabel
    import numpy as np

    affine = np.diag([-1.0, -1.0, 1.0, 1.0]) @ affine_lps.cpu().numpy()[:, [2, 1, 0, 3]]
    voxels = volume.cpu().permute(2, 1, 0).contiguous()
    if step is not None:
        voxels = (voxels / step).round().clamp(max=2**15 - 1).to(torch.int16)
    image = nibabel.Nifti1Image(voxels.numpy(), affine)
    image.header.set_xyzt_units("mm")
    if step is not None:
        image.header.set_slope_inter(step, 0)
    nibabel.save(image, path)
    return path


def drawn_of(study: Study) -> dict[str, Any]:
    """Everything that was drawn, in seconds, mm, radians, tesla; `StudyParameters.from_dict` takes it back."""
    return {
        "simulator_version": SIMULATOR_VERSION,
        "sigma": dict(zip(CONTRASTS, study.sigma, strict=True)),
        "parameters": as_plain(study.parameters),
    }


def write_json(path: Path, content: Mapping[str, Any]) -> Path:
    """Write a mapping as indented JSON."""
    path.write_text(json.dumps(content, indent=1, sort_keys=False) + "\n", encoding="utf-8")
    return path


def write_drawn(folder: Path, study: Study) -> Path:
    """Write ``drawn.json``, see `drawn_of`."""
    return write_json(folder / "drawn.json", drawn_of(study))


def read_drawn(path: Path) -> StudyParameters:
    """The parameters in a ``drawn.json``.

    Raises:
        ValueError: for a file that is no such record.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))["parameters"]
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{path.name} holds no drawn study ({error}); need a drawn.json of the simulator.") from error
    return StudyParameters.from_dict(content)
