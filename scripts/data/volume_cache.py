# SPDX-License-Identifier: Apache-2.0
"""Pairs preprocessed once and kept on disk, of which a training step reads the one slice that it needs.

An entry is a folder named by a hash of everything that it follows from: path, size and times of each input file, the
matching of slices where there is one, and class, settings and code of each step of the preprocessing. A changed input
or setting thereby has another name, and nothing stale can be read. Entries are made beside their place and renamed, so
that a reader finds a whole one or none; of two processes that make the same one, the later finds it made. Each slice
has a checksum, which is compared whenever it is read: what a power cut or a bad disk left is made again.

Why not MONAI's datasets: ``CacheDataset`` holds every volume in the memory of every process. ``PersistentDataset``
names its files by the item's text, which does not change when a file behind the path does, fails on a file that was
cut short, and reads a whole volume for each slice. Why no memory map: mapped pages count as memory of the process
until they are dropped, and a file that is cut short under a map kills the process by a signal. A plain read of one
slice costs the same from the page cache, which keeps as much of the data as the machine has room for.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import shutil
import tempfile
import time
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from scripts.data.chain import hash_of
from scripts.dicom.files import split_address
from scripts.errors import OutputError

logger = logging.getLogger(__name__)

FOLDER = "volumes"
FORMAT = 2
"""Part of every name: raise it with any change of what an entry holds."""
COARSE = 8
"""Every how manieth row and column is kept apart, for what looks at a whole volume: brightness, and where body is."""
_SLICES, _COARSE, _ENTRY, _PARTIAL = "slices.f16", "coarse.f16", "entry.json", ".partial-"
_ABANDONED = 3600.0  # seconds after which a half-made entry is nobody's any more


class CorruptEntry(Exception):
    """An entry that is not what was written."""


def floor_of(facts: Mapping[str, Any]) -> tuple[float, float]:
    """The noise floors among what is known of a pair; 0 where none is."""
    image, label = facts.get("floor", (0.0, 0.0))
    return float(image), float(label)


@dataclass(frozen=True)
class Prepared:
    """A preprocessed pair.

    Args:
        voxels: both contrasts, float16 ``(2, D, H, W)``.
        facts: what is known beside: ``affine``, 4x4 to RAS mm, ``patient``, ``slices``, those kept of the source, and
            ``floor``, of the noise of each contrast.
    """

    voxels: Tensor
    facts: Mapping[str, Any]

    @property
    def floor(self) -> tuple[float, float]:
        """See `scripts.quality.noise.noise_floor`, of each contrast."""
        return floor_of(self.facts)


@dataclass(frozen=True)
class Entry:
    """A pair on disk; nothing of it is held but this.

    Args:
        folder: where it lies.
        shape: slices, rows, columns.
        sums: CRC-32 of each slice, both contrasts together.
        coarse_sum: CRC-32 of the coarse volume.
        facts: see `Prepared`.
    """

    folder: Path
    shape: tuple[int, int, int]
    sums: np.ndarray
    coarse_sum: int
    facts: Mapping[str, Any]

    @property
    def floor(self) -> tuple[float, float]:
        """See `Prepared`."""
        return floor_of(self.facts)

    @property
    def size(self) -> tuple[int, int]:
        """Rows and columns."""
        return self.shape[1:]

    @property
    def coarse(self) -> Tensor:
        """Every eighth row and column, float16 ``(2, D, h, w)``.

        Raises:
            CorruptEntry: the file is gone, cut short or changed.
        """
        slices, rows, columns = self.shape
        size = (2, slices, -(-rows // COARSE), -(-columns // COARSE))
        return self._read(_COARSE, 0, size, self.coarse_sum)

    def slice(self, where: int) -> Tensor:
        """One slice of both contrasts, float16 ``(2, H, W)``.

        Raises:
            CorruptEntry: the file is gone, cut short or changed.
        """
        return self._read(_SLICES, where, (2, *self.size), int(self.sums[where]))

    def voxels(self) -> Tensor:
        """All of it, float16 ``(2, D, H, W)``.

        Raises:
            CorruptEntry: the file is gone, cut short or changed.
        """
        whole = torch.empty((2, *self.shape), dtype=torch.float16)
        for where in range(self.shape[0]):
            whole[:, where] = self.slice(where)
        return whole

    def _read(self, name: str, where: int, size: tuple[int, ...], expected: int) -> Tensor:
        found = np.empty(size, dtype=np.float16)
        try:
            with (self.folder / name).open("rb", buffering=0) as file:
                file.seek(where * found.nbytes)
                read = file.readinto(found.reshape(-1).view(np.uint8).data)
        except OSError as error:
            raise CorruptEntry(str(error.strerror)) from error
        if read != found.nbytes or zlib.crc32(found.data) != expected:
            raise CorruptEntry(f"{name} is cut short or changed")
        return torch.from_numpy(found)


class VolumeCache:
    """Preprocessed pairs on disk.

    Args:
        folder: the cache; ``volumes`` is made in it.
        chain: what the preprocessing does, see `scripts.data.chain.describe_chain`.
    """

    def __init__(self, folder: str | Path, chain: str) -> None:
        self.root, self.chain = Path(folder) / FOLDER, chain
        clear_debris(self.root)

    def entry(self, item: Mapping[str, Any], make: Callable[[], Prepared]) -> Entry:
        """The entry of a pair, made where there is none that is whole.

        Args:
            item: what the preprocessing is given: paths, lists of paths, tensors, plain values.
            make: preprocesses it.

        Raises:
            OutputError: the cache cannot be written.
        """
        folder = self.root / entry_name(item, self.chain)
        try:
            return read_entry(folder)
        except CorruptEntry as fault:
            if folder.exists():
                logger.warning("a cached volume is remade: %s", fault)
        prepared = make()
        try:
            _write(folder, prepared)
            return read_entry(folder)
        except (OSError, CorruptEntry) as error:
            why = (error.strerror if isinstance(error, OSError) else None) or str(error)
            size = prepared.voxels.numel() * prepared.voxels.element_size() / 2**20
            raise OutputError(
                f"cache {self.root.parent.name}: a volume of {size:.0f} MiB cannot be kept ({why}); need room and "
                "rights in cache_dir; free some space or name another cache_dir"
            ) from error

    def remake(self, item: Mapping[str, Any], make: Callable[[], Prepared]) -> Entry:
        """Put a new entry in the place of one that turned out to be damaged."""
        with contextlib.suppress(OSError):
            _discard(self.root / entry_name(item, self.chain))
        return self.entry(item, make)


def entry_name(item: Mapping[str, Any], chain: str) -> str:
    """Name of the entry of a pair: a hash of the inputs as they are now, and of the chain."""
    told = {"format": FORMAT, "chain": chain, "item": [[key, _input(item[key])] for key in sorted(item)]}
    return hashlib.sha256(json.dumps(told).encode()).hexdigest()[:40]


def _input(value: Any) -> Any:
    if isinstance(value, Tensor):
        return hash_of(value)
    if isinstance(value, str | Path):
        return _states(Path(value))
    if isinstance(value, Sequence) and value and all(isinstance(one, str | Path) for one in value):
        return [state for one in value for state in _states(Path(one))]
    return json.dumps(value, default=str)


def _states(path: Path) -> list[list[Any]]:
    """Path, size and times of a file, or of each file in a folder.

    The time of the last change of the file's record is taken too: unlike that of its content, no copying program sets
    it, so that another file of the same size under a kept time is noticed.
    """
    path = split_address(path)[0]
    files = sorted(found for found in path.rglob("*") if found.is_file()) if path.is_dir() else [path]
    states: list[list[Any]] = []
    for file in files:
        try:
            status = file.stat()
            states.append([str(file.resolve()), status.st_size, status.st_mtime_ns, status.st_ctime_ns])
        except OSError:
            states.append([str(file), None])  # the preprocessing will say so
    return states


def read_entry(folder: Path) -> Entry:
    """Read what an entry is; its files are there and of their sizes, their content is checked when it is read.

    Raises:
        CorruptEntry: not there, or not whole.
    """
    try:
        content = json.loads((folder / _ENTRY).read_text(encoding="utf-8"))
        slices, rows, columns = (int(side) for side in content["shape"])
        sums = np.array(content["sums"], dtype=np.uint32)
        coarse_sum, facts = int(content["coarse_sum"]), dict(content["facts"])
        sizes = [(folder / name).stat().st_size for name in (_SLICES, _COARSE)]
    except (OSError, ValueError, KeyError, TypeError, OverflowError) as error:
        raise CorruptEntry("its record is missing or damaged") from error
    coarse = 4 * slices * -(-rows // COARSE) * -(-columns // COARSE)
    if sizes != [4 * slices * rows * columns, coarse] or len(sums) != slices:
        raise CorruptEntry("a file has another size than it was written with")
    return Entry(folder, (slices, rows, columns), sums, coarse_sum, facts)


def _write(folder: Path, prepared: Prepared) -> None:
    voxels = prepared.voxels.numpy()
    folder.parent.mkdir(parents=True, exist_ok=True)
    with _partial(folder.parent) as partial:
        sums = []
        with (partial / _SLICES).open("wb") as file:
            for where in range(voxels.shape[1]):  # both contrasts of a slice beside each other: one read gives them
                plane = np.ascontiguousarray(voxels[:, where])
                sums.append(zlib.crc32(plane.data))
                file.write(plane.data)
        coarse = np.ascontiguousarray(voxels[:, :, ::COARSE, ::COARSE])
        with (partial / _COARSE).open("wb") as file:
            file.write(coarse.data)
        content: dict[str, Any] = {"shape": list(voxels.shape[1:]), "sums": sums, "facts": prepared.facts}
        content["coarse_sum"] = zlib.crc32(coarse.data)
        with (partial / _ENTRY).open("w", encoding="utf-8") as record:
            json.dump(content, record)
        for _ in range(2):
            try:
                partial.rename(folder)
                return
            except OSError:  # one is there already: another process was faster, or what lies there is damaged
                with contextlib.suppress(CorruptEntry):
                    read_entry(folder)
                    return
                _discard(folder)
        partial.rename(folder)


@contextlib.contextmanager
def _partial(root: Path) -> Iterator[Path]:
    partial = Path(tempfile.mkdtemp(prefix=_PARTIAL, dir=root))
    partial.chmod(0o755)  # a cache may be shared between users
    try:
        yield partial
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _discard(folder: Path) -> None:
    """Take a damaged entry out of the way in one step, since others may be reading; then remove it."""
    with _partial(folder.parent) as partial, contextlib.suppress(FileNotFoundError):
        folder.rename(partial / folder.name)


def clear_debris(root: Path) -> None:
    """Remove what killed processes left half made."""
    for partial in root.glob(f"{_PARTIAL}*"):
        with contextlib.suppress(OSError):
            if time.time() - partial.stat().st_mtime > _ABANDONED:
                shutil.rmtree(partial, ignore_errors=True)
