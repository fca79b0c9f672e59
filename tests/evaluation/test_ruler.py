# SPDX-License-Identifier: Apache-2.0
"""One ruler: the evaluation of a model and that of images give the same tables, and no target reaches a prediction."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import pytest
import torch
from monai.bundle import ConfigParser
from monai.data import DataLoader, Dataset

from scripts.engines import CrossContrastEvaluator
from scripts.evaluation.ranking import ranked, shown_slice
from scripts.evaluation.run import Request, evaluate_predictions
from scripts.handlers.case_table import CaseTable
from scripts.inferers import SliceStackInferer
from scripts.metrics.summary import CaseScore
from scripts.networks import CrossContrastNet
from scripts.transforms.intensity import NormalizeMagnituded
from scripts.transforms.orientation import DisplayOrientationd
from scripts.transforms.series import LoadKneeSeriesd
from tests.evaluation.knees import PD, PDFS, save, scan

CONTRASTS = ("PD", "PDFS")
KEYS = ("image", "label")


def engine(items: list[dict[str, Any]], handlers: list[Any]) -> CrossContrastEvaluator:
    """The engine of ``evaluate.yaml`` with its own chain of transforms, and a small network of random weights."""
    torch.manual_seed(0)
    small = {"features": [4, 8]}
    network = CrossContrastNet(
        contrasts=CONTRASTS,
        encoder=small | {"latent_channels": 8},
        decoder_a={"features": [8, 4]},
        decoder_b={"features": [8, 4]},
        cross_domain_strategy="source_skip",
    )
    config = ConfigParser.load_config_file(str(Path(__file__).parents[2] / "bundle" / "configs" / "evaluate.yaml"))
    names = [one["_target_"].rpartition(".")[2] for one in config["preprocessing"]["transforms"]]
    known = {one.__name__: one for one in (LoadKneeSeriesd, DisplayOrientationd, NormalizeMagnituded)}
    chain = [known[name](keys=KEYS) for name in names if name in known]
    assert len(chain) == 3, "the chain of evaluate.yaml lost a step that this test copies"

    def load(item: dict[str, Any]) -> dict[str, Any]:
        for step in chain:
            item = step(item)
        return item

    return CrossContrastEvaluator(
        device=torch.device("cpu"),
        val_data_loader=DataLoader(Dataset(items, load), batch_size=1, num_workers=0),
        network=network,
        inferer=SliceStackInferer(contrasts=CONTRASTS, batch_size=4),
        contrasts=CONTRASTS,
        val_handlers=handlers,
    )


class Keep:
    """Keep what an engine synthesised."""

    def __init__(self) -> None:
        self.found: list[dict[str, Any]] = []

    def attach(self, engine: Any) -> None:
        from ignite.engine import Events

        engine.add_event_handler(Events.ITERATION_COMPLETED, lambda one: self.found.extend(one.state.output))


def test_targets_of_another_scale_and_content_change_no_prediction(tmp_path: Path) -> None:
    save(tmp_path / "PD.nii.gz", scan(PD, 1))
    targets = {"plain": scan(PDFS, 1), "scaled": 13.0 * scan(PDFS, 1), "other": scan(PDFS, 7) ** 1.5}
    made = {}
    for name, volume in targets.items():
        save(tmp_path / f"{name}.nii.gz", volume)
        keep = Keep()
        item = {"patient": name, "image": str(tmp_path / "PD.nii.gz"), "label": str(tmp_path / f"{name}.nii.gz")}
        engine([item], [keep]).run()
        made[name] = keep.found[0]
    for name in ("scaled", "other"):
        assert torch.equal(made[name]["pred"], made["plain"]["pred"]), "a target's statistics reached the prediction"
    assert not torch.equal(made["other"]["label"], made["plain"]["label"]), "the test fed the same target"


def test_a_model_and_its_saved_images_get_the_same_rows(tmp_path: Path) -> None:
    items = []
    for number in range(2):
        for name, values in (("PD", PD), ("PDFS", PDFS)):
            save(tmp_path / "targets" / f"p{number}" / f"{name}.nii.gz", scan(values, number))
        folder = tmp_path / "targets" / f"p{number}"
        files = {"image": str(folder / "PD.nii.gz"), "label": str(folder / "PDFS.nii.gz")}
        items.append({"patient": f"p{number}"} | files)
    keep = Keep()
    table = CaseTable(str(tmp_path / "engine"), CONTRASTS, resamples=100)
    engine(items, [keep, table]).run()
    for one in keep.found:
        save(tmp_path / "predictions" / f"{one['patient']}.nii.gz", 1000 * one["pred"][0].flip(0).numpy())
    request = Request(
        tmp_path / "predictions",
        str(tmp_path / "targets"),
        tmp_path / "images",
        scale="1000",
        method="model",
        resamples=100,
        figures=False,
    )
    evaluate_predictions(request)
    for name in ("metrics.csv", "measures.csv", "summary.csv", "measures_summary.csv"):
        ours, theirs = ((tmp_path / kind / name).open(encoding="utf-8", newline="") for kind in ("engine", "images"))
        with ours, theirs:
            rows, same = ([r for r in csv.DictReader(one) if r["direction"] == "PD to PDFS"] for one in (ours, theirs))
        assert len(rows) == len(same) > 0, name
        for a, b in zip(rows, same, strict=True):
            assert a.keys() == b.keys()
            for key in a:
                try:
                    assert float(a[key]) == pytest.approx(float(b[key]), rel=1e-3, abs=1e-5), (name, key)
                except ValueError:
                    assert a[key] == b[key], (name, key)
    heads = [
        [line for line in (tmp_path / kind / "summary.md").read_text("utf-8").splitlines() if line.startswith("### ")]
        for kind in ("engine", "images")
    ]
    assert set(heads[1]) < set(heads[0])


def test_best_median_and_worst_follow_the_rule() -> None:
    def row(patient: str, psnr: float, scaling: str = "as stored") -> CaseScore:
        return CaseScore("simulated", patient, "PD to PDFS", "mine", "clean", scaling, {"psnr": psnr}, 1.0)

    rows = [row(name, psnr) for name, psnr in zip("abcd", (30.0, 10.0, 20.0, 25.0), strict=True)]
    rows += [row(name, 99.0 - n, "gain matched") for n, name in enumerate("abcd")]
    found = {word: one.patient for word, one in ranked(rows, "mine").items()}
    assert found == {"best": "a", "median": "c", "worst": "b"}, "of four, the lower of the middle two"
    assert set(ranked(rows[:1], "mine")) == {"best"} and set(ranked(rows[:2], "mine")) == {"best", "worst"}


def test_the_slice_shown_has_the_median_error_and_enough_body() -> None:
    target = torch.zeros(1, 6, 8, 8)
    body = torch.ones(1, 6, 8, 8)
    body[0, 5] = 0
    body[0, 5, 0, 0] = 1  # a slice with hardly any body does not count
    pred = target + torch.tensor([0.5, 0.1, 0.3, 0.2, 0.4, 0.31]).view(1, 6, 1, 1)
    assert shown_slice(pred, target, body) == 2
