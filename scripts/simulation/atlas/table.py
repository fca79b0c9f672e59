# SPDX-License-Identifier: Apache-2.0
"""Simulated against published and measured values, row by row."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from scripts.simulation.anatomy.measures import measure
from scripts.simulation.anatomy.parameters import KneeParameters
from scripts.simulation.anatomy.structures import LABEL
from scripts.simulation.atlas.scenes import plain
from scripts.simulation.atlas.texture import octave_variation
from scripts.simulation.maps import TissueMaps
from scripts.simulation.preset import load_preset
from scripts.simulation.relaxation import tissue_table
from scripts.simulation.scanner.acquire import acquire
from scripts.simulation.scanner.coil import Coil
from scripts.simulation.scanner.field import Field
from scripts.simulation.signal import Sequence
from scripts.simulation.stack import Stack
from scripts.simulation.study import StudyParameters, draw_study, map_study, without_lesions
from scripts.simulation.tissue import INDEX

REAL_SCAN, REAL_FAT_SAT, NOTES = "real scan", "real fat suppression", "project notes"
CARTILAGE, FEMUR, PATELLA, TEXTBOOK = "Eckstein 2001", "Kapur", "Huanmanop 2021", "textbook level"
"""Sources of the ranges; bundle/docs/SIMULATOR.md says what each is and how its range was made."""

TISSUES: Mapping[str, tuple[tuple[str, ...], tuple[str, ...], float]] = {
    # name: structures, compartments, the share of a voxel that these must fill (trabeculae and septa take theirs)
    "muscle": (("muscle",), ("muscle",), 0.8),
    "subcutaneous fat": (("subcutaneous_fat",), ("subcutaneous_fat",), 0.85),
    "marrow": (("femur", "tibia"), ("marrow_fat",), 0.8),
    "joint fluid": (("joint_fluid",), ("fluid",), 0.97),
    "cartilage": (
        ("femoral_cartilage", "patellar_cartilage", "medial_tibial_cartilage", "lateral_tibial_cartilage"),
        ("cartilage_deep", "cartilage_superficial"),
        0.97,
    ),
    "meniscus": (("medial_meniscus", "lateral_meniscus"), ("meniscus",), 0.97),
    "tendon": (("patellar_tendon", "quadriceps_tendon"), ("tendon",), 0.97),
}


@dataclass(frozen=True)
class Row:
    """One line: what was simulated, knee by knee, and what it should be.

    Args:
        name: what is compared.
        values: one per simulated knee.
        low: lower end of the published or measured range.
        high: its upper end.
        source: where the range is from.
    """

    name: str
    values: tuple[float, ...]
    low: float
    high: float
    source: str

    @property
    def mean(self) -> float:
        """Mean over the knees."""
        return sum(self.values) / len(self.values) if self.values else float("nan")

    @property
    def inside(self) -> bool:
        """Whether the mean lies in the range."""
        return self.low <= self.mean <= self.high


RANGES: tuple[tuple[str, float, float, str], ...] = (
    ("PD: subcutaneous fat / muscle", 3.52, 5.33, REAL_SCAN),
    ("PD: marrow / muscle", 3.29, 5.74, REAL_SCAN),
    ("PD: joint fluid / muscle", 2.24, 3.33, REAL_SCAN),
    ("PD: cartilage / muscle", 1.00, 1.56, REAL_SCAN),
    ("PD: meniscus / muscle", 0.112, 0.22, REAL_SCAN),
    ("PD: tendon / muscle", 0.0, 0.15, NOTES),
    ("PDFS: subcutaneous fat / muscle", 0.37, 0.79, REAL_FAT_SAT),
    ("PDFS: marrow / muscle", 0.17, 0.47, REAL_FAT_SAT),
    ("PDFS: joint fluid / cartilage", 1.1, 2.6, NOTES),
    ("fat left by suppression", 0.10, 0.18, NOTES),
    ("PD: SNR of muscle", 20.0, 40.0, NOTES),
    ("PDFS: SNR of muscle", 8.0, 25.0, NOTES),
    ("PD texture, marrow, octave 1", 0.022, 0.039, REAL_SCAN),
    ("PD texture, marrow, octave 2", 0.012, 0.032, REAL_SCAN),
    ("PD texture, marrow, octave 3", 0.006, 0.036, REAL_SCAN),
    ("PD texture, marrow, octave 4", 0.005, 0.039, REAL_SCAN),
    ("PD texture, muscle, octave 1", 0.032, 0.065, REAL_SCAN),
    ("PD texture, muscle, octave 2", 0.022, 0.056, REAL_SCAN),
    ("PD texture, muscle, octave 3", 0.012, 0.039, REAL_SCAN),
    ("PD texture, muscle, octave 4", 0.008, 0.024, REAL_SCAN),
    ("PD texture, subcutaneous fat, octave 1", 0.025, 0.044, REAL_SCAN),
    ("PD texture, subcutaneous fat, octave 2", 0.019, 0.038, REAL_SCAN),
    ("PD texture, subcutaneous fat, octave 3", 0.010, 0.032, REAL_SCAN),
    ("PD texture, subcutaneous fat, octave 4", 0.009, 0.024, REAL_SCAN),
    ("femoral cartilage, thickness [mm]", 1.57, 2.43, CARTILAGE),
    ("medial tibial cartilage, thickness [mm]", 1.57, 2.43, CARTILAGE),
    ("lateral tibial cartilage, thickness [mm]", 1.57, 2.43, CARTILAGE),
    ("patellar cartilage, thickness [mm]", 2.2, 3.3, CARTILAGE),
    ("femur, width between the epicondyles [mm]", 65.5, 90.7, FEMUR),
    ("tibia, width of the plateau [mm]", 65.0, 85.0, TEXTBOOK),
    ("tibia, depth of the plateau [mm]", 42.0, 60.0, TEXTBOOK),
    ("patella, width [mm]", 32.2, 53.4, PATELLA),
    ("patella, height [mm]", 31.8, 50.6, PATELLA),
    ("medial meniscus, width at its body [mm]", 7.0, 13.0, TEXTBOOK),
    ("lateral meniscus, width at its body [mm]", 7.0, 13.5, TEXTBOOK),
)
"""Rows of the table: name, lower and upper end of the range, source."""
_MEASURES = {
    "femoral cartilage, thickness [mm]": "femoral_cartilage_thickness",
    "medial tibial cartilage, thickness [mm]": "medial_tibial_cartilage_thickness",
    "lateral tibial cartilage, thickness [mm]": "lateral_tibial_cartilage_thickness",
    "patellar cartilage, thickness [mm]": "patellar_cartilage_thickness",
    "femur, width between the epicondyles [mm]": "femur_width",
    "tibia, width of the plateau [mm]": "tibia_width",
    "tibia, depth of the plateau [mm]": "tibia_depth",
    "patella, width [mm]": "patella_width",
    "patella, height [mm]": "patella_height",
    "medial meniscus, width at its body [mm]": "medial_meniscus_width",
    "lateral meniscus, width at its body [mm]": "lateral_meniscus_width",
}


def table(seeds: Iterable[int]) -> list[Row]:
    """Measure one simulated knee per seed: preset ``clinical`` at 3 T, without lesions and failures of the shim."""
    preset = load_preset("clinical")
    preset["scanner"]["field"]["failure_chance"] = 0.0  # the real scans that it is held against show none
    found: dict[str, list[float]] = defaultdict(list)
    for seed in seeds:
        drawn = draw_study(seed, preset, plane="sagittal", shape=(24, 256, 256), field_strength=3.0)
        drawn = without_lesions(drawn)
        for values in (_signals(drawn), _dimensions(drawn)):
            for name, value in values.items():
                found[name].append(value)
    return [Row(name, tuple(found[name]), low, high, source) for name, low, high, source in RANGES]


def as_markdown(rows: Iterable[Row]) -> str:
    """The table as it stands in the documentation."""
    lines = ["| what | simulated: mean (lowest to highest) | range | source | inside |", "|---|---|---|---|---|"]
    for row in rows:
        spread = f"{row.mean:.3g} ({min(row.values):.3g} to {max(row.values):.3g})" if row.values else "not found"
        verdict = "yes" if row.inside else "**no**"
        lines.append(f"| {row.name} | {spread} | {row.low:g} to {row.high:g} | {row.source} | {verdict} |")
    return "\n".join(lines) + "\n"


def regions(maps: TissueMaps) -> dict[str, Tensor]:
    """Voxels that one tissue fills, bool ``(D, H, W)`` by name of `TISSUES`."""
    shares = maps.dense(slice(None))
    found = {}
    for name, (structures, compartments, purity) in TISSUES.items():
        inside = torch.zeros_like(maps.labels, dtype=torch.bool)
        for structure in structures:
            inside |= maps.labels == LABEL[structure]
        found[name] = inside & (shares[[INDEX[one] for one in compartments]].sum(0) > purity)
    return found


def _signals(drawn: StudyParameters) -> dict[str, float]:
    """Signal, noise and texture of one knee."""
    stack = replace(drawn.stack, shape=(12, 256, 256), spacing=(8.0, 0.625, 0.625), thickness=3.0)
    maps = map_study(replace(drawn, stack=stack), sub_slices=3)
    tissues, scanner = tissue_table(drawn.tissues), plain(drawn.scanner)
    environment = replace(scanner.environment, coil=Coil())
    # As the real scan was taken: sequence, and an acquired matrix smaller than the image.
    sequence = Sequence(repetition_time=2.45, echo_time=0.0252, echo_train_length=1, echo_spacing=0.0063,
                        transfer=drawn.scanner.pd.sequence.transfer)  # fmt: skip
    readout = replace(scanner.pd.readout, matrix=(0.9, 0.75))
    pd = replace(scanner.pd, sequence=sequence, readout=readout, noise=replace(scanner.pd.noise, snr=60.0))
    image = acquire(maps, pd, tissues, environment, seed=1)
    # The real fat-suppressed slices are of three-dimensional scans: no magnetisation transfer from other slices.
    single = replace(scanner.pdfs, sequence=replace(scanner.pdfs.sequence, transfer=0.0))
    environment = replace(environment, field=drawn.scanner.environment.field)
    pdfs = acquire(maps, single, tissues, environment, seed=2)
    even = acquire(maps, single, tissues, replace(environment, field=Field()), seed=2)
    unsuppressed = acquire(maps, replace(single, suppression=None), tissues, environment, seed=2)
    where = regions(maps)
    solid = {name: where[name] for name in ("muscle", "subcutaneous fat", "marrow")}

    def mean(volume: Tensor, name: str) -> float:
        return float(volume[where[name]].mean())

    muscle, faint = mean(image.clean, "muscle"), mean(pdfs.clean, "muscle")
    found = {f"PD: {name} / muscle": mean(image.clean, name) / muscle for name in TISSUES if name != "muscle"}
    found |= {f"PDFS: {name} / muscle": mean(pdfs.clean, name) / faint for name in ("subcutaneous fat", "marrow")}
    found["PDFS: joint fluid / cartilage"] = mean(pdfs.clean, "joint fluid") / mean(pdfs.clean, "cartilage")
    fat = "subcutaneous fat"
    found["fat left by suppression"] = mean(even.clean, fat) / mean(unsuppressed.clean, fat)
    for name, scan in (("PD", drawn.scanner.pd), ("PDFS", drawn.scanner.pdfs)):
        seen = acquire(maps, scan, tissues, drawn.scanner.environment, seed=3)
        found[f"{name}: SNR of muscle"] = mean(seen.clean, "muscle") / float(seen.sigma.mean())
    for name, inside in solid.items():
        whole = _filled(inside)
        variations = [
            octave_variation(image.magnitude[i], whole[i]) for i in range(len(whole)) if int(whole[i].sum()) > 400
        ]
        for octave, values in enumerate(zip(*variations, strict=True), 1):
            found[f"PD texture, {name}, octave {octave}"] = sum(values) / len(values)
    return found


def _filled(inside: Tensor, margin: int = 2) -> Tensor:
    """A tissue's area in each slice with its own fine texture filled in, and away from its borders."""
    area = inside.float()[:, None]
    closed = -torch.nn.functional.max_pool2d(-torch.nn.functional.max_pool2d(area, 3, 1, 1), 3, 1, 1)
    size = 2 * margin + 3
    inner = -torch.nn.functional.max_pool2d(-closed, size, 1, size // 2)
    return inner[:, 0] > 0.5


def _dimensions(drawn: StudyParameters) -> dict[str, float]:
    """Dimensions of one knee, from its labels on a grid of .7 mm."""
    side = 1.0 if drawn.side == "L" else -1.0
    assert isinstance(drawn.anatomy, KneeParameters)
    x, y, z = drawn.anatomy.pose.shift
    stack = Stack("sagittal", (160, 190, 200), (0.7, 0.7, 0.7), 0.7, centre=(x, y - 6.0, z))
    maps = map_study(replace(drawn, stack=stack), sub_slices=1)
    to_knee = torch.diag(torch.tensor([side, 1.0, 1.0, 1.0], dtype=torch.float64)) @ maps.affine_lps
    sizes = measure(maps.labels, to_knee)
    return {name: sizes[key] for name, key in _MEASURES.items()}
