# SPDX-License-Identifier: Apache-2.0
"""Draw a scanner: two scans with sequences, readouts and noise of their own in one coil and one field."""

from __future__ import annotations

import math
from dataclasses import replace

from scripts.simulation.ranges import Ranges
from scripts.simulation.scanner.coil import Coil, Element
from scripts.simulation.scanner.field import Bump, Field, Place
from scripts.simulation.scanner.ghosts import Ghosts
from scripts.simulation.scanner.k_space import Readout
from scripts.simulation.scanner.motion import Motion
from scripts.simulation.scanner.noise import Noise
from scripts.simulation.scanner.scan import Environment, Scan, ScannerParameters
from scripts.simulation.scanner.vendor import Vendor
from scripts.simulation.signal import GYROMAGNETIC_RATIO, FatSuppression, Sequence
from scripts.simulation.tissue import COMPARTMENTS, INDEX

PATELLA: Place = (0.0, -50.0, 25.0)
"""Where the patella usually is [mm]: in front of the joint and a little above it."""


def draw_scanner(ranges: Ranges, field_strength: float) -> ScannerParameters:
    """Draw both scans of a study and what surrounds the knee.

    Args:
        ranges: section ``scanner``.
        field_strength: static field [T]; field errors and bands are stated relative to it.
    """
    environment = Environment(
        field_strength=field_strength,
        coil=draw_coil(ranges.section("coil")),
        field=draw_field(ranges.section("field"), field_strength),
    )
    axes = ranges.section("axes")
    axis = -1 if axes.choose("readout") == "columns" else -2
    turned = axes.happens("turned")
    pd = draw_scan(ranges.section("pd"), axis)
    pdfs = draw_scan(ranges.section("pdfs"), -3 - axis if turned else axis)
    # Magnetisation transfer comes from the other slices' pulses: scans of one examination are alike in that.
    shared = replace(pdfs.sequence, transfer=pd.sequence.transfer)
    suppression = draw_suppression(ranges.section("suppression"), field_strength)
    motion = draw_motion(ranges.section("motion"))
    return ScannerParameters(environment, pd, replace(pdfs, sequence=shared, suppression=suppression, motion=motion))


def draw_scan(ranges: Ranges, readout_axis: int) -> Scan:
    """Draw one scan, without suppression and motion."""
    echo_time, spacing, length = (ranges.value(name) for name in ("echo_time", "echo_spacing", "echo_train_length"))
    # Trains much longer than twice the effective echo blur and ring; protocols for proton density avoid them.
    longest = ranges.value("longest_train") * max(1, round(echo_time / spacing)) + 1
    sequence = Sequence(
        repetition_time=ranges.value("repetition_time"),
        echo_time=echo_time,
        echo_train_length=max(1, round(min(length, longest))),
        echo_spacing=spacing,
        order=ranges.choose("order"),
        transverse=ranges.value("transverse"),
        transfer=ranges.value("transfer"),
    )
    readout = Readout(
        axis=readout_axis,
        bandwidth=ranges.value("bandwidth"),
        matrix=(ranges.value("matrix_readout"), ranges.value("matrix_phase")),
        polarity=1 if ranges.happens("polarity") else -1,
        partial_fourier=_sometimes(ranges, "partial_fourier", 1.0),
        window=ranges.value("window"),
        elliptical=ranges.happens("elliptical"),
    )
    noise = Noise(snr=ranges.value("snr"), g_factor=_sometimes(ranges, "g_factor", 1.0))
    ghosts = Ghosts(
        phase_error=_sometimes(ranges, "phase_error", 0.0),
        pulsation=_sometimes(ranges, "pulsation", 0.0),
        heart_rate=ranges.value("heart_rate"),
        heart_phase=ranges.uniform(0, 2 * math.pi),
        seed=int(ranges.uniform(0, 1 << 24)),
    )
    vendor = Vendor(
        normalisation=_sometimes(ranges, "normalisation", 0.0),
        sharpening=_sometimes(ranges, "sharpening", 0.0),
        fade=_sometimes(ranges, "fade", 0.0),
        counts=ranges.value("counts"),
    )
    return Scan(sequence, None, readout, noise, ghosts, Motion(), vendor)


