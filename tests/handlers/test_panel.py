# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from ignite.engine import Engine
from matplotlib.image import imread

from scripts.handlers.panel import CAPTION, GAP, PanelImage, heat, items_of, psnr
from scripts.handlers.png import GLYPH_HEIGHT, draw_text, encode_png, text_mask

HEAD = GLYPH_HEIGHT * 2 + 2 * GAP
SIDE = 240  # no side shorter than the smallest, so nothing is enlarged


def volumes(depth: int = 5) -> dict[str, torch.Tensor]:
    ramp = torch.linspace(-0.2, 1.2, SIDE).expand(1, depth, SIDE, SIDE).clone()
    ramp *= torch.linspace(0.5, 1, depth)[None, :, None, None]
    return {"image": ramp, "label": 1 - ramp, "pred": 1 - ramp, "pred_reverse": ramp + 0.15}


def tile(picture: np.ndarray, row: int, column: int) -> np.ndarray:
    top = HEAD + row * (CAPTION + SIDE + GAP) + CAPTION
    left = GAP + column * (SIDE + GAP)
    return picture[top : top + SIDE, left : left + SIDE]


def validate(outputs: list[Any], panel: PanelImage) -> None:
    evaluator = Engine(lambda engine, index: outputs[index])
    panel.attach(evaluator)
    evaluator.run(range(len(outputs)), max_epochs=1)


def test_png_is_read_back_by_another_reader(tmp_path: Path) -> None:
    picture = np.random.default_rng(0).integers(0, 256, (7, 11, 3)).astype(np.uint8)
    (tmp_path / "p.png").write_bytes(encode_png(picture))
    assert np.array_equal((imread(tmp_path / "p.png")[..., :3] * 255).round().astype(np.uint8), picture)
    with pytest.raises(ValueError, match="uint8"):
        encode_png(picture.astype(np.float32))


def test_the_panel_shows_source_synthesis_target_and_error_in_fixed_windows(run_dir: Path) -> None:
    item = volumes()
    validate([[item]], PanelImage(str(run_dir), slices=(0.5,)))
    picture = (imread(run_dir / "panels" / "epoch_0001.png")[..., :3] * 255).round().astype(int)

    def grey(name: str) -> np.ndarray:
        return np.clip(item[name][0, 2].numpy(), 0, 1) * 255

    for row, names in enumerate((("image", "pred", "label"), ("label", "pred_reverse", "image"))):
        for column, name in enumerate(names):
            shown = tile(picture, row, column)
            assert np.abs(shown - grey(name)[..., None]).max() <= 1, (row, name)
    assert not tile(picture, 0, 3).any()  # the first synthesis equals its target: black
    expected = heat(np.full((1, 1), 0.15 / 0.3))[0, 0]
    assert np.abs(tile(picture, 1, 3) - expected).max() <= 1


def test_the_chosen_case_is_found_in_lists_and_in_batches(run_dir: Path) -> None:
    dark, bright = volumes(), {name: value * 0 + 1 for name, value in volumes().items()}
    batch = {name: torch.stack([dark[name], bright[name]]) for name in dark}
    for number, outputs in enumerate(([[dark], [bright]], [[dark, bright]], [batch])):
        folder = run_dir / str(number)
        validate(outputs, PanelImage(str(folder), case=1))
        picture = imread(folder / "panels" / "epoch_0001.png")[..., :3]
        assert tile(picture, 0, 0).min() == 1.0
    assert len(items_of(batch)) == 2


def test_a_case_that_is_not_there_is_said(run_dir: Path, caplog: pytest.LogCaptureFixture) -> None:
    validate([[volumes()]], PanelImage(str(run_dir), case=3))
    assert any("1 cases, none at position 3" in line for line in caplog.messages)
    assert not (run_dir / "panels").exists()


def test_small_images_are_enlarged_and_several_slices_stacked(run_dir: Path, toy: Any) -> None:
    run = toy(max_epochs=1)
    PanelImage(str(run_dir), slices=(0.0, 1.0)).attach(run.evaluator)
    run.run()
    picture = imread(run_dir / "panels" / "epoch_0001.png")
    rows, columns = 24 * 10, 32 * 10  # the smallest whole factor that makes 24 rows at least 224
    assert picture.shape[:2] == (HEAD + 4 * (CAPTION + rows + GAP), GAP + 4 * (columns + GAP))


def test_scores_are_those_of_the_body(run_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[str] = []
    monkeypatch.setattr("scripts.handlers.panel.draw_text", lambda picture, text, *place, **ink: written.append(text))
    item = volumes()
    item["pred"] = item["label"] + 1.0
    item["pred"][..., :120] = item["label"][..., :120] + 0.01  # the body is the left half
    item["body"] = torch.zeros_like(item["image"])
    item["body"][..., :120] = 1
    validate([[item]], PanelImage(str(run_dir)))
    assert "40.0 dB in body" in written
    assert "mean 0.010 in body" in written


def test_psnr_with_data_range_one() -> None:
    target = np.zeros((4, 4), np.float32)
    assert psnr(target + 0.1, target) == pytest.approx(20.0, abs=1e-5)
    assert psnr(target, target) == float("inf")


def test_error_colours_rise_in_lightness_and_show_what_is_no_number() -> None:
    ramp = heat(np.linspace(0, 1, 64)[None])[0].astype(float) @ (0.299, 0.587, 0.114)
    assert np.all(np.diff(ramp) > 0)
    assert np.array_equal(heat(np.array([[np.nan, 2.0]]))[0, 0], heat(np.array([[1.0]]))[0, 0])


def test_text_is_legible_dots() -> None:
    letter = text_mask("L", scale=1)
    assert letter.shape == (7, 5)
    assert letter[:, 0].all() and letter[-1].all() and not letter[:-1, 1:].any()
    assert np.array_equal(text_mask("pd", scale=1), text_mask("PD", scale=1))
    picture = np.zeros((4, 6, 3), np.uint8)
    draw_text(picture, "LLL", 0, 0, scale=1)  # cut off, not an error
    assert picture[:, 0].all()


def test_the_panel_needs_no_drawing_library() -> None:
    for name in ("scripts.handlers.panel", "scripts.handlers.png"):
        spec = importlib.util.find_spec(name)
        assert spec is not None and spec.origin is not None
        assert "matplotlib" not in Path(spec.origin).read_text("utf-8")
