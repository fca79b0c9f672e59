# SPDX-License-Identifier: Apache-2.0
"""Times what a user waits for: a synthesis, the first answer of the command line, a simulation, a training step.

`make bench` prints a table beside the limits, writes outputs/bench.json, and ends with status 1 where one is missed.
Each measurement is a process of its own. This one imports nothing heavy: a child's peak memory counts from what its
parent held when it started.
"""

from __future__ import annotations

import argparse
import importlib.util
import itertools
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

MAKE_EXAM = """
import sys
from pathlib import Path
import numpy as np
from scripts.dicom.study import SimulatedSeries, write_simulated_study

# An exam of 12 series with 50 slices of 256 x 256 each.
array = np.random.default_rng(0).random((50, 256, 256), dtype=np.float32)
series = []
for number in range(12):
    affine = np.roll(np.diag([3.0, 0.6, 0.6, 1.0])[:3], number % 3, axis=0)
    affine = np.vstack([affine, [0, 0, 0, 1]])
    series.append(SimulatedSeries(array, affine, ("PD", "PDFS")[number % 2], "", 3.0, 0.03, 8, 3.0, number % 2 == 1))
write_simulated_study(Path(sys.argv[1]), series, number=1)
"""

INDEX = """
import json, sys, time
from pathlib import Path
from scripts.dicom.index import index_series

started = time.perf_counter()
stacks = index_series([Path(sys.argv[1])])
assert len(stacks) == 12 and sum(stack.slices for stack in stacks) == 600
print("BENCH", json.dumps({"seconds": time.perf_counter() - started}))
"""

VOLUME = """
import json, sys
from pathlib import Path
import nibabel
import numpy as np
from scripts.archive.run import ArchiveRequest, synthesize_archive

# NIfTI in and out. The first volumes also load libraries, kernels and weights; the last is told.
folder, (columns, rows, slices) = Path(sys.argv[1]), (320, 320, 36)
x, y, z = np.meshgrid(*(np.linspace(-1, 1, n) for n in (columns, rows, slices)), indexing="ij")
leg = ((x / 0.8) ** 2 + (y / 1.2) ** 2 < 1) * (0.6 + 0.4 * np.cos(9 * x) * np.cos(7 * y) * np.cos(z))
rng = np.random.default_rng(0)
image = np.hypot(leg + rng.normal(0, 0.03, leg.shape), rng.normal(0, 0.03, leg.shape)).astype(np.float32)
folder.mkdir()
names = [f"pd{number}.nii.gz" for number in range(6)]
for name in names:
    nibabel.save(nibabel.Nifti1Image(1000 * image, np.diag([0.5, 0.5, 3.5, 1.0])), folder / name)
(folder / "list.csv").write_text("\\n".join(["source,to", *(f"{name},PDFS" for name in names)]) + "\\n")
summary = synthesize_archive(ArchiveRequest(folder / "list.csv", folder / "out", workers=1))
if summary.failures:
    raise SystemExit(summary.failures[0]["error"])
lines = (folder / "out" / summary.results).read_text().splitlines()
print("BENCH", json.dumps(json.loads(lines[-1])["seconds"]))
"""

SIMULATE = """
import json, os, time
from dataclasses import replace
from scripts.simulation.preset import load_preset
from scripts.simulation.study import draw_study, simulate_study

# A clinical study in which every effect is at work: also those that only some scans have.
certain = {name: 1.0 for name in ("partial_fourier_chance", "elliptical", "g_factor_chance", "phase_error_chance",
    "pulsation_chance", "normalisation_chance", "sharpening_chance", "fade_chance")}
scanner = {"pd": certain, "pdfs": certain, "axes": {"turned": 1.0}, "motion": {"chance": 1.0},
    "coil": {"combined": 0.0, "elements": {4: 0, 6: 0}}, "field": {"failure_chance": 1.0}}
preset = load_preset({"base": "clinical", "scanner": scanner})
kinds = ("oedema", "effusion", "meniscal_tear", "cartilage_defect", "ligament_tear", "baker_cyst", "metal")
parameters = draw_study(1, preset, "sagittal", (36, 320, 320), 3.0, dict.fromkeys(kinds, 1.0))
started = time.perf_counter()
study = simulate_study(parameters, workers=os.cpu_count())
print("BENCH", json.dumps({"seconds": time.perf_counter() - started}))
"""

