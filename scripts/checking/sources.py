# SPDX-License-Identifier: Apache-2.0
"""One volume as a check sees it: its grid from headers, and a few of its slices, whatever it is stored as."""

from __future__ import annotations

import contextlib
import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from scripts.dicom.geometry import affine_of, normal_of
from scripts.errors import DecodeError, GeometryError, SourceError
from scripts.transforms.nifti import is_nifti, open_nifti, read_nifti
from scripts.transforms.orientation import AXIS_LABELS, DISPLAY_AXCODES, display_plane, slice_axis
from scripts.transforms.series import LoadKneeSeries, ras_from_stack_affine

Entry = str | Sequence[str]

_NO_TURN = np.array([[0, 1], [1, 1], [2, 1]])


@dataclass(frozen=True)
class Grid:
    """Where the voxels of a volume lie, in display orientation.

    Args:
        shape: slices, rows, columns.
        affine: 4x4, index (slice, row, column) to RAS mm.
        plane: sagittal, coronal or axial.
    """

    shape: tuple[int, int, int]
    affine: np.ndarray
    plane: str

    @property
    def spacing_mm(self) -> tuple[float, float, float]:
        """Between slices, rows and columns."""
        slices, rows, columns = np.linalg.norm(self.affine[:3, :3], axis=0)
        return float(slices), float(rows), float(columns)

    @property
    def pixel_mm(self) -> float:
        """Mean pixel size."""
        return math.sqrt(self.spacing_mm[1] * self.spacing_mm[2])


class Source(ABC):
    """A volume whose header was read.

    Args:
        shape: of the file's axes (i, j, k).
        affine: 4x4, file index to RAS mm.
        axis: of the file, along which slices follow one another.
        turned: whether the file's axes differ from those of display.
    """

    def __init__(self, shape: tuple[int, int, int], affine: np.ndarray, axis: int | None, turned: bool = True) -> None:
        known = _only_single(shape) if axis is None else axis
        self.axis: int = slice_axis(affine) if known is None else known
        self.turn, plane = _NO_TURN, "sagittal"
        if turned:
            import nibabel

            plane = display_plane(affine, self.axis)
            wanted = nibabel.orientations.axcodes2ornt(DISPLAY_AXCODES[plane], labels=AXIS_LABELS)
            self.turn = nibabel.orientations.ornt_transform(nibabel.io_orientation(affine), wanted)
            affine = affine @ nibabel.orientations.inv_ornt_aff(self.turn, shape)
        else:
            with contextlib.suppress(ImportError):  # a bare machine reads only what needs no turn
                plane = display_plane(affine, 0)
        order = np.argsort(self.turn[:, 0])
        displayed = tuple(int(shape[axis]) for axis in order)
        self.grid = Grid(displayed, affine, plane)  # type: ignore[arg-type]
        self._reversed = bool(self.turn[self.axis, 1] < 0)

    def read(self, places: Sequence[int]) -> Tensor:
        """Some slices as displayed, float32 ``(n, rows, columns)``, intensities as stored.

        Args:
            places: which slices, in display orientation, ascending.

        Raises:
            DecodeError: they cannot be read.
        """
        last = self.grid.shape[0] - 1
        along = [last - place for place in reversed(places)] if self._reversed else list(places)
        found = self._read(along).astype(np.float32, copy=False)
        if self.turn is not _NO_TURN:
            import nibabel

            found = nibabel.apply_orientation(found, self.turn)
        return torch.from_numpy(found.copy())  # a turn leaves strides that torch does not take

    @abstractmethod
    def _read(self, along: list[int]) -> np.ndarray:
        """Some slices in the axes of the file; ascending."""


def open_source(entry: Entry) -> Source:
    """Read the header of a volume.

    Args:
        entry: what `LoadKneeSeries` takes: a NIfTI file, a folder of DICOM, the files of a stack, a cached volume.

    Raises:
        SourceError, DecodeError, GeometryError: it cannot be read as one volume.
    """
    files = [Path(entry)] if isinstance(entry, str) else [Path(name) for name in entry]
    if not files or not str(entry):
        raise SourceError("no file is named; need a volume; correct the manifest")
    if len(files) == 1:
        path = files[0]
        if path.suffix == ".pt":
            return _Cached(path)
        if is_nifti(path) and path.is_file():
            return _Nifti(path)
        if not path.exists() and path.parent.name != "frames":
            raise SourceError(f"{path.name}: not found; need a DICOM folder or a NIfTI file; check the path")
        if path.is_dir():
            files = list(LoadKneeSeries().find_stack([path]).files)
    return _Dicom(files)


