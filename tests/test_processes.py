# SPDX-License-Identifier: Apache-2.0
"""What processes that train together tell each other, and what each of them takes of the work."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from ignite.engine import Engine, Events

from scripts import processes
from scripts.data import own_share
from scripts.data.own_share import OwnShare
from scripts.engines import CrossContrastTrainer
from scripts.errors import UsageError
from scripts.handlers import process_seed
from scripts.handlers.process_seed import SeedPerProcess
from scripts.losses import CrossContrastLoss

ROOT = Path(__file__).resolve().parents[1]


def among(monkeypatch: pytest.MonkeyPatch, rank: int, world_size: int) -> None:
    """Be one of several processes, as far as shares are concerned."""
    for module in (own_share, process_seed, processes):
        monkeypatch.setattr(module, "rank", lambda: rank, raising=False)
        monkeypatch.setattr(module, "world_size", lambda: world_size, raising=False)


def test_one_process_has_all_answers_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    assert (processes.rank(), processes.world_size(), processes.is_first_rank()) == (0, 1, True)
    assert processes.from_first_rank("here") == processes.agreed("here", "the place") == "here"
    assert processes.in_turn(lambda: 3) == processes.share(3, "batch_size") == 3
    assert list(OwnShare(range(5))) == list(range(5))


@pytest.mark.parametrize(("size", "count"), [(12, 3), (12, 1), (7, 3), (2, 3)])
def test_shares_hold_each_item_once(monkeypatch: pytest.MonkeyPatch, size: int, count: int) -> None:
    shares = []
    for rank in range(count):
        among(monkeypatch, rank, count)
        own = OwnShare(range(size))
        assert len(own) == len(list(own))
        shares.append(list(own))
    assert sorted(index for own in shares for index in own) == list(range(size))
    assert max(map(len, shares)) - min(map(len, shares)) <= 1


def test_batches_of_all_processes_are_the_batch_of_one(monkeypatch: pytest.MonkeyPatch) -> None:
    batches: list[set[int]] = [set() for _ in range(4)]
    for rank in range(3):
        among(monkeypatch, rank, 3)
        loader = torch.utils.data.DataLoader(range(21), processes.share(6, "batch_size"), sampler=OwnShare(range(21)))
        for batch, indices in zip(batches, loader, strict=True):
            batch |= set(indices.tolist())
    assert batches == [set(range(0, 6)), set(range(6, 12)), set(range(12, 18)), set(range(18, 21))]


@pytest.mark.parametrize(("number", "nearest"), [(7, 6), (8, 9), (1, 3)])
def test_what_cannot_be_shared_is_refused_with_the_nearest_number(
    monkeypatch: pytest.MonkeyPatch, number: int, nearest: int
) -> None:
    among(monkeypatch, 0, 3)
    with pytest.raises(UsageError, match=f"batch_size is {number} and 3 processes.*make it {nearest}"):
        processes.share(number, "batch_size")
    with pytest.raises(UsageError, match=f"training slices is {number}"):
        OwnShare(range(number), even=True)


def test_without_torchrun_there_is_nobody_to_join(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(UsageError, match="torchrun --standalone"):
        processes.join()


def test_each_process_of_a_machine_has_its_own_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setenv("RANK", "9")  # of all machines
    monkeypatch.setenv("LOCAL_RANK", "1")
    assert processes.own_device() == torch.device("cuda", 1)
    monkeypatch.setenv("LOCAL_RANK", "2")
    with pytest.raises(UsageError, match=r"finds 2 GPUs.*--nproc_per_node=2"):
        processes.own_device()


class Lines(torch.nn.Module):
    """The smallest network with paths."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = torch.nn.Conv2d(1, 1, 1)

    def pair(self, a: torch.Tensor, b: torch.Tensor, same_domain: bool = True) -> dict[str, torch.Tensor]:
        return {"b_from_a": self.layer(a), "a_from_b": self.layer(b)}


@pytest.mark.parametrize(("distributed", "count"), [(True, 1), (False, 2)], ids=["alone", "each on its own"])
def test_a_trainer_and_its_processes_must_fit(monkeypatch: pytest.MonkeyPatch, distributed: bool, count: int) -> None:
    monkeypatch.setattr("scripts.engines.world_size", lambda: count)
    network = Lines()
    with pytest.raises(UsageError, match=r"train::trainer::distributed is (true|false).*multi_gpu\.yaml"):
        CrossContrastTrainer(
            device=torch.device("cpu"),
            max_epochs=1,
            train_data_loader=[],
            network=network,
            optimizer=torch.optim.SGD(network.parameters(), 0.1),
            loss_function=CrossContrastLoss({"content": 0.0, "recon": 0.0, "cross": 1.0}),
            distributed=distributed,
        )


def draws(epochs: int, first: int = 0) -> list[float]:
    """The first number of each epoch after the first so many."""
    engine = Engine(lambda engine, batch: None)
    SeedPerProcess(5).attach(engine)
    found: list[float] = []
    engine.add_event_handler(Events.ITERATION_COMPLETED, lambda: found.append(float(torch.rand(()))))
    engine.state.epoch, engine.state.max_epochs = first, epochs
    for epoch in range(first + 1, epochs + 1):
        engine.state.epoch = epoch
        engine.fire_event(Events.EPOCH_STARTED)
        engine.fire_event(Events.ITERATION_COMPLETED)
    return found


def test_chance_differs_by_process_and_epoch_and_not_by_resuming(monkeypatch: pytest.MonkeyPatch) -> None:
    with torch.random.fork_rng():
        first = draws(4)
        assert draws(4, first=2) == first[2:]
        among(monkeypatch, 1, 2)
        assert len({*first, *draws(4)}) == 8


TALK = """
import sys, torch
from pathlib import Path
from scripts import processes
from scripts.errors import UsageError
from scripts.metrics.cumulative import BodyMetric

processes.join({"batch_size": 4})
number, said = processes.rank(), []
said.append(processes.from_first_rank(f"folder {number}"))
said.append(processes.agreed("same", "the data"))
try:
    processes.agreed(f"epoch {number}", "the last epoch")
except UsageError as error:
    said.append(str(error))
cache = Path(sys.argv[1])
def make():
    found = cache.exists()
    cache.touch()
    return found
said.append(str(processes.in_turn(make)))
score = BodyMetric(lambda pred, target, body: pred.mean((1, 2, 3, 4)).double())
if number == 0:  # the other one has no patient
    score([torch.full((1, 2, 2, 2), 3.0)], [torch.zeros(2, 2, 2, 2)])
said.append(str(float(score.aggregate())))
processes.leave()
print("|".join(said))
"""


@pytest.mark.slow
def test_two_processes_agree_wait_and_score_together(tmp_path: Path) -> None:
    import socket

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    started = []
    for number in range(2):
        told = {"RANK": number, "LOCAL_RANK": number, "WORLD_SIZE": 2, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
        environment = os.environ | {key: str(value) for key, value in told.items()}
        environment |= {"GLOO_SOCKET_IFNAME": "lo", "CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": "1"}
        words = [sys.executable, "-c", TALK, str(tmp_path / "cohort")]
        started.append(subprocess.Popen(words, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True))
    try:
        first, second = (process.communicate(timeout=300)[0].strip().split("|") for process in started)
    finally:
        for process in started:
            process.kill()
    assert first[:2] == second[:2] == ["folder 0", "same"]
    assert first[2] == second[2]
    assert "the last epoch is epoch 0 in the first process and epoch 1 in process 2" in first[2]
    assert (first[3], second[3]) == ("False", "True"), "the second made what the first had made"
    assert first[4] == second[4] == "3.0"
