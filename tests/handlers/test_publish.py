# SPDX-License-Identifier: Apache-2.0
"""A finished run's weights become the bundle's own, and the former ones stay beside them."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest
from ignite.engine import Engine, Events

from scripts.handlers.publish import PublishWeights


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    root = tmp_path / "bundle"
    (root / "configs").mkdir(parents=True)
    (root / "models").mkdir()
    (root / "models" / "model.pt").write_bytes(b"old")
    (root / "configs" / "metadata.json").write_text(json.dumps({"version": "1.0.0", "weights_sha256": "of the old"}))
    return root


def train(bundle: Path, name: str, killed: bool = False) -> None:
    run_dir = bundle.parent / name
    run_dir.mkdir()
    engine = Engine(lambda *_: None)

    def checkpoint() -> None:
        (run_dir / "model.pt").write_bytes(f"of {name}".encode())
        if killed:
            raise KeyboardInterrupt

    engine.add_event_handler(Events.EPOCH_COMPLETED, checkpoint)
    PublishWeights(str(run_dir), str(bundle)).attach(engine)
    engine.run([0], max_epochs=1)


def test_new_weights_take_the_place_and_the_hash_and_all_former_ones_are_kept(bundle: Path) -> None:
    train(bundle, "first")
    train(bundle, "second")
    models = {path.name: path.read_bytes() for path in (bundle / "models").iterdir()}
    assert models == {
        "model.pt": b"of second",
        "model_before_first.pt": b"old",
        "model_before_second.pt": b"of first",
    }
    metadata = json.loads((bundle / "configs" / "metadata.json").read_text())
    assert metadata == {"version": "1.0.0", "weights_sha256": hashlib.sha256(b"of second").hexdigest()}


def test_a_run_that_is_killed_changes_nothing(bundle: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        train(bundle, "killed", killed=True)
    assert [path.read_bytes() for path in (bundle / "models").iterdir()] == [b"old"]
    assert json.loads((bundle / "configs" / "metadata.json").read_text())["weights_sha256"] == "of the old"
