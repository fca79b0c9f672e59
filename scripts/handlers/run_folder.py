# SPDX-License-Identifier: Apache-2.0
"""What a later reader needs to know about a training run, kept beside its weights."""

from __future__ import annotations

import json
import logging
import shlex
import sys
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import torch
import yaml
from ignite.engine import Engine, Events

from scripts.handlers.environment import hardware, peak_memory, versions
from scripts.handlers.files import write_text_atomically
from scripts.handlers.first_epoch import at_first_epoch
from scripts.handlers.run_config import differing_ids, enclosing_config, plain_config
from scripts.handlers.run_dir import RECORD, RunLock, lock, read_record
from scripts.processes import is_first_rank
from scripts.software import git_commit

CONFIG = "config.yaml"

logger = logging.getLogger(__name__)


class RunFolder:
    """Write ``config.yaml`` and ``run.json`` into the run folder and keep them up to date.

    ``config.yaml`` is the configuration as merged from file, overlays and command line; it runs by itself.
    ``run.json`` holds command, seed, versions, commit, hardware, data fingerprint, epochs done, time and peak memory
    (as of the last finished epoch, so that a killed run has them too), resumptions, and ``finished``. While training
    runs, the folder is held by a lock. First rank only; list it first.

    Args:
        run_dir: folder of the run (see `scripts.handlers.run_dir.choose_run_dir`).
        seed: seed of the run.
        device: where it trains.
        data: fingerprint of the data: a text, or a mapping of plain values. No patient's name or identifier.
        config: the configuration; by default the one of the bundle run that builds this handler.
    """

    def __init__(
        self,
        run_dir: str,
        seed: int | None = None,
        device: str | torch.device | None = None,
        data: str | Mapping[str, Any] | None = None,
        config: Mapping[str, Any] | None = None,
    ) -> None:
        self.run_dir = Path(run_dir)
        self.seed = seed
        self.device = torch.device(device) if device is not None else None
        self.data = data
        self.config = plain_config(config if config is not None else enclosing_config())
        self.record: dict[str, Any] = {}
        self._lock: RunLock | None = None
        self._earlier_seconds = 0.0
        self._started = datetime.now().astimezone()

    def attach(self, engine: Engine) -> None:
        """Attach to the trainer ``engine``."""
        if not is_first_rank():
            return
        engine.add_event_handler(Events.STARTED, self._hold)
        # Not before the checkpoint has had its say: a run that is refused must find its folder as it was.
        at_first_epoch(engine, self._begin)
        engine.add_event_handler(Events.EPOCH_COMPLETED, self._progress)
        engine.add_event_handler(Events.COMPLETED, self._finish)

    def _hold(self) -> None:
        self._lock = lock(self.run_dir)
        self._started = datetime.now().astimezone()
        logger.info("run folder: %s", self.run_dir)

    def _begin(self, engine: Engine) -> None:
        earlier = read_record(self.run_dir) or {}
        self._earlier_seconds = float(earlier.get("seconds", 0.0))
        self.record = {
            "finished": False,
            "ended": None,
            "command": shlex.join([Path(sys.orig_argv[0]).name, *sys.orig_argv[1:]]),
            "started": earlier.get("started", _text(self._started)),
            "seconds": self._earlier_seconds,
            "epochs": engine.state.epoch - 1,
            "max_epochs": engine.state.max_epochs,
            "seed": self.seed,
            "hardware": hardware(self.device),
            "versions": versions(),
            "commit": git_commit(),
            "data": plain_config(self.data),
            "peak_memory_mb": peak_memory(self.device),
            "resumed": earlier.get("resumed", []),
        }
        changed = self._keep_config(resumed=bool(earlier))
        if earlier:
            again = {"time": _text(self._started), "first_epoch": engine.state.epoch, "changed": changed}
            self.record["resumed"] = [*self.record["resumed"], again]
        self._write()

    def _keep_config(self, resumed: bool) -> list[str]:
        """Write ``config.yaml``; returns the ids in which a resumed run departs from the one before."""
        path = self.run_dir / CONFIG
        changed: list[str] = []
        if resumed and path.is_file():
            before = yaml.safe_load(path.read_text("utf-8")) or {}
            changed = [name for name in differing_ids(before, self.config) if name not in ("resume", "run_dir")]
            if changed:
                logger.warning("resumed with another configuration than the run began with: %s", ", ".join(changed))
        write_text_atomically(path, yaml.safe_dump(self.config, sort_keys=False, allow_unicode=True, width=120))
        return changed

    def _progress(self, engine: Engine) -> None:
        self.record["epochs"] = engine.state.epoch
        self.record["seconds"] = round(
            self._earlier_seconds + (datetime.now().astimezone() - self._started).total_seconds(), 1
        )
        self.record["peak_memory_mb"] = peak_memory(self.device)
        self._write()

    def _finish(self, engine: Engine) -> None:
        if not self.record:
            logger.info("nothing to do: %s has its %d epochs.", self.run_dir, engine.state.epoch)
            self._release()
            return
        self._progress(engine)
        early = engine.state.max_epochs is not None and engine.state.epoch < engine.state.max_epochs
        self.record |= {
            "finished": True,
            "ended": "early stop" if early else "all epochs done",
            "ended_at": _text(datetime.now().astimezone()),
        }
        self._write()
        self._release()

    def _release(self) -> None:
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def _write(self) -> None:
        write_text_atomically(self.run_dir / RECORD, json.dumps(self.record, indent=2) + "\n")


def _text(time: datetime) -> str:
    return time.isoformat(timespec="seconds")
