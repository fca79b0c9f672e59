# SPDX-License-Identifier: Apache-2.0
"""From measured scans to the gate's limits, by rules that do not look at what the limits are to catch."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from scripts.calibration.measured import LIMITS, REAL, Measured
from scripts.calibration.scans import SOUND, TRAINING
from scripts.quality.limits import Limits, Range
from scripts.simulation.preset import load_preset
from scripts.simulation.study import CONTRASTS, SIMULATOR_VERSION

PRESET = "randomised"
"""What the training data of the shipped weights are drawn from."""

BEYOND = 0.25
"""Limits lie beyond the most extreme scan by this share of its distance from the median; of the ratio, for ratios."""

REFUSED = {"body_mm2": 0.25, "snr": 0.5, "snr_in_body": 0.5}
"""Refused is what has less than this share of the least that was trained on, in either contrast."""

LEAST = {"void_mm2": 100.0, "ghosts": 0.01, "jumps_mm": 0.3}
"""Less than this is no reason for a warning, whatever simulated scans show: real ones are less clean."""

SATURATED_WARNED, SATURATED_REFUSED = 0.002, 0.02
"""Share of the body at the largest value; set by hand, since a scan that is not cut off has a voxel or two there."""

_HEAD = """# The limits of the gate, [lowest, highest] by contrast and measure; null is open. Written by
# `python -m scripts.calibration limits`, never by hand; bundle/docs/DICOM_INPUT.md says what they mean.
"""


def find_limits(rows: Sequence[Measured], train: Path) -> Limits:
    """Find the limits.

    What was trained on ends at the least of the training data and of simulated sound clinical scans; whatever else a
    scan may show ends where sound clinical scans end, simulated and real.

    Args:
        rows: measured scans.
        train: ``train.yaml`` of the shipped weights.
    """
    seen = [row for row in rows if row.part == LIMITS and row.artefact in (SOUND, TRAINING)]
    least_of_all = {name: Range(low=_rounded(share * min(_values(seen, name)), -1)) for name, share in REFUSED.items()}
    warned, refused = {}, {}
    for number, contrast in enumerate(CONTRASTS):
        own = [row for row in seen if row.contrast == contrast]
        sound = [row for row in own if row.artefact == SOUND]
        sound += [row for row in rows if row.part == REAL and row.contrast == contrast]
        limits = {name: Range(low=_least(_values(own, name))) for name in REFUSED}
        looks = _end(_values(sound, "polarity"), 1 if number == 0 else -1)
        limits["polarity"] = Range(high=looks) if number == 0 else Range(low=looks)
        limits |= {name: Range(high=max(_end(_values(sound, name), 1), least)) for name, least in LEAST.items()}
        warned[contrast] = limits | {"saturated": Range(high=SATURATED_WARNED), "empty_slices": Range(high=0.0)}
        refused[contrast] = least_of_all | {"saturated": Range(high=SATURATED_REFUSED)}
    count = {"knees": len({row.scan for row in seen if row.artefact == SOUND})}
    count["real_stacks"] = sum(row.part == REAL for row in rows)
    return Limits(_trained_grid(train), warned, refused, PRESET, {"simulator": SIMULATOR_VERSION, **count})


def local_limits(measured: Mapping[str, Sequence[Mapping[str, float | None]]], shipped: Limits) -> Limits:
    """Where to warn at a site, by the same rules, from its own sound scans alone; what is refused stays.

    A contrast without scans keeps the shipped ends, and so does what could not be measured on any of them.

    Args:
        measured: sound scans of the site by contrast, each as its measures by name.
        shipped: limits of the weights.
    """
    warned = {}
    for number, contrast in enumerate(CONTRASTS):
        ends = dict(shipped.warned[contrast])
        own = measured.get(contrast, ())

        def values(name: str, own: Sequence[Mapping[str, float | None]] = own) -> list[float]:
            return [value for one in own if (value := one.get(name)) is not None]

        ends |= {name: Range(low=_least(found)) for name in REFUSED if (found := values(name))}
        ends |= {
            name: Range(high=max(_end(found, 1), least)) for name, least in LEAST.items() if (found := values(name))
        }
        if looks := values("polarity"):
            ends["polarity"] = Range(high=_end(looks, 1)) if number == 0 else Range(low=_end(looks, -1))
        warned[contrast] = ends
    scans = {contrast: len(measured.get(contrast, ())) for contrast in CONTRASTS}
    return Limits(shipped.trained, warned, shipped.refused, shipped.preset, {"site_scans": scans})


def write_limits(limits: Limits, path: Path) -> None:
    """Write what `scripts.quality.limits.read_limits` reads."""
    content: dict[str, Any] = {"preset": limits.preset, "found_on": dict(limits.found_on)}
    content["trained"] = _plain(limits.trained.items())
    for part in ("warned", "refused"):
        content[part] = {contrast: _plain(one.items()) for contrast, one in getattr(limits, part).items()}
    text = yaml.safe_dump(content, sort_keys=False, default_flow_style=None, width=110)
    path.write_text(_HEAD + text, encoding="utf-8")


def _trained_grid(train: Path) -> dict[str, Range]:
    """Sizes of pixels, and distances of slices, that training shows the network."""
    config, stack = yaml.safe_load(train.read_text(encoding="utf-8")), load_preset(PRESET)["geometry"]["stack"]
    side, zoom = max(config["simulated"]["shape"][1:]), config["augmentation"]["zoom"]
    (near, far), (thin, thick), (close, apart) = (stack[name] for name in ("field_of_view", "thickness", "gap"))
    return {
        "pixel_mm": Range(_rounded(near / side / max(zoom), -1), _rounded(far / side / min(zoom), 1)),
        "slice_mm": Range(thin * (1 + close), thick * (1 + apart)),
    }


def _values(rows: Iterable[Measured], name: str) -> list[float]:
    values = [getattr(row.measures, name) for row in rows]
    return [value for value in values if value is not None]


def _end(values: Sequence[float], side: int) -> float:
    """A little beyond the largest (1) or the smallest (-1) value."""
    extreme = max(values) if side > 0 else min(values)
    return _rounded(extreme + BEYOND * (extreme - statistics.median(values)), side)


def _least(values: Sequence[float]) -> float:
    """A little below the smallest of what is compared by ratios: areas, and signal over noise. `_end` of logarithms."""
    least = min(values)
    return _rounded(least * (least / statistics.median(values)) ** BEYOND, -1)


def _rounded(value: float, side: int) -> float:
    """To two digits, towards the side."""
    if value == 0:
        return 0.0
    step = 10.0 ** (math.floor(math.log10(abs(value))) - 1)
    return float(f"{(math.ceil if side > 0 else math.floor)(value / step) * step:.6g}")


def _plain(ranges: Iterable[tuple[str, Range]]) -> dict[str, list[float | None]]:
    return {name: [one.low, one.high] for name, one in ranges}
