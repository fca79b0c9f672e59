# SPDX-License-Identifier: Apache-2.0
"""The selftest passes with what is shipped, and fails with its own exit code for each fault that it is there for."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections import namedtuple
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from scripts.errors import KneeSynthError, UsageError
from scripts.selftest import machine, run, trial
from scripts.selftest.findings import Findings
from scripts.selftest.run import NO_RESULTS, run_selftest, store_results
from scripts.software import default_root
from scripts.synthesis import inference

Bless = Callable[[Path], None]
GPU = torch.device("cpu", 0)  # a device of its own to torch, and one that is always there


def failed(findings: Findings) -> dict[str, int]:
    return {check.name: check.exit_code for check in findings.failed}


def found(findings: Findings, name: str) -> str:
    (check,) = (check for check in findings.checks if check.name == name)
    return check.found


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert text.count(old) == 1
    path.write_text(text.replace(old, new))


def test_what_is_shipped_passes_and_its_results_are_of_its_weights(tmp_path: Path) -> None:
    """Fails after new weights until `kneesynth selftest --store` has been run."""
    findings = run_selftest(tmp_path / "results" / "to" / "come")
    assert findings.failed == [], findings.failed
    assert found(findings, "stored results") == "of these weights"
    names = [check.name for check in findings.checks]
    for direction in ("PD to PDFS", "PDFS to PD"):
        assert {f"{direction}, read", f"{direction}, cpu", f"{direction}, written"} <= set(names)
    assert findings.software["model"]["weights_sha256"] in json.dumps(findings.as_dict())
    assert list(tmp_path.iterdir()) == []  # nothing is left behind


def test_a_flipped_bit_of_the_weights_is_seven_and_what_needs_no_weights_is_still_checked(shipped: Path) -> None:
    weights = shipped / "models" / "model.pt"
    content = bytearray(weights.read_bytes())
    content[len(content) // 2] ^= 1
    weights.write_bytes(content)
    findings = run_selftest(bundle_root=shipped)
    assert failed(findings) == {"weights": 7}
    assert found(findings, "decoders") == "all 8 decode"
    assert findings.as_dict()["exit_code"] == 7 and findings.software["model"] is None


def test_decoders_swapped_in_the_config_are_found(shipped: Path) -> None:
    edit(shipped / "configs" / "inference.yaml", "contrasts: [PD, PDFS]", "contrasts: [PDFS, PD]")
    assert failed(run_selftest(bundle_root=shipped)) == {"PD to PDFS, cpu": 1, "PDFS to PD, cpu": 1}


def test_other_weights_under_the_right_hash_are_found(shipped: Path, bless: Bless) -> None:
    path = shipped / "models" / "model.pt"
    state = torch.load(path, weights_only=True)
    letters = {"a": "b", "b": "a"}
    swapped = {
        f"decoder_{letters[name[8]]}{name[9:]}" if name.startswith("decoder_") else name: value
        for name, value in state.items()
    }
    assert list(swapped) != list(state)
    torch.save(swapped, path)
    bless(shipped)
    assert failed(run_selftest(bundle_root=shipped)) == {"PD to PDFS, cpu": 1, "PDFS to PD, cpu": 1}


def test_another_normalisation_is_found(shipped: Path) -> None:
    line = "- _target_: scripts.transforms.intensity.NormalizeMagnituded"
    edit(shipped / "configs" / "inference.yaml", line, f"{line}\n      quantile: 0.99")
    findings = run_selftest(bundle_root=shipped)
    assert failed(findings) == {"PD to PDFS, read": 1, "PDFS to PD, read": 1}
    assert "the stored input" in found(findings, "PD to PDFS, read")


def test_too_little_room_is_eight(one_direction: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    usage = namedtuple("usage", "total used free")
    full = tmp_path / "full"
    full.mkdir()

    def nearly_full(path: Path) -> usage:
        return usage(10**9, 0, machine.NEEDED_ROOM - 10**6 if path == full else 10**9)

    monkeypatch.setattr(shutil, "disk_usage", nearly_full)
    assert failed(run_selftest()) == {}
    findings = run_selftest(full)
    assert failed(findings) == {"disk": 8}
    assert "199 MB free in full; need 200" in found(findings, "disk")


def test_a_place_that_cannot_be_written_is_eight(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert failed(run_selftest(tmp_path / "file" / "results")) == {"output folder": 8}


def test_no_place_for_temporary_files_is_eight_unless_results_have_one(
    one_direction: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def none() -> str:
        raise FileNotFoundError(2, "No usable temporary directory found")

    monkeypatch.setattr(tempfile, "gettempdir", none)
    assert failed(run_selftest()) == {"output folder": 8}
    assert failed(run_selftest(tmp_path)) == {}


def test_a_disk_that_fills_up_meanwhile_is_eight(one_direction: None, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_room(*arguments: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("scripts.synthesis.products.write_page", no_room)
    assert failed(run_selftest()) == {"PD to PDFS, written": 8}


def _shift(datasets: list[Any]) -> None:
    for dataset in datasets:
        dataset.ImagePositionPatient = [
            str(float(dataset.ImagePositionPatient[0]) + 0.5),
            *dataset.ImagePositionPatient[1:],
        ]


def _mirror(datasets: list[Any]) -> None:
    for dataset in datasets:
        dataset.PixelData = np.ascontiguousarray(dataset.pixel_array[:, ::-1]).tobytes()


def _exchange(datasets: list[Any]) -> None:
    datasets[2].PixelData, datasets[3].PixelData = datasets[3].PixelData, datasets[2].PixelData


def _double(datasets: list[Any]) -> None:
    for dataset in datasets:
        dataset.RescaleSlope = "2"


@pytest.mark.parametrize(
    ("harm", "code"), [(_shift, 5), (_mirror, 1), (_exchange, 1), (_double, 1)], ids=lambda value: str(value)[10:17]
)
def test_a_derived_series_in_the_wrong_place_or_with_other_voxels_is_found(
    one_direction: None, monkeypatch: pytest.MonkeyPatch, harm: Callable[[list[Any]], None], code: int
) -> None:
    from scripts.synthesis import dicom_products

    whole = dicom_products.derive_series

    def harmed(*arguments: Any) -> list[Any]:
        datasets = whole(*arguments)
        for dataset in datasets:
            dataset.file_meta.TransferSyntaxUID = "1.2.840.10008.1.2.1"
        harm(datasets)
        return datasets

    monkeypatch.setattr(dicom_products, "derive_series", harmed)
    assert failed(run_selftest()) == {"PD to PDFS, written": code}


def test_a_reader_that_puts_voxels_elsewhere_is_found_though_it_agrees_with_itself(
    one_direction: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    from scripts.dicom import read

    whole = read.affine_of

    def moved(*arguments: Any) -> np.ndarray:
        affine = whole(*arguments)
        affine[0, 3] += 1.0
        return affine

    monkeypatch.setattr(read, "affine_of", moved)
    assert failed(run_selftest()) == {"PD to PDFS, read": 5}


def test_too_little_memory_is_nine(one_direction: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "available_memory", lambda: machine.NEEDED_MEMORY - 1)
    assert failed(run_selftest()) == {"memory": 9}


def test_the_limit_of_a_container_counts_and_cached_files_do_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(machine, "_CGROUP", tmp_path)
    monkeypatch.setattr(machine, "_own_memory", lambda: 7)
    free = machine.available_memory()
    (tmp_path / "memory.max").write_text("max\n")
    (tmp_path / "memory.current").write_text("900\n")
    (tmp_path / "memory.stat").write_text("anon 300\ninactive_file 500\nactive_file 100\n")
    assert free is None or machine.available_memory() > 10**6  # type: ignore[operator]
    (tmp_path / "memory.max").write_text("1000\n")
    assert machine.available_memory() == 1000 - 900 + 600 + 7


@pytest.mark.parametrize("fault", ["missing", "wrong"])
def test_a_decoder_that_is_missing_or_wrong_is_four(
    one_direction: None, monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    from scripts.dicom import pixels
    from scripts.selftest import decoders

    if fault == "missing":
        monkeypatch.setattr(pixels, "can_decode", lambda syntax: not syntax.endswith("4.70"))
    else:
        frames = json.loads(decoders.FRAMES.read_text())
        whole = decoders._fault

        def other_frame(syntax: str, frame: bytes, *rest: Any) -> str:
            return whole(syntax, frame if not syntax.endswith("4.70") else altered, *rest)

        import base64

        altered = bytearray(base64.b64decode(frames["1.2.840.10008.1.2.4.70"]))
        altered[len(altered) // 2] ^= 4
        monkeypatch.setattr(decoders, "_fault", other_frame)
    pixels._decoder_problem.cache_clear()
    try:
        findings = run_selftest()
    finally:
        pixels._decoder_problem.cache_clear()
    assert failed(findings) == {"decoders": 4}
    assert found(findings, "decoders").startswith("JPEG Lossless, Non-Hierarchical, First-Order")


def test_what_nobody_foresaw_is_a_check_that_failed(one_direction: None, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*arguments: object) -> None:
        raise ZeroDivisionError("NAME^PATIENT")

    monkeypatch.setattr(inference, "infer", fail)
    findings = run_selftest()
    assert failed(findings) == {"PD to PDFS, cpu": 1}
    assert "ZeroDivisionError" in found(findings, "PD to PDFS, cpu") and "PATIENT" not in str(findings.as_dict())


@pytest.fixture
def two_devices(monkeypatch: pytest.MonkeyPatch, one_direction: None) -> dict[str, Any]:
    """A second device, which adds an offset to what it computes, or leaves it to the processor."""
    second: dict[str, Any] = {"offset": 0.0, "notes": []}
    whole = inference.infer

    def infer(model: Any, *arguments: Any) -> dict[str, Any]:
        made = whole(model, *arguments)
        if model.device != GPU:
            return made
        return made | {"pred": made["pred"] + second["offset"], "notes": second["notes"]}

    monkeypatch.setattr("scripts.devices.here", lambda: [torch.device("cpu"), GPU])
    monkeypatch.setattr(inference, "infer", infer)
    return second


def test_each_device_is_compared_with_what_is_stored(two_devices: dict[str, Any]) -> None:
    assert failed(run_selftest()) == {}
    two_devices["offset"] = 0.01
    assert failed(run_selftest()) == {"PD to PDFS, cpu:0": 1}


def test_a_device_that_leaves_the_work_to_the_processor_has_not_done_it(two_devices: dict[str, Any]) -> None:
    two_devices["notes"] = [inference.NO_GPU_MEMORY]
    assert failed(run_selftest()) == {"PD to PDFS, cpu:0": 9}


def test_other_weights_are_compared_between_devices_alone(
    make_bundle: Callable[..., Path], two_devices: dict[str, Any]
) -> None:
    own = make_bundle()
    findings = run_selftest(bundle_root=own)
    assert failed(findings) == {}
    assert found(findings, "stored results") == NO_RESULTS
    assert "nothing to compare it with" in found(findings, "PD to PDFS, cpu")
    assert "0.0000 from cpu" in found(findings, "PD to PDFS, cpu:0")
    two_devices["offset"] = 0.01
    assert failed(run_selftest(bundle_root=own)) == {"PD to PDFS, cpu:0": 1}


def test_results_are_stored_for_new_weights_and_hold_until_the_next(shipped: Path, bless: Bless) -> None:
    path = shipped / "models" / "model.pt"
    state = torch.load(path, weights_only=True)
    torch.save({name: value * 1.02 for name, value in state.items()}, path)
    former = json.loads((shipped / "models" / "selftest.json").read_text())
    bless(shipped)
    assert set(failed(run_selftest(bundle_root=shipped)))
    assert store_results(shipped) == shipped / "models" / "selftest.json"
    new = json.loads((shipped / "models" / "selftest.json").read_text())
    assert new["blocks"] != former["blocks"] and path.with_name("selftest.json").stat().st_size < 10_000
    assert failed(run_selftest(bundle_root=shipped)) == {}


def test_stored_results_that_are_damaged_are_said_to_be(shipped: Path, one_direction: None) -> None:
    (shipped / "models" / "selftest.json").write_text('{"blocks": [1, 2]}')
    assert failed(run_selftest(bundle_root=shipped)) == {"stored results": 1}


def test_a_package_does_not_change_what_its_hash_is_of(shipped: Path) -> None:
    (shipped / "scripts").mkdir()
    with pytest.raises(UsageError, match="would change its hash"):
        store_results(shipped)


def test_weights_that_bfloat16_changes_too_much_are_not_stored(
    shipped: Path, one_direction: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run, "TOLERANCE", 1e-9)
    before = (shipped / "models" / "selftest.json").read_bytes()
    whole = trial.synthesise

    def shaken(model: Any, *arguments: Any) -> Any:
        said, pred = whole(model, *arguments)
        return said, pred + 1e-3 * model.inferer.autocast  # as a processor with bfloat16 would

    monkeypatch.setattr(trial, "synthesise", shaken)
    with pytest.raises(KneeSynthError, match="float32"):
        store_results(shipped)
    assert (shipped / "models" / "selftest.json").read_bytes() == before


def test_it_is_the_default_bundle_that_is_tested() -> None:
    assert (default_root() / "models" / "selftest.json").is_file()
