# SPDX-License-Identifier: Apache-2.0
"""Turn a volume between the axes of its file and the axes in which a radiologist looks at it."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

import numpy as np
import torch
from monai.config import KeysCollection
from monai.data import MetaTensor
from monai.transforms import InvertibleTransform, MapTransform
from monai.transforms.spatial.functional import orientation
from monai.utils.enums import TraceKeys

from scripts.errors import GeometryError

# (low, high) end of each RAS axis; given to MONAI explicitly, since its default is about to change.
AXIS_LABELS = (("L", "R"), ("P", "A"), ("I", "S"))

# Display axes (slices, rows, columns), each named by the direction in which its index grows.
DISPLAY_AXCODES = {"sagittal": "LIP", "coronal": "PIL", "axial": "SPL"}

_PLANE_OF_WORLD_AXIS = ("sagittal", "coronal", "axial")
# The turn is traced once, by the transform below, so MONAI's own trace of it is switched off.
_UNTRACED = {TraceKeys.TRACING: False}
_OPPOSITE = {"L": "R", "R": "L", "P": "A", "A": "P", "I": "S", "S": "I"}

# Voxels whose spacings differ by less count as isotropic: the slice axis is then the third one by convention.
_ISOTROPY_TOLERANCE = 0.01


def slice_axis(affine_ras: np.ndarray) -> int:
    """The axis along which slices follow one another: the one with the largest spacing, the third if all are equal.

    Args:
        affine_ras: 4x4, voxel index to RAS mm.
    """
    spacing = np.linalg.norm(np.asarray(affine_ras, dtype=np.float64)[:3, :3], axis=0)
    largest = int(np.argmax(spacing))
    return largest if spacing[largest] > spacing[2] * (1 + _ISOTROPY_TOLERANCE) else 2


def axis_directions(affine_ras: np.ndarray) -> str:
    """One letter of ``LRPAIS`` for each voxel axis: the anatomical direction in which its index grows.

    Args:
        affine_ras: 4x4, voxel index to RAS mm; may be oblique.

    Raises:
        GeometryError: the affine is singular, so that an axis points nowhere.
    """
    import nibabel

    try:
        codes = nibabel.aff2axcodes(np.asarray(affine_ras, dtype=np.float64), labels=AXIS_LABELS)
    except np.linalg.LinAlgError as error:
        raise GeometryError(f"affine without direction ({error}); need an invertible one; export again") from error
    if None in codes:
        raise GeometryError("affine with a zero axis; need three voxel axes with a direction; export the volume again")
    return "".join(codes)


def display_plane(affine_ras: np.ndarray, axis: int | None = None) -> str:
    """``sagittal``, ``coronal`` or ``axial``: the plane that the slices lie closest to.

    Args:
        affine_ras: 4x4, voxel index to RAS mm.
        axis: the slice axis where it is known; otherwise :func:`slice_axis` decides.
    """
    axis = slice_axis(affine_ras) if axis is None else axis
    direction = axis_directions(affine_ras)[axis]
    return _PLANE_OF_WORLD_AXIS[next(i for i, pair in enumerate(AXIS_LABELS) if direction in pair)]


def edge_letters(affine_ras: np.ndarray) -> dict[str, str]:
    """The anatomical letters at the four edges of a displayed slice, in DICOM's alphabet (H head, F foot).

    Args:
        affine_ras: 4x4 of a volume in display orientation (slices, rows, columns).

    Returns:
        Letters under ``left``, ``right``, ``top``, ``bottom``.
    """
    directions = axis_directions(affine_ras)
    down, right = directions[1], directions[2]
    letters = {"left": _OPPOSITE[right], "right": right, "top": _OPPOSITE[down], "bottom": down}
    return {edge: {"S": "H", "I": "F"}.get(letter, letter) for edge, letter in letters.items()}


class DisplayOrientation(InvertibleTransform):
    """Reorder and flip axes from the file's to (slices, rows, columns) as displayed. Nothing is interpolated.

    Sagittal slices are shown with superior at the top and anterior at the left, coronal ones with superior at the top
    and the patient's right at the left, axial ones with anterior at the top and the patient's right at the left. An
    oblique stack takes the plane it lies closest to. The affine moves along, so every voxel keeps its place in the
    world; ``inverse`` gives back the file's order exactly.

    A known slice axis may be given as ``slice_axis`` in the image's meta. Otherwise an only axis of length one is
    taken, else the largest voxel spacing decides.
    """

    def __call__(self, img: torch.Tensor) -> MetaTensor:
        """Reorient one volume.

        Args:
            img: (1, i, j, k) with RAS affine.

        Returns:
            (1, slices, rows, columns), affine updated.
        """
        if not isinstance(img, MetaTensor):
            raise GeometryError("volume without an affine; need one to know which way is up; load it with its header")
        if img.meta.get("displayed"):  # a simulated volume, stored as displayed
            out = img.clone()
            self.push_transform(out, orig_size=img.shape[1:], extra_info={"back": [[0, 1], [1, 1], [2, 1]]})
            return out
        import nibabel

        affine = img.affine.detach().cpu().numpy().astype(np.float64)
        axis_directions(affine)  # refuses an affine without directions
        found = nibabel.io_orientation(affine)
        wanted = nibabel.orientations.axcodes2ornt(
            DISPLAY_AXCODES[display_plane(affine, _known_slice_axis(img))], labels=AXIS_LABELS
        )
        # Both turns are written down here, because at exactly 45 degrees the turned affine may read as another one.
        back = nibabel.orientations.ornt_transform(wanted, found)
        out = _turn(img, affine, nibabel.orientations.ornt_transform(found, wanted))
        self.push_transform(out, orig_size=img.shape[1:], extra_info={"back": back.tolist()})
        return out

    def inverse(self, img: MetaTensor) -> MetaTensor:
        """Give back the axes of the file.

        Args:
            img: (1, slices, rows, columns) that carries this transform's trace.
        """
        back = np.asarray(self.pop_transform(img)["extra_info"]["back"], dtype=np.float64)
        return _turn(img, img.affine.detach().cpu().numpy().astype(np.float64), back)


def _known_slice_axis(img: MetaTensor) -> int | None:
    if "slice_axis" in img.meta:
        return int(img.meta["slice_axis"])
    single = [axis for axis, size in enumerate(img.shape[1:]) if size == 1]
    return single[0] if len(single) == 1 else None


def _turn(img: torch.Tensor, affine: np.ndarray, ornt: np.ndarray) -> MetaTensor:
    turned: MetaTensor = orientation(img, affine, ornt.copy(), lazy=False, transform_info=_UNTRACED)  # type: ignore[assignment]
    return turned


class DisplayOrientationd(MapTransform, InvertibleTransform):
    """Dictionary form of :class:`DisplayOrientation`.

    Args:
        keys: the volumes to turn, each by its own affine.
        allow_missing_keys: skip keys that are not there.
    """

    def __init__(self, keys: KeysCollection, allow_missing_keys: bool = False) -> None:
        super().__init__(keys, allow_missing_keys)
        self.turn = DisplayOrientation()

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Turn every key to display orientation."""
        d = dict(data)
        for key in self.key_iterator(d):
            d[key] = self.turn(d[key])
        return d

    def inverse(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Turn every key back to the axes of its file."""
        d = dict(data)
        for key in self.key_iterator(d):
            d[key] = self.turn.inverse(d[key])
        return d


class RestoreFileOrientationd(MapTransform):
    """Turn predictions, made in display orientation, back to the axes of the file they were made from.

    MONAI's ``Invertd`` undoes a whole chain, intensity scaling included. A synthesis keeps its own scale, since the
    receiver gain of a target that was never acquired is unknown; so only the turn is undone here.

    Args:
        keys: predictions (1, slices, rows, columns).
        orig_keys: the image that :class:`DisplayOrientation` turned.
        allow_missing_keys: skip keys that are not there.
    """

    def __init__(self, keys: KeysCollection, orig_keys: str, allow_missing_keys: bool = False) -> None:
        super().__init__(keys, allow_missing_keys)
        self.orig_keys = orig_keys

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Turn every key back; each gets the image's meta and the affine of its file."""
        d = dict(data)
        image = d[self.orig_keys]
        traces = [op for op in image.applied_operations if op[TraceKeys.CLASS_NAME] == DisplayOrientation.__name__]
        if len(traces) != 1:
            raise ValueError(f"{self.orig_keys} was turned {len(traces)} times; need DisplayOrientationd once before")
        back = np.asarray(traces[0]["extra_info"]["back"], dtype=np.float64)
        affine = image.affine.detach().cpu().numpy().astype(np.float64)
        for key in self.key_iterator(d):
            plain = torch.as_tensor(d[key])
            plain = plain.as_tensor() if isinstance(plain, MetaTensor) else plain
            d[key] = _turn(MetaTensor(plain, meta=dict(image.meta)), affine, back)
        return d