def draw_suppression(ranges: Ranges, field_strength: float) -> FatSuppression:
    """Draw the fat-suppression pulse: a saturation, or an adiabatic inversion that nulls fat."""
    larmor = GYROMAGNETIC_RATIO * field_strength
    adiabatic = ranges.happens("adiabatic")
    flip_angle, delay, error = ranges.value("flip_angle"), ranges.value("delay"), ranges.value("inversion_error")
    if adiabatic:
        weight = min(max((field_strength - 1.5) / 1.5, 0.0), 1.0)
        low, high = COMPARTMENTS[INDEX["subcutaneous_fat"]].t1
        flip_angle, delay = math.pi, (low * (1 - weight) + high * weight) * math.log(2) * (1 + error)
    return FatSuppression(
        flip_angle=flip_angle,
        bandwidth=ranges.value("bandwidth") * 1e-6 * larmor,
        delay=delay,
        olefinic=ranges.value("olefinic"),
        offset=ranges.value("offset") * 1e-6 * larmor,
        adiabatic=adiabatic,
    )


def draw_motion(ranges: Ranges) -> Motion:
    """Draw how the knee moved between the scans."""
    moved = ranges.happens("chance")
    shift, angle = (ranges.value("shift"), ranges.value("shift")), ranges.value("angle")
    far = ranges.happens("far_chance")
    near_through, far_through = ranges.value("through_plane"), ranges.value("far_through_plane")
    return Motion(shift, angle, far_through if far else near_through) if moved else Motion()


def draw_coil(ranges: Ranges) -> Coil:
    """Draw a coil: loops around the leg, in two rings where there are more than four, stronger on one side."""
    count = int(ranges.choose("elements"))
    radius, height, first = ranges.value("radius"), ranges.value("height"), ranges.uniform(0, 2 * math.pi)
    centre = ranges.value("centre")
    side, strongest = ranges.value("one_sided"), ranges.uniform(0, 2 * math.pi)
    elements = []
    for number in range(count):
        angle = first + 2 * math.pi * number / count + ranges.uniform(-0.2, 0.2)
        ring = 0.0 if count <= 4 else height * (-1) ** number
        strength = math.exp(ranges.value("spread") + side * math.cos(angle - strongest))
        elements.append(
            Element(
                position=(radius * math.cos(angle), radius * math.sin(angle), centre + ring),
                reach=ranges.value("reach"),
                strength=strength,
                phase=ranges.uniform(-math.pi, math.pi),
                turn=(ranges.value("turn"), ranges.value("turn"), ranges.value("turn")),
            )
        )
    return Coil(tuple(elements), ranges.value("uniform"), ranges.happens("combined"))


def draw_field(ranges: Ranges, field_strength: float) -> Field:
    """Draw the errors of the fields: what the shim left, bumps beside patella and skin, failures, transmit lobes."""
    hertz = GYROMAGNETIC_RATIO * field_strength * 1e-6  # of one part per million
    shim = [ranges.value("bulk") * hertz]
    shim += [ranges.value("linear") * hertz for _ in range(3)] + [ranges.value("quadratic") * hertz for _ in range(5)]
    failed, failure, sign = ranges.happens("failure_chance"), ranges.value("failure"), ranges.uniform(-1, 1)
    term = int(ranges.uniform(0, 5))  # one of the mean, x, y, z and, as coils end, the last
    if failed:
        shim[-1 if term == 4 else term] += math.copysign(failure * hertz, sign)
    x, y, z = (place + ranges.uniform(-10, 10) for place in PATELLA)
    bumps = [Bump((x, y, z), ranges.value("bump_radius"), ranges.value("bump") * hertz)]
    for _ in range(round(ranges.value("bumps"))):
        angle, distance = ranges.uniform(0, 2 * math.pi), ranges.uniform(45, 75)
        place = (distance * math.cos(angle), distance * math.sin(angle), ranges.uniform(-70, 70))
        bumps.append(Bump(place, ranges.value("bump_radius"), ranges.value("bump") * hertz))
    lobes = []
    for _ in range(2):
        place = (ranges.uniform(-60, 60), ranges.uniform(-60, 60), ranges.uniform(-60, 60))
        lobes.append(Bump(place, ranges.value("lobe_radius"), ranges.value("lobe") * field_strength / 3))
    return Field(tuple(shim), tuple(bumps), (), ranges.value("transmit"), tuple(lobes))


def _sometimes(ranges: Ranges, name: str, neutral: float) -> float:
    """The drawn value in a share ``<name>_chance`` of scans, else what does nothing; draws the same numbers always."""
    happens, value = ranges.happens(f"{name}_chance"), ranges.value(name)
    return value if happens else neutral
