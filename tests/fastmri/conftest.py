# SPDX-License-Identifier: Apache-2.0
"""A folder of files of the published schema."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.fastmri.schema import header, knee


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    """Write one volume of the published schema; anything of it can be replaced, or left out by None."""
    import h5py

    def volume(name: str, contrast: str = "PD", patient: str = "a", **changes: Any) -> Path:
        image = changes.pop("image", knee(sum(name.encode())))
        content: dict[str, Any] = {"reconstruction_rss": image, "ismrmrd_header": header()}
        attributes = {
            "acquisition": {"PD": "CORPD_FBK", "PDFS": "CORPDFS_FBK"}.get(contrast, contrast),
            "patient_id": patient,
            "max": float(np.max(image)),
            "norm": float(np.linalg.norm(image)),
        }
        for key, value in changes.items():
            (attributes if key in attributes else content)[key] = value
        path = tmp_path / "train" / f"{name}.h5"
        path.parent.mkdir(exist_ok=True)
        with h5py.File(path, "w") as file:
            for key, value in content.items():
                if value is not None:
                    file[key] = value
            file["kspace"] = np.zeros((2, 1, 4, 4), dtype=np.complex64)
            for key, value in attributes.items():
                if value is not None:
                    file.attrs[key] = value
        return path

    return volume
