# SPDX-License-Identifier: Apache-2.0
"""One possible pair, measured from its pixels: the same knee or not, which slices, where, how surely."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from scripts.diagnosis.pairing import mutual_information
from scripts.errors import DecodeError, GeometryError, KneeSynthError
from scripts.pairing.candidates import Candidate
from scripts.pairing.edges import directions, smooth
from scripts.pairing.preview import preview
from scripts.pairing.readout import Readout
from scripts.pairing.register import Registration, register
from scripts.pairing.search import Likeness, find
from scripts.pairing.settings import Settings
from scripts.pairing.volume import Scan, Working, load_scan, slice_partners, working
from scripts.transforms.orientation import display_plane

_UNRELATED_SLICES = 4  # apart: slices of one knee that share no more than any two
_SUPPRESSION_LIMIT = 0.8
_SAME_EDGES = 0.8  # poorly suppressed PDFS: .73 at most; a second PD, or T2: .97 at least
_EXPLAINED = 0.0005  # of the edges: one knee .001 at least, another one a tenth of that
_UNLIKE_LIFT = 2.9
_DARKENED, _OTHER_EDGES = 0.3, 0.35  # what images have to show where no header does; the first a logarithm
_AIR, _LEAST_PIXELS = 0.08, 500
_BODY, _BODY_MM, _SKIN_MM, _EDGE_MM = 0.25, 4.0, 6.0, 2.0


@dataclass(frozen=True)
class Measured:
    """What was found about a pair.

    Args:
        reason: code of the refusal; empty for a pair.
        words: why, in a sentence.
        plane: of PD.
        slices: rows ``[k, m, dx_mm, dy_mm, angle_rad]``, see `scripts.transforms.align`.
        scores: figures, plain numbers.
        evidence: why they belong together, or what was compared.
        residual_px: median and 95th percentile over the slices.
        pictures: of one slice, as data URLs, for the review page.
    """

    reason: str
    words: str
    plane: str = ""
    slices: tuple[tuple[int, int, float, float, float], ...] = ()
    scores: dict[str, float] = field(default_factory=dict)
    evidence: dict[str, Any] = field(default_factory=dict)
    residual_px: dict[str, float] = field(default_factory=dict)
    pictures: dict[str, str] = field(default_factory=dict)


def measure(image: Candidate, label: Candidate, settings: Settings) -> Measured:
    """Measure one possible pair; whatever is wrong with it comes back as its refusal."""
    scans = []
    for name, candidate in (("PD", image), ("PDFS", label)):
        try:
            scans.append(load_scan(candidate.source))
        except KneeSynthError as error:
            code = "geometry" if isinstance(error, GeometryError) else "unreadable"
            why = "cannot be decoded" if isinstance(error, DecodeError) else "cannot be read as one volume"
            return Measured(code, f"{name} {why}" if code == "unreadable" else f"{name} is no regular stack")
    readout = None if image.readout is None else Readout(*image.readout)
    return measure_scans(scans[0], scans[1], settings, _one_frame(image, label), readout, not label.fat_open)


def measure_scans(
    image: Scan,
    label: Scan,
    settings: Settings,
    one_frame: bool | None,
    readout: Readout | None = None,
    said: bool = True,
) -> Measured:
    """`measure` for images in memory.

    Args:
        image: PD.
        label: PDFS.
        settings: limits.
        one_frame: whether both lie in one frame of reference; None where nothing says it.
        readout: of PD, where its header tells it.
        said: something says that the fat of PDFS is suppressed; else it has to be seen.
    """
    plane = display_plane(image.volume.affine.numpy(), 0)
    if display_plane(label.volume.affine.numpy(), 0) != plane:
        return Measured("other_plane", "the two series are of different planes", plane)
    tilt = math.acos(min(1.0, abs(float(image.grid.normal @ label.grid.normal))))
    evidence: dict[str, Any] = {"one_frame_of_reference": one_frame, "tilt_degrees": round(math.degrees(tilt), 2)}
    if tilt > settings.largest_tilt:
        words = f"the slices of the two series are tilted by {math.degrees(tilt):.1f} degrees against each other"
        return Measured("geometry", words, plane, evidence=evidence)
    if min(image.slices, label.slices) < settings.least_slices:
        return Measured("too_few_slices", f"fewer than {settings.least_slices} slices", plane, evidence=evidence)
    far, moved = False, np.zeros(3)
    likeness: Likeness | None = None
    if one_frame is not False:
        both = working(image, label, settings.search_mm)
        likeness = find(image, label, both, settings, far=False)
    if one_frame is not True and (likeness is None or not _same_knee(likeness, settings)):
        # Nothing is known of the places: begin with equal middles, and look farther.
        other = image.grid.middle.mean(axis=0) - label.grid.middle.mean(axis=0)
        there = label.moved(other)
        both_far = working(image, there, settings.search_mm)
        found = find(image, there, both_far, settings, far=True)
        if found is not None and (likeness is None or found.lift > likeness.lift):
            far, moved, both, likeness = True, other, both_far, found
    if likeness is None:
        return Measured("too_few_slices", "the slices of the two series do not overlap", plane, evidence=evidence)
    placed = label.moved(moved) if far else label
    evidence |= {"places": "offset search" if far else "headers", "offset_mm": round(likeness.offset_mm, 2)}
    scores = {
        "agreement": round(likeness.agreement, 3),
        "lift": round(likeness.lift, 3),
        "sharpness": round(likeness.sharpness, 3),
    }
    partners = slice_partners(image, placed, likeness.offset_mm, settings.kept_distance)
    if not _same_knee(likeness, settings):
        share = f"{likeness.agreement:.0%} of the slices agree on a place, which stands out {likeness.lift:.1f} times"
        other_anatomy = likeness.agreement < settings.other_agreement or likeness.lift < _UNLIKE_LIFT
        if other_anatomy:
            words, code = f"the anatomy is another one: {share}", "other_patient"
        else:
            words, code = f"too little in common to be sure: {share}", "low_similarity"
        shown = preview(both, partners, likeness.shift_mm, None)
        return Measured(code, words, plane, scores=scores, evidence=evidence, pictures=shown)
    if len(partners) < settings.least_slices:
        return Measured("too_few_slices", f"{len(partners)} slices have a partner", plane, (), scores, evidence)
    suppression = _suppression(both, partners, likeness.shift_mm)
    same = _same_edges(both, partners, likeness.shift_mm)
    scores |= {"fat_ratio": round(suppression, 3), "same_edges": round(same, 3)}
    skin = _DARKENED if said else _darkened_skin(both, partners, likeness.shift_mm)
    unseen = not said and (skin < _DARKENED or same > _OTHER_EDGES)
    if unseen or (suppression > _SUPPRESSION_LIMIT and same > _SAME_EDGES):
        words = (
            "no header says that fat is suppressed, and it is not surely darker than on PD"
            if unseen
            else f"fat is as bright as on PD, against muscle (ratio {suppression:.2f}), and edges are PD's "
            f"({same:.2f}): not fat-suppressed, or not PD"
        )
        shown = preview(both, partners, likeness.shift_mm, None)
        return Measured("wrong_contrast", words, plane, (), scores, evidence, pictures=shown)
    found_at = register(image, placed, partners, likeness.shift_mm, settings, not far, readout)
    return _registered(
        image, placed, moved if far else np.zeros(3), partners, found_at, plane, scores, evidence, settings
    )


def _registered(
    image: Scan,
    placed: Scan,
    moved: np.ndarray,
    partners: dict[int, int],
    found: Registration,
    plane: str,
    scores: dict[str, float],
    evidence: dict[str, Any],
    settings: Settings,
) -> Measured:
    """The result of a registration, with its own checks."""
    back = np.array([moved @ image.grid.right, moved @ image.grid.down])  # the header's place, not the moved one
    rows = []
    for k, m in partners.items():
        rigid = found.slices[k]
        x, y = np.array(rigid.shift_mm) - back
        rows.append((k, m, round(float(x), 4), round(float(y), 4), round(rigid.angle, 6)))
    values = np.array(list(found.residual_px.values()))
    residual = {"median": round(float(np.median(values)), 3), "p95": round(float(np.quantile(values, 0.95)), 3)}
    turned = working(image, placed, settings.search_mm, found.volume.angle)
    scores |= {
        "explained": round(found.gain, 4),
        "information": round(information(turned, partners, found.volume.on_turned_grid), 3),
        "fat_displacement_px": round(found.fat_px, 2),
        "mutual_information_apart_px": round(found.mutual_px, 2),
        "spread_px": round(found.spread_px, 2),
    }
    pixel = max(image.grid.pixel_mm)
    evidence |= {
        "shift_px": [round(value / pixel, 2) for value in found.volume.shift_mm],
        "turn_degrees": round(math.degrees(found.volume.angle), 2),
        "slices_on_their_own": sum(rigid != found.volume for rigid in found.slices.values()),
    }
    shown = preview(
        working(image, placed, settings.search_mm),
        partners,
        (0.0, 0.0),
        (turned, found.volume.on_turned_grid),
    )
    offset = math.hypot(*found.volume.shift_mm) / pixel
    if found.gain < _EXPLAINED:
        words = (
            "too little in common to be sure: once registered, the edges of the one explain next to none of the other's"
        )
        return Measured("low_similarity", words, plane, tuple(rows), scores, evidence, residual, shown)
    bound = settings.bound_px if not np.any(moved) else math.inf
    if residual["median"] > settings.residual_px or offset > bound:
        words = (
            f"a residual shift of {residual['median']:.1f} pixels is left"
            if offset <= bound
            else f"a shift of {offset:.0f} pixels is farther than a knee moves"
        )
        return Measured("residual_shift", words, plane, tuple(rows), scores, evidence, residual, shown)
    return Measured("", "", plane, tuple(rows), scores, evidence, residual, shown)


def information(both: Working, partners: dict[int, int], shift_mm: tuple[float, float]) -> float:
    """Mutual information of partner slices over that of slices of the same two scans that are far apart."""
    shift = [round(value / both.pixel_mm) for value in shift_mm]
    pairs = list(partners.items())[:: max(1, len(partners) // 8)]
    own, other = [], []
    for place, (k, m) in enumerate(pairs):
        own.append(mutual_information(both.image[k], _shifted(both.label[m], shift)))
        for _, far in pairs[place + 1 :]:
            if abs(far - m) >= _UNRELATED_SLICES:
                other.append(mutual_information(both.image[k], _shifted(both.label[far], shift)))
    return float(np.mean(own)) / max(float(np.mean(other)), 1e-4) if other else 0.0


def _shifted(image: torch.Tensor, shift: list[int]) -> torch.Tensor:
    return torch.roll(image, (-shift[1], -shift[0]), (0, 1))


def _suppression(both: Working, partners: dict[int, int], shift_mm: tuple[float, float]) -> float:
    """PDFS over PD in what is bright on PD, relative to the same in what is half as bright: fat against muscle.

    Coil shading is that of both images, so that it falls out of their quotient. Without suppression about 1.
    """
    shift = [round(value / both.pixel_mm) for value in shift_mm]
    quotients = []
    for k, m in list(partners.items())[:: max(1, len(partners) // 8)]:
        image, label = both.image[k], _shifted(both.label[m], shift)
        inside = (image > 0.1) & both.image_inside[k] & (_shifted(both.label_inside[m].float(), shift) > 0)
        if int(inside.sum()) < 500:
            continue
        low, middle, high = torch.quantile(image[inside], torch.tensor([0.15, 0.5, 0.85]))
        bright, half = inside & (image > high), inside & (image > low) & (image < middle)
        quotient = label / image.clamp(min=1e-6)
        quotients.append(float(quotient[bright].median() / quotient[half].median().clamp(min=1e-6)))
    return float(np.median(quotients)) if quotients else 0.0


def _same_edges(both: Working, partners: dict[int, int], shift_mm: tuple[float, float]) -> float:
    """Mean cosine between the gradients of PD and PDFS well within the body: 1 where what is brighter is so on both.

    A second PD, and a T2 without suppression, have nearly all edges of PD, sign and all. Where fat is suppressed, if
    only in part, marrow and fat are darker than the cartilage or muscle beside them, and their edges are turned around.
    """
    shift = [round(value / both.pixel_mm) for value in shift_mm]
    image = both.image[list(partners)]
    label = torch.roll(both.label[list(partners.values())], (-shift[1], -shift[0]), (1, 2))
    reach = max(1, round(_SKIN_MM / both.pixel_mm))
    air = (smooth(image, _BODY_MM / both.pixel_mm) <= _BODY)[:, None].float()
    deep = 1 - F.max_pool2d(air, 2 * reach + 1, 1, reach)[:, 0]
    p, q = (directions(one, torch.ones_like(one, dtype=torch.bool), _EDGE_MM / both.pixel_mm) for one in (image, label))
    signed = (p[0] * q[0] + p[1] * q[1]) * deep
    strength = (p[0].square() + p[1].square()).sqrt() * (q[0].square() + q[1].square()).sqrt() * deep
    return float(signed.sum() / strength.sum().clamp(min=1e-9))


def _darkened_skin(both: Working, partners: dict[int, int], shift_mm: tuple[float, float]) -> float:
    """Whether the fat under the skin is among what is darkest on PDFS against PD: positive if so, else negative.

    The quotient of both images frees them of coil shading. Its logarithm under the skin is compared with the quarters
    of it deep in the knee, where marrow is fat as well and muscle is not.
    """
    shift = [round(value / both.pixel_mm) for value in shift_mm]
    image = both.image[list(partners)]
    label = torch.roll(both.label[list(partners.values())], (-shift[1], -shift[0]), (1, 2))
    body = smooth(image / _top(image) + label / _top(label), 1.5 / both.pixel_mm) >= _BODY

    def deeper(mm: float) -> Tensor:
        reach = max(1, round(mm / both.pixel_mm))
        return F.max_pool2d((~body)[:, None].float(), 2 * reach + 1, 1, reach)[:, 0] == 0

    sigma = 1.0 / both.pixel_mm
    quotient = (smooth(label, sigma).clamp(min=0.02) / smooth(image, sigma).clamp(min=0.02)).log()
    seen = image > _AIR
    rim, deep = quotient[deeper(3.0) & ~deeper(9.0) & seen], quotient[deeper(20.0) & seen]
    if min(len(rim), len(deep)) < _LEAST_PIXELS:
        return 0.0
    low, high = torch.quantile(deep[:: max(1, len(deep) // 100_000)], torch.tensor([0.25, 0.75]))
    return float(low + high - 2 * rim.median())


def _top(images: Tensor) -> float:
    flat = images.flatten()
    return float(torch.quantile(flat[:: max(1, flat.numel() // 100_000)], 0.98))


def _same_knee(likeness: Likeness, settings: Settings) -> bool:
    return likeness.agreement >= settings.least_agreement and likeness.lift >= settings.least_lift


def _one_frame(image: Candidate, label: Candidate) -> bool | None:
    return image.frame == label.frame if image.frame and label.frame else None
