# SPDX-License-Identifier: Apache-2.0
"""Lesions looked for on PD, on synthetic PDFS and on acquired PDFS."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from scripts.study.detection import IMAGES, PATCH, detected, look_at, recovered
from scripts.study.knees import Twins
from scripts.study.page import detection_table, recovery_table
from scripts.study.results import DETECTED, RECOVERED, write_detection

SIDE = 72


def twins(number: int, on_pd: float | None = 0.0) -> Twins:
    """A lesion whose contrast on PDFS grows with the knee's number, and is ``on_pd`` on PD, or the same if None."""
    generator = torch.Generator().manual_seed(number)
    lesion = torch.zeros(3, SIDE, SIDE)
    lesion[1, 30:42, 30:42] = 1
    healthy = torch.full((2, 3, SIDE, SIDE), 0.4)
    contrast = 0.2 + 0.02 * number
    added = torch.stack([(contrast if on_pd is None else on_pd) * lesion, contrast * lesion])
    noise = 0.05 * torch.randn(healthy.shape, generator=generator)
    return Twins(
        patient=f"sim-{number}",
        kind="oedema",
        sources=(healthy + added + noise, healthy + noise),
        quiet=(healthy + added, healthy),
        targets=(healthy + added, healthy),
        lesion=lesion,
        sigma=(0.05, 0.05),
        size=5.0 + number,
    )


def test_an_observer_sees_on_a_copy_of_pd_what_pd_shows() -> None:
    seen = look_at(lambda source, target: source, [twins(number) for number in range(24)])
    assert seen[0].patches["PD"][0].shape == (PATCH, PATCH)
    by_image = {(one.size, one.image): one for one in detected(seen)}
    assert len(by_image) == 2 * len(IMAGES) and all(one.knees == 12 for one in by_image.values())
    for size in ("smaller", "larger"):
        pd, made, acquired = (by_image[size, image] for image in IMAGES)
        assert (made.held_out, made.area) == (pd.held_out, pd.area)
        assert pd.held_out < 0.5 and 0.3 < pd.area < 0.7  # nothing there: guessing
        assert acquired.held_out > 3 and acquired.area > 0.95
        assert acquired.resubstituted >= acquired.held_out
    assert by_image["smaller", "PD"].up_to < by_image["larger", "PD"].up_to


def test_contrast_is_recovered_where_the_source_shows_it_and_counted_apart() -> None:
    pairs = [twins(number, on_pd=0.3 if number % 2 else 0.0) for number in range(20)]
    seen = look_at(lambda source, target: source, pairs)
    shown, hidden = recovered([one.lesion for one in seen])
    assert (shown.visible, shown.lesions, hidden.visible, hidden.lesions) == (True, 10, False, 10)
    assert shown.slope == pytest.approx(0, abs=1e-6) and shown.intercept == pytest.approx(0.3, abs=1e-6)
    assert hidden.slope == pytest.approx(0, abs=1e-6) and hidden.intercept == pytest.approx(0, abs=1e-6)
    same = look_at(lambda source, target: source, [twins(number, on_pd=None) for number in range(8)])
    (full, none) = recovered([one.lesion for one in same])
    assert full.slope == pytest.approx(1) and full.low == pytest.approx(1) and none.lesions == 0


def test_what_was_seen_is_written_and_tabled(tmp_path: Path) -> None:
    seen = look_at(lambda source, target: source, [twins(number) for number in range(12)])
    write_detection(seen, "abc", tmp_path)
    assert {path.name for path in tmp_path.iterdir()} >= {DETECTED, RECOVERED, "lesions.csv", "observer.png"}
    assert (tmp_path / "weights.sha256").read_text() == "abc\n"
    assert "| oedema | smaller, up to 10 mm | 6 |" in detection_table(detected(seen))
    table = recovery_table(recovered([one.lesion for one in seen]))
    assert "| oedema | 0 |  | 12 |" in table and "nan" not in table
