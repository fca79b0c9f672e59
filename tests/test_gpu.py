# SPDX-License-Identifier: Apache-2.0
"""What only a GPU can show; skipped with a reason elsewhere."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch

from scripts.bundle_config import load_config
from scripts.data.augmentation import Augmentation
from scripts.data.pairs import simulated_pairs
from scripts.data.slices import SimulatedSlices
from scripts.engines import CrossContrastTrainer, averaged
from scripts.inferers import SliceStackInferer
from scripts.losses import CrossContrastLoss
from scripts.networks import CrossContrastNet
from scripts.simulation.study import draw_study, simulate_study
from scripts.synthesis.bundle import Model, ModelFacts
from scripts.synthesis.inference import NO_GPU_MEMORY, infer

CONFIGS = Path(__file__).resolve().parents[1] / "bundle" / "configs"
pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA GPU on this machine"),
]


def network() -> CrossContrastNet:
    definition = load_config(CONFIGS / "train.yaml")["network_def"] | {"contrasts": ["PD", "PDFS"]}
    definition.pop("_target_")
    torch.manual_seed(0)
    return CrossContrastNet(**definition)


def test_synthesis_on_the_gpu_is_that_of_the_cpu() -> None:
    net, volume = network().eval(), torch.rand(1, 1, 3, 96, 80)
    infer = SliceStackInferer(["PD", "PDFS"], autocast=False)
    expected = infer(volume, net)
    found = infer(volume.cuda(), net.cuda()).cpu()
    torch.testing.assert_close(found, expected, atol=2e-3, rtol=0)


@pytest.fixture
def memory_for() -> Iterator[Callable[[int], None]]:
    """A function that leaves this process so many bytes of the GPU; all of it again at the end."""

    def limit(size: int) -> None:
        torch.cuda.empty_cache()
        torch.cuda.set_per_process_memory_fraction(size / torch.cuda.get_device_properties(0).total_memory)

    yield limit
    torch.cuda.set_per_process_memory_fraction(1.0)


def on_gpu(batch_size: int, progress: Callable[[int], None] | None = None) -> Model:
    inferer = SliceStackInferer(["PD", "PDFS"], batch_size=batch_size, progress=progress)
    facts = ModelFacts("network", "0", "")
    return Model(dict, dict, facts, torch.device("cuda"), network().eval(), inferer)  # type: ignore[arg-type]


def quietly(text: str, done: int, total: int) -> None:
    pass


def test_a_batch_that_does_not_fit_is_halved(memory_for: Callable[[int], None]) -> None:
    volume, taken = torch.rand(1, 8, 384, 320), {}
    for batch_size in (1, 8):
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
        expected = infer(on_gpu(batch_size), volume, quietly)["pred"]
        taken[batch_size] = torch.cuda.max_memory_reserved()
    assert taken[1] < taken[8]
    memory_for((taken[1] + taken[8]) // 2)
    done: list[int] = []
    made = infer(on_gpu(8, done.append), volume, quietly)
    assert made["device"] == "cuda" and not made["notes"] and len(done) > 1
    torch.testing.assert_close(made["pred"], expected, atol=2e-2, rtol=0)  # other kernels, in bfloat16


def test_a_gpu_without_room_for_one_slice_leaves_the_volume_to_the_processor(memory_for: Callable[[int], None]) -> None:
    volume, model = torch.rand(1, 3, 96, 80), on_gpu(4)
    plain = infer(Model(**{**vars(model), "device": torch.device("cpu")}), volume, quietly)
    memory_for(0)
    made = infer(model, volume, quietly)
    assert made["device"] == "cpu" and made["notes"] == [NO_GPU_MEMORY]
    assert torch.equal(made["pred"], plain["pred"])


def test_a_study_on_the_gpu_is_that_of_the_cpu() -> None:
    parameters = draw_study(3, plane="sagittal", shape=(2, 96, 96))
    cpu, gpu = (simulate_study(parameters, device) for device in ("cpu", "cuda"))
    assert float((cpu.labels == gpu.labels).float().mean()) > 0.998  # but for voxels on a boundary
    for name in ("clean", "noisy"):
        error = (getattr(cpu, name) - getattr(gpu, name)).abs()
        assert float((error > 5e-3).float().mean()) < 0.002


def test_slices_simulated_on_the_gpu_are_those_of_the_cpu(tmp_path: Path) -> None:
    items = simulated_pairs(str(tmp_path), "training", 1, shape=(2, 96, 96), preset="randomised")
    cpu, gpu = (SimulatedSlices(items, Augmentation(size=(64, 64)), 8, device=device) for device in ("cpu", "cuda"))
    for a, b in zip(cpu.__getitems__(range(8)), gpu.__getitems__(range(8)), strict=True):
        assert b["image"].is_cuda
        for key in ("image", "label"):
            assert float(((a[key] - b[key].cpu()).abs() > 0.01).float().mean()) < 0.005


@pytest.mark.parametrize("compiled", [False, True])
def test_a_step_never_waits_for_the_device(compiled: bool) -> None:
    net = network().cuda()
    batch = {"image": torch.rand(2, 1, 64, 64).cuda(), "label": torch.rand(2, 1, 64, 64).cuda()}
    trainer = CrossContrastTrainer(
        device=torch.device("cuda"),
        max_epochs=1,
        train_data_loader=[batch],
        network=net,
        optimizer=torch.optim.AdamW(net.parameters(), 1e-3),
        loss_function=CrossContrastLoss({"content": 0.002, "recon": 0.05, "cross": 1.0}),
        ema=averaged(net),
        compiled=compiled,
    )
    trainer._iteration(trainer, batch)  # the first step builds and tunes kernels
    torch.cuda.set_sync_debug_mode("error")
    try:
        trainer._iteration(trainer, batch)
    finally:
        torch.cuda.set_sync_debug_mode("default")


def test_all_gpus_train_together_by_nccl(tmp_path: Path) -> None:
    """One process per GPU; where there is only one, group, collectives and gradients still go through NCCL."""
    files = [f"bundle/configs/{name}.yaml" for name in ("train", "smoke", "multi_gpu")]
    count = torch.cuda.device_count()
    words = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc_per_node={count}"]
    words += ["-m", "monai.bundle", "run", "training", "--config_file", str(files)]
    words += ["--output_dir", str(tmp_path / "out"), "--cache_dir", str(tmp_path / "cache")]
    words += ["--batch_size", str(2 * count), "--samples_per_epoch", str(4 * count)]
    done = subprocess.run(words, cwd=CONFIGS.parents[1], capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-3000:]
    (run,) = (tmp_path / "out").iterdir()
    assert len((run / "curves.csv").read_text().splitlines()) == 3
