# SPDX-License-Identifier: Apache-2.0
"""An output folder that is whole or recognisably not there.

Products are written into a hidden folder first. Where the output folder does not exist yet, the hidden one lies beside
it and becomes it by one rename. Where it exists (a container's mount, say), the hidden folder lies inside it; its files
move in at the end and ``report.json`` moves very last. A folder without ``report.json`` is therefore incomplete. A
journal in the hidden folder names all files that the move touches, so that the next run can clear what a killed run
left and nothing else. Each hidden folder is locked while its run lives, so two runs cannot clear each other.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO

from scripts.errors import OutputError

logger = logging.getLogger(__name__)

REPORT_NAME = "report.json"
PROGRAM = "kneesynth"

_JOURNAL = ".journal.json"
_LOCK = ".lock"


@contextlib.contextmanager
def staged_output(out: Path) -> Iterator[Path]:
    """Hand out an empty folder; publish its files as ``out`` when the block ends without an exception.

    Args:
        out: the output folder; absent, empty, an earlier result of this program (replaced), or holding foreign files
            (kept).

    Yields:
        The hidden folder to write into; plain files only, ``report.json`` among them.

    Raises:
        OutputError: the folder cannot be written, another run is writing there, or a foreign file has a product's name.
    """
    out = Path(out).absolute()
    if out.exists() and not out.is_dir():
        raise OutputError(f"{out.name}: a file; need a folder for the output; choose another path")
    beside = not out.exists()
    home, prefix = (out.parent, f".{out.name}.partial-") if beside else (out, ".partial-")
    try:
        home.mkdir(parents=True, exist_ok=True)
        _clear_debris(out.parent, f".{out.name}.partial-", None)
        if not beside:
            _clear_debris(out, ".partial-", out)
        stage = Path(tempfile.mkdtemp(prefix=prefix, dir=home))
    except OSError as error:
        raise OutputError(
            f"{home.name}: {error.strerror}; need a writable output folder; choose another path"
        ) from error
    lock = _lock(stage)
    try:
        yield stage
        (_rename if beside else _move_in)(stage, out)
    except OSError as error:
        where = Path(error.filename).name if error.filename else out.name
        raise OutputError(f"{where}: {error.strerror}; need room and rights in the output folder; try again") from error
    finally:
        lock.close()
        shutil.rmtree(stage, ignore_errors=True)


def check_writable(out: Path) -> None:
    """Refuse early an output folder that :func:`staged_output` would refuse; nothing is created or changed.

    Args:
        out: the output folder, existing or not.

    Raises:
        OutputError: it is a file, or it or its nearest existing parent cannot be written.
    """
    out = Path(out).absolute()
    nearest = next(p for p in (out, *out.parents) if p.exists())
    if not nearest.is_dir():
        raise OutputError(f"{nearest.name}: a file; need a folder for the output; choose another path")
    if not os.access(nearest, os.W_OK | os.X_OK):
        raise OutputError(f"{nearest.name}: not writable; need a writable output folder; choose another path")


def _rename(stage: Path, out: Path) -> None:
    (stage / _LOCK).unlink()
    for path in stage.iterdir():
        _sync(path)
    stage.chmod(0o777 & ~_umask())
    if out.exists():  # made by someone else in the meantime
        raise OutputError(f"{out.name}: appeared while this run was writing; need it to stay as it was; run again")
    stage.rename(out)
    _sync(out.parent)


def _move_in(stage: Path, out: Path) -> None:
    names = sorted(p.name for p in stage.iterdir() if p.name not in (_LOCK, _JOURNAL))
    former = _products_of_last_run(out)
    foreign = [n for n in names if os.path.lexists(out / n) and n not in former]
    if foreign:
        raise OutputError(
            f"{foreign[0]}: lies in the output folder and is not from {PROGRAM}; need the name; choose another folder"
        )
    for name in names:
        _sync(stage / name)
    # From here on a kill leaves traces, and the journal says which.
    journal = stage / _JOURNAL
    journal.write_text(json.dumps({"names": sorted({*names, *former})}), encoding="utf-8")
    _sync(journal)
    _sync(stage)
    try:
        for name in [REPORT_NAME, *former]:
            (out / name).unlink(missing_ok=True)
        for name in sorted(names, key=lambda n: n == REPORT_NAME):
            if name == REPORT_NAME:
                _sync(out)
            (stage / name).replace(out / name)
        _sync(out)
    except BaseException:  # also an interrupt from the keyboard: the journal goes with the stage, so its files go now
        for name in [REPORT_NAME, *names]:
            (out / name).unlink(missing_ok=True)
        raise


def _products_of_last_run(out: Path) -> list[str]:
    try:
        report = json.loads((out / REPORT_NAME).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return []
    if not isinstance(report, dict) or report.get("program") != PROGRAM:
        return []
    return _plain_names([REPORT_NAME, *_listed(report, "files")])


def _listed(record: dict[str, object], key: str) -> list[str]:
    names = record.get(key)
    return [n for n in names if isinstance(n, str)] if isinstance(names, list) else []


def _plain_names(names: Sequence[str]) -> list[str]:
    # A report or journal from elsewhere must not reach outside its folder.
    return [n for n in names if n and n not in (".", "..") and Path(n).name == n]


def _clear_debris(home: Path, prefix: str, out: Path | None) -> None:
    """Remove what killed runs left: their hidden folders, and the files they had half moved into ``out``."""
    for stage in [p for p in home.glob(f"{_escape(prefix)}*") if p.is_dir() and not p.is_symlink()]:
        if _is_locked(stage):
            raise OutputError(f"{stage.name}: another run is writing there; need the folder alone; wait for it to end")
        logger.info("Clearing what an interrupted run left: %s", stage.name)
        if out is not None and not (out / REPORT_NAME).exists():
            try:
                record = json.loads((stage / _JOURNAL).read_text(encoding="utf-8"))
            except (OSError, ValueError):
                record = {}
            for name in _plain_names(_listed(record, "names") if isinstance(record, dict) else []):
                (out / name).unlink(missing_ok=True)
        shutil.rmtree(stage)


def _escape(text: str) -> str:
    import glob

    return glob.escape(text)


def _lock(stage: Path) -> IO[str]:
    handle = (stage / _LOCK).open("w")
    with contextlib.suppress(ImportError, OSError):  # no locks on this system or file system: nothing to hold
        import fcntl

        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    return handle


def _is_locked(stage: Path) -> bool:
    try:
        import fcntl

        with (stage / _LOCK).open() as handle:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except (ImportError, OSError):
        return False
    return False


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _umask() -> int:
    """The mask that new files get; asked for without setting it where that is possible, since threads share it."""
    with contextlib.suppress(OSError, StopIteration):
        lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
        return int(next(line for line in lines if line.startswith("Umask:")).split()[1], 8)
    mask = os.umask(0)
    os.umask(mask)
    return mask