SLICES = """
import json, sys, time
import torch
from scripts.data.augmentation import Augmentation
from scripts.data.pairs import simulated_pairs
from scripts.data.slices import SimulatedSlices

torch.set_num_threads(1)
device, batch, count = sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
items = simulated_pairs(sys.argv[1], "training", 1, shape=(24, 256, 256), preset="randomised")
slices = SimulatedSlices(items, Augmentation(size=(256, 256)), 10**6, device=device)

def make(first):
    made = slices.__getitems__(range(first, first + batch))
    return float(made[-1]["image"].sum())  # waits for the device

make(0)
started = time.perf_counter()
for number in range(1, count + 1):
    make(number * batch)
print("BENCH", json.dumps({"pairs_per_second": count * batch / (time.perf_counter() - started)}))
"""

PAIRS = """
import json, sys, time
from pathlib import Path
import nibabel
import numpy as np
import torch
from monai.bundle import ConfigParser
from scripts.data.training import training_slices

# Pairs of 36 x 320 x 320 as a converter would leave them, in the default preprocessing; what is timed is the loader
# alone, with one thread: the first epoch preprocesses, the second finds it done, and resident ones are in memory.
root, volumes, samples = Path(sys.argv[1]) / "pairs", 8, 64
torch.set_num_threads(1)
columns, rows, slices = 320, 320, 36
x, y, z = np.meshgrid(*(np.linspace(-1, 1, n) for n in (columns, rows, slices)), indexing="ij")
leg = ((x / 0.8) ** 2 + (y / 1.2) ** 2 < 1) * (0.6 + 0.4 * np.cos(9 * x) * np.cos(7 * y) * np.cos(z))
items = []
for number in range(volumes):
    rng = np.random.default_rng(number)
    folder = root / f"p{number}"
    folder.mkdir(parents=True)
    for name, image in (("PD", leg), ("PDFS", leg.max() - leg)):
        noisy = np.hypot(image + rng.normal(0, 0.03, leg.shape), rng.normal(0, 0.03, leg.shape))
        stored = nibabel.Nifti1Image((1000 * noisy).astype(np.int16), np.diag([0.5, 0.5, 3.5, 1.0]))
        nibabel.save(stored, folder / f"{name}.nii.gz")
    items.append({"patient": f"p{number}", "image": str(folder / "PD.nii.gz"), "label": str(folder / "PDFS.nii.gz")})
parser = ConfigParser(ConfigParser.load_config_file("bundle/configs/train.yaml"))
transform = parser.get_parsed_content("train#preprocessing")
augmentation = parser.get_parsed_content("augmentation")

def rate(loading, epoch):
    data = training_slices(items, transform, augmentation, samples, cache_dir=str(root), loading=loading)
    started = time.perf_counter()
    data.set_epoch(epoch)
    for index in range(0, samples, 2):
        data.__getitems__([index, index + 1])
    return samples / (time.perf_counter() - started), data

first, _ = rate("streamed", 1)
second, _ = rate("streamed", 2)
_, resident = rate("resident", 1)
started = time.perf_counter()
for index in range(0, samples, 2):
    resident.__getitems__([index, index + 1])
held = samples / (time.perf_counter() - started)
print("BENCH", json.dumps({"first": first, "second": second, "resident": held}))
"""

MANY_PAIRS = """
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
import nibabel
import numpy as np

# 200 pairs of 24 x 256 x 256, no two alike, as a converter would leave them.
nibabel.openers.Opener.default_compresslevel = 1
columns, rows, slices = 256, 256, 24
x, y, z = np.meshgrid(*(np.linspace(-1, 1, n) for n in (columns, rows, slices)), indexing="ij")

def write(number):
    rng = np.random.default_rng(number)
    wide, long, one, two, three = rng.uniform((0.6, 1.1, 7, 5, 0.6), (0.9, 1.4, 12, 9, 1.4))
    body = (x / wide) ** 2 + (y / long) ** 2 < 1
    leg = body * (0.6 + 0.4 * np.cos(one * x) * np.cos(two * y + number) * np.cos(three * z))
    folder = Path(sys.argv[1]) / f"p{number:03d}"
    folder.mkdir(parents=True)
    for name, image in (("PD", leg), ("PDFS", body * (1.1 - leg))):
        noisy = np.hypot(image + rng.normal(0, 0.03, leg.shape), rng.normal(0, 0.03, leg.shape))
        stored = nibabel.Nifti1Image((1000 * noisy).astype(np.int16), np.diag([0.6, 0.6, 3.5, 1.0]))
        nibabel.save(stored, folder / f"{name}.nii.gz")

with ThreadPoolExecutor() as pool:
    list(pool.map(write, range(200)))
"""

