# SPDX-License-Identifier: Apache-2.0
"""Pairs are preprocessed once, never served stale, and the same slices come from disk and from memory."""

from __future__ import annotations

import json
import multiprocessing
import os
import pickle
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from monai.data import MetaTensor
from monai.transforms import Compose, Lambdad, RandFlipd
from torch.utils.data import DataLoader

from scripts.data import chain, volume_cache
from scripts.data.augmentation import Augmentation
from scripts.data.chain import Undescribable, describe_chain
from scripts.data.prepared_pairs import PreparedPairs
from scripts.data.slices import PairedSlices
from scripts.data.training import training_slices
from scripts.data.volume_cache import FOLDER, VolumeCache, clear_debris, read_entry
from scripts.errors import OutputError, UsageError
from scripts.transforms.intensity import NormalizeMagnituded
from scripts.transforms.series import LoadKneeSeriesd

ROOT = Path(__file__).resolve().parents[2]
CROP = Augmentation(size=(24, 24))
KEYS = ["image", "label"]
CHAIN = Compose([LoadKneeSeriesd(KEYS), NormalizeMagnituded(KEYS)])


def write(path: Path, seed: int, shape: tuple[int, int, int] = (4, 32, 40)) -> str:
    voxels = torch.rand(shape, generator=torch.Generator().manual_seed(seed)) * 300 + 20
    affine = torch.diag(torch.tensor([3.0, 0.5, 0.5, 1.0], dtype=torch.float64))
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save({"voxels": voxels, "affine_ras": affine}, path)
    return str(path)


@pytest.fixture
def items(tmp_path: Path) -> list[dict[str, Any]]:
    return [
        {
            "patient": f"p{n}",
            "image": write(tmp_path / f"p{n}/PD.pt", n),
            "label": write(tmp_path / f"p{n}/B.pt", 50 + n),
        }
        for n in range(3)
    ]


