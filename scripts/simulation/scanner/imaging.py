# SPDX-License-Identifier: Apache-2.0
"""From compartments to magnitudes, for slices that can be computed together.

The object is shaded by the coil and the transmit field, suppressed, taken to k-space with the T2 decay of the train,
sampled, and brought back. Sensitivities vary over centimetres and the point spread over a millimetre, so the elements
of a coil share one noise-free transform and differ in weight, phase and noise.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from scripts.simulation.maps import TissueMaps
from scripts.simulation.scanner import noise
from scripts.simulation.scanner.metal import displace, excited
from scripts.simulation.scanner.motion import rotate
from scripts.simulation.scanner.plan import CURVES, MARGIN, WATER_CURVES, Plan, make_plan, noise_scale
from scripts.simulation.scanner.scan import Environment, Scan
from scripts.simulation.scanner.smooth import spread
from scripts.simulation.scanner.surroundings import AMPLIFY, CORRECT, HITS, SHADE, Site, site, surroundings
from scripts.simulation.scanner.vendor import to_counts
from scripts.simulation.tissue import TissueTable


@dataclass(frozen=True)
class Frame:
    """One slice of one scan, to be imaged.

    Args:
        maps: of the knee; slices of one knee should share the object.
        index: of the slice.
        scan: sequence, suppression and noise level.
        tissues: of the knee.
        environment: field strength, coil and field errors.
        seed: of the noise; the slice's number is added to it.
        as_if: the scan whose readout, point spread, motion and processing the image has; None is ``scan`` itself.
        nominal: the nominal pulse without field errors in place of the scan's suppression, and no ghosts.
        noisy: add noise where noise is asked for.
    """

    maps: TissueMaps
    index: int
    scan: Scan
    tissues: TissueTable
    environment: Environment
    seed: int
    as_if: Scan | None = None
    nominal: bool = False
    noisy: bool = True

    @property
    def geometry(self) -> Scan:
        """The scan that the image's geometry is taken from."""
        return self.as_if or self.scan


