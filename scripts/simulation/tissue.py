# SPDX-License-Identifier: Apache-2.0
"""What the simulated knee is made of: pure compartments with their relaxation times and proton density.

A voxel is a sum of compartments, each either water or fat, so that partial volume, marrow with any fat fraction and
fat suppression are all exact sums. Values are those of Gold et al., AJR 2004;183:343 (fat, marrow, muscle, cartilage,
fluid at 1.5 and 3 T) as tabulated with their spread in the project's literature notes; short-T2 tissues (meniscus,
ligament, tendon, cortex) are representative values of the same notes. The T2 of fat is the effective one of a fast
spin-echo train, 80-160 ms (Henkelman 1992; Pai 2008), not the intrinsic one. Incidental magnetisation transfer is
stronger than the published .85-.95 of muscle: in a real multi-slice multi-echo knee at 3 T, TR 2.45 s and TE 25 ms,
fat and marrow are 3.7 to 5 times as bright as muscle and fluid 2.6 to 2.9 times, which no T2 of muscle alone explains.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class Compartment:
    """One pure tissue component.

    Args:
        name: the compartment's name, also its key in label maps.
        t1: longitudinal relaxation time [s] at 1.5 T and at 3 T.
        t2: effective transverse relaxation time [s] at 1.5 T and at 3 T.
        density: proton density relative to free fluid (0..1).
        is_fat: fat resonance (chemically shifted, spectrally suppressed) or water.
        transfer: signal left after the incidental magnetisation transfer of a multi-slice TSE (0..1).
    """

    name: str
    t1: tuple[float, float]
    t2: tuple[float, float]
    density: float
    is_fat: bool = False
    transfer: float = 1.0


COMPARTMENTS: tuple[Compartment, ...] = (
    Compartment("air", (1.0, 1.0), (0.001, 0.001), 0.0),
    Compartment("subcutaneous_fat", (0.288, 0.371), (0.125, 0.115), 0.95, is_fat=True),
    Compartment("marrow_fat", (0.288, 0.365), (0.120, 0.110), 0.94, is_fat=True),
    Compartment("marrow_water", (0.900, 1.050), (0.050, 0.045), 0.80),
    Compartment("oedema_water", (1.100, 1.300), (0.075, 0.065), 0.88),
    Compartment("muscle", (1.130, 1.420), (0.037, 0.033), 0.78, transfer=0.70),
    Compartment("cartilage_deep", (1.000, 1.150), (0.036, 0.034), 0.76, transfer=0.75),
    Compartment("cartilage_superficial", (1.060, 1.260), (0.054, 0.050), 0.82, transfer=0.77),
    Compartment("fluid", (2.850, 3.620), (1.000, 0.767), 1.0),
    Compartment("meniscus", (0.700, 0.800), (0.011, 0.009), 0.65, transfer=0.80),
    Compartment("ligament", (0.700, 0.800), (0.014, 0.012), 0.62),
    Compartment("tendon", (0.550, 0.650), (0.005, 0.004), 0.55),
    Compartment("cortex", (0.220, 0.240), (0.001, 0.001), 0.15),
    Compartment("skin", (0.900, 1.100), (0.030, 0.025), 0.70),
    Compartment("connective", (0.900, 1.000), (0.028, 0.025), 0.65),
    Compartment("synovium", (1.000, 1.150), (0.055, 0.050), 0.80),
    Compartment("artery", (1.440, 1.930), (0.250, 0.200), 0.10),
    Compartment("vein", (1.440, 1.930), (0.150, 0.120), 0.70),
    Compartment("tear_fluid", (1.300, 1.500), (0.052, 0.046), 0.88),  # frayed, soaked fibres: T2 30-60 ms
    Compartment("blood", (0.950, 1.150), (0.110, 0.090), 0.92),  # settled cells of a fresh haemarthrosis
    Compartment("metal", (1.0, 1.0), (0.001, 0.001), 0.0),
)
INDEX: dict[str, int] = {tissue.name: i for i, tissue in enumerate(COMPARTMENTS)}
FAT: torch.Tensor = torch.tensor([tissue.is_fat for tissue in COMPARTMENTS])


@dataclass(frozen=True)
class TissueTable:
    """Relaxation times [s] and signal-bearing density of each compartment in one simulated knee, shape (C,)."""

    t1: torch.Tensor
    t2: torch.Tensor
    density: torch.Tensor


def draw_tissues(field_strength: float, generator: torch.Generator, spread: float = 1.0) -> TissueTable:
    """Draw one knee's tissue values around the table.

    Args:
        field_strength: static field [T]; values are interpolated linearly between 1.5 and 3 T and held beyond.
        generator: the source of randomness (CPU).
        spread: multiple of the published relative spread (T1 7 %, T2 15 %, density 4 %, one sigma); 0 gives the table.

    Returns:
        The drawn table; factors are cut at two and a half sigma.
    """
    weight = min(max((field_strength - 1.5) / 1.5, 0.0), 1.0)

    def around(pairs: list[tuple[float, float]], sigma: float) -> torch.Tensor:
        middle = torch.tensor([low * (1 - weight) + high * weight for low, high in pairs])
        noise = torch.randn(len(pairs), generator=generator).clamp(-2.5, 2.5)
        return middle * torch.exp(sigma * spread * noise)

    return TissueTable(
        t1=around([tissue.t1 for tissue in COMPARTMENTS], 0.07),
        t2=around([tissue.t2 for tissue in COMPARTMENTS], 0.15),
        density=around([(t.density * t.transfer, t.density * t.transfer) for t in COMPARTMENTS], 0.04),
    )