def counted(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Count what the chain above is asked to do."""
    runs: list[int] = []
    real = Compose.__call__

    def call(self: Compose, *given: Any, **named: Any) -> Any:
        runs.append(1)
        return real(self, *given, **named)

    monkeypatch.setattr(Compose, "__call__", call)
    return runs


def slices(items: list[dict[str, Any]], cache: Path | None, loading: str, transform: Any = CHAIN) -> PairedSlices:
    made = training_slices(items, transform, CROP, 12, cache_dir=None if cache is None else str(cache), loading=loading)
    assert isinstance(made, PairedSlices)
    return made


def epoch(data: PairedSlices, number: int) -> list[dict[str, torch.Tensor]]:
    data.set_epoch(number)
    return [data[index] for index in range(12)]


def same(one: list[dict[str, torch.Tensor]], two: list[dict[str, torch.Tensor]]) -> bool:
    return all(torch.equal(a[key], b[key]) for a, b in zip(one, two, strict=True) for key in a)


def entries(cache: Path) -> list[Path]:
    return sorted(path for path in (cache / FOLDER).iterdir() if not path.name.startswith("."))


def test_slices_are_the_same_bit_by_bit_however_they_are_loaded_and_after_a_resume(
    items: list[dict[str, Any]], tmp_path: Path
) -> None:
    cache = tmp_path / "cache"
    plain, streamed, resident = (slices(items, where, how) for where, how in
                                 ((None, "resident"), (cache, "streamed"), (cache, "resident")))  # fmt: skip
    for number in (1, 2):
        first = epoch(plain, number)
        assert same(first, epoch(streamed, number)) and same(first, epoch(resident, number))
    resumed = slices(items, cache, "streamed")  # a new process would start like this, at the epoch it resumes with
    assert same(epoch(plain, 3), epoch(resumed, 3))
    assert same(epoch(plain, 3), epoch(pickle.loads(pickle.dumps(resumed)), 3))
    loader = DataLoader(resumed, batch_size=4, num_workers=2)
    batches = [batch["image"] for batch in loader]
    assert torch.equal(torch.cat(batches), torch.stack([item["image"] for item in epoch(plain, 3)]))


def test_preprocessing_runs_once_for_all_runs(
    items: list[dict[str, Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs = counted(monkeypatch)
    for _ in range(2):
        for loading in ("streamed", "resident"):
            epoch(slices(items, tmp_path / "cache", loading), 1)
    assert len(runs) == len(items)


def test_what_is_known_of_a_volume_is_kept(items: list[dict[str, Any]], tmp_path: Path) -> None:
    _ = PreparedPairs(items, CHAIN, str(tmp_path / "cache")).get(1)
    (entry,) = entries(tmp_path / "cache")
    facts = read_entry(entry).facts
    assert facts["patient"] == "p1" and facts["slices"] == [0, 1, 2, 3]
    assert np.allclose(facts["affine"], np.diag([3.0, 0.5, 0.5, 1.0]))
    assert "p1" not in entry.name


def changed_content(item: dict[str, Any]) -> None:
    write(Path(item["image"]), 99)


def changed_behind_its_times(item: dict[str, Any]) -> None:
    path = Path(item["label"])
    before = path.stat()
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert (path.stat().st_size, path.stat().st_mtime_ns) == (before.st_size, before.st_mtime_ns)


def other_file(item: dict[str, Any]) -> None:
    item["image"] = write(Path(item["image"]).with_name("other.pt"), 77)


def other_slices(item: dict[str, Any]) -> None:
    item["slices"] = [[0, 0, 0.0, 0.0, 0.0], [1, 1, 0.5, 0.0, 0.0]]


@pytest.mark.parametrize("change", [changed_content, changed_behind_its_times, other_file, other_slices])
def test_a_changed_input_is_never_served_stale(
    change: Any, items: list[dict[str, Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = tmp_path / "cache"
    _ = PreparedPairs(items, CHAIN, str(cache)).get(0)
    time.sleep(0.02)  # the clock of a file system ticks some hundred times a second
    change(items[0])
    runs = counted(monkeypatch)
    fresh = PreparedPairs(items, CHAIN, str(cache)).get(0)
    assert len(runs) == 1 and len(entries(cache)) == 2
    assert torch.equal(fresh.coarse, PreparedPairs(items, CHAIN, None).get(0).coarse)


def test_a_changed_setting_step_or_code_is_another_volume(monkeypatch: pytest.MonkeyPatch) -> None:
    def lowered(by: float) -> Compose:
        return Compose([LoadKneeSeriesd(KEYS), Lambdad(KEYS, lambda image: image - by)])

    told = [
        describe_chain(CHAIN),
        describe_chain(Compose([LoadKneeSeriesd(KEYS), NormalizeMagnituded(KEYS, quantile=0.99)])),
        describe_chain(Compose([LoadKneeSeriesd(KEYS)])),
        describe_chain(Compose([LoadKneeSeriesd(KEYS), NormalizeMagnituded(["image"])])),
        describe_chain(lowered(1.0)),
        describe_chain(lowered(2.0)),
        describe_chain(Compose([LoadKneeSeriesd(KEYS), Lambdad(KEYS, lambda image: image + 1.0)])),
    ]
    assert len(set(told)) == len(told)
    assert describe_chain(Compose([LoadKneeSeriesd(KEYS), NormalizeMagnituded(KEYS)])) == told[0]
    assert describe_chain(lowered(1.0)) == told[4]
    monkeypatch.setattr(chain, "reading_code", lambda: "another reader")
    assert describe_chain(CHAIN) != told[0]


def test_a_random_or_untold_chain_is_kept_in_memory(
    items: list[dict[str, Any]], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for step in (RandFlipd(KEYS, prob=1.0), Lambdad(KEYS, (image for image in ()).send)):
        with pytest.raises(Undescribable):
            describe_chain(Compose([LoadKneeSeriesd(KEYS), step]))
    random = Compose([LoadKneeSeriesd(KEYS), NormalizeMagnituded(KEYS), RandFlipd(KEYS, prob=1.0)])
    pairs = PreparedPairs(items, random, str(tmp_path / "cache"))
    assert torch.equal(pairs.get(0).slice(1), pairs.get(0).slice(1))
    assert "kept in memory" in caplog.text and not (tmp_path / "cache").exists()


@pytest.mark.parametrize("name", ["slices.f16", "coarse.f16", "entry.json"])
@pytest.mark.parametrize("harm", ["flipped", "cut", "gone", "empty"])
@pytest.mark.parametrize("loading", ["streamed", "resident"])
def test_a_damaged_entry_is_made_again(
    name: str, harm: str, loading: str, items: list[dict[str, Any]], tmp_path: Path
) -> None:
    cache = tmp_path / "cache"
    first = epoch(slices(items, cache, "streamed"), 1)
    for folder in entries(cache):
        file = folder / name
        content = bytearray(file.read_bytes())
        if harm == "flipped":
            for place in range(0, len(content), 64):
                content[place] ^= 4
            file.write_bytes(content)
        elif harm == "gone":
            file.unlink()
        else:
            file.write_bytes(content[: len(content) // 2] if harm == "cut" else b"")
    assert same(first, epoch(slices(items, cache, loading), 1))
    assert same(first, epoch(slices(items, cache, loading), 1))


def test_an_entry_damaged_in_the_middle_of_a_run_is_made_again(items: list[dict[str, Any]], tmp_path: Path) -> None:
    data = slices(items, tmp_path / "cache", "streamed")
    first = epoch(data, 1)
    for folder in entries(tmp_path / "cache"):
        (folder / "slices.f16").write_bytes(b"")
    assert same(first, epoch(data, 1))


def _work(items: list[dict[str, Any]], cache: str, start: Any, told: Any) -> None:
    start.wait()
    data = training_slices(items, CHAIN, CROP, 12, cache_dir=cache)
    told.put(float(sum(data[index]["image"].double().sum() for index in range(12))))


def test_processes_that_make_the_same_volumes_do_not_collide(items: list[dict[str, Any]], tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    start, told = context.Event(), context.Queue()
    cache = str(tmp_path / "cache")
    workers = [context.Process(target=_work, args=(items, cache, start, told)) for _ in range(4)]
    for worker in workers:
        worker.start()
    start.set()
    sums = [told.get(timeout=60) for _ in workers]
    for worker in workers:
        worker.join()
    assert len(set(sums)) == 1 and [worker.exitcode for worker in workers] == [0] * 4
    assert len(entries(tmp_path / "cache")) == 3
    assert not list((tmp_path / "cache" / FOLDER).glob(".*"))


def test_what_a_killed_process_left_is_cleared_later(tmp_path: Path) -> None:
    for name, age in (("old", 7200), ("young", 0)):
        (tmp_path / f".partial-{name}").mkdir()
        os.utime(tmp_path / f".partial-{name}", (time.time() - age,) * 2)
    clear_debris(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [".partial-young"]


def test_a_cache_that_cannot_be_written_is_said_or_done_without(
    items: list[dict[str, Any]], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("no folder")
    with pytest.raises(OutputError, match=r"cannot be kept.*cache_dir"):
        _ = slices(items, blocked, "streamed")[0]
    assert same(epoch(slices(items, blocked, "resident"), 1), epoch(slices(items, None, "resident"), 1))
    assert "kept in memory alone" in caplog.text
    with pytest.raises(UsageError, match="streamed or resident"):
        slices(items, tmp_path, "floating")


def test_a_full_disk_leaves_nothing_half_written(
    items: list[dict[str, Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(volume_cache.json, "dump", full)
    with pytest.raises(OutputError, match="No space left"):
        _ = slices(items, tmp_path / "cache", "streamed")[0]
    assert list((tmp_path / "cache" / FOLDER).iterdir()) == []


def test_tensors_are_told_apart_by_their_content(tmp_path: Path) -> None:
    def item(seed: int) -> dict[str, Any]:
        volume = torch.rand(1, 4, 32, 32, generator=torch.Generator().manual_seed(seed)) + 0.2
        return {"image": MetaTensor(volume), "label": MetaTensor(volume.flip(1))}

    pairs = PreparedPairs([item(0), item(1), item(0)], NormalizeMagnituded(KEYS), str(tmp_path))
    first, second, third = (pairs.get(which).coarse for which in range(3))
    assert torch.equal(first, third) and not torch.equal(first, second)
    assert len(entries(tmp_path)) == 2


def test_entries_of_an_older_format_are_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    old = volume_cache.entry_name({"image": str(tmp_path)}, "chain")
    monkeypatch.setattr(volume_cache, "FORMAT", 1_000_000)
    assert volume_cache.entry_name({"image": str(tmp_path)}, "chain") != old
    assert VolumeCache(tmp_path, "a").root == tmp_path / FOLDER


MEMORY = """
import json, sys
from pathlib import Path
import torch
from scripts.data.augmentation import Augmentation
from scripts.data.training import training_slices

folder, counts = Path(sys.argv[1]), (100, 1000)

def load(item):  # stands for any preprocessing: a volume of 8 x 64 x 64 of each contrast, another for each item
    seeds = [int(Path(item[key]).name) for key in ("image", "label")]
    return {key: torch.rand(1, 8, 64, 64, generator=torch.Generator().manual_seed(seed))
            for key, seed in zip(("image", "label"), seeds)}

def resident_mib():
    words = Path("/proc/self/status").read_text().split("VmRSS:")[1].split()
    return int(words[0]) / 1024

items = [{"image": str(folder / str(2 * n)), "label": str(folder / str(2 * n + 1))} for n in range(counts[-1])]
torch.set_num_threads(1)
grown = {}
for loading in ("streamed", "resident"):
    found = []
    for count in counts:
        data = training_slices(items[:count], load, Augmentation(size=(32, 32)), 64,
                               cache_dir=str(folder / "cache"), loading=loading)
        data.set_epoch(1)
        for which in range(count):
            data.pairs.read(which, lambda coarse: which % 8)
        batch = data.__getitems__(range(64))
        found.append(resident_mib())
    grown[loading] = found[1] - found[0]
print(json.dumps(grown))
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="memory is read from Linux's /proc")
def test_a_thousand_volumes_take_the_memory_of_a_hundred(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", MEMORY, str(tmp_path)], cwd=ROOT, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    grown = json.loads(done.stdout)
    assert grown["resident"] > 100  # 900 volumes of an eighth of a MiB: the measurement sees them
    assert grown["streamed"] < 12
    assert len(entries(tmp_path / "cache")) == 1000
