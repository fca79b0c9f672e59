# SPDX-License-Identifier: Apache-2.0
"""Put a head and its calibration into a bundle: both files, then the record that vouches for them."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from scripts.handlers.files import write_atomically, write_text_atomically
from scripts.intervals.calibration import Calibration
from scripts.intervals.scale_network import ScaleNet
from scripts.synthesis.bundle import HASH_KEY
from scripts.synthesis.uncertainty import CALIBRATION, HEAD, KEY
from scripts.weights import load_weights


def read_head(path: Path, network: Mapping[str, Any] | None = None) -> tuple[ScaleNet, bytes]:
    """A trained head, and its weights as a bundle keeps them: the state alone.

    Args:
        path: ``model.pt``, or ``best.pt`` of a run.
        network: arguments of `ScaleNet`; the default ones if None.

    Raises:
        WeightsError: it is missing or was made for another network.
    """
    head = ScaleNet(**dict(network or {}))
    load_weights(head, path)
    stream = io.BytesIO()
    torch.save({name: value.clone() for name, value in head.state_dict().items()}, stream)
    return head.eval(), stream.getvalue()


def weights_of(root: Path) -> str:
    """Hash of the synthesis's weights, as they lie there."""
    return hashlib.sha256((root / "models" / "model.pt").read_bytes()).hexdigest()


def publish(root: Path, head: bytes, calibration: Calibration, network: Mapping[str, Any] | None = None) -> None:
    """Write the head, its calibration, and the record in ``metadata.json``, that last.

    Raises:
        ValueError: they do not belong to each other or to the bundle's weights.
    """
    digest = hashlib.sha256(head).hexdigest()
    if (calibration.head_sha256, calibration.weights_sha256) != (digest, weights_of(root)):
        raise ValueError("the calibration is of another head or of other weights; calibrate this one first")
    path = root / "configs" / "metadata.json"
    metadata = json.loads(path.read_text(encoding="utf-8"))
    record = {
        "weights_sha256": calibration.weights_sha256,
        "head_sha256": digest,
        "calibration_sha256": calibration.sha256,
        "network": dict(network or {}),
    }
    write_atomically(root / HEAD, lambda stream: stream.write(head))
    write_text_atomically(root / CALIBRATION, calibration.text)
    if metadata.get(KEY) != record:
        found: dict[str, Any] = {}
        for name, value in metadata.items():
            if name != KEY:
                found[name] = value
            if name == HASH_KEY:
                found[KEY] = record
        write_text_atomically(path, json.dumps(found, indent=4, ensure_ascii=False) + "\n")
