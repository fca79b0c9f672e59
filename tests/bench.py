# SPDX-License-Identifier: Apache-2.0
"""Times what a user waits for: a synthesis from start to end, the first answer of the command line, a training step.

`make bench` prints a table beside the limits, writes outputs/bench.json, and ends with status 1 where one is missed.
Each measurement is a process of its own. This one imports nothing heavy: a child's peak memory counts from what its
parent held when it started.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
RESULT = ROOT / "outputs" / "bench.json"

MAKE_STUDY = """
import sys
from pathlib import Path
import numpy as np
from scripts.dicom.study import SimulatedSeries, write_simulated_study

# A leg-shaped stack of the size that the limits are given for: 24 slices of 256 x 256, 3.5 x 0.6 x 0.6 mm, sagittal.
slices, rows, columns = 24, 256, 256
z, y, x = np.meshgrid(*(np.linspace(-1, 1, n) for n in (slices, rows, columns)), indexing="ij")
rng = np.random.default_rng(0)
leg = (x / 0.7) ** 2 + (z / 1.1) ** 2 < 1
bone = ((x / 0.4) ** 2 + (z / 0.8) ** 2 < 1) & (abs(y) > 0.05)
image = 400 * leg + 500 * bone + 60 * np.sin(9 * y) * leg
image = np.hypot(image + rng.normal(0, 15, image.shape), rng.normal(0, 15, image.shape)).astype(np.float32)
# (slice, row, column, 1) to LPS: slices left, rows down to the foot, columns to the back
affine = np.array([[3.5, 0, 0, -40], [0, 0, 0.6, -77], [0, -0.6, 0, 77], [0, 0, 0, 1]], dtype=float)
series = SimulatedSeries(array=image, affine_lps=affine, contrast="PD", description="sag PD", repetition_time=2.8,
                         echo_time=0.03, echo_train_length=7, field_strength=3.0, fat_suppressed=False)
write_simulated_study(Path(sys.argv[1]), [series], number=1)
"""

TRAIN = """
import json, sys, time
from ignite.engine import Events
from monai.bundle import ConfigWorkflow

scratch, steps, warm = sys.argv[1], 10, 3  # the first steps fill caches and allocators
workflow = ConfigWorkflow(
    "bundle/configs/train.yaml", workflow_type="train", logging_file=False, output_dir=scratch + "/runs",
    cache_dir=scratch + "/cache", max_epochs=1,
    **{"simulated::studies": {"training": 2, "validation": 1, "test": 1}},
)
workflow.initialize()
trainer, times = workflow.trainer, []

@trainer.on(Events.ITERATION_COMPLETED)
def stop(engine):
    times.append(time.perf_counter())
    if len(times) == steps:
        engine.terminate()

trainer.run()
pairs = workflow.parser.get_parsed_content("batch_size") * (steps - warm)
print("BENCH", json.dumps({"pairs_per_second": pairs / (times[-1] - times[warm - 1])}))
"""


@dataclass(frozen=True)
class Run:
    """One finished process.

    Args:
        seconds: wall time from start to exit.
        peak_bytes: highest resident memory of it, or of the largest of its own children.
        output: what it wrote to stdout.
    """

    seconds: float
    peak_bytes: int
    output: str


@dataclass(frozen=True)
class Figure:
    """One line of the table: what was measured, and the most (or, where `least`, the least) it may be."""

    name: str
    value: float
    unit: str
    limit: float | None = None

    @property
    def kept(self) -> bool:
        return self.limit is None or self.value <= self.limit


def run(*arguments: str) -> Run:
    """Run Python with arguments from the repository root and measure it.

    Raises:
        SystemExit: the process failed; its last lines are shown.
    """
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
        started = time.perf_counter()
        process = subprocess.Popen([sys.executable, *arguments], cwd=ROOT, stdout=out, stderr=err)
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - started
        process.returncode = os.waitstatus_to_exitcode(status)
        out.seek(0)
        err.seek(0)
        if process.returncode != 0:
            tail = "".join(err.readlines()[-15:])
            raise SystemExit(f"{' '.join(arguments)[:200]}\nended with {process.returncode}:\n{tail}")
        scale = 1 if sys.platform == "darwin" else 1024
        return Run(seconds, usage.ru_maxrss * scale, out.read())


def measure(repeats: int, training: bool) -> list[Figure]:
    """Run each measurement; times are medians over the repeats, memory is the highest."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        run("-c", MAKE_STUDY, str(folder / "study"))
        synthesis = [
            run(
                *("-m", "scripts", "synthesize", str(folder / "study"), "--to", "PDFS"),
                *("-o", str(folder / f"out{index}"), "--accept-simulated"),
            )
            for index in range(repeats)
        ]
        helps = [run("-m", "scripts", "--help") for _ in range(repeats + 1)][1:]  # the first compiles bytecode
        figures = [
            Figure("synthesize 24 x 256 x 256", statistics.median(r.seconds for r in synthesis), "s", 30.0),
            Figure("  its peak memory", max(r.peak_bytes for r in synthesis) / 2**30, "GiB", 3e9 / 2**30),
            Figure("kneesynth --help", statistics.median(r.seconds for r in helps), "s", 1.0),
        ]
        if training:
            trained = run("-c", TRAIN, str(folder))
            found = json.loads(next(line for line in trained.output.splitlines() if line.startswith("BENCH "))[6:])
            figures.append(Figure("training, slices cut and fed", found["pairs_per_second"], "pairs/s"))
            figures.append(Figure("  its peak memory", trained.peak_bytes / 2**30, "GiB"))
    return figures


def main() -> int:
    """Print the table, write the JSON, and return 1 where a limit is missed."""
    parser = argparse.ArgumentParser(description="Measure this checkout on this machine.")
    parser.add_argument("--repeats", type=int, default=3, help="synthesis and start-up runs [3]")
    parser.add_argument("--no-training", action="store_true", help="leave out the training step")
    arguments = parser.parse_args()
    figures = measure(arguments.repeats, training=not arguments.no_training)
    print(f"{os.cpu_count()} cores, Python {platform.python_version()}, {platform.machine()}")
    for figure in figures:
        limit = "" if figure.limit is None else f"at most {figure.limit:.3g}  {'ok' if figure.kept else 'MISSED'}"
        print(f"  {figure.name:<30}{figure.value:>10.2f} {figure.unit:<14}{limit}")
    RESULT.parent.mkdir(parents=True, exist_ok=True)
    record = {"time": time.strftime("%Y-%m-%dT%H:%M:%S%z"), "cores": os.cpu_count(), "machine": platform.machine()}
    RESULT.write_text(json.dumps(record | {"figures": [asdict(figure) for figure in figures]}, indent=2) + "\n")
    print(f"written to {RESULT.relative_to(ROOT)}")
    return 0 if all(figure.kept for figure in figures) else 1


if __name__ == "__main__":
    sys.exit(main())