class Imager:
    """Computes images; keeps the plans and shares that several frames have in common.

    Args:
        shape: rows and columns of the images.
        device: where to compute.
        frames: all that will be imaged, so that what a slice is made of is kept as long as another scan needs it.
    """

    def __init__(self, shape: tuple[int, int], device: torch.device, frames: Sequence[Frame]) -> None:
        self.shape, self.device = shape, device
        self._uses = Counter((id(frame.maps), frame.index) for frame in frames)
        self._plans: dict[tuple[int, ...], Plan] = {}
        self._shares: dict[tuple[int, int], Tensor] = {}
        self._sites: dict[tuple[int, ...], Site] = {}

    def plan(self, frame: Frame) -> Plan:
        """What the frame's scan multiplies compartments and k-space with."""
        key = (id(frame.scan), id(frame.as_if), id(frame.tissues), id(frame.environment), int(frame.nominal))
        if key not in self._plans:
            self._plans[key] = make_plan(
                frame.scan, frame.tissues, frame.environment, self.shape, frame.geometry, frame.nominal
            )
        return self._plans[key]

    def kind(self, frame: Frame, with_noise: bool) -> tuple[int, bool, bool, int, bool]:
        """What frames have to agree in to be computed together; the fourth entry is the number of noisy receivers."""
        plan, coil = self.plan(frame), frame.environment.coil
        receivers = coil.receivers if with_noise and frame.noisy else 0
        metal = bool(frame.environment.field.dipoles)
        return frame.geometry.readout.axis, plan.taken is None, plan.blood is None, receivers, metal

    def image(self, frames: Sequence[Frame], with_noise: bool) -> tuple[Tensor, Tensor]:
        """Noise-free and noisy magnitudes ``(B, H, W)`` of frames that agree in `kind`."""
        plans = [self.plan(frame) for frame in frames]
        coil = frames[0].environment.coil
        several = with_noise and coil.receivers > 1
        sites = [self._site(frame, several) for frame in frames]
        around = self._surroundings(frames, sites)
        objects = self._objects(frames, plans, sites, around)
        if frames[0].geometry.readout.axis == -2:  # phase encoding along the rows of what follows
            objects, around = objects.mT, around.mT
        signal = self._to_image(objects, plans)
        signal = _inside(self._turn(signal, frames))
        fading = self._stack([plan.fading for plan in plans])
        after = around[:, CORRECT] * fading[:, None, :]
        counts = torch.tensor([frame.geometry.vendor.counts for frame in frames], device=self.device)[:, None, None]
        clean = seen = to_counts(signal.abs() * after, counts)
        if with_noise:
            noise_images = _inside(self._noise(frames, plans)) * around[:, None, AMPLIFY]
            if several:
                real, imaginary = around[:, -2 * coil.receivers :].chunk(2, dim=1)
                noise_images = noise_images + signal[:, None] * torch.complex(real, imaginary)
                magnitude = torch.view_as_real(noise_images).square().sum((1, -1)).sqrt()
            else:
                magnitude = (signal + noise_images[:, 0]).abs()
            seen = to_counts(magnitude * after, counts)
        if frames[0].geometry.readout.axis == -2:
            clean, seen = clean.mT, seen.mT
        return clean, seen

    def _site(self, frame: Frame, several: bool) -> Site:
        key = (id(frame.environment), id(frame.maps), frame.index, int(several))
        if key not in self._sites:
            environment, affine = frame.environment, frame.maps.affine_lps
            self._sites[key] = site(environment, affine, frame.index, self.shape, several)
        return self._sites[key]

    def _surroundings(self, frames: Sequence[Frame], sites: Sequence[Site]) -> Tensor:
        maps = [
            surroundings(place, frame.scan, frame.environment.field_strength, frame.geometry, not frame.nominal)
            for frame, place in zip(frames, sites, strict=True)
        ]
        values = torch.stack(maps).to(self.device)
        return spread(values, self.shape) if sites[0].metal is None else values

    def _objects(self, frames: Sequence[Frame], plans: Sequence[Plan], sites: Sequence[Site], around: Tensor) -> Tensor:
        """Signal of each curve of T2 decay, shaded and suppressed, ``(B, R, H, W)``."""
        found = []
        for number, (frame, plan, place) in enumerate(zip(frames, plans, sites, strict=True)):
            parts = [part for part in (plan.shares, plan.blood, plan.taken) if part is not None]
            signals = (torch.cat(parts).to(self.device) @ self._dense(frame)).view(-1, *self.shape)
            curves = signals[: CURVES + (plan.blood is not None)]
            if plan.taken is not None:
                taken, hit = signals[-len(plan.taken) :], around[number, HITS]
                curves[:WATER_CURVES] -= hit[0] * taken[:WATER_CURVES] + hit[1] * taken[WATER_CURVES : 2 * WATER_CURVES]
                curves[WATER_CURVES:CURVES] -= hit[2] * taken[2 * WATER_CURVES :]
            curves = curves * around[number, SHADE]
            if place.metal is not None:
                curves = self._past_metal(curves, place.metal, frame, plan)
            found.append(curves)
        return torch.stack(found)

    def _past_metal(self, curves: Tensor, error: Tensor, frame: Frame, plan: Plan) -> Tensor:
        error = error.to(self.device)
        curves, pixels = curves * excited(error), error * plan.metal_pixels
        if frame.geometry.readout.axis == -2:
            return displace(curves.mT, pixels.mT).mT
        return displace(curves, pixels)

    def _to_image(self, objects: Tensor, plans: Sequence[Plan]) -> Tensor:
        """Complex image with its margins after decay, displacement and sampling, ``(B, P, R)``."""
        lines = torch.fft.fft(F.pad(objects, (MARGIN,) * 4, mode="replicate"), dim=-2)
        phase = self._stack([plan.phase for plan in plans])[..., None]
        both = lines.new_zeros(len(plans), 2, *lines.shape[-2:])
        for curve in range(lines.shape[1]):  # blood comes last, at the position of water
            both[:, int(WATER_CURVES <= curve < CURVES)].addcmul_(lines[:, curve], phase[:, curve])
        readout = self._stack([plan.readout for plan in plans])[:, :, None, :]
        both = torch.fft.fft(both, dim=-1) * readout
        return torch.fft.ifft2(self._in_plane(both[:, 0] + both[:, 1], plans))

    def _noise(self, frames: Sequence[Frame], plans: Sequence[Plan]) -> Tensor:
        """Complex noise of each receiver, with margins, ``(B, n, P, R)``."""
        drawn = []
        for frame, plan in zip(frames, plans, strict=True):
            generator = torch.Generator().manual_seed(noise.slice_seed(frame.seed, frame.index))
            along_phase, along_read = plan.weights
            white = noise.draw_k_space((along_phase > 0, along_read > 0), frame.environment.coil.receivers, generator)
            drawn.append(white)
        scale = torch.tensor([noise_scale(plan) for plan in plans], device=self.device)[:, None, None]
        weight = self._stack([plan.weights[0] for plan in plans])[:, :, None] * scale
        weight = weight * self._stack([plan.weights[1] for plan in plans])[:, None, :]
        weight = self._in_plane(weight, plans)
        return torch.fft.ifft2(torch.stack(drawn).to(self.device) * weight[:, None])

    def _in_plane(self, values: Tensor, plans: Sequence[Plan]) -> Tensor:
        if all(plan.plane is None for plan in plans):
            return values
        one = torch.ones(values.shape[-2:])
        return values * self._stack([one if plan.plane is None else plan.plane for plan in plans])

    def _turn(self, signal: Tensor, frames: Sequence[Frame]) -> Tensor:
        angles = [frame.geometry.motion.angle for frame in frames]
        if not any(angles):
            return signal
        sign = 1 if frames[0].geometry.readout.axis == -1 else -1
        return rotate(signal, sign * torch.tensor(angles, device=self.device))

    def _dense(self, frame: Frame) -> Tensor:
        key = (id(frame.maps), frame.index)
        self._uses[key] -= 1
        dense = self._shares.pop(key, None)
        if dense is None:
            dense = frame.maps.dense(frame.index).to(self.device).flatten(1)
        if self._uses[key] > 0:
            self._shares[key] = dense
        else:
            self._sites = {name: place for name, place in self._sites.items() if name[1:3] != key}
        return dense

    def _stack(self, tensors: Sequence[Tensor]) -> Tensor:
        return torch.stack(list(tensors)).to(self.device)


def _inside(image: Tensor) -> Tensor:
    """An image without its margins."""
    return image[..., MARGIN:-MARGIN, MARGIN:-MARGIN]