class _Nifti(Source):
    def __init__(self, path: Path) -> None:
        self.path = path
        self.image, shape, affine = open_nifti(path)
        super().__init__(shape, affine, None)

    def _read(self, along: list[int]) -> np.ndarray:
        if not self._has_its_size():
            read_nifti(self.path)  # says what is wrong, or that nothing is: a file may be packed in several parts
        low, high = along[0], along[-1]
        step = math.gcd(*np.diff(along).tolist()) if len(along) > 1 else 1
        cut: list[Any] = [slice(None)] * 3
        cut[self.axis] = slice(low, high + 1, step)
        if len(self.image.shape) == 4:
            cut.append(0)
        try:
            found = np.asarray(self.image.dataobj[tuple(cut)])
        except (OSError, EOFError, ValueError) as error:
            raise DecodeError(f"{self.path.name}: voxels cut short or damaged; need the whole file") from error
        return np.take(found, [(place - low) // step for place in along], axis=self.axis)

    def _has_its_size(self) -> bool:
        """Whether the file is as long as its header says; gzip notes the length of what it packed in its last bytes."""
        header = self.image.header
        needed = int(header["vox_offset"]) + math.prod(self.image.shape) * header.get_data_dtype().itemsize
        with self.path.open("rb") as file:
            if file.read(2) != b"\x1f\x8b":
                return self.path.stat().st_size >= needed
            file.seek(-4, 2)
            return int.from_bytes(file.read(4), "little") == needed % 2**32


class _Cached(Source):
    """A simulated volume, stored as displayed."""

    def __init__(self, path: Path) -> None:
        self.content = torch.load(path, weights_only=True, mmap=True)
        shape = tuple(int(side) for side in self.content["voxels"].shape)
        super().__init__(shape, self.content["affine_ras"].numpy(), 0, turned=False)  # type: ignore[arg-type]

    def _read(self, along: list[int]) -> np.ndarray:
        found: np.ndarray = self.content["voxels"][along].float().numpy()
        return found


class _Dicom(Source):
    """Files of one stack: the headers of its ends and middle tell the grid where they say that the rest is in order."""

    def __init__(self, files: Sequence[Path]) -> None:
        from scripts.dicom.read import named_headers

        few = sorted({0, len(files) // 3, len(files) // 2, len(files) - 1})
        headers = named_headers([files[place] for place in few])
        if len(headers) != len(few) or not _in_line(headers, few):
            headers, few = named_headers(files), list(range(len(files)))
            headers = sorted(headers, key=_place)
            self.files = [header.address for header in headers]
        else:
            self.files = list(files)
            if _place(headers[-1]) < _place(headers[0]):
                self.files, headers = self.files[::-1], headers[::-1]
        first = headers[0]
        if any(one.position is None or one.orientation is None for one in headers) or first.pixel_spacing is None:
            raise GeometryError("slices have no position, orientation or PixelSpacing; export the original series")
        ends = np.array([first.position, headers[-1].position])[: len(self.files)]
        affine = affine_of(ends, first.orientation or (), first.pixel_spacing, first.slice_thickness or 1.0)  # type: ignore[arg-type]
        if len(self.files) > 2:
            affine[:3, 0] = (ends[1] - ends[0]) / (len(self.files) - 1)
        shape = (first.columns, first.rows, len(self.files))
        super().__init__(shape, ras_from_stack_affine(affine), 2)

    def _read(self, along: list[int]) -> np.ndarray:
        from scripts.dicom.read import named_headers, read_slices

        headers = named_headers([self.files[place] for place in along])
        if len({(one.rows, one.columns) for one in headers}) > 1:
            raise GeometryError("slices of several matrices; need one; export the original series")
        return read_slices(headers).transpose(2, 1, 0)


def _in_line(headers: Sequence[Any], numbers: Sequence[int]) -> bool:
    """Whether the positions of some slices fit their numbers in the list, so that the list is in order."""
    if any(one.position is None or one.orientation is None for one in headers):
        return False
    places = np.array([_place(one) for one in headers])
    if len(places) < 3:
        return True
    step = (places[-1] - places[0]) / (numbers[-1] - numbers[0])
    return bool(np.abs(places - places[0] - step * (np.array(numbers) - numbers[0])).max() < 0.25 * abs(step))


def _place(header: Any) -> float:
    """Position along the normal of the slices [mm]."""
    return float(np.dot(header.position or (0.0,) * 3, normal_of(header.orientation or (1.0, 0.0, 0.0, 0.0, 1.0, 0.0))))


def _only_single(shape: Sequence[int]) -> int | None:
    single = [axis for axis, size in enumerate(shape) if size == 1]
    return single[0] if len(single) == 1 else None
