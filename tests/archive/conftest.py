# SPDX-License-Identifier: Apache-2.0
"""Manifests of small NIfTI series."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import nibabel
import numpy as np
import pytest


@pytest.fixture
def series_list(tmp_path: Path) -> Callable[..., Path]:
    """A function that writes NIfTI series and the manifest that names them, relative to itself."""

    def make(count: int, shape: tuple[int, int, int] = (16, 16, 3)) -> Path:
        rng = np.random.default_rng(0)
        affine = np.array([[0, 0, 3.3, -18], [-0.5, 0, 0, 8], [0, -0.5, 0, 8], [0, 0, 0, 1]], dtype=float)
        (tmp_path / "series").mkdir()
        names = [f"series/k{number:03d}.nii.gz" for number in range(count)]
        for name in names:
            image = nibabel.Nifti1Image(rng.uniform(0, 900, shape).astype(np.float32), affine)
            nibabel.save(image, tmp_path / name)
        manifest = tmp_path / "list.csv"
        manifest.write_text("\n".join(["source", *names]) + "\n")
        return manifest

    return make