TRAIN = """
import json, sys, time
from ignite.engine import Events
from monai.bundle import ConfigWorkflow

scratch, steps, warm = sys.argv[1], 12, 4  # the first steps fill caches and allocators
workflow = ConfigWorkflow(
    "bundle/configs/train.yaml", workflow_type="train", logging_file=False, output_dir=scratch + "/runs",
    cache_dir=scratch + "/cache", max_epochs=1,
    **{"simulated::studies": {"training": 2, "validation": 1, "test": 1}},
)
workflow.initialize()
trainer, waits, times = workflow.trainer, [], []

@trainer.on(Events.GET_BATCH_STARTED)
def waiting(engine):
    waits.append(-time.perf_counter())

@trainer.on(Events.GET_BATCH_COMPLETED)
def fed(engine):
    waits[-1] += time.perf_counter()

@trainer.on(Events.ITERATION_COMPLETED)
def stop(engine):
    times.append(time.perf_counter())
    if len(times) == steps:
        engine.terminate()

trainer.run()
size = workflow.parser.get_parsed_content("augmentation").size
pairs = workflow.parser.get_parsed_content("batch_size") * (steps - warm)
whole, data = times[-1] - times[warm - 1], sum(waits[warm:steps])
area = size[0] * size[1] / 256**2
print("BENCH", json.dumps({"pairs_per_second": pairs / whole, "consumed": area * pairs / (whole - data)}))
"""

STEP = """
import json, time
import torch
from ignite.engine import Events
from monai.bundle import ConfigParser
from monai.engines import SupervisedTrainer
from monai.networks.nets import BasicUNet
from torch.utils.flop_counter import FlopCounterMode
from scripts.engines import CrossContrastTrainer
from scripts.losses import CrossContrastLoss
from scripts.study.cost import cost_of

cuda = torch.cuda.is_available()
device, batch, side, steps, warm = torch.device("cuda" if cuda else "cpu"), 32 if cuda else 2, 192, 14, 4

def plain(width):
    return BasicUNet(spatial_dims=2, in_channels=1, out_channels=1, features=[width * n for n in (1, 1, 2, 4, 8, 1)])

def plain_flops(width):
    image = torch.rand(1, 1, side, side, device="meta")
    with FlopCounterMode(display=False) as count:
        torch.nn.functional.l1_loss(plain(width).to("meta")(image), image).backward()
    return count.get_total_flops()

config = ConfigParser.load_config_file("bundle/configs/train.yaml")
ours = ConfigParser(config).get_parsed_content("network_def")
flops = cost_of(ours, (side, side), config["loss_weights"]["recon"]).step_flops
width = min(range(16, 97, 2), key=lambda width: abs(plain_flops(width) - flops))
other = plain(width)
pair = {key: torch.rand(batch, 1, side, side) for key in ("image", "label")}

def rate(make, network):
    times = []
    trainer = make(device=device, max_epochs=1, train_data_loader=[pair] * steps, network=network.to(device),
                   optimizer=torch.optim.AdamW(network.parameters()))

    @trainer.on(Events.ITERATION_COMPLETED)
    def note(engine):
        if cuda:
            torch.cuda.synchronize()
        times.append(time.perf_counter())

    trainer.run()
    return batch * (steps - warm) / (times[-1] - times[warm - 1])

loss = CrossContrastLoss(config["loss_weights"], config["squared_below"])
mine = rate(lambda **given: CrossContrastTrainer(loss_function=loss, **given), ours)
theirs = rate(lambda **given: SupervisedTrainer(loss_function=torch.nn.L1Loss(), **given), other)
matrix = torch.rand(2048, 2048, device=device, dtype=torch.bfloat16)
for repeat in range(2):  # the first warms up
    started = time.perf_counter()
    for _ in range(8):
        product = matrix @ matrix
    float(product[0, 0])
    peak = 8 * 2 * 2048**3 / (time.perf_counter() - started)
print("BENCH", json.dumps({"ours": mine, "plain": theirs, "flops": flops, "plain_flops": plain_flops(width),
                           "width": width, "peak": peak, "cuda": float(cuda)}))
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
    """One line of the table: what was measured, and the most and the least that it may be."""

    name: str
    value: float
    unit: str
    most: float | None = None
    least: float | None = None

    @property
    def kept(self) -> bool:
        return (self.most is None or self.value <= self.most) and (self.least is None or self.value >= self.least)

    @property
    def limit(self) -> str:
        if self.most is None and self.least is None:
            return ""
        bounds = (("at least", self.least), ("at most", self.most))
        words = ", ".join(f"{word} {bound:.3g}" for word, bound in bounds if bound is not None)
        return f"{words}  {'ok' if self.kept else 'MISSED'}"


def run(*arguments: str, codes: tuple[int, ...] = (0,)) -> Run:
    """Run Python with arguments from the repository root and measure it.

    Args:
        arguments: of Python.
        codes: with which it may end.

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
        if process.returncode not in codes:
            tail = "".join(err.readlines()[-15:])
            raise SystemExit(f"{' '.join(arguments)[:200]}\nended with {process.returncode}:\n{tail}")
        scale = 1 if sys.platform == "darwin" else 1024
        return Run(seconds, usage.ru_maxrss * scale, out.read())


