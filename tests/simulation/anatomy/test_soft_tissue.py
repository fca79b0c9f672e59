# SPDX-License-Identifier: Apache-2.0
"""Muscles, outline, vessels and random fields by themselves."""

from __future__ import annotations

import pytest
import torch

from scripts.simulation.anatomy.fields import RandomField, coarsely
from scripts.simulation.anatomy.frame import Frame, Pose
from scripts.simulation.anatomy.muscles import BELLIES, muscles
from scripts.simulation.anatomy.outline import fascia, fat_thickness
from scripts.simulation.anatomy.vessels import vessels

POSE = Pose(scale=(1.05, 0.95, 1.0), left=False, flexion=0.2, tilt=(0.1, 0.05, -0.2), shift=(3.0, -4.0, 5.0))


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def sheet(z: float, size: int = 96, step: float = 1.5) -> torch.Tensor:
    """An axial sheet of points ``(3, size, size)``."""
    at = (torch.arange(size) - size / 2) * step
    y, x = torch.meshgrid(at, at, indexing="ij")
    return torch.stack((x, y + 10, torch.full_like(x, z)))


@pytest.mark.parametrize("left", [False, True])
def test_the_frame_goes_there_and_back(left: bool) -> None:
    frame = Frame(Pose(POSE.scale, left, POSE.flexion, POSE.tilt, POSE.shift), generator())
    points = torch.randn(3, 200, generator=generator(1)) * 40
    torch.testing.assert_close(frame.to_knee(frame.to_scanner(points)), points, atol=0.02, rtol=0)


def test_a_left_knee_is_the_mirror_of_a_right_one() -> None:
    straight = {"scale": (1.0, 1.0, 1.0), "flexion": 0.0, "tilt": (0.0,) * 3, "shift": (0.0,) * 3, "bend": 0.0}
    right, left = (Frame(Pose(left=side, **straight), generator()) for side in (False, True))  # type: ignore[arg-type]
    points = torch.randn(3, 50, generator=generator(1)) * 40
    mirrored = points * torch.tensor([-1.0, 1.0, 1.0])[:, None]
    torch.testing.assert_close(right.to_knee(points), left.to_knee(mirrored))


def test_flexion_turns_the_lower_leg_and_leaves_the_thigh() -> None:
    bent = Frame(Pose((1.0,) * 3, True, 0.5, (0.0,) * 3, (0.0,) * 3, bend=0.0), generator())
    thigh, shin = torch.tensor([0.0, 0.0, 90.0]), torch.tensor([0.0, 0.0, -90.0])
    torch.testing.assert_close(bent.to_knee(thigh), thigh, atol=1e-3, rtol=0)
    assert bent.to_scanner(shin)[1] > 20  # the foot goes to the back


def test_random_fields_have_unit_variance_and_repeat() -> None:
    points = torch.rand(3, 20_000, generator=generator(1)) * 300
    for smooth in (False, True):
        field = RandomField(generator(), nodes=16, channels=2, smooth=smooth)
        values = field(points, (5.0, 5.0, 5.0))
        assert values.shape == (2, 20_000)
        assert float(values.std()) == pytest.approx(1.0 if smooth else 0.55, abs=0.15)
        torch.testing.assert_close(field(points + 16 * 5.0, (5.0,) * 3), values, atol=1e-2, rtol=0)


def test_interpolating_a_distance_hardly_moves_the_surface() -> None:
    points = sheet(10.0, size=225, step=0.6)
    exact = fascia(points)
    close = coarsely(lambda at: fascia(at)[None], points, 3)[0]
    assert close.shape == exact.shape
    near = exact.abs() < 2
    assert float(near.float().sum()) > 500
    assert float((close - exact)[near].abs().max()) < 0.1  # mm


@pytest.mark.parametrize("z", [110.0, 70.0, 40.0, -40.0, -70.0, -110.0])
def test_bellies_stay_within_their_fascia(z: float) -> None:
    q = sheet(z)
    outside = (muscles(q).distance < 0) & (fascia(q) > 4)
    assert float(outside.float().sum()) / float((muscles(q).distance < 0).float().sum()) < 0.06


def test_every_belly_is_somewhere_the_nearest() -> None:
    found = set()
    for z in range(-150, 150, 12):
        bellies = muscles(sheet(float(z), step=2.0))
        found |= set(bellies.which[bellies.distance < 0].unique().int().tolist())
    assert found == set(range(len(BELLIES)))


def test_a_muscular_leg_has_more_muscle() -> None:
    q = sheet(80.0)
    thin, thick = ((muscles(q, bulk).distance < 0).sum() for bulk in (0.8, 1.2))
    assert thick > 1.2 * thin


def test_fat_is_thinner_over_the_patella_than_behind_the_thigh() -> None:
    front, hind = torch.tensor([0.0, -60.0, 28.0]), torch.tensor([0.0, 60.0, 60.0])
    zero = torch.zeros(())
    assert fat_thickness(front, 8.0, zero) < 0.6 * fat_thickness(hind, 8.0, zero)


def test_vessels_run_through_the_popliteal_fossa() -> None:
    found = vessels(sheet(20.0, size=180, step=0.7))
    for name in ("artery", "vein", "nerve"):
        assert float((found[name] < 0).float().sum()) * 0.7**2 > 12, name  # mm^2
    assert set(found) == {"artery", "vein", "nerve", "superficial_vein"}
