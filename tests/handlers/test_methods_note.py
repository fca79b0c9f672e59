# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from pathlib import Path
from typing import Any

import monai
import torch

from scripts.handlers.curves import CurvesCSV
from scripts.handlers.methods_note import MethodsNote


def note_of(toy: Any, run_dir: Path, **more: Any) -> str:
    curves = CurvesCSV(str(run_dir), toy.optimizer, toy.evaluator, plot=False)
    curves.attach(toy.trainer)
    MethodsNote(str(run_dir), toy.network, toy.optimizer, curves, lr_scheduler=toy.lr_scheduler, **more).attach(
        toy.trainer
    )
    toy.run()
    return (run_dir / "METHODS.md").read_text("utf-8")


def test_the_paragraph_states_what_was_run(toy: Any, run_dir: Path) -> None:
    scores = {1: 20.0, 2: 23.456, 3: 21.0, 4: 22.0}
    run = toy(scores=scores.__getitem__)
    text = note_of(
        run,
        run_dir,
        loss_weights={"content": 1.0, "recon": 0.05, "cross": 1.0},
        data={"training_studies": 40, "validation_studies": 8},
        simulated=True,
        architecture="one encoder shared by both contrasts",
        seed=11,
        device="cpu",
    )
    for fact in (
        "Sequential: one encoder shared by both contrasts, 0.00 million parameters",
        "PDFS from PD and PD from PDFS",
        "1 content + 0.05 recon + 1 cross",
        "simulated; no patient's image was used: training studies 40, validation studies 8",
        "Adam (initial learning rate 0.05, weight decay 0.0001, schedule ExponentialLR) for 4 epochs of 3 batches",
        "The weights of epoch 2, the best by validation PSNR, were kept",
        "validation PSNR 23.46 dB",
        f"PyTorch {torch.__version__}",
        f"MONAI {monai.__version__}",
        "random seed 11",
    ):
        assert fact in text
    assert len(text.strip().split("\n\n")) == 2  # a heading and one paragraph


def test_it_says_where_training_started_and_how_images_were_compared(toy: Any, run_dir: Path, tmp_path: Path) -> None:
    torch.save(torch.nn.Linear(2, 1).state_dict(), tmp_path / "model.pt")
    weights = str(tmp_path / "model.pt")
    text = note_of(toy(max_epochs=1), run_dir, loss_weights={"cross": 1.0}, squared_below=0.3, initial_weights=weights)
    assert "Differences between images below 0.3 counted squared." in text
    assert f"Starting from the weights {weights}, sha256 " in text


def test_acquired_data_are_not_called_simulated(toy: Any, run_dir: Path) -> None:
    text = note_of(toy(max_epochs=1), run_dir, data="30 patients", simulated=False)
    assert "acquired, not simulated: 30 patients" in text


def test_what_simulated_lesions_and_slices_count_is_told(toy: Any, run_dir: Path) -> None:
    weights = {"cross": 1.0, "structure": 0.1}
    told = {"loss_weights": weights, "lesion_weight": 4.0, "rehearsal": 0.25, "simulated": False, "data": "9 patients"}
    text = note_of(toy(max_epochs=1), run_dir, **told)
    assert "1 cross + 0.1 structure, of absolute differences; structure is 1 - SSIM" in text
    assert "Pixels of simulated lesions counted 5 times." in text
    assert "Among the slices trained on, 25% were of simulated knees." in text


def test_an_interrupted_run_says_how_far_it_came(toy: Any, run_dir: Path) -> None:
    run = toy(kill_in=(3, 1), validate_every=5)
    curves = CurvesCSV(str(run_dir), run.optimizer, run.evaluator, plot=False)
    curves.attach(run.trainer)
    MethodsNote(str(run_dir), run.network, run.optimizer, curves).attach(run.trainer)
    run.run_until_killed()
    text = (run_dir / "METHODS.md").read_text("utf-8")
    assert "for 2 of 4 planned epochs" in text
    assert "No validation had been run" in text
