# SPDX-License-Identifier: Apache-2.0
"""``kneesynth check``: exit codes, the last line, JSON, and a page that loads nothing."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import torch

from scripts.cli.app import main


def write(root: Path, patient: str, shift: int = 0) -> None:
    """Noise with a few blobs: enough for a check to read and compare."""
    generator = torch.Generator().manual_seed(sum(patient.encode()))
    image = torch.nn.functional.interpolate(torch.rand(1, 1, 12, 12, 12, generator=generator), (10, 60, 60))[0, 0]
    affine = torch.diag(torch.tensor([-3.0, -0.6, -0.6, 1.0], dtype=torch.float64))
    (root / patient).mkdir(parents=True)
    for name, voxels in (("PD", image), ("PDFS", (1.2 - image).roll(shift, 2))):
        noisy = voxels + 0.02 * torch.rand(voxels.shape, generator=generator)
        torch.save({"voxels": noisy, "affine_ras": affine}, root / patient / f"{name}.pt")


def manifest(root: Path, shift: int = 0) -> Path:
    entries = []
    for patient, section in (("a", "training"), ("b", "training"), ("c<i>", "validation"), ("d", "test")):
        write(root, patient, shift if patient == "c<i>" else 0)
        entries.append(
            {"patient": patient, "section": section, "image": f"{patient}/PD.pt", "label": f"{patient}/PDFS.pt"}
        )
    path = root / "manifest.json"
    path.write_text(json.dumps({"kind": "knee pairs", "version": 1, "pairs": entries, "refused": []}))
    return path


def test_a_page_json_and_a_last_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = manifest(tmp_path / "data", shift=7)
    code = main(["check", str(path), "-o", str(tmp_path / "out"), "--no-step", "--json", str(tmp_path / "too.json")])
    lines = capsys.readouterr().out.splitlines()
    assert code == 5 and lines[-1].startswith("fix first: 1 pair fits best when PDFS is moved (c<i>)")
    content = json.loads((tmp_path / "out" / "check.json").read_text())
    assert content == json.loads((tmp_path / "too.json").read_text())
    assert content["ready"] is False and content["exit_code"] == 5 and content["verdict"] == lines[-1]
    assert content["pairs"][2]["shift_mm"] == pytest.approx(7 * 0.6, abs=0.7)
    page = (tmp_path / "out" / "check.html").read_text()
    assert "c&lt;i&gt;" in page and "c<i>" not in page
    assert page.count("data:image/png;base64,") == 4 and "<script" not in page
    assert not re.search(r"(src|href)=\"(?!data:)", page)
    assert str(tmp_path) not in page and "PD.pt" not in page
    assert not list((tmp_path / "out").glob(".*"))


def test_ready_is_the_last_word(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", str(manifest(tmp_path)), "--no-step", "--device", "cpu"]) == 0
    assert capsys.readouterr().out.splitlines()[-1].startswith("ready: 4 pairs of 4 patients")


def test_the_estimate_is_measured_and_says_of_what(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from scripts.checking.estimate import estimate

    config = {
        "contrasts": ["PD", "PDFS"], "batch_size": 2, "samples_per_epoch": 100, "max_epochs": 3, "squared_below": 0.3,
        "augmentation": {"size": [32, 32]}, "loss_weights": {"content": 1.0, "recon": 0.0, "cross": 1.0},
        "network_def": {"_target_": "scripts.networks.CrossContrastNet", "contrasts": ["PD", "PDFS"],
                        "encoder": {"features": [4, 8], "latent_channels": 8}, "decoder_a": {"features": [8, 4]},
                        "decoder_b": {"features": [8, 4]}, "cross_domain_strategy": "source_skip"},
    }  # fmt: skip
    told = estimate([], config, torch.device("cpu"))
    assert told.pairs_per_second is not None and told.pairs_per_second > 0
    assert told.training_hours == pytest.approx(3 * 100 / told.pairs_per_second / 3600)
    assert "2 crops of 32 x 32, 100 crops an epoch, 3 epochs" in told.sentence


@pytest.mark.parametrize(("words", "code"), [([], 3), (["--device", "tpu"], 2), (["--json", "no/such/x.json"], 8)])
def test_what_cannot_be_checked(
    words: list[str], code: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["check", str(tmp_path), *words]) == code
    assert capsys.readouterr().err.startswith("kneesynth: ")
