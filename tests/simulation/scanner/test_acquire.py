# SPDX-License-Identifier: Apache-2.0
"""Images of a simple object: formulas, noise, displacements, and that slices, batches and repeats agree."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import pytest
import torch

from scripts.simulation.maps import TissueMaps
from scripts.simulation.scanner.acquire import Images, acquire, expose
from scripts.simulation.scanner.coil import Coil, Element, shading
from scripts.simulation.scanner.field import Bump, Dipole, Field
from scripts.simulation.scanner.ghosts import Ghosts
from scripts.simulation.scanner.imaging import Frame
from scripts.simulation.scanner.k_space import Readout, fat_shift
from scripts.simulation.scanner.motion import Motion
from scripts.simulation.scanner.noise import Noise, amplification
from scripts.simulation.scanner.scan import Environment, Scan
from scripts.simulation.scanner.vendor import Vendor
from scripts.simulation.signal import FatSuppression, Sequence, nominal_pulse, suppressed_fraction, turbo_spin_echo
from scripts.simulation.tissue import FAT, INDEX, TissueTable

PLAIN = Scan(Sequence(2.7, 0.03, 1, 0.01), None, Readout(-1, 1e9), Noise(20.0))
"""A PD scan whose every imperfection is switched off."""
PULSE = FatSuppression(math.radians(90), 260.0, 0.01)
FS = replace(PLAIN, suppression=PULSE)
QUIET = Environment(3.0)
RING = tuple(
    Element((80 * math.cos(a), 80 * math.sin(a), 0.0), 50.0, 1.0, a, (0.01, 0.0, 0.0)) for a in (0.3, 1.9, 3.4, 5.0)
)
BUSY = Environment(
    3.0,
    Coil(RING, 0.05),
    Field((10.0, 20.0), (Bump((0.0, -50.0, 5.0), 15.0, 180.0),), (), 0.95, (Bump((20.0, 0.0, 0.0), 40.0, -0.1),)),
)
BUSY_PD = Scan(
    Sequence(2.4, 0.025, 9, 0.011, "linear", 0.95, 1.2),
    None,
    Readout(-2, 180.0, (0.9, 0.7), -1, 0.8, 0.4, True),
    Noise(25.0, 1.4),
    Ghosts(0.05, 0.3, 1.2, 0.4, 5),
    Motion(),
    Vendor(0.4, 0.5, 0.05, 900.0),
)
BUSY_FS = replace(
    BUSY_PD,
    suppression=PULSE,
    readout=Readout(-1, 210.0, (0.8, 0.8)),
    motion=Motion((1.5, -0.7), 0.02),
    noise=Noise(12.0),
    ghosts=Ghosts(),
)


def expected(maps: TissueMaps, scan: Scan, table: TissueTable) -> torch.Tensor:
    """Brightness of each voxel by the formulas alone, ``(D, H, W)``."""
    signal = turbo_spin_echo(scan.sequence, table.t1, table.t2) * table.density
    if scan.suppression is not None:
        for number in range(len(signal)):
            fat, water = suppressed_fraction(
                scan.suppression, torch.zeros(()), torch.ones(()), 3.0, float(table.t1[number]), float(table.t1[number])
            )
            signal[number] *= fat if FAT[number] else water
    return torch.einsum("c,cdhw->dhw", signal, maps.dense(slice(None))).abs()


@pytest.mark.parametrize("scan", [PLAIN, FS], ids=["pd", "pdfs"])
@pytest.mark.parametrize("nominal", [True, False])
@pytest.mark.parametrize("length", [1, 5])
def test_a_plain_scan_shows_the_formulas(
    leg: TissueMaps, table: TissueTable, scan: Scan, nominal: bool, length: int
) -> None:
    if length > 1:  # decay over the train leaves large regions as they are
        scan = replace(scan, sequence=replace(scan.sequence, echo_train_length=length, order="centric"))
    image = acquire(leg, scan, table, QUIET, 0, noise=False, nominal=nominal).clean
    if nominal and scan.suppression is not None:
        scan = replace(scan, suppression=nominal_pulse(QUIET.field_strength))
    wanted = expected(leg, scan, table)
    if length == 1:
        torch.testing.assert_close(image, wanted, atol=2e-4, rtol=1e-3)
    else:
        muscle = leg.compartment[0] == INDEX["muscle"]
        assert float(image[muscle].median()) == pytest.approx(float(wanted[muscle].median()), rel=0.03)
        assert float((image - wanted).abs().max()) > 0.02  # but edges are filtered


def test_decay_over_the_train_blurs_short_t2_along_the_phase_axis_only(
    pack: Callable[[torch.Tensor], TissueMaps], table: TissueTable
) -> None:
    sequence = Sequence(3.0, 0.01, 16, 0.01, "centric")

    def width(tissue: str, axis: int) -> float:
        point = torch.zeros(1, 64, 64, dtype=torch.uint8)
        point[0, 32, 32] = INDEX[tissue]
        scan = replace(PLAIN, sequence=sequence, readout=Readout(axis, 1e9))
        line = acquire(pack(point), scan, table, QUIET, 0, noise=False).clean[0, :, 32]
        return float(line.sum() / line[32])

    assert width("fluid", -1) < 1.6
    assert width("meniscus", -1) > 2 * width("fluid", -1)
    assert width("meniscus", -2) == pytest.approx(1, abs=0.01)


@pytest.mark.parametrize("receivers", [1, 4])
def test_air_and_tissue_have_the_stated_noise(
    pack: Callable[[torch.Tensor], TissueMaps], table: TissueTable, receivers: int
) -> None:
    what = torch.full((4, 64, 64), INDEX["air"])
    what[:, 20:44, 20:44] = INDEX["fluid"]
    environment = Environment(3.0, Coil(RING, 0.0, combined=receivers == 1))
    scan = replace(PLAIN, noise=Noise(40.0))
    seen = acquire(pack(what), scan, table, environment, 3)
    sigma = float(seen.sigma[0])
    muscle = turbo_spin_echo(scan.sequence, table.t1, table.t2) * table.density
    assert sigma == pytest.approx(float(muscle[INDEX["muscle"]]) / 40, rel=1e-4)
    air = seen.magnitude[:, :12]
    assert float(air.square().mean()) == pytest.approx(2 * receivers * sigma**2, rel=0.04)
    if receivers == 1:
        assert float(air.mean()) == pytest.approx(sigma * math.sqrt(math.pi / 2), rel=0.02)
    # Far above the noise one real component is seen, whatever the number of receivers.
    assert float((seen.magnitude - seen.clean)[:, 22:42, 22:42].std()) == pytest.approx(sigma, rel=0.06)


def test_noise_is_amplified_and_corrected_where_stated(leg: TissueMaps, table: TissueTable) -> None:
    empty = replace(leg, compartment=torch.zeros_like(leg.compartment))
    scan = replace(PLAIN, noise=Noise(20.0, 2.0), vendor=Vendor(normalisation=1.0))
    plain = acquire(empty, replace(PLAIN, noise=Noise(20.0)), table, BUSY, 1).magnitude
    seen = acquire(empty, scan, table, BUSY, 1).magnitude
    place = torch.arange(64.0) * 2.5 - 78.75
    points = torch.stack((place.expand(64, 64), place[:, None].expand(64, 64), torch.zeros(64, 64)))
    amplified = amplification(scan.noise, place[:, None] / 78.75, place / 78.75)
    torch.testing.assert_close((seen / plain)[1], amplified / shading(BUSY.coil, points), atol=0.01, rtol=0.01)
    assert float((seen / plain)[1, 0, 32]) < 0.6 * float((seen / plain)[1, 32, 32])


@pytest.mark.parametrize("axis", [-1, -2])
def test_fat_is_displaced_along_the_readout_and_water_is_not(
    pack: Callable[[torch.Tensor], TissueMaps], table: TissueTable, axis: int
) -> None:
    scan = replace(PLAIN, readout=Readout(axis, 106.0))
    pixels = round(fat_shift(scan.readout, 3.0, 96))
    assert pixels == -4
    for tissue, shift, share in (("subcutaneous_fat", pixels, 0.9), ("fluid", 0, 0.99)):
        point = torch.zeros(1, 64, 64, dtype=torch.uint8)
        point[0, 30:34, 30:34] = INDEX[tissue]
        maps = pack(point)
        still = acquire(maps, PLAIN, table, QUIET, 0, noise=False).clean
        moved = acquire(maps, scan, table, QUIET, 0, noise=False).clean
        assert float((moved * still.roll(shift, axis)).sum() / still.square().sum()) > share


def test_what_a_displacement_moves_in_is_anatomy_beside_the_field_of_view(
    pack: Callable[[torch.Tensor], TissueMaps], table: TissueTable
) -> None:
    what = torch.full((1, 64, 64), INDEX["muscle"])
    what[:, :32] = INDEX["subcutaneous_fat"]
    image = acquire(pack(what), replace(PLAIN, readout=Readout(-2, 106.0)), table, QUIET, 0, noise=False).clean[0]
    muscle = float(expected(pack(what), PLAIN, table)[0, 60, 30])
    assert float(image[-3:].mean()) == pytest.approx(muscle, rel=0.05)


def test_a_field_error_spares_fat_and_takes_water_but_not_nominally(leg: TissueMaps, table: TissueTable) -> None:
    off = Environment(3.0, field=Field((-434.0,)))
    fat, muscle = (leg.compartment[0] == INDEX[name] for name in ("subcutaneous_fat", "muscle"))
    full = acquire(leg, PLAIN, table, off, 0, noise=False).clean
    failed = acquire(leg, FS, table, off, 0, noise=False).clean
    assert float((failed / full)[fat].median()) > 0.85
    assert float((failed / full)[muscle].median()) < 0.05
    nominal = acquire(leg, FS, table, off, 0, noise=False, nominal=True).clean
    pulse = replace(FS, suppression=nominal_pulse(QUIET.field_strength))
    torch.testing.assert_close(nominal, acquire(leg, pulse, table, QUIET, 0, noise=False).clean, atol=1e-4, rtol=1e-3)


def test_ghosts_appear_along_the_phase_axis_and_not_nominally(leg: TissueMaps, table: TissueTable) -> None:
    train = replace(PLAIN, sequence=Sequence(2.7, 0.03, 8, 0.01))
    clean = acquire(leg, train, table, QUIET, 0, noise=False).clean
    for ghosts in (Ghosts(phase_error=0.2, seed=1), Ghosts(pulsation=1.0, heart_rate=1.3)):
        ghosted = replace(train, ghosts=ghosts)
        image = acquire(leg, ghosted, table, QUIET, 0, noise=False).clean
        assert float((image - clean)[:, :5, 20:44].abs().max()) > 0.005  # above and below the leg
        assert float((image - clean)[:, 20:44, :5].abs().max()) < 0.004  # not beside it
        nominal = acquire(leg, ghosted, table, QUIET, 0, noise=False, nominal=True).clean
        torch.testing.assert_close(nominal, clean, atol=1e-5, rtol=0)


def test_a_contrast_can_have_the_other_scans_geometry(leg: TissueMaps, table: TissueTable) -> None:
    def clean(scan: Scan, as_if: Scan | None) -> torch.Tensor:
        return acquire(leg, scan, table, BUSY, 0, noise=False, nominal=True, as_if=as_if).clean

    torch.testing.assert_close(clean(BUSY_PD, BUSY_PD), clean(BUSY_PD, None))
    other = clean(BUSY_PD, BUSY_FS)
    everything_of_the_other = replace(BUSY_FS, suppression=None, sequence=BUSY_PD.sequence)
    own_train = replace(everything_of_the_other, sequence=replace(BUSY_FS.sequence, echo_time=0.025))
    # One scan that has the contrast of the first and all else of the second.
    torch.testing.assert_close(other, clean(own_train, None), atol=2e-3, rtol=0)
    assert float((other - clean(BUSY_PD, None)).abs().mean()) > 0.003


def test_motion_moves_the_image(leg: TissueMaps, table: TissueTable) -> None:
    still = acquire(leg, PLAIN, table, QUIET, 0, noise=False).clean
    for axis in (-1, -2):
        scan = replace(PLAIN, readout=Readout(axis, 1e9), motion=Motion((2.0, -3.0)))
        moved = acquire(leg, scan, table, QUIET, 0, noise=False).clean
        torch.testing.assert_close(moved, still.roll((2, -3), (-2, -1)), atol=1e-3, rtol=0)
    soft = replace(PLAIN, readout=Readout(-1, 1e9, (0.6, 0.6), window=1.0), motion=Motion(angle=0.1))
    turned = [
        acquire(leg, replace(soft, readout=replace(soft.readout, axis=axis)), table, QUIET, 0, noise=False)
        for axis in (-1, -2)
    ]
    assert float((turned[0].clean - still).abs().mean()) > 0.005
    assert float((turned[0].clean - turned[1].clean).abs().mean()) < 0.003  # the same way for either readout


def test_metal_leaves_a_void_and_spoils_suppression_around_it(leg: TissueMaps, table: TissueTable) -> None:
    metal = Environment(3.0, field=Field(dipoles=(Dipole((0.0, 0.0, 0.0), 4.0, 7700.0),)))
    scan = replace(PLAIN, readout=Readout(-1, 150.0))
    without, near = (acquire(leg, scan, table, where, 0, [1], noise=False).clean[0] for where in (QUIET, metal))
    assert float(near[30:34, 30:34].mean()) < 0.5 * float(without[30:34, 30:34].mean())
    assert float((near - without)[:10, :10].abs().max()) < 0.01
    assert float(near.max()) > 1.2 * float(without.max())  # signal piled up
    fat = leg.compartment[0, 1] == INDEX["marrow_fat"]
    spoiled, nominal = (
        acquire(leg, replace(scan, suppression=PULSE), table, metal, 0, [1], noise=False, nominal=n).clean[0]
        for n in (False, True)
    )
    assert float(spoiled[fat].mean()) > 1.25 * float(nominal[fat].mean())


@pytest.mark.parametrize("combined", [True, False])
def test_slices_batches_and_repeats_agree(leg: TissueMaps, table: TissueTable, combined: bool) -> None:
    busy = replace(BUSY, coil=replace(BUSY.coil, combined=combined))
    stacks = [acquire(leg, scan, table, busy, 7 + n) for n, scan in enumerate((BUSY_PD, BUSY_FS))]
    again = acquire(leg, BUSY_PD, table, busy, 7)
    assert bool((again.magnitude == stacks[0].magnitude).all())
    some = acquire(leg, BUSY_FS, table, busy, 8, [2, 0])
    counted = 1 / 900 + 1e-6  # one stored value
    torch.testing.assert_close(some.magnitude, stacks[1].magnitude[[2, 0]], atol=counted, rtol=0)
    assert float((some.magnitude == stacks[1].magnitude[[2, 0]]).float().mean()) > 0.99
    other = replace(table, t2=table.t2 * 1.2)
    frames = [
        Frame(leg, index, scan, table, busy, 7 + n) for index in (1, 2) for n, scan in enumerate((BUSY_PD, BUSY_FS))
    ]
    batch = expose([*frames, Frame(leg, 1, FS, other, QUIET, 9)])
    for place, (scan, index) in enumerate(((0, 1), (1, 1), (0, 2), (1, 2))):
        torch.testing.assert_close(batch.magnitude[place], stacks[scan].magnitude[index], atol=counted, rtol=0)
    quiet = expose([frames[0], replace(frames[1], noisy=False)])
    torch.testing.assert_close(quiet.magnitude[0], batch.magnitude[0], atol=counted, rtol=0)
    torch.testing.assert_close(quiet.magnitude[1], batch.clean[1], atol=counted, rtol=0)
    alone = acquire(leg, FS, other, QUIET, 9, [1])
    torch.testing.assert_close(batch.magnitude[4], alone.magnitude[0], atol=1e-5, rtol=0)
    assert float(batch.sigma[4]) == float(alone.sigma[0])


def test_another_seed_is_other_noise_on_the_same_knee(leg: TissueMaps, table: TissueTable) -> None:
    first, second = (acquire(leg, PLAIN, table, QUIET, seed) for seed in (1, 2))
    assert bool((first.clean == second.clean).all())
    assert float((first.magnitude == second.magnitude).float().mean()) < 0.01
    difference = (first.magnitude - second.magnitude)[leg.compartment[0] == INDEX["muscle"]]
    assert float(difference.std()) == pytest.approx(math.sqrt(2) * float(first.sigma[0]), rel=0.1)


def test_what_changes_in_the_knee_changes_nothing_elsewhere(leg: TissueMaps, table: TissueTable) -> None:
    changed = replace(leg, compartment=leg.compartment.clone())
    changed.compartment[0, 1, 20:24, 20:24] = INDEX["oedema_water"]
    images: list[Images] = [acquire(maps, FS, table, BUSY, 5) for maps in (leg, changed)]
    difference = (images[0].magnitude - images[1].magnitude).abs()
    assert float(difference[1, 20:24, 20:24].mean()) > 0.02
    difference[1, 20:24, 20:24] = 0
    assert float(difference.max()) < 1e-5


def test_impossible_requests_are_refused(leg: TissueMaps, table: TissueTable) -> None:
    with pytest.raises(ValueError, match="nothing to image"):
        expose([])
    with pytest.raises(ValueError, match="not one of 3"):
        acquire(leg, PLAIN, table, QUIET, 0, [3])
    small = replace(leg, labels=leg.labels[:, :32], compartment=leg.compartment[:, :, :32], share=leg.share[:, :, :32])
    with pytest.raises(ValueError, match="one batch"):
        expose([Frame(leg, 0, PLAIN, table, QUIET, 0), Frame(small, 0, PLAIN, table, QUIET, 0)])
    with pytest.raises(ValueError, match="cannot image"):
        Environment(0.0)


@pytest.mark.parametrize("metal", [False, True])
@pytest.mark.parametrize("combined", [True, False])
def test_nothing_stays_behind_on_the_cpu(leg: TissueMaps, table: TissueTable, metal: bool, combined: bool) -> None:
    # The device "meta" holds no numbers, but refuses to be mixed with the CPU as a GPU does.
    field = replace(BUSY.field, dipoles=(Dipole((0.0, 0.0, 0.0), 4.0, 7700.0),) * metal)
    busy = replace(BUSY, coil=replace(BUSY.coil, combined=combined), field=field)
    scans = ((BUSY_PD, None, False), (BUSY_FS, None, False), (BUSY_FS, BUSY_PD, True))
    frames = [Frame(leg, 1, scan, table, busy, 7, as_if, nominal) for scan, as_if, nominal in scans]
    images = expose(frames, device="meta")
    assert images.magnitude.device.type == images.clean.device.type == images.sigma.device.type == "meta"
    assert images.magnitude.shape == (3, 64, 64)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_gpu_gives_the_same_images(leg: TissueMaps, table: TissueTable) -> None:
    smooth = replace(BUSY_FS, vendor=Vendor(0.4, 0.5, 0.05))
    cpu, gpu = (acquire(leg, smooth, table, BUSY, 7, device=device) for device in ("cpu", "cuda"))
    torch.testing.assert_close(gpu.magnitude.cpu(), cpu.magnitude, atol=1e-4, rtol=1e-3)
