# SPDX-License-Identifier: Apache-2.0
"""A simulated study as the files that other programs read."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch

from scripts.simulation.study import Scan, Study, StudyParameters, simulate_study

CONTRASTS = ("PD", "PDFS")
_SCOUT_SHAPE = (3, 128, 128)
_SCOUT_SPACING = (20.0, 1.5, 1.5)


def scout_of(parameters: StudyParameters) -> Study:
    """A coarse three-slice localiser of the same knee, in another plane."""
    plane = "coronal" if parameters.plane == "sagittal" else "sagittal"
    coarse = replace(
        parameters, plane=plane, shape=_SCOUT_SHAPE, spacing=_SCOUT_SPACING, thickness=6.0, obliquity=(0, 0)
    )
    return simulate_study(coarse, sub_slices=1)


def write_nifti(folder: Path, study: Study) -> list[Path]:
    """Write ``PD.nii.gz`` and ``PDFS.nii.gz`` (noisy), their ``_clean`` twins and ``labels.nii.gz``.

    Axes are (columns, rows, slices), as a converter would give them; the affine is RAS [mm].

    Returns:
        The files.
    """
    import nibabel
    import numpy as np

    affine = np.diag([-1.0, -1.0, 1.0, 1.0]) @ study.affine_lps.numpy()[:, [2, 1, 0, 3]]
    volumes = {name: volume for name, volume in zip(CONTRASTS, study.noisy, strict=True)}
    volumes |= {f"{name}_clean": volume for name, volume in zip(CONTRASTS, study.clean, strict=True)}
    volumes["labels"] = study.labels
    files = []
    for name, volume in volumes.items():
        image = nibabel.Nifti1Image(volume.permute(2, 1, 0).contiguous().numpy(), affine)
        image.header.set_xyzt_units("mm")
        files.append(folder / f"{name}.nii.gz")
        nibabel.save(image, files[-1])
    return files


def write_drawn(folder: Path, study: Study) -> Path:
    """Write ``drawn.json``: every value that was drawn for the study, in seconds, mm, radians, tesla."""
    path = folder / "drawn.json"
    path.write_text(json.dumps(study.parameters.as_dict() | {"sigma": study.sigma}, indent=1) + "\n", encoding="utf-8")
    return path


def scans_of(study: Study) -> Sequence[tuple[str, torch.Tensor, Scan]]:
    """Name, noisy volume ``(D, H, W)`` and scan of both contrasts."""
    scans = (study.parameters.pd, study.parameters.pdfs)
    return list(zip(CONTRASTS, study.noisy, scans, strict=True))
