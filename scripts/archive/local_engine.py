# SPDX-License-Identifier: Apache-2.0
"""The engine without a cluster: threads of this process, one per device and some that read and write."""

from __future__ import annotations

from collections.abc import Collection
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from functools import partial
from typing import Any

from scripts.archive.engine import network_threads
from scripts.archive.stages import Device, Note, Settings, Stage, perform
from scripts.errors import UsageError

_Call = Future[tuple[Note, Any]]

# Threads that read and write, per device; pixels are decoded and files compressed outside Python's lock.
_HELPERS = 2


class LocalEngine:
    """Runs everything here.

    Args:
        settings: what all series of a run share.
        device: ``auto``, ``cpu`` or ``cuda``.
        workers: devices; by default each CUDA device, or the processor as one. On a processor they share its cores.

    Raises:
        UsageError: more workers than CUDA devices.
        WeightsError: weights that cannot be used.
    """

    def __init__(self, settings: Settings, device: str, workers: int | None = None) -> None:
        import torch

        found = torch.cuda.device_count() if device != "cpu" else 0
        if found and workers is not None and workers > found:
            raise UsageError(f"--workers {workers}: {found} CUDA devices here; need one each; give at most {found}")
        self.workers = workers or found or 1
        threads = network_threads(torch.get_num_threads(), self.workers)
        self._devices = [Device(settings, device, threads) for _ in range(self.workers)]
        self._helpers = ThreadPoolExecutor(_HELPERS * self.workers, "series")
        # The current CUDA device is each thread's own.
        self._networks = [
            ThreadPoolExecutor(1, "network", partial(torch.cuda.set_device, number) if found else None)
            for number in range(self.workers)
        ]
        for pool, each in zip(self._networks, self._devices, strict=True):
            note, _ = pool.submit(perform, each.prepare).result()
            if note.failure is not None:
                self.close()
                raise note.failure.error()

    def call(self, stage: Stage, *arguments: Any) -> _Call:
        """Run a stage in a thread."""
        return self._helpers.submit(perform, stage, *(_product(argument) for argument in arguments))

    def infer(self, worker: int, target: str, data: _Call) -> _Call:
        """Queue a series for a worker's network."""
        return self._networks[worker].submit(perform, self._devices[worker].infer, target, _product(data))

    def first_done(self, calls: Collection[_Call]) -> _Call:
        """Wait for any call."""
        return next(iter(wait(calls, return_when=FIRST_COMPLETED).done))

    def note(self, call: _Call) -> Note:
        """What it has to say; threads are not lost while the process lives."""
        return call.result()[0]

    def renew(self, worker: int) -> None:
        """Nothing to do: a thread is never lost alone."""

    def close(self) -> None:
        """Drop what waits; what is at work comes to its end."""
        for pool in (self._helpers, *self._networks):
            pool.shutdown(wait=True, cancel_futures=True)


def _product(argument: Any) -> Any:
    return argument.result()[1] if isinstance(argument, Future) else argument
