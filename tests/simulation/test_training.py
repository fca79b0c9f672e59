# SPDX-License-Identifier: Apache-2.0
"""A slice to train on lies where its geometry says, is each other's target, and stands on its stack's scale."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import pytest
import torch

from scripts.body import body_scale
from scripts.simulation.anatomy.canvas import Canvas, Sample
from scripts.simulation.brightness import brightness, probe
from scripts.simulation.maps import TissueMaps, map_tissues
from scripts.simulation.preset import load_preset
from scripts.simulation.scanner.acquire import expose
from scripts.simulation.scanner.field import Field
from scripts.simulation.scanner.scan import Environment
from scripts.simulation.stack import Stack
from scripts.simulation.study import draw_study, map_study
from scripts.simulation.tissue import INDEX
from scripts.simulation.training import Cut, Scanned, draw_scans, resample, scan_cuts

PRESET = load_preset("randomised")
IDENTITY = torch.tensor([[1.0, 0, 0], [0, 1.0, 0]])


@dataclass(frozen=True)
class Ball:
    """A ball of muscle in fat."""

    centre: tuple[float, float, float]
    radius: float

    def sample(self, points: torch.Tensor, edge: float) -> Sample:
        canvas = Canvas(points[0], edge)
        distance = sum((points[axis] - self.centre[axis]) ** 2 for axis in range(3)) ** 0.5 - self.radius
        canvas.lay("muscle", distance, {"muscle": 1.0})
        canvas.put("subcutaneous_fat", torch.ones_like(points[0]), {"subcutaneous_fat": 1.0})
        return canvas.finish()


def stack_of(anatomy: Ball, plane: str = "coronal") -> TissueMaps:
    stack = Stack(plane, (3, 64, 72), (3.0, 1.1, 1.1), 3.0, (0.05, 0.02), (2.0, 3.0, -4.0))
    return map_tissues(anatomy, stack.affine_lps, stack.shape, stack.thickness)


def knee(seed: int = 21, shape: tuple[int, int, int] = (6, 128, 128)) -> TissueMaps:
    return map_study(draw_study(seed, "clinical", "sagittal", shape), sub_slices=1)


@pytest.mark.parametrize("mirror", [1.0, -1.0])
def test_a_cut_out_knows_where_it_lies(mirror: float) -> None:
    maps = stack_of(Ball((9.0, 3.0, -11.0), 8.0))
    zoom, angle = 0.7, 0.4
    c, s = zoom * math.cos(angle), zoom * math.sin(angle)
    matrix = torch.tensor([[mirror * c, -s * 64 / 72, 0.1], [mirror * s * 72 / 64, c, -0.05]])
    cut = resample(maps, 1, matrix, (50, 60))
    muscle = cut.dense(0)[INDEX["muscle"]]
    assert float(muscle.sum()) > 50
    row, column = torch.meshgrid(*(torch.arange(size, dtype=torch.float64) for size in (50, 60)), indexing="ij")
    index = torch.stack((torch.zeros_like(row), row, column, torch.ones_like(row)))
    places = torch.tensordot(cut.affine_lps[:3], index, dims=1)
    centre = (places * muscle).flatten(1).sum(1) / muscle.sum()
    # Within the slice that is nearest to it, the ball's middle lies under its centre.
    normal = maps.affine_lps[:3, 0] / maps.affine_lps[:3, 0].norm()
    offset = centre - torch.tensor([9.0, 3.0, -11.0], dtype=torch.float64)
    assert float((offset - (offset @ normal) * normal).norm()) < 0.15


def test_a_lesion_is_cut_out_with_its_slice() -> None:
    maps = stack_of(Ball((9.0, 3.0, -11.0), 8.0))
    ball = maps.dense(slice(None))[INDEX["muscle"]]
    maps = replace(maps, lesion=(ball * 255).round().to(torch.uint8))
    cut = resample(maps, 1, torch.tensor([[-0.6, 0.2, 0.1], [0.2, 0.7, -0.05]]), (50, 60))
    assert float(cut.lesions.sum()) > 50
    muscle = cut.dense(0)[INDEX["muscle"]]
    apart = [float((cut.lesions[0].roll(shift, -1) - muscle).abs().mean()) for shift in (0, 1)]
    assert apart[0] < apart[1] / 3, apart  # cubic beside linear interpolation, and a pixel off


def test_without_geometry_a_cut_out_is_the_slice() -> None:
    maps = stack_of(Ball((0.0, 0.0, 0.0), 20.0))
    cut = resample(maps, 1, IDENTITY, (64, 72))
    torch.testing.assert_close(cut.dense(0), maps.dense(1), atol=1e-5, rtol=0)
    start = maps.affine_lps.clone()
    start[:3, 3] += maps.affine_lps[:3, 0]
    torch.testing.assert_close(cut.affine_lps[:, 1:], start[:, 1:])


def test_each_scan_is_the_others_target_unless_both_are_as_scanned() -> None:
    maps = knee(shape=(1, 96, 96))
    drawn = next(one for one in (draw_scans(PRESET, number) for number in range(99)) if not one.as_scanned)
    # The same sequence twice, read out differently and disturbed: nothing but noise may tell the two apart.
    scanner = drawn.scanner
    pdfs = replace(scanner.pdfs, sequence=scanner.pd.sequence, suppression=None)
    same = replace(drawn, scanner=replace(scanner, pdfs=pdfs))
    seen = probe(maps)
    pd, twin, _ = expose(Cut(maps, seen, same).frames(), noise=False).magnitude  # type: ignore[arg-type]
    torch.testing.assert_close(pd, twin)
    pd, own = expose(Cut(maps, seen, replace(same, as_scanned=True)).frames(), noise=False).magnitude  # type: ignore[arg-type]
    assert float((pd - own).abs().mean()) > 0.01 * float(pd.mean())


def test_at_most_a_fifth_is_as_scanned() -> None:
    share = sum(draw_scans(PRESET, number).as_scanned for number in range(300)) / 300
    assert 0.12 < share < 0.27
    assert PRESET["training"]["as_scanned"] <= 0.2


def test_noise_is_not_magnified_with_the_anatomy() -> None:
    air = map_tissues(Ball((0.0, 0.0, 0.0), 1.0), torch.eye(4), (1, 96, 96), 1.0)
    air = replace(air, compartment=torch.full_like(air.compartment, INDEX["air"]))
    drawn = draw_scans(PRESET, 3)
    drawn = replace(drawn, scanner=replace(drawn.scanner, environment=Environment(3.0)))  # no shading to correct
    found = []
    for zoom in (0.5, 1.0, 2.0):
        cut = Cut(resample(air, 0, IDENTITY / zoom, (96, 96)), probe(air), drawn)
        found.append(expose(cut.frames(noisy_targets=True)).magnitude)
    torch.testing.assert_close(found[0], found[1])
    torch.testing.assert_close(found[2], found[1])


def test_the_scale_of_a_slice_is_that_of_its_stack() -> None:
    maps = knee(shape=(8, 192, 192))
    seen, errors = probe(maps), []
    for number in range(6):
        frames = Cut(maps, seen, draw_scans(load_preset("clinical") | {"training": {"as_scanned": 0}}, number)).frames()  # type: ignore[arg-type]
        for frame, scale in zip(frames, brightness(seen, frames), strict=True):
            images = expose([replace(frame, index=index) for index in range(8)]).magnitude
            errors.append(scale / body_scale(images) - 1)
    assert max(abs(error) for error in errors) < 0.2
    assert sum(error**2 for error in errors) / len(errors) < 0.07**2
    assert abs(sum(errors)) / len(errors) < 0.05


def scanned(noisy_targets: bool = False) -> tuple[Cut, Scanned]:
    """A slice of a knee whose field is off by as much as fat and water differ."""
    maps = knee(shape=(2, 96, 96))
    drawn = next(one for one in (draw_scans(PRESET, number) for number in range(99)) if not one.as_scanned)
    around = replace(drawn.scanner.environment, field=Field(shim=(440.0,)), field_strength=3.0)
    drawn = replace(drawn, scanner=replace(drawn.scanner, environment=around))
    cut = Cut(resample(maps, 1, 0.5 * IDENTITY, (48, 48)), probe(maps), drawn)
    (found,) = scan_cuts([cut], noisy_targets)
    return cut, found


def test_inputs_are_noisy_and_suppressed_as_the_field_allows_and_targets_are_not() -> None:
    cut, seen = scanned()
    pd, asked, _ = expose(cut.frames(), noise=False).magnitude
    fat = cut.maps.shares[INDEX["subcutaneous_fat"], 0] > 0.9
    assert float(seen.inputs[1][fat].mean()) > 2 * float(seen.targets[1][fat].mean())
    for target, clean in ((seen.targets[0], pd), (seen.targets[1], asked)):
        factors = target[clean > 0.2 * clean.max()] / clean[clean > 0.2 * clean.max()]
        assert float(factors.max() / factors.min()) == pytest.approx(1, abs=1e-4)
    assert float((seen.inputs[0] - seen.targets[0]).abs().max()) > 0.01
    noisy = scanned(noisy_targets=True)[1]
    torch.testing.assert_close(noisy.inputs, seen.inputs)
    torch.testing.assert_close(noisy.targets[0], noisy.inputs[0])
    assert not torch.allclose(noisy.targets[1], seen.targets[1])


def test_inputs_are_on_one_scale_per_scan() -> None:
    cut, seen = scanned()
    assert seen.inputs.shape == seen.targets.shape == (2, 48, 48)
    assert bool(torch.isfinite(seen.inputs).all()) and float(seen.inputs.min()) >= 0
    taken = expose(cut.frames()).magnitude[[0, 2]].clamp_min(1e-6)
    for factors, here in zip(seen.inputs / taken, seen.inputs > 0.2, strict=True):
        assert float(factors[here].max() / factors[here].min()) == pytest.approx(1, abs=1e-4)
