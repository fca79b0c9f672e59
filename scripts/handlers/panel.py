# SPDX-License-Identifier: Apache-2.0
"""A picture per validation: source, synthesis, target and error, both directions, always the same slices."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from ignite.engine import Engine, Events

from scripts.handlers.files import write_atomically
from scripts.handlers.png import GLYPH_HEIGHT, draw_text, encode_png
from scripts.processes import is_first_rank

logger = logging.getLogger(__name__)

BACKGROUND = (24, 24, 27)
MUTED = (160, 160, 168)
GAP = 12
LINE = 2 * GLYPH_HEIGHT + 6
CAPTION = 2 * LINE + 6
SMALLEST = 224  # dots per image side below which images are enlarged by a whole factor

# Black, violet, red, orange, white: rising in lightness, so that it reads in grey as well.
_HEAT = np.array([(0, 0, 0), (74, 20, 110), (188, 55, 84), (249, 142, 9), (252, 255, 220)], dtype=np.float64)


class PanelImage:
    """Write ``panels/epoch_NNNN.png`` at each validation.

    One row per direction and slice; columns are source, synthesis, target (the acquired or simulated image of the
    same contrast) and ``|synthesis - target|``. The windows are fixed, images [0, 1] and error [0, 0.3] on the
    normalised scale, so that a bad result looks bad. PSNR and mean error are of the slice shown, data range 1.0, within
    ``body`` where the evaluator gives that mask. Attach to the evaluator; first rank only.

    Args:
        run_dir: folder of the run.
        case: position of the case within the validation, from 0; of several processes, in the first one's part.
        slices: where to cut it, as fractions of its slices.
        contrasts: names of the contrasts of ``image`` and ``label``.
        window: lower and upper end of the images' grey scale.
        error_window: upper end of the error's scale; the lower is 0.
    """

    def __init__(
        self,
        run_dir: str,
        case: int = 0,
        slices: Sequence[float] = (0.5,),
        contrasts: Sequence[str] = ("PD", "PDFS"),
        window: Sequence[float] = (0.0, 1.0),
        error_window: float = 0.3,
    ) -> None:
        self.run_dir = Path(run_dir)
        self.case = case
        self.slices = tuple(slices)
        self.contrasts = (str(contrasts[0]), str(contrasts[1]))
        self.window = (float(window[0]), float(window[1]))
        self.error_window = float(error_window)
        self._seen = 0
        self._kept: dict[str, np.ndarray] | None = None

    def attach(self, engine: Engine) -> None:
        """Attach to the evaluator ``engine``."""
        if not is_first_rank():
            return
        engine.add_event_handler(Events.EPOCH_STARTED, self._begin)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self._look)
        engine.add_event_handler(Events.COMPLETED, self._write)

    def _begin(self) -> None:
        self._seen, self._kept = 0, None

    def _look(self, engine: Engine) -> None:
        if self._kept is not None:
            return
        for item in items_of(engine.state.output):
            if self._seen == self.case:
                names = [name for name in ("image", "label", "pred", "pred_reverse", "body") if name in item]
                self._kept = {name: item[name].detach().float().cpu().numpy()[0] for name in names}
            self._seen += 1

    def _write(self, engine: Engine) -> None:
        if self._kept is None:
            logger.warning("panel: the validation has %d cases, none at position %d.", self._seen, self.case)
            return
        picture = self.draw(self._kept, engine.state.epoch)
        path = panel_path(self.run_dir, engine.state.epoch)
        write_atomically(path, lambda stream: stream.write(encode_png(picture)))
        self._kept = None

    def draw(self, volumes: Mapping[str, np.ndarray], epoch: int) -> np.ndarray:
        """The panel as uint8 ``(rows, columns, 3)``.

        Args:
            volumes: ``image``, ``label``, ``pred``, ``pred_reverse``, each ``(D, H, W)`` on the normalised scale, and
                maybe the mask ``body``.
            epoch: for the heading.
        """
        depth = volumes["image"].shape[0]
        a, b = self.contrasts
        rows = []
        for fraction in self.slices:
            index = min(depth - 1, max(0, round(fraction * (depth - 1))))
            cut = {name: volume[index] for name, volume in volumes.items()}
            body = cut["body"] > 0 if "body" in cut and cut["body"].any() else None
            rows.append(self._row(cut["image"], cut["pred"], cut["label"], body, a, b, index))
            rows.append(self._row(cut["label"], cut["pred_reverse"], cut["image"], body, b, a, index))
        low, high = self.window
        scales = f"images {low:g} to {high:g}, error 0 to {self.error_window:g}"
        wide = stack(rows, axis=0)
        head = blank(GLYPH_HEIGHT * 2 + 2 * GAP, wide.shape[1])
        draw_text(head, f"epoch {epoch}", GAP, GAP)
        draw_text(head, f"case {self.case}   {scales}", GAP, GAP + 12 * 12, ink=MUTED)
        return np.concatenate([head, wide], axis=0)

    def _row(
        self,
        source: np.ndarray,
        pred: np.ndarray,
        target: np.ndarray,
        body: np.ndarray | None,
        a: str,
        b: str,
        index: int,
    ) -> np.ndarray:
        error = np.abs(pred - target)
        inside, where = (slice(None), "") if body is None else (body, " in body")
        low, high = self.window
        grey = [np.clip((image - low) / (high - low), 0.0, 1.0) for image in (source, pred, target)]
        tiles = [np.repeat((255 * image).round().astype(np.uint8)[..., None], 3, axis=2) for image in grey]
        tiles.append(heat(error / self.error_window))
        captions = (f"source {a}", f"synthesis {b}", f"target {b}", f"|error| {b}")
        score = psnr(pred[inside], target[inside])
        notes = (f"slice {index}", f"{score:.1f} dB{where}", "", f"mean {float(np.mean(error[inside])):.3f}{where}")
        framed = [captioned(tile, *words) for tile, *words in zip(tiles, captions, notes, strict=True)]
        return stack(framed, axis=1)


def panel_path(run_dir: Path, epoch: int) -> Path:
    """The picture of an epoch in a run folder."""
    return run_dir / "panels" / f"epoch_{epoch:04d}.png"


def items_of(output: Any) -> list[Mapping[str, torch.Tensor]]:
    """The cases in an evaluator's output: a decollated list, or a dict with a batch axis taken apart."""
    if isinstance(output, Mapping):
        batched = {name: value for name, value in output.items() if hasattr(value, "__getitem__")}
        return [{name: value[i] for name, value in batched.items()} for i in range(len(output["image"]))]
    return list(output)


