# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from ignite.engine import Events
from torch.optim.swa_utils import AveragedModel

from scripts.errors import UsageError, WeightsError
from scripts.handlers.checkpoint import ResumableCheckpoint, bare, load_checkpoint
from scripts.handlers.early_stop import EarlyStop
from scripts.handlers.training_state import plain


def with_checkpoint(toy: Any, run_dir: Path, resume: bool = False, **more: Any) -> ResumableCheckpoint:
    checkpoint = ResumableCheckpoint(
        str(run_dir),
        toy.network,
        toy.optimizer,
        lr_scheduler=toy.lr_scheduler,
        evaluator=toy.evaluator,
        resume=resume,
        **more,
    )
    checkpoint.attach(toy.trainer)
    return checkpoint


def test_a_run_killed_within_an_epoch_resumes_to_the_same_losses(toy: Any, run_dir: Path) -> None:
    whole = toy()
    whole.run()

    killed = toy(kill_in=(3, 2))
    with_checkpoint(killed, run_dir)
    killed.run_until_killed()
    resumed = toy(seed=0)
    torch.manual_seed(999)  # the resumed process stands at another place of the random sequence
    with_checkpoint(resumed, run_dir, resume=True)
    resumed.run()

    assert sorted(resumed.history) == [3, 4]
    for epoch in (3, 4):
        assert resumed.history[epoch] == pytest.approx(whole.history[epoch], abs=1e-6)
    for one, other in zip(whole.network.parameters(), resumed.network.parameters(), strict=True):
        assert torch.allclose(one, other, atol=1e-6)
    assert resumed.optimizer.param_groups[0]["lr"] == pytest.approx(whole.optimizer.param_groups[0]["lr"])


@pytest.mark.parametrize("part", ["optimizer", "lr_scheduler", "network", "random"])
def test_each_part_of_the_state_is_needed_for_that(toy: Any, run_dir: Path, part: str) -> None:
    whole = toy()
    whole.run()
    killed = toy(kill_in=(3, 1))
    with_checkpoint(killed, run_dir)
    killed.run_until_killed()
    fresh = toy()
    state = torch.load(run_dir / "last.pt", weights_only=True)
    if part == "random":
        state["random"]["torch"] = torch.get_rng_state()
    elif part == "lr_scheduler":
        state["parts"]["optimizer"]["param_groups"][0]["lr"] = 0.05
    else:
        state["parts"][part] = getattr(fresh, part).state_dict()
    torch.save(state, run_dir / "last.pt")
    with_checkpoint(fresh, run_dir, resume=True)
    fresh.run()
    assert abs(fresh.history[4] - whole.history[4]) > 1e-6


def test_checkpoints_hold_tensors_and_primitive_containers_only(toy: Any, run_dir: Path) -> None:
    run = toy(max_epochs=1)
    with_checkpoint(run, run_dir)
    run.run()
    for name in ("last.pt", "best.pt", "model.pt"):
        torch.load(run_dir / name, weights_only=True)
    with pytest.raises(TypeError, match=r"state\.a\[0\].*function"):
        plain({"a": [test_checkpoints_hold_tensors_and_primitive_containers_only]})


def test_best_and_model_follow_the_key_metric(toy: Any, run_dir: Path) -> None:
    scores = {1: 20.0, 2: 23.0, 3: float("nan"), 4: 22.0}
    run = toy(scores=scores.__getitem__)
    checkpoint = with_checkpoint(run, run_dir)
    weights: dict[int, dict[str, torch.Tensor]] = {}
    run.trainer.add_event_handler(
        Events.EPOCH_COMPLETED,
        lambda engine: weights.update(
            {engine.state.epoch: {k: v.clone() for k, v in run.network.state_dict().items()}}
        ),
    )
    run.run()
    assert (checkpoint.best_epoch, checkpoint.best_metric) == (2, 23.0)
    assert load_checkpoint(run_dir / "best.pt")["epoch"] == 2
    assert load_checkpoint(run_dir / "last.pt")["epoch"] == 4
    model = torch.load(run_dir / "model.pt", weights_only=True)
    assert set(model) == set(weights[2])
    assert all(torch.equal(model[key], weights[2][key]) for key in model)
    assert not torch.equal(model["0.weight"], weights[4]["0.weight"])


def test_the_best_so_far_survives_a_resume(toy: Any, run_dir: Path) -> None:
    def scores(epoch: int) -> float:
        return {1: 20.0, 2: 25.0}.get(epoch, 21.0)

    killed = toy(scores=scores, kill_in=(3, 1))
    with_checkpoint(killed, run_dir)
    killed.run_until_killed()
    best = (run_dir / "best.pt").read_bytes()
    resumed = toy(scores=scores)
    checkpoint = with_checkpoint(resumed, run_dir, resume=True)
    resumed.run()
    assert (checkpoint.best_epoch, checkpoint.best_metric) == (2, 25.0)
    assert (run_dir / "best.pt").read_bytes() == best


def test_without_validation_the_model_follows_the_last_epoch(toy: Any, run_dir: Path) -> None:
    run = toy(max_epochs=2)
    ResumableCheckpoint(str(run_dir), run.network, run.optimizer).attach(run.trainer)
    run.run()
    model = torch.load(run_dir / "model.pt", weights_only=True)
    assert all(torch.equal(model[key], value) for key, value in run.network.state_dict().items())
    assert not (run_dir / "best.pt").exists()


