# SPDX-License-Identifier: Apache-2.0
"""Many independent jobs over some processes of this machine."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from typing import TypeVar

from scripts.interruption import follow_the_parent

_Job = TypeVar("_Job")
_Result = TypeVar("_Result")


def results_of(
    work: Callable[[_Job], _Result], jobs: Sequence[_Job], workers: int, begin: Callable[[], object] | None = None
) -> Iterator[_Result]:
    """The results of jobs, as they come; of one worker in order, in this process.

    A worker has one thread for torch, leaves interrupts to this process, and ends with it. Where a job fails, or this
    process is interrupted, the others' half-done work is dropped.

    Args:
        work: of a module, so that a process can be told of it.
        jobs: what it is called with, one by one.
        workers: processes.
        begin: called first in each process.
    """
    if workers == 1 or len(jobs) < 2:
        yield from map(work, jobs)
        return
    before = set(multiprocessing.active_children())
    context = multiprocessing.get_context("spawn")  # a forked child inherits torch's locked thread pool
    pool = ProcessPoolExecutor(min(workers, len(jobs)), context, initializer=_begin, initargs=(begin,))
    try:
        for future in as_completed([pool.submit(work, job) for job in jobs]):
            yield future.result()
    except BaseException:
        pool.shutdown(wait=False, cancel_futures=True)
        for child in set(multiprocessing.active_children()) - before:
            child.terminate()
        raise
    pool.shutdown()


def _begin(begin: Callable[[], object] | None) -> None:
    import torch

    torch.set_num_threads(1)
    follow_the_parent()
    if begin is not None:
        begin()
