# SPDX-License-Identifier: Apache-2.0
"""Load a knee series, whatever it is stored as, as one volume in the axes of its file."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from monai.config import KeysCollection
from monai.data import MetaTensor
from monai.transforms import MapTransform, Transform

from scripts.errors import DecodeError, SourceError, refusal
from scripts.transforms.nifti import is_nifti, read_nifti

if TYPE_CHECKING:
    from scripts.dicom.index import Stack

Source = str | Path | Sequence[str] | Sequence[Path]

_LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])


class LoadKneeSeries(Transform):
    """Read a DICOM folder, a list of DICOM files of one stack, or a NIfTI file.

    Args:
        series: stack id, or a SeriesInstanceUID that holds one stack, where a folder holds several.
    """

    def __init__(self, series: str | None = None) -> None:
        self.series = series

    def __call__(self, source: Source | torch.Tensor) -> MetaTensor:
        """Read one volume.

        Args:
            source: path, or paths of the instances of one stack. A tensor that is already loaded passes through.

        Returns:
            float32 (1, i, j, k) in file orientation with RAS affine [mm]. DICOM gives (columns, rows, slices), slices
            in spatial order. Meta holds ``filename_or_obj`` (path, or the instances' paths in slice order),
            ``source_kind`` (``nifti`` or ``dicom``), ``slice_axis`` for DICOM, and ``contrast``, which headers tell,
            where the stack was looked for here.

        Raises:
            SourceError: nothing there, or several stacks and no ``series``.
            DecodeError: a file that cannot be read.
            GeometryError: a stack that contradicts itself.
        """
        if isinstance(source, torch.Tensor):
            return source if isinstance(source, MetaTensor) else MetaTensor(source)
        if source == "":  # what MONAI Label makes of an unknown id; as a path it would be the working folder
            raise SourceError("no image of that name; need one of the datastore, or a path; check its id")
        if isinstance(source, (str, Path)):
            path = Path(source)
            if not path.exists():
                raise SourceError(f"{path.name}: not found; need a DICOM folder or a NIfTI file; check the path")
            if path.is_file() and is_nifti(path):
                return _from_nifti(path)
            if path.suffix == ".pt":
                return _from_cohort(path)
            stack = self.find_stack([path])
            volume = _from_dicom(stack.files)
            volume.meta["contrast"] = stack.contrast
            return volume
        files = [Path(item) for item in source]
        if len(files) == 1 and is_nifti(files[0]):
            return _from_nifti(files[0])
        return _from_dicom(files)

    def find_stack(self, paths: Sequence[Path]) -> Stack:
        """The one stack below some paths that can be used.

        Raises:
            SourceError: nothing there, or several stacks and no ``series``.
            KneeSynthError: what the stack is refused for.
        """
        from scripts.dicom.index import index_series

        stacks = index_series(paths)
        if self.series is not None:
            stacks = [s for s in stacks if self.series in (s.id, s.series_instance_uid)]
        usable = [s for s in stacks if s.usable] or stacks
        if not stacks:
            raise SourceError(f"{paths[0].name}: no such DICOM series; need one; run `kneesynth inspect` on it")
        if len(usable) > 1:
            ids = ", ".join(s.id for s in usable[:12])
            raise SourceError(f"{paths[0].name}: {len(usable)} stacks ({ids}); need one; name it by its id")
        if not usable[0].usable:
            raise refusal(usable[0].refusal_code, f"stack {usable[0].id}: {usable[0].reason}")
        return usable[0]


class LoadKneeSeriesd(MapTransform):
    """Dictionary form of :class:`LoadKneeSeries`.

    Args:
        keys: the entries to load.
        series: see :class:`LoadKneeSeries`.
        allow_missing_keys: skip keys that are not there.
    """

    def __init__(self, keys: KeysCollection, series: str | None = None, allow_missing_keys: bool = False) -> None:
        super().__init__(keys, allow_missing_keys)
        self.load = LoadKneeSeries(series)

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Load every key."""
        d = dict(data)
        for key in self.key_iterator(d):
            d[key] = self.load(d[key])
        return d


def ras_from_stack_affine(affine_lps: np.ndarray) -> np.ndarray:
    """Turn the affine of a stack, (slice, row, column) to LPS mm, into that of (column, row, slice) to RAS mm."""
    return _LPS_TO_RAS @ np.asarray(affine_lps, dtype=np.float64)[:, [2, 1, 0, 3]]


def _from_nifti(path: Path) -> MetaTensor:
    voxels, affine = read_nifti(path)
    return _volume(voxels, affine, str(path), "nifti")


def _from_cohort(path: Path) -> MetaTensor:
    """A cached simulated volume, stored in display orientation so that training needs no image library."""
    content = torch.load(path, weights_only=True)
    volume = _volume(content["voxels"].float().numpy(), content["affine_ras"].numpy(), str(path), "simulated")
    volume.meta["displayed"] = True
    return volume


def _from_dicom(files: Sequence[Path]) -> MetaTensor:
    from scripts.dicom.read import read_stack

    volume = read_stack(files)
    voxels = np.ascontiguousarray(volume.array.transpose(2, 1, 0), dtype=np.float32)
    names = [str(path) for path in volume.files]
    return _volume(voxels, ras_from_stack_affine(volume.affine_lps), names, "dicom")


def _volume(voxels: np.ndarray, affine: np.ndarray, name: str | list[str], kind: str) -> MetaTensor:
    if not (voxels > 0).any():
        first = name if isinstance(name, str) else name[0]
        raise DecodeError(f"{Path(first).name}: no voxel above zero; need a magnitude image; export it again")
    meta: dict[str, Any] = {
        "filename_or_obj": name,
        "source_kind": kind,
        "original_affine": affine.copy(),
        "spatial_shape": np.asarray(voxels.shape),
        "original_channel_dim": float("nan"),
        "space": "RAS",
    }
    if kind == "dicom":
        meta["slice_axis"] = 2
    return MetaTensor(torch.from_numpy(voxels)[None], affine=torch.from_numpy(affine.copy()), meta=meta)