def test_the_model_is_the_average_where_there_is_one(toy: Any, run_dir: Path) -> None:
    run = toy(max_epochs=2)
    average = AveragedModel(run.network)
    run.trainer.add_event_handler(Events.ITERATION_COMPLETED, lambda: average.update_parameters(run.network))
    with_checkpoint(run, run_dir, ema=average)
    run.run()
    model = torch.load(run_dir / "model.pt", weights_only=True)
    assert set(model) == set(run.network.state_dict())
    assert torch.equal(model["0.weight"], average.module.state_dict()["0.weight"])
    assert not torch.equal(model["0.weight"], run.network.state_dict()["0.weight"])

    again = toy(max_epochs=2)
    other = AveragedModel(again.network)
    with_checkpoint(again, run_dir, resume=True, ema=other)
    again.run()
    assert int(other.n_averaged) == int(average.n_averaged) > 0
    assert torch.equal(other.module.state_dict()["0.weight"], average.module.state_dict()["0.weight"])


@pytest.mark.parametrize("broken", ["best.pt", "model.pt", "last.pt"])
def test_a_kill_during_a_save_leaves_the_older_files(
    toy: Any, run_dir: Path, monkeypatch: pytest.MonkeyPatch, broken: str
) -> None:
    first = toy(max_epochs=1)
    with_checkpoint(first, run_dir)
    first.run()
    before = {path.name: path.read_bytes() for path in run_dir.glob("*.pt")}
    save = torch.save

    def killed(content: Any, stream: Any) -> None:
        if broken in Path(stream.name).name:
            stream.write(b"half a check")
            raise KeyboardInterrupt
        save(content, stream)

    monkeypatch.setattr(torch, "save", killed)
    second = toy(max_epochs=2)
    with_checkpoint(second, run_dir, resume=True)
    second.run_until_killed()
    monkeypatch.undo()
    assert (run_dir / broken).read_bytes() == before[broken]
    assert load_checkpoint(run_dir / "last.pt")["epoch"] == 1
    assert not list(run_dir.glob(".*.partial"))

    third = toy(max_epochs=2)
    checkpoint = with_checkpoint(third, run_dir, resume=True)
    third.run()
    assert load_checkpoint(run_dir / "last.pt")["epoch"] == 2
    assert checkpoint.best_epoch == load_checkpoint(run_dir / "best.pt")["epoch"] == 2


def test_debris_of_a_hard_kill_is_cleared(toy: Any, run_dir: Path) -> None:
    run_dir.mkdir(parents=True)
    (run_dir / ".last.pt.1234.partial").write_bytes(b"half")
    run = toy(max_epochs=1)
    with_checkpoint(run, run_dir, resume=True)
    run.run()
    assert not list(run_dir.glob(".*.partial"))


def test_a_run_is_not_written_over(toy: Any, run_dir: Path) -> None:
    run = toy(max_epochs=1)
    with_checkpoint(run, run_dir)
    run.run()
    before = (run_dir / "last.pt").read_bytes()
    other = toy(max_epochs=1)
    with_checkpoint(other, run_dir)
    with pytest.raises(UsageError, match="already holds a training run"):
        other.run()
    assert other.history == {} and (run_dir / "last.pt").read_bytes() == before


def test_resume_without_a_finished_epoch_starts_at_the_first(toy: Any, run_dir: Path) -> None:
    run = toy(max_epochs=1)
    with_checkpoint(run, run_dir, resume=True)
    run.run()
    assert sorted(run.history) == [1]


def test_a_finished_run_resumed_does_nothing(toy: Any, run_dir: Path) -> None:
    run = toy(max_epochs=2)
    with_checkpoint(run, run_dir)
    run.run()
    again = toy(max_epochs=2)
    with_checkpoint(again, run_dir, resume=True)
    again.run()
    assert again.history == {}


@pytest.mark.parametrize(
    ("change", "words"),
    [({"batches": 5}, "3 batches per epoch, this run has 5"), ({"width": 7}, "its network does not fit")],
    ids=["other data", "other network"],
)
def test_a_checkpoint_of_another_run_is_refused(toy: Any, run_dir: Path, change: dict[str, int], words: str) -> None:
    run = toy(max_epochs=1)
    with_checkpoint(run, run_dir)
    run.run()
    other = toy(**change)
    with_checkpoint(other, run_dir, resume=True)
    with pytest.raises(WeightsError, match=words) as refusal:
        other.run()
    assert "\n" not in str(refusal.value)


def test_missing_parts_damage_and_foreign_files_are_refused(toy: Any, run_dir: Path) -> None:
    run = toy(max_epochs=1)
    with_checkpoint(run, run_dir)
    run.run()
    other = toy()
    stop = EarlyStop(other.evaluator, patience=2)
    stop.attach(other.trainer)
    with_checkpoint(other, run_dir, resume=True, objects={"early_stop": stop})
    with pytest.raises(WeightsError, match="early_stop"):
        other.run()
    (run_dir / "last.pt").write_bytes((run_dir / "last.pt").read_bytes()[:500])
    with pytest.raises(WeightsError, match="cannot be read"):
        load_checkpoint(run_dir / "last.pt")
    with pytest.raises(WeightsError, match="no training checkpoint"):
        load_checkpoint(run_dir / "model.pt")


def test_an_unknown_key_metric_is_refused(toy: Any, run_dir: Path) -> None:
    run = toy()
    with_checkpoint(run, run_dir, key_metric="val_pnsr")
    with pytest.raises(UsageError, match=r"val_pnsr.*val_psnr"):
        run.run()


@pytest.mark.filterwarnings("ignore:.torch.jit.script_method. is deprecated:DeprecationWarning")  # torch.compile's own
def test_wrappers_are_looked_through() -> None:
    network = torch.nn.Linear(2, 2)
    assert bare(AveragedModel(network)).state_dict().keys() == network.state_dict().keys()
    assert bare(torch.compile(network)) is network