def found(process: Run) -> dict[str, float]:
    """What a measuring process printed."""
    content: dict[str, float] = json.loads(
        next(line for line in process.output.splitlines() if line.startswith("BENCH "))[6:]
    )
    return content


def measure(repeats: int, training: bool) -> list[Figure]:
    """Run each measurement; times are medians over the repeats, memory is the highest."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        at_the_terminal = _installed("typer", "pydicom", "highdicom", "nibabel")
        figures = [*clinical(folder, repeats), *checking(folder)] if at_the_terminal else []
        figures += [*volume(folder), *simulation(folder), *acquired(folder)]
        if training:
            figures += training_step(folder, figures)
    return figures


def _installed(*packages: str) -> bool:
    return all(importlib.util.find_spec(package) for package in packages)


def clinical(folder: Path, repeats: int) -> list[Figure]:
    """What is done to DICOM on the command line; a machine to train on may not have what that needs."""
    run("-c", MAKE_STUDY, str(folder / "study"))
    synthesis = [
        run(
            *("-m", "scripts", "synthesize", str(folder / "study"), "--to", "PDFS"),
            *("-o", str(folder / f"out{index}"), "--accept-simulated"),
        )
        for index in range(repeats)
    ]
    helps = [run("-m", "scripts", "--help") for _ in range(repeats + 1)][1:]  # the first compiles bytecode
    return [
        Figure("synthesize 24 x 256 x 256", statistics.median(r.seconds for r in synthesis), "s", 30.0),
        Figure("  its peak memory", max(r.peak_bytes for r in synthesis) / 2**30, "GiB", 3e9 / 2**30),
        Figure("kneesynth --help", statistics.median(r.seconds for r in helps), "s", 1.0),
        Figure("index 12 series of 50 files", indexing(folder / "exam"), "s", 5.0),
        *archive(folder),
    ]


def indexing(folder: Path) -> float:
    """Seconds from a folder to the stacks in it, by headers alone; what it imports counts too."""
    run("-c", MAKE_EXAM, str(folder))
    return found(run("-c", INDEX, str(folder)))["seconds"]


def volume(folder: Path) -> list[Figure]:
    """Where the time of a large volume goes, start-up left out."""
    seconds = found(run("-c", VOLUME, str(folder / "volumes")))
    return [Figure(f"{stage} 36 x 320 x 320", seconds[stage], "s") for stage in ("read", "network", "write")]


def archive(folder: Path) -> list[Figure]:
    """Many series, by threads and, where it is installed, by Ray."""
    engines = ["local", *(["ray"] if _installed("ray") else [])]
    figures = []
    for engine, workers in itertools.product(engines, (1, 2)):
        scratch = str(folder / f"{engine}{workers}")
        done = run("-m", "tests.bench_archive", str(folder / "study"), scratch, engine, str(workers))
        name = f"archive 24 x 256 x 256, {engine}, {workers} worker{'s' if workers > 1 else ''}"
        figures.append(Figure(name, found(done)["per_minute"], "series/min"))
    return figures


def checking(folder: Path) -> list[Figure]:
    """A look at many pairs before training."""
    run("-c", MANY_PAIRS, str(folder / "many"))
    # 6: something is to be fixed, since a phantom is no knee.
    checked = run("-m", "scripts", "check", str(folder / "many"), codes=(0, 6))
    return [
        Figure("check 200 pairs of 24 x 256 x 256", checked.seconds, "s", 60.0),
        Figure("  its peak memory", checked.peak_bytes / 2**30, "GiB"),
    ]


def simulation(folder: Path) -> list[Figure]:
    """A large study with every effect, and slices to train on."""
    study = run("-c", SIMULATE)
    slices = run("-c", SLICES, str(folder / "cache"), "cpu", "1", "20")
    figures = [
        Figure("simulate 36 x 320 x 320", found(study)["seconds"], "s", 60.0),
        Figure("  its peak memory", study.peak_bytes / 2**30, "GiB"),
        Figure(SIMULATED, found(slices)["pairs_per_second"], "pairs/s", least=5.0),
        Figure("  its peak memory", slices.peak_bytes / 2**30, "GiB"),
    ]
    if run("-c", "import torch; print(torch.cuda.is_available())").output.strip() == "True":
        slices = run("-c", SLICES, str(folder / "cache"), "cuda", "32", "20")
        figures.append(Figure("  256 x 256, on the GPU", found(slices)["pairs_per_second"], "pairs/s", least=300.0))
    return figures


def acquired(folder: Path) -> list[Figure]:
    """Slices of acquired pairs, one thread, no step: what a step may consume is told below."""
    rates = found(run("-c", PAIRS, str(folder)))
    return [
        Figure("loader alone, 36 x 320 x 320, 1st epoch", rates["first"], "pairs/s"),
        Figure(LOADED, rates["second"], "pairs/s"),
        Figure("  resident", rates["resident"], "pairs/s"),
        Figure("  second epoch over first", rates["second"] / rates["first"], "", least=2.0),
    ]


def training_step(folder: Path, figures: list[Figure]) -> list[Figure]:
    """Steps of the default training, and whether the simulation keeps up with them."""
    trained = run("-c", TRAIN, str(folder))
    rates = found(trained)
    simulated = next(figure.value for figure in figures if figure.name == SIMULATED) * (os.cpu_count() or 1)
    loaded = next(figure.value for figure in figures if figure.name == LOADED) * (os.cpu_count() or 1)
    step = found(run("-c", STEP))
    width, share = f"{step['width']:.0f}", step["ours"] * step["flops"] / step["peak"]
    return [
        Figure("our step, 192 x 192", step["ours"], "pairs/s"),
        Figure(f"  MONAI's own with BasicUNet {width} wide", step["plain"], "pairs/s"),
        Figure("  its arithmetic over ours", step["plain_flops"] / step["flops"], "", 1.1, 0.9),
        Figure("  our rate over its", step["ours"] / step["plain"], "", least=2.0 if step["cuda"] else 1.8),
        Figure("  our share of the matrix rate, bf16", share, ""),
        Figure("  pairs loaded on all cores per consumed", loaded / step["ours"], "", least=2.0),
        Figure("training, slices simulated and fed", rates["pairs_per_second"], "pairs/s"),
        Figure("  its peak memory", trained.peak_bytes / 2**30, "GiB"),
        Figure("  step alone, 256 x 256 area", rates["consumed"], "pairs/s"),
        Figure("  simulated on all cores per consumed", simulated / rates["consumed"], "", least=2.0),
    ]


LOADED = "  second epoch, streamed from the cache"
SIMULATED = "train slices 256 x 256, one core"


def main() -> int:
    """Print the table, write the JSON, and return 1 where a limit is missed."""
    parser = argparse.ArgumentParser(description="Measure this checkout on this machine.")
    parser.add_argument("--repeats", type=int, default=3, help="synthesis and start-up runs [3]")
    parser.add_argument("--no-training", action="store_true", help="leave out the training step")
    arguments = parser.parse_args()
    figures = measure(arguments.repeats, training=not arguments.no_training)
    print(f"{os.cpu_count()} cores, Python {platform.python_version()}, {platform.machine()}")
    for figure in figures:
        print(f"  {figure.name:<42}{figure.value:>10.2f} {figure.unit:<10}{figure.limit}")
    RESULT.parent.mkdir(parents=True, exist_ok=True)
    record = {"time": time.strftime("%Y-%m-%dT%H:%M:%S%z"), "cores": os.cpu_count(), "machine": platform.machine()}
    RESULT.write_text(json.dumps(record | {"figures": [asdict(figure) for figure in figures]}, indent=2) + "\n")
    print(f"written to {RESULT.relative_to(ROOT)}")
    return 0 if all(figure.kept for figure in figures) else 1


if __name__ == "__main__":
    sys.exit(main())