def psnr(pred: np.ndarray, target: np.ndarray) -> float:
    """Peak signal-to-noise ratio in dB with data range 1.0; infinite for equal images."""
    error = float(np.mean((pred.astype(np.float64) - target.astype(np.float64)) ** 2))
    return math.inf if error == 0 else -10 * math.log10(error)


def heat(value: np.ndarray) -> np.ndarray:
    """Values 0 to 1 (clipped; not-a-number counts as 1) as colours: uint8 ``(rows, columns, 3)``."""
    place = np.clip(np.nan_to_num(value, nan=1.0), 0.0, 1.0) * (len(_HEAT) - 1)
    knots = np.arange(len(_HEAT))
    return np.stack([np.interp(place, knots, _HEAT[:, c]) for c in range(3)], axis=-1).round().astype(np.uint8)


def captioned(tile: np.ndarray, title: str, note: str) -> np.ndarray:
    """An image (RGB), enlarged to a readable size, below its title and a note."""
    factor = max(1, math.ceil(SMALLEST / min(tile.shape[:2])))
    tile = tile.repeat(factor, axis=0).repeat(factor, axis=1)
    strip = blank(CAPTION, tile.shape[1])
    draw_text(strip, title, 4, 0)
    draw_text(strip, note, 4 + LINE, 0, ink=MUTED)
    return np.concatenate([strip, tile], axis=0)


def blank(rows: int, columns: int) -> np.ndarray:
    """An empty piece of the panel."""
    return np.full((rows, columns, 3), BACKGROUND, dtype=np.uint8)


def stack(parts: Sequence[np.ndarray], axis: int) -> np.ndarray:
    """Pictures of one size beside (axis 1) or below (axis 0) one another, with gaps around them."""
    gap = blank(*((GAP, parts[0].shape[1]) if axis == 0 else (parts[0].shape[0], GAP)))
    pieces: list[np.ndarray] = [] if axis == 0 else [gap]
    for part in parts:
        pieces += [part, gap]
    return np.concatenate(pieces, axis=axis)
