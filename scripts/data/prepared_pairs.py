# SPDX-License-Identifier: Apache-2.0
"""Acquired pairs as a training step takes them: preprocessed once, then streamed from disk or resident in memory."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from monai.data import MetaTensor
from monai.utils import convert_to_tensor
from torch import Tensor

from scripts.data.chain import Undescribable, describe_chain
from scripts.data.volume_cache import COARSE, CorruptEntry, Entry, Prepared, VolumeCache
from scripts.errors import OutputError, UsageError
from scripts.quality.noise import noise_floor

logger = logging.getLogger(__name__)

Loading = Literal["streamed", "resident"]
LOADING: tuple[Loading, ...] = ("streamed", "resident")
NEEDED = ("image", "label", "slices")
"""What the preprocessing is given of an item; ``slices`` where the item has them."""
_TELL_EVERY = 10.0  # seconds


@dataclass(frozen=True)
class Resident:
    """A pair in memory; the same questions as `Entry`, which is one on disk.

    Args:
        whole: both contrasts, float16 ``(2, D, H, W)``.
        floor: see `scripts.quality.noise.noise_floor`, of each contrast.
    """

    whole: Tensor
    floor: tuple[float, float] = (0.0, 0.0)

    @property
    def size(self) -> tuple[int, int]:
        """Rows and columns."""
        return self.whole.shape[-2], self.whole.shape[-1]

    @property
    def coarse(self) -> Tensor:
        """Every eighth row and column ``(2, D, h, w)``."""
        return self.whole[:, :, ::COARSE, ::COARSE]

    def slice(self, where: int) -> Tensor:
        """One slice of both contrasts ``(2, H, W)``."""
        return self.whole[:, where]


class PreparedPairs:
    """Pairs of a run, each preprocessed at first use.

    Streamed, a process holds a few hundred bytes of each pair and reads a slice when it is asked for; the system's
    page cache keeps what the machine has room for, once for all processes. Resident, each pair is held in memory: 2
    bytes for each voxel of each contrast, once for all worker processes that are forked after `load_all`.

    Args:
        items: with ``image`` and ``label``, and ``slices`` where the two have to be matched.
        transform: preprocessing of one item.
        cache_dir: where preprocessed pairs are kept; None keeps them in memory alone.
        loading: ``streamed`` or ``resident``.

    Raises:
        UsageError: an unknown way of loading.
    """

    def __init__(
        self,
        items: Sequence[Mapping[str, Any]],
        transform: Callable[[Mapping[str, Any]], Mapping[str, Any]],
        cache_dir: str | None = None,
        loading: str = "streamed",
    ) -> None:
        if loading not in LOADING:
            raise UsageError(f"loading {loading!r}: unknown; need {' or '.join(LOADING)}; correct it")
        self.items, self.transform = items, transform
        self.cache = None
        if cache_dir is not None:
            try:
                self.cache = VolumeCache(cache_dir, describe_chain(transform))
            except Undescribable as reason:
                logger.warning(
                    "Pairs are kept in memory, not in the cache: the preprocessing cannot be told (%s).", reason
                )
        self.resident = loading == "resident" or self.cache is None
        self._held: dict[int, Entry | Resident] = {}

    def load_all(self) -> None:
        """Load every pair that is to be resident; log how far it is where that takes long."""
        missing = [which for which in range(len(self.items)) if which not in self._held] if self.resident else []
        said = time.monotonic()
        for done, which in enumerate(missing):
            if time.monotonic() - said > _TELL_EVERY:
                said = time.monotonic()
                logger.info("Loading pairs: %d of %d", done, len(missing))
            self.get(which)

    def get(self, which: int) -> Entry | Resident:
        """A pair by its number.

        Raises:
            ValueError: its images lie on different grids.
            OutputError: the cache cannot be written.
        """
        if which not in self._held:
            self._held[which] = self._load(which)
        return self._held[which]

    def read(self, which: int, choose: Callable[[Tensor], int]) -> tuple[Tensor, Tensor, int]:
        """One slice of a pair; a damaged entry of the cache is made anew.

        Args:
            which: number of the pair.
            choose: tells which slice from the coarse volume of both contrasts; called once.

        Returns:
            The slice ``(2, H, W)`` and the coarse volume ``(2, D, h, w)``, float16, and which slice it is.
        """
        pair = self.get(which)
        try:
            coarse = pair.coarse
        except CorruptEntry as fault:
            pair = self._remade(which, fault)
            coarse = pair.coarse
        where = choose(coarse)
        try:
            return pair.slice(where), coarse, where
        except CorruptEntry as fault:
            return self._remade(which, fault).slice(where), coarse, where

    def _load(self, which: int) -> Entry | Resident:
        if self.cache is None:
            made = self._prepare(which)
            return Resident(made.voxels, made.floor)
        try:
            entry = self.cache.entry(self._given(which), lambda: self._prepare(which))
        except OutputError as error:
            if not self.resident:
                raise
            logger.warning("Pairs are kept in memory alone: %s", error)
            self.cache = None
            return self._load(which)
        if not self.resident:
            return entry
        try:
            return Resident(entry.voxels(), entry.floor)
        except CorruptEntry as fault:
            remade = self._remade(which, fault)
            return remade if isinstance(remade, Resident) else Resident(remade.voxels(), remade.floor)

    def _remade(self, which: int, fault: CorruptEntry) -> Entry | Resident:
        assert self.cache is not None
        logger.warning("A cached volume is remade: %s", fault)
        self._held[which] = self.cache.remake(self._given(which), lambda: self._prepare(which))
        return self._held[which]

    def _given(self, which: int) -> dict[str, Any]:
        return {key: self.items[which][key] for key in NEEDED if key in self.items[which]}

    def _prepare(self, which: int) -> Prepared:
        given = self._given(which)
        item = self.transform(given)
        image, label = torch.as_tensor(item["image"]), torch.as_tensor(item["label"])
        if image.shape != label.shape:
            raise ValueError(
                f"Pair {which}: PD has shape {tuple(image.shape[1:])} and PDFS {tuple(label.shape[1:])}; need one "
                "grid. Register and resample the pair first: kneesynth pair."
            )
        voxels = convert_to_tensor(torch.cat((image, label)), dtype=torch.float16, track_meta=False)
        affine = image.affine.tolist() if isinstance(image, MetaTensor) else None
        kept = [int(row[0]) for row in given["slices"]] if "slices" in given else list(range(image.shape[1]))
        facts = {"affine": affine, "patient": str(self.items[which].get("patient", "")), "slices": kept}
        return Prepared(voxels, facts | {"floor": [_floor(one) for one in (image, label)]})


def _floor(volume: Tensor) -> float:
    if not isinstance(volume, MetaTensor):
        return 0.0
    rows_mm, columns_mm = (float(volume.affine[:3, axis].norm()) for axis in (1, 2))
    return noise_floor(volume.as_tensor()[0].float(), (rows_mm * columns_mm) ** 0.5)
