# SPDX-License-Identifier: Apache-2.0
"""A GPU without enough memory, played by ``cpu:0``: a device of its own to torch, and one that is always there."""

from __future__ import annotations

import dataclasses
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
import torch

from scripts.archive import stages
from scripts.archive.run import ArchiveRequest, synthesize_archive
from scripts.errors import OutOfMemory
from scripts.inferers import SliceStackInferer
from scripts.synthesis import run
from scripts.synthesis.bundle import Model, load_model
from scripts.synthesis.inference import NO_GPU_MEMORY
from scripts.synthesis.planning import Request
from scripts.synthesis.run import synthesize

GPU, PROCESSOR = torch.device("cpu", 0), torch.device("cpu")
NO_MEMORY = [
    torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."),
    RuntimeError("CUDA error: out of memory"),
    RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"),
    RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
]


class Cramped(torch.nn.Module):
    """A network that, on the GPU, has memory for a few slices only, and remembers how many it was given where."""

    def __init__(self, network: torch.nn.Module, fits: int, error: Exception = NO_MEMORY[0]) -> None:
        super().__init__()
        self.network, self.fits, self.error = network, fits, error
        self.place, self.batches = PROCESSOR, list[tuple[str, int]]()

    def to(self, device: torch.device) -> Cramped:  # type: ignore[override]
        self.place = device
        return self

    def forward(self, image: torch.Tensor, target: int) -> torch.Tensor:
        self.batches.append(("gpu" if self.place == GPU else "cpu", len(image)))
        if self.place == GPU and len(image) > self.fits:
            raise self.error
        return self.network(image, target)


@pytest.fixture
def cramped(monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[Cramped]]:
    """A function that lets every model be loaded onto such a GPU; it gives the list of their networks."""
    made: list[Cramped] = []

    def install(fits: int, error: Exception = NO_MEMORY[0]) -> list[Cramped]:
        def load(target: str, device: str = "auto", root: Path | None = None, gate: Path | None = None) -> Model:
            model = load_model(target, "cpu", root, gate=gate)
            made.append(Cramped(model.network, fits, error))
            return dataclasses.replace(model, network=made[-1], device=GPU)

        monkeypatch.setattr(run, "load_model", load)
        monkeypatch.setattr(stages, "load_model", load)
        return made

    return install


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "in.nii.gz"
    voxels = np.random.default_rng(0).random((24, 20, 7)).astype(np.float32)
    nibabel.save(nibabel.Nifti1Image(voxels, np.diag([0.5, 0.5, 3.3, 1.0])), path)
    return path


def voxels(folder: Path) -> np.ndarray:
    return np.asanyarray(nibabel.load(folder / "PDFS.nii.gz").dataobj)


def make(source: Path, out: Path, bundle: Path) -> dict[str, Any]:
    return synthesize(Request((source,), out, target="PDFS", device="cpu"), bundle_root=bundle)


@pytest.mark.parametrize(
    ("fits", "batches"),
    [(4, [4, 3]), (3, [4, 2, 2, 2, 1]), (1, [4, 2, 1, 1, 1, 1, 1, 1, 1])],
    ids=["all fit", "three", "one"],
)
def test_the_batch_is_halved_until_it_fits_and_what_is_done_stays_done(
    source: Path,
    tmp_path: Path,
    random_bundle: Path,
    cramped: Callable[..., list[Cramped]],
    fits: int,
    batches: list[int],
) -> None:
    make(source, tmp_path / "plain", random_bundle)
    network = cramped(fits)
    report = make(source, tmp_path / "out", random_bundle)
    assert network[0].batches == [("gpu", count) for count in batches]
    assert NO_GPU_MEMORY not in report["series"][0]["warnings"]
    # One slice at a time goes through the same arithmetic, if not always through the same kernel.
    np.testing.assert_allclose(voxels(tmp_path / "out"), voxels(tmp_path / "plain"), atol=2)


@pytest.mark.parametrize("error", NO_MEMORY, ids=["allocator", "CUDA", "cuDNN", "cuBLAS"])
def test_without_room_for_one_slice_the_processor_does_it_and_the_report_says_so(
    source: Path, tmp_path: Path, random_bundle: Path, cramped: Callable[..., list[Cramped]], error: Exception
) -> None:
    make(source, tmp_path / "plain", random_bundle)
    network = cramped(0, error)
    report = make(source, tmp_path / "out", random_bundle)
    assert network[0].batches == [("gpu", 4), ("gpu", 2), ("gpu", 1), ("cpu", 4), ("cpu", 3)]
    assert NO_GPU_MEMORY in report["series"][0]["warnings"]
    assert report["run"]["Device"] == "cpu"
    assert NO_GPU_MEMORY in (tmp_path / "out" / "report.html").read_text()
    np.testing.assert_array_equal(voxels(tmp_path / "out"), voxels(tmp_path / "plain"))


def test_an_archive_goes_on_by_the_processor_too_and_tries_the_gpu_anew_for_each_series(
    source: Path, tmp_path: Path, random_bundle: Path, cramped: Callable[..., list[Cramped]]
) -> None:
    make(source, tmp_path / "plain", random_bundle)
    network = cramped(0)
    for name in ("a", "b"):
        shutil.copy(source, tmp_path / f"{name}.nii.gz")
    (tmp_path / "list.csv").write_text("source\na.nii.gz\nb.nii.gz\n")
    request = ArchiveRequest(tmp_path / "list.csv", tmp_path / "out", target="PDFS", device="cpu")
    assert synthesize_archive(request, bundle_root=random_bundle).done == 2
    assert [place for place, _ in network[0].batches] == 2 * (3 * ["gpu"] + 2 * ["cpu"])
    for name in ("a", "b"):
        report = json.loads((tmp_path / "out" / name / "report.json").read_text())
        assert report["run"]["Device"] == "cpu" and NO_GPU_MEMORY in report["series"][0]["warnings"]
        np.testing.assert_array_equal(voxels(tmp_path / "out" / name), voxels(tmp_path / "plain"))


def test_memory_of_the_processor_itself_has_nothing_to_fall_back_to(
    source: Path, tmp_path: Path, random_bundle: Path, cramped: Callable[..., list[Cramped]]
) -> None:
    network = cramped(0, RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 8 bytes."))
    with pytest.raises(OutOfMemory):
        make(source, tmp_path / "out", random_bundle)
    assert network[0].batches == [("gpu", 4)]


def test_another_fault_of_the_gpu_is_no_lack_of_memory(
    source: Path, tmp_path: Path, random_bundle: Path, cramped: Callable[..., list[Cramped]]
) -> None:
    network = cramped(0, RuntimeError("CUDA error: an illegal memory access was encountered"))
    with pytest.raises(RuntimeError, match="illegal memory access"):
        make(source, tmp_path / "out", random_bundle)
    assert network[0].batches == [("gpu", 4)]


def test_an_inferer_of_one_slice_at_a_time_says_that_there_is_no_memory() -> None:
    network = Cramped(torch.nn.Identity(), 0).to(GPU)
    with pytest.raises(torch.OutOfMemoryError):
        SliceStackInferer(["PD", "PDFS"], batch_size=1)(torch.rand(1, 1, 3, 16, 16), network)
    assert network.batches == [("gpu", 1)]
