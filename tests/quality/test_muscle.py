# SPDX-License-Identifier: Apache-2.0
"""Muscle is found without labels: its signal on simulated knees, and nothing where there is none."""

from __future__ import annotations

import statistics

import pytest
import torch

from scripts.body import body_mask, body_scale
from scripts.metrics.body import fill_body
from scripts.quality.muscle import muscle_signal
from scripts.simulation.anatomy.structures import LABEL
from scripts.simulation.study import draw_study, simulate_study


def test_the_signal_of_muscle_is_found_on_either_contrast() -> None:
    ratios = []
    for seed, plane in ((41, "sagittal"), (42, "coronal"), (43, "axial")):
        study = simulate_study(draw_study(seed, "clinical", plane=plane, shape=(3, 112, 112)))
        given, asked = ([one / body_scale(one) for one in volumes] for volumes in (study.noisy, study.clean))
        muscle = study.labels == LABEL["muscle"]
        for pd, pdfs, of in ((given[0], asked[1], asked[1]), (asked[0], given[1], asked[0])):
            body = fill_body(body_mask(pd) | body_mask(pdfs))
            found = muscle_signal(pd, pdfs, body, study.parameters.stack.spacing[1], of)
            assert found is not None
            ratios.append(found / float(of[muscle].median()))
    assert statistics.median(ratios) == pytest.approx(1, abs=0.15)
    assert min(ratios) > 0.5 and max(ratios) < 2.2


def test_nothing_is_found_in_noise_or_in_a_small_image() -> None:
    noise = torch.rand(3, 40, 40, generator=torch.Generator().manual_seed(0))
    body = torch.ones_like(noise) > 0
    assert muscle_signal(noise, noise.flip(0), body, 0.6, noise) is None
    even = torch.full((1, 12, 12), 0.3)
    assert muscle_signal(even, even, torch.ones_like(even) > 0, 0.6, even) is None
