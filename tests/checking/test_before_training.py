# SPDX-License-Identifier: Apache-2.0
"""A training looks at its own pairs first: what it would fail on is refused, what is doubtful is said."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from scripts.checking.training import check_before_training
from scripts.data.pairs import pairs
from scripts.errors import DecodeError, GeometryError
from scripts.transforms.pair import OrderPair

Dataset = Callable[..., Path]


def sections(root: Path) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    training, validation = (pairs(str(root), "", section, {}) for section in ("training", "validation"))
    return training, validation


def test_sound_pairs_pass_in_silence(dataset: Dataset, caplog: pytest.LogCaptureFixture) -> None:
    check_before_training(*sections(dataset()))
    said = [one.getMessage() for one in caplog.records if one.levelno >= logging.WARNING]
    assert all("size" in one for one in said)  # coarse pixels of a small test


def cut(volumes: Any) -> None:
    voxels, affine = volumes["knee1"]["PDFS"]
    volumes["knee1"]["PDFS"] = (voxels[:, 6:], affine)


def test_what_training_would_fail_on_is_refused(dataset: Dataset) -> None:
    with pytest.raises(GeometryError, match=r"1 pair lies on two grids.*12 slices of 106 x 112.*kneesynth pair"):
        check_before_training(*sections(dataset(cut)))
    check_before_training(*sections(dataset(cut)), enabled=False)
    root = dataset()
    file = root / "knee4" / "PD.nii"  # the one to validate on
    file.write_bytes(file.read_bytes()[:5000])
    with pytest.raises(DecodeError, match="cannot be read") as caught:
        check_before_training(*sections(root))
    assert "knee4" not in str(caught.value)  # a folder's name may be a person's


def test_a_grid_is_refused_even_where_no_slice_is_looked_at(dataset: Dataset) -> None:
    training, validation = sections(dataset(cut))
    order = sorted(training, key=lambda item: item["patient"] == "knee1")
    with pytest.raises(GeometryError):
        check_before_training([order[0], order[-1], *order[1:-1]], validation, most=2)


def test_what_is_doubtful_is_said(dataset: Dataset, caplog: pytest.LogCaptureFixture) -> None:
    def shift(volumes: Any) -> None:
        voxels, affine = volumes["knee0"]["PDFS"]
        volumes["knee0"]["PDFS"] = (np.roll(voxels, 6, axis=2), affine)

    check_before_training(*sections(dataset(shift)))
    assert "1 pair fits best when PDFS is moved (training-" in caplog.text and "knee0" not in caplog.text


def test_a_server_that_hands_over_pdfs_first_is_understood(dataset: Dataset, caplog: pytest.LogCaptureFixture) -> None:
    turned = [
        [item | {"image": item["label"], "label": item["image"]} for item in part] for part in sections(dataset())
    ]
    check_before_training(*turned, order=OrderPair("PD", ["PD", "PDFS"]))
    assert "filed as" not in caplog.text
    check_before_training(*turned)
    assert "filed as" in caplog.text


def test_simulated_and_loaded_pairs_are_passed_over() -> None:
    check_before_training([{"maps": "nowhere.pt", "preset": "clinical"}], [])
    check_before_training([{"image": torch.rand(1, 2, 2, 2), "label": torch.rand(1, 2, 2, 3)}], [])
