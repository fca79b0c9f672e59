# SPDX-License-Identifier: Apache-2.0
"""From a training of another width to a synthesis by its package, with nothing but the bundle's zip to begin with."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from scripts.packaging.archive import sha256

Run = Callable[..., subprocess.CompletedProcess[str]]
WIDTHS = (
    "network_def.encoder={features: [6, 12], latent_channels: 10}",
    "network_def.decoder_a={features: [12, 6]}",
    "network_def.decoder_b={features: [12, 6]}",
)
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def archive(unpacked: Path, pairs: Path, alone: Run, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Zip of the weights of one epoch on the user's own pairs."""
    place = tmp_path_factory.mktemp("own")
    settings = (*WIDTHS, f"dataset_dir={pairs}", f"output_dir={place / 'runs'}", "augmentation.size=[24, 24]")
    alone("-m", "scripts", "train", "--config", "configs/smoke.yaml", "--epochs", 1, *settings, cwd=unpacked)
    (run,) = (place / "runs").iterdir()
    named = ("--name", "our_knees", "--version", "2.0.1", "-o", place / "dist")
    done = alone("-m", "scripts", "package", "--checkpoint", run / "best.pt", *named, cwd=unpacked)
    path = place / "dist" / "our_knees_v2.0.1.zip"
    assert f"sha256 {sha256(path.read_bytes())}" in done.stdout
    return path


@pytest.mark.parametrize("form", ["zip", "folder"])
def test_it_synthesises_in_an_empty_environment(
    unpacked: Path,
    archive: Path,
    alone: Run,
    knee_series: Callable[..., list[Path]],
    tmp_path: Path,
    form: str,
) -> None:
    package = archive if form == "zip" else archive.parent / "our_knees"
    knee_series("in", acquired=True)
    alone(
        *("-m", "scripts", "synthesize", tmp_path / "in", "-o", tmp_path / "out", "--bundle", package),
        *("--expect-sha256", sha256(archive.read_bytes())),
        cwd=unpacked,
    )
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    metadata = json.loads((archive.parent / "our_knees" / "configs" / "metadata.json").read_text())
    assert report["model"] == {
        "name": "our_knees",
        "version": "2.0.1",
        "weights_sha256": metadata["weights_sha256"],
    }
    assert len(list((tmp_path / "out").glob("0*.dcm"))) == 10
    assert metadata["training"]["data"]["pairs"] == 8


def test_an_altered_zip_is_refused(unpacked: Path, archive: Path, alone: Run, tmp_path: Path) -> None:
    content = bytearray(archive.read_bytes())
    content[len(content) // 2] ^= 1
    (tmp_path / "altered.zip").write_bytes(content)
    (tmp_path / "in").mkdir()
    done = alone(
        *("-m", "scripts", "synthesize", tmp_path / "in", "-o", tmp_path / "out", "--bundle", tmp_path / "altered.zip"),
        *("--expect-sha256", sha256(archive.read_bytes())),
        cwd=unpacked,
        code=7,
    )
    assert "is not the expected" in done.stderr
    assert not (tmp_path / "out").exists()
