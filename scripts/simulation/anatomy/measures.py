# SPDX-License-Identifier: Apache-2.0
"""Dimensions of a knee, measured in a label volume: the same for a real label map and for simulated labels."""

from __future__ import annotations

import torch
from torch import Tensor

from scripts.simulation.anatomy.structures import LABEL

CARTILAGES = {
    "femoral_cartilage": "femur",
    "medial_tibial_cartilage": "tibia",
    "lateral_tibial_cartilage": "tibia",
    "patellar_cartilage": "patella",
}
"""Each layer of cartilage and the bone that bears it."""


def rim(mask: Tensor) -> Tensor:
    """Voxels of a mask ``(D, H, W)`` that have a neighbour outside it, across a face."""
    inner = mask.clone()
    for axis in range(3):
        for step in (1, -1):
            shifted = mask.roll(step, axis)
            shifted.select(axis, 0 if step == 1 else -1).fill_(False)
            inner &= shifted
    return mask & ~inner


def beside(mask: Tensor) -> Tensor:
    """Voxels outside a mask ``(D, H, W)`` that touch it across a face."""
    grown = mask.clone()
    for axis in range(3):
        size = mask.shape[axis]
        grown.narrow(axis, 1, size - 1).logical_or_(mask.narrow(axis, 0, size - 1))
        grown.narrow(axis, 0, size - 1).logical_or_(mask.narrow(axis, 1, size - 1))
    return grown & ~mask


def _places(mask: Tensor, to_knee: Tensor) -> Tensor:
    """Coordinates ``(N, 3)`` [mm] of the voxels in a mask."""
    index = mask.nonzero().to(to_knee)
    return index @ to_knee[:3, :3].T + to_knee[:3, 3]


def thickness(layer: Tensor, bone: Tensor, to_knee: Tensor, most: int = 3000) -> Tensor:
    """Thickness [mm] of a layer at points of its free surface: the distance from there to the bone.

    Args:
        layer: mask ``(D, H, W)`` of the cartilage.
        bone: mask of the bone under it.
        to_knee: affine ``(4, 4)`` from voxel index to mm.
        most: surface voxels to measure at, evenly drawn from all.

    Returns:
        ``(N,)``, N at most ``most``; empty where there is no such layer.
    """
    free = rim(layer) & beside(~(layer | bone))
    border = bone & beside(layer)
    if not bool(free.any()) or not bool(border.any()):
        return torch.zeros(0)
    outer, inner = _places(free, to_knee), _places(border, to_knee)
    outer = outer[:: max(1, len(outer) // most)]
    distances = [torch.cdist(part, inner).amin(1) for part in outer.split(500)]
    return torch.cat(distances)  # from voxel centre to voxel centre: half a voxel too much and half too little


def _extent(places: Tensor, axis: int) -> float:
    return float(places[:, axis].amax() - places[:, axis].amin()) if len(places) else float("nan")


def _slab(places: Tensor, axis: int, at: float, half: float) -> Tensor:
    return places[(places[:, axis] - at).abs() <= half]


def measure(labels: Tensor, to_knee: Tensor) -> dict[str, float]:
    """Measure a knee.

    Args:
        labels: values of `LABEL`, ``(D, H, W)``.
        to_knee: affine ``(4, 4)`` from voxel index to mm: x to the lateral side, y to the back, z to the head. Only
            its directions matter, not its origin.

    Returns:
        Volumes [mL] (``*_volume``; bones as far as they are in view), mean and standard deviation of the thickness of
        cartilage and its bearing area [cm²], width and height of the menisci at mid-body and the widths of their
        horns, widths of the bones [mm]. NaN for what is not there.
    """
    to_knee = to_knee.to(torch.float32)
    voxel = float(torch.linalg.det(to_knee[:3, :3]).abs())
    masks = {
        name: labels == LABEL[name]
        for name in (
            "femur",
            "tibia",
            "patella",
            "fibula",
            *CARTILAGES,
            "medial_meniscus",
            "lateral_meniscus",
        )
    }
    places = {name: _places(mask, to_knee) for name, mask in masks.items()}
    found = {f"{name}_volume": len(points) * voxel / 1000 for name, points in places.items()}
    for name, bone in CARTILAGES.items():
        deep = thickness(masks[name], masks[bone], to_knee)
        found[f"{name}_thickness"] = float(deep.mean()) if len(deep) else float("nan")
        found[f"{name}_thickness_deviation"] = float(deep.std()) if len(deep) > 1 else float("nan")
        found[f"{name}_thickness_most"] = float(deep.quantile(0.98)) if len(deep) else float("nan")
        found[f"{name}_area"] = 100 * found[f"{name}_volume"] / max(found[f"{name}_thickness"], 0.1) / 10
    found |= _bone_widths(places)
    step = float(to_knee[:3, :3].norm(dim=0).amax())
    for side in ("medial", "lateral"):
        found |= _meniscus_sizes(side, places[f"{side}_meniscus"], places[f"{side}_tibial_cartilage"], step)
    return found


def _bone_widths(places: dict[str, Tensor]) -> dict[str, float]:
    femur, tibia, patella = places["femur"], places["tibia"], places["patella"]
    found = {name: float("nan") for name in ("femur_width", "tibia_width", "tibia_depth")}
    if len(femur):
        condyles = femur[femur[:, 2] < femur[:, 2].amin() + 40]
        found["femur_width"] = _extent(condyles, 0)  # between the epicondyles
    for side, sign in (("medial", -1), ("lateral", 1)):
        name = f"{side}_condyle_depth"
        found[name] = float("nan")
        if len(femur):
            middle = float(femur[:, 0].amin() + femur[:, 0].amax()) / 2
            low = femur[femur[:, 2] < femur[:, 2].amin() + 40]
            found[name] = _extent(_slab(low, 0, middle + sign * 20, 2), 1)
    if len(tibia):
        top = float(tibia[:, 2].quantile(0.99) if len(tibia) < 1e6 else tibia[::10, 2].quantile(0.99))
        head = tibia[(tibia[:, 2] < top) & (tibia[:, 2] > top - 20)]
        found["tibia_width"], found["tibia_depth"] = _extent(head, 0), _extent(head, 1)
    found["patella_width"], found["patella_depth"], found["patella_height"] = (_extent(patella, k) for k in range(3))
    return found


def _meniscus_sizes(side: str, meniscus: Tensor, cartilage: Tensor, step: float) -> dict[str, float]:
    names = ("width", "height", "anterior_width", "posterior_width", "length")
    found = {f"{side}_meniscus_{name}": float("nan") for name in names}
    if not len(meniscus) or not len(cartilage):
        return found
    centre = cartilage.mean(0)
    middle = float(meniscus[:, 1].amin() + meniscus[:, 1].amax()) / 2
    body = _slab(meniscus, 1, middle, 0.6 * step)  # coronal cut half way between the horns
    found[f"{side}_meniscus_width"], found[f"{side}_meniscus_height"] = (
        _extent(body, 0),
        _extent(body, 2),
    )
    cut = _slab(meniscus, 0, float(centre[0]), 0.6 * step)  # sagittal cut: the horns
    front, back = cut[cut[:, 1] < centre[1]], cut[cut[:, 1] > centre[1]]
    found[f"{side}_meniscus_anterior_width"] = _extent(front, 1)
    found[f"{side}_meniscus_posterior_width"] = _extent(back, 1)
    found[f"{side}_meniscus_length"] = _extent(meniscus, 1)
    return found
