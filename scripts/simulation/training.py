# SPDX-License-Identifier: Apache-2.0
"""Slices to train on: cached anatomy, and everything else drawn anew for each slice."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from scripts.simulation.brightness import Probe, brightness
from scripts.simulation.maps import TissueMaps
from scripts.simulation.ranges import Ranges
from scripts.simulation.relaxation import draw_tissue_values, tissue_table
from scripts.simulation.scanner.acquire import expose
from scripts.simulation.scanner.draw import draw_scanner
from scripts.simulation.scanner.imaging import Frame
from scripts.simulation.scanner.scan import ScannerParameters
from scripts.simulation.tissue import COMPARTMENTS, TissueTable


@dataclass(frozen=True)
class Drawn:
    """What is drawn for one slice besides its anatomy.

    Args:
        tissues: of the knee.
        scanner: both scans.
        as_scanned: each scan keeps its own point spread, place and artefacts, in inputs and in targets. Otherwise PDFS
            lies and is blurred as PD, and neither has artefacts.
        seed: of the noise.
    """

    tissues: TissueTable
    scanner: ScannerParameters
    as_scanned: bool
    seed: int


def draw_scans(preset: dict[str, Any], seed: int) -> Drawn:
    """Draw what one slice is scanned with, from ``geometry``, ``tissues``, ``scanner`` and ``training`` of a preset."""
    ranges = Ranges(preset, seed)
    field = float(ranges.section("geometry").choose("field_strength"))
    scanner = draw_scanner(ranges.section("scanner"), field)
    # A slice that is imaged alone has no other place along its normal to be in.
    scanner = replace(scanner, pdfs=replace(scanner.pdfs, motion=replace(scanner.pdfs.motion, through_plane=0.0)))
    return Drawn(
        tissues=tissue_table(draw_tissue_values(ranges.section("tissues"), field)),
        scanner=scanner,
        as_scanned=ranges.section("training").happens("as_scanned"),
        seed=seed,
    )


@dataclass(frozen=True)
class Resampled(TissueMaps):
    """Compartments on a grid, not packed.

    Args:
        shares: volume share of each compartment, ``(C, D, H, W)``.
        lesions: volume share that lesions changed, ``(1, H, W)``.
    """

    shares: Tensor
    lesions: Tensor

    def dense(self, index: int | slice) -> Tensor:
        """See `TissueMaps.dense`."""
        return self.shares[:, index]


def resample(
    maps: TissueMaps, index: int, matrix: Tensor, size: tuple[int, int], device: torch.device | str = "cpu"
) -> Resampled:
    """Cut one slice out of a stack, magnified, turned and mirrored.

    Args:
        maps: of the stack.
        index: of the slice.
        matrix: from the cut-out's coordinates to the slice's, ``(2, 3)``; both are shares of half the image, (x, y).
        size: rows and columns of the cut-out.
        device: where to compute; only the slice is copied there, not the stack.

    Returns:
        The cut-out as a stack of one slice, at its place in space.
    """
    compartment, share = (one[:, index].to(device) for one in (maps.compartment, maps.share))
    compartment, share = compartment.long(), share.float()
    present = torch.nonzero(torch.bincount(compartment.flatten(), share.flatten(), len(COMPARTMENTS))).flatten()
    place = torch.zeros(len(COMPARTMENTS), dtype=torch.int64, device=share.device)
    place[present] = torch.arange(len(present), device=share.device)
    dense = share.new_zeros(len(present), *share.shape[1:])
    dense.scatter_add_(0, place[compartment], share / share.sum(0))
    grid = F.affine_grid(matrix[None].to(dense.device), [1, 1, *size], align_corners=False)
    # Cubic: linear interpolation would take half of the texture that the point spread leaves.
    found = F.grid_sample(dense[None], grid, mode="bicubic", align_corners=False, padding_mode="border")[0]
    shares = dense.new_zeros(len(COMPARTMENTS), 1, *size)
    shares[present, 0] = found
    lesion = maps.lesion[index].to(dense)[None, None] / 255
    changed = F.grid_sample(lesion, grid, mode="bilinear", align_corners=False)[0]
    nothing = torch.zeros(1, *size, dtype=torch.uint8, device=dense.device)
    affine = maps.affine_lps.double().cpu() @ _to_source(index, matrix, (dense.shape[1], dense.shape[2]), size)
    return Resampled(nothing[None], nothing[None], nothing, nothing, affine, shares, changed)


def _to_source(index: int, matrix: Tensor, source: tuple[int, int], size: tuple[int, int]) -> Tensor:
    """Matrix ``(4, 4)`` from (slice, row, column, 1) of a cut-out to those of the stack."""
    (height, width), m = source, matrix.double()
    to_shares = torch.tensor([[0, 2 / size[1], 1 / size[1] - 1], [2 / size[0], 0, 1 / size[0] - 1], [0, 0, 1]]).double()
    x, y = m @ to_shares  # in (row, column, 1) of the cut-out
    out = torch.zeros(4, 4, dtype=torch.float64)
    out[0, 0], out[0, 3], out[3, 3] = 1, index, 1
    out[1, 1:] = y * height / 2
    out[2, 1:] = x * width / 2
    out[1, 3] += (height - 1) / 2
    out[2, 3] += (width - 1) / 2
    return out


@dataclass(frozen=True)
class Cut:
    """A slice that is ready to be scanned.

    Args:
        maps: the cut-out, a stack of one slice.
        seen: voxels of the whole stack, for the scale.
        drawn: what it is scanned with.
    """

    maps: Resampled
    seen: Probe
    drawn: Drawn

    def frames(self, noisy_targets: bool = False) -> list[Frame]:
        """PD, PDFS as it ought to be, and PDFS as the fields allow; as scanned, the last two are one."""
        drawn, (pd, pdfs) = self.drawn, (self.drawn.scanner.pd, self.drawn.scanner.pdfs)
        around, seed = drawn.scanner.environment, 2 * drawn.seed
        if drawn.as_scanned:
            return [Frame(self.maps, 0, scan, drawn.tissues, around, seed + i) for i, scan in enumerate((pd, pdfs))]
        given = Frame(self.maps, 0, pdfs, drawn.tissues, around, seed + 1, as_if=pd)
        asked = replace(given, nominal=True, noisy=noisy_targets)
        return [Frame(self.maps, 0, pd, drawn.tissues, around, seed, nominal=True), asked, given]


@dataclass(frozen=True)
class Scanned:
    """PD and PDFS of one slice, each ``(2, h, w)`` and divided by the 99.5th percentile in the body of its whole stack.

    Args:
        inputs: noisy; the fat of PDFS is suppressed as well as the fields allow.
        targets: what is to be synthesised: suppressed by the nominal pulse in even fields.
    """

    inputs: Tensor
    targets: Tensor


def scan_cuts(cuts: Sequence[Cut], noisy_targets: bool = False) -> list[Scanned]:
    """Scan slices.

    Args:
        cuts: the slices, of one size and on one device.
        noisy_targets: leave the noise in the targets, as in acquired pairs; it is then that of the inputs.
    """
    frames = [cut.frames(noisy_targets) for cut in cuts]
    if cuts[0].maps.shares.device.type == "cpu":  # alone, so that a slice does not depend on its company
        seen = [expose(few) for few in frames]
        noisy, clean = [images.magnitude for images in seen], [images.clean for images in seen]
    else:
        counts = [len(few) for few in frames]
        images = expose([frame for few in frames for frame in few])
        noisy, clean = list(images.magnitude.split(counts)), list(images.clean.split(counts))
    found = []
    for cut, few, given, true in zip(cuts, frames, noisy, clean, strict=True):
        asked = [few[0], few[1]] if noisy_targets else [replace(frame, noisy=False) for frame in few[:2]]
        scale = torch.tensor(brightness(cut.seen, [few[0], few[-1], *asked])).to(given)[:, None, None]
        inputs = torch.stack((given[0], given[-1])) / scale[:2]
        found.append(Scanned(inputs, (given if noisy_targets else true)[:2] / scale[2:]))
    return found
