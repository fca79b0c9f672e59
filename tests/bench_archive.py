# SPDX-License-Identifier: Apache-2.0
"""Series per minute of one way to run over an archive; `tests/bench.py` starts it, in a process of its own.

Arguments: a DICOM study, an empty folder, the engine, workers. The rate counts from when the first few series are
finished to the last, since on an archive the start does not matter.
"""

from __future__ import annotations

import json
import shutil
import sys
import time
from pathlib import Path

from scripts.archive.run import ArchiveRequest, synthesize_archive
from scripts.synthesis.selection import Lift

COUNT, WARM = 10, 3


def main(study: Path, scratch: Path, engine: str, workers: int) -> None:
    scratch.mkdir()
    for number in range(COUNT):
        shutil.copytree(study, scratch / f"study{number}")
    manifest = scratch / "list.csv"
    manifest.write_text("\n".join(["source", *(f"study{number}" for number in range(COUNT))]) + "\n")
    finished: list[tuple[float, int]] = []

    def note(text: str, done: int, total: int) -> None:
        if done >= WARM:
            finished.append((time.perf_counter(), done))

    request = ArchiveRequest(manifest, scratch / "out", engine=engine, workers=workers, lift=Lift(simulated=True))
    summary = synthesize_archive(request, note)
    if summary.failures:
        raise SystemExit(summary.failures[0]["error"])
    (began, first), (ended, last) = finished[0], finished[-1]
    print("BENCH", json.dumps({"per_minute": 60 * (last - first) / (ended - began)}))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3], int(sys.argv[4]))
