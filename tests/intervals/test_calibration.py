# SPDX-License-Identifier: Apache-2.0
"""Factors that make intervals hold in each group, and the file that keeps them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import jsonschema
import pytest
import torch

from scripts.errors import UsageError
from scripts.intervals.calibration import SCHEMA, Calibration, Pair, calibrate, read_calibration
from scripts.intervals.scale_network import TISSUES

HASHES = ("ab" * 32, "cd" * 32)
SHAPE = (4, 24, 24)
FAT, MUSCLE, FLUID = (TISSUES.index(name) for name in ("subcutaneous fat", "muscle", "fluid"))
WRONG = {FAT: 4.0, MUSCLE: 0.5, FLUID: 8.0}
"""Error over the scale that is predicted, by tissue."""


def pairs(count: int, seed: int = 0, target: str = "PDFS", labelled: bool = True) -> Iterator[Pair]:
    """Patients with much fat and muscle, which the head tells apart, and some fluid, which it half takes for fat."""
    generator = torch.Generator().manual_seed(seed)
    for number in range(count):
        source, prediction, drawn, taken = torch.rand(4, *SHAPE, generator=generator)
        tissue = torch.where(drawn < 0.1, FLUID, torch.where(drawn < 0.55, FAT, MUSCLE))
        seen = torch.zeros(len(TISSUES), *SHAPE, dtype=torch.uint8)
        seen[FAT] = torch.where(tissue == FAT, 240, 0) + torch.where((tissue == FLUID) & (taken < 0.5), 200, 0)
        seen[MUSCLE] = torch.where(tissue == MUSCLE, 255, 0)
        seen[FLUID] = (255 - seen[FAT].int() - seen[MUSCLE].int()).to(torch.uint8)
        scale = torch.where(torch.rand(SHAPE, generator=generator) < 0.5, 0.02, 0.1)
        wrong = sum(factor * (tissue == name) for name, factor in WRONG.items()) * torch.exp(
            0.2 * torch.randn(1, generator=generator)
        )
        truth = prediction + wrong * scale * torch.randn(SHAPE, generator=generator)
        body = torch.ones(SHAPE) > 0
        yield Pair(
            f"p{number}", target, source, prediction, scale, truth, body, seen, tissue if labelled else None
        )  # fmt: skip


@pytest.fixture(scope="module")
def calibration() -> Calibration:
    return calibrate([*pairs(40), *pairs(40, 1, "PD")], *HASHES, made={"site": "test"})


def covered(calibration: Calibration, by_sight: bool = False) -> dict[int, float]:
    """Mean coverage of each tissue in patients that nothing was calibrated on."""
    shares: dict[int, list[float]] = {name: [] for name in WRONG}
    for pair in pairs(40, seed=7):
        width = calibration.half_width(pair.scale, pair.seen, "PDFS")
        within = (pair.truth - pair.prediction).abs() <= width
        group = pair.seen.argmax(0) if by_sight else pair.tissue
        assert group is not None
        for name in shares:
            shares[name].append(float(within[group == name].float().mean()))
    return {name: sum(some) / len(some) for name, some in shares.items()}


def test_each_true_tissue_of_new_patients_is_covered_also_where_it_is_taken_for_another(
    calibration: Calibration,
) -> None:
    assert calibration.labelled
    for name, share in covered(calibration).items():
        assert 0.87 <= share <= 0.95, TISSUES[name]


def test_without_labels_each_tissue_that_is_seen_is_covered_and_a_hidden_one_is_not() -> None:
    found = calibrate(pairs(40, labelled=False), *HASHES)
    assert not found.labelled
    for name, share in covered(found, by_sight=True).items():
        assert 0.87 <= share <= 0.95, TISSUES[name]
    assert covered(found)[FLUID] < 0.87


def test_a_tissue_that_few_patients_have_keeps_its_ratio_to_the_others(calibration: Calibration) -> None:
    found = calibrate(pairs(10, seed=3, labelled=False), *HASHES, start=calibration).factors["PDFS"]
    ratios = [mine / other for mine, other in zip(found, calibration.factors["PDFS"], strict=True)]
    assert max(ratios) == pytest.approx(min(ratios), rel=1e-5)
    plain = calibrate(pairs(10, seed=3, labelled=False), *HASHES).factors["PDFS"]
    assert max(plain) == pytest.approx(min(plain), rel=1e-5)
    own = calibrate(pairs(40, labelled=False), *HASHES, start=calibration).factors["PDFS"]
    assert own[TISSUES.index("meniscus")] / own[TISSUES.index("other")] == pytest.approx(1)  # nobody has either
    assert own[FAT] > 4 * own[MUSCLE]


def test_the_thousandth_pixel_says_what_all_would() -> None:
    many = list(pairs(20))
    whole = [
        replace(pair, **{
            name: torch.cat([getattr(pair, name)] * 8, -1)
            for name in ("source", "prediction", "scale", "truth", "body", "seen", "tissue")
        })
        for pair in many
    ]  # fmt: skip
    few, all_ = (calibrate(some, *HASHES).factors["PDFS"] for some in (many, whole))
    for one, other in zip(few, all_, strict=True):
        assert one == pytest.approx(other, rel=0.05)


def test_the_file_gives_the_same_intervals_and_fits_its_schema(calibration: Calibration, tmp_path: Path) -> None:
    path = tmp_path / "c.json"
    path.write_text(calibration.text, encoding="utf-8")
    jsonschema.validate(json.loads(calibration.text), json.loads(SCHEMA.read_text(encoding="utf-8")))
    assert read_calibration(path) == calibration
    assert read_calibration(path).sha256 == calibration.sha256


@pytest.mark.parametrize(
    "damage",
    [
        lambda c: c.pop("tissues"),
        lambda c: c.update(kind="something else"),
        lambda c: c.update(version=1),
        lambda c: c["directions"]["PD"]["factors"].pop(),
        lambda c: c["directions"]["PD"]["factors"].__setitem__(0, -1),
        lambda c: c["tissues"].reverse(),
    ],
)
def test_what_is_no_calibration_is_refused(calibration: Calibration, tmp_path: Path, damage) -> None:
    content = json.loads(calibration.text)
    damage(content)
    (tmp_path / "c.json").write_text(json.dumps(content))
    with pytest.raises(UsageError, match=r"c\.json: not a calibration"):
        read_calibration(tmp_path / "c.json")


def test_missing_files_directions_patients_and_grids_are_refused(calibration: Calibration, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"none\.json"):
        read_calibration(tmp_path / "none.json")
    one = torch.ones(2)
    with pytest.raises(UsageError, match="has no T2"):
        calibration.half_width(one, one, "T2")
    with pytest.raises(UsageError, match=r"8 patients .* need 9"):
        calibrate(pairs(8), *HASHES)
    with pytest.raises(UsageError, match="no pairs"):
        calibrate([], *HASHES)
    with pytest.raises(UsageError, match="one grid"):
        calibrate((replace(pair, truth=pair.truth[1:]) for pair in pairs(9)), *HASHES)
