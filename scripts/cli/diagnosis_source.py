# SPDX-License-Identifier: Apache-2.0
"""What ``kneesynth diagnose`` was pointed at: a config, a run folder, a checkpoint or a table of curves."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from scripts.errors import UsageError, WeightsError

CONFIG, CURVES = "config.yaml", "curves.csv"
WEIGHTS = ("last.pt", "best.pt", "model.pt")
"""In the order in which they are taken: where training stands now comes first."""


@dataclass(frozen=True)
class Source:
    """The files of a run, as far as they are there.

    Args:
        config: its config; None where there is none, as beside a table of curves.
        checkpoint: its weights; None for a run that has not begun, or of which only curves are left.
        curves: its table of losses.
        run_dir: its folder.
    """

    config: Path | None = None
    checkpoint: Path | None = None
    curves: Path | None = None
    run_dir: Path | None = None

    @property
    def has_network(self) -> bool:
        """Whether there is a network to measure: weights, or a config that nothing was trained from yet."""
        return self.config is not None and (self.checkpoint is not None or self.curves is None)


def find_source(source: Path, config: Path | None = None, checkpoint: Path | None = None) -> Source:
    """Find the files of a run.

    Args:
        source: a training config, a run folder, a checkpoint (``.pt``) or a table of curves (``.csv``).
        config: the config, where it does not lie beside the source.
        checkpoint: weights to diagnose, instead of those that lie there.

    Raises:
        UsageError: there is no such file, or no config for it.
        WeightsError: there are no weights where they should be.
    """
    for path, kind in ((config, "config"), (checkpoint, "checkpoint")):
        if path is not None and not path.is_file():
            error = WeightsError if kind == "checkpoint" else UsageError
            raise error(f"no {kind} at {path}; need a file; check the path")
    if source.is_dir():
        return _folder(source, config, checkpoint)
    if source.suffix == ".pt":
        if not source.is_file():
            raise WeightsError(f"no checkpoint at {source}; need last.pt, best.pt or model.pt of a run; check the path")
        config = config or _there(source.parent / CONFIG)
        if config is None:
            raise UsageError(f"no {CONFIG} beside {source.name}; need the config of its run: give it with --config")
        return Source(config, checkpoint or source, _there(source.parent / CURVES), source.parent)
    if not source.is_file():
        raise UsageError(f"nothing at {source}; need a training config, a run folder, a checkpoint or curves.csv")
    if source.suffix == ".csv":
        config = config or _there(source.parent / CONFIG)
        return Source(config, checkpoint, source, source.parent if config else None)
    if config is not None:
        raise UsageError(f"{source.name} and --config {config.name}: two configs; need one; name one of them")
    return Source(source, checkpoint)


def _folder(folder: Path, config: Path | None, checkpoint: Path | None) -> Source:
    config = config or _there(folder / CONFIG)
    if config is None:
        raise UsageError(f"{folder} holds no {CONFIG}; need a run folder, as training leaves one: name that")
    found = checkpoint or next((folder / name for name in WEIGHTS if (folder / name).is_file()), None)
    curves = _there(folder / CURVES)
    if found is None and curves is None:
        raise WeightsError(
            f"{folder} holds no {', '.join(WEIGHTS)}; need one: wait for the first epoch, or name another"
        )
    return Source(config, found, curves, folder)


def _there(path: Path) -> Path | None:
    return path if path.is_file() else None
