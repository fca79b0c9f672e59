# SPDX-License-Identifier: Apache-2.0
"""Whether this installation does what it should: weights, decoders, room, synthesis on each device, what is written.

All that is needed is made from formulas; nothing is fetched, and no scan is read.
"""

from __future__ import annotations

import contextlib
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from scripts.errors import OutputError, UsageError
from scripts.selftest import trial
from scripts.selftest.decoders import check_decoders
from scripts.selftest.findings import Findings
from scripts.selftest.machine import check_memory, check_room
from scripts.selftest.results import TOLERANCE, Results, blocks_of, compare, read_results, write_results
from scripts.software import default_root, software_block
from scripts.synthesis.bundle import ModelFacts, read_facts

if TYPE_CHECKING:
    from scripts.synthesis.jobs import Job

NO_RESULTS = "no stored results for these weights: compared devices with each other only"


def run_selftest(
    out: Path | None = None, bundle_root: Path | None = None, tell: Callable[[str], None] = lambda text: None
) -> Findings:
    """Do every check; one that fails keeps none from being done but those that build on it.

    Args:
        out: where results will go: that folder, or the nearest there is above it, is tried out; None for the temporary
            folder.
        bundle_root: bundle folder; by default the one this package belongs to.
        tell: called with what is done next.
    """
    started, findings = time.monotonic(), Findings()
    root = default_root() if bundle_root is None else bundle_root
    tell("weights")
    facts = findings.attempt("weights", partial(_weights, root))
    findings.software = software_block(None if facts is None else vars(facts))
    findings.attempt("memory", check_memory)
    with contextlib.ExitStack() as left_behind:
        folder = findings.attempt("output folder", partial(_folder, out, left_behind))
        if folder is not None:
            findings.attempt("disk", partial(check_room, folder.parent))
            _try_out(findings, root, facts, folder, tell)
    findings.seconds = time.monotonic() - started
    return findings


def store_results(bundle_root: Path | None = None) -> Path:
    """Write down what the bundle's weights make of the phantom, for every later selftest.

    Raises:
        UsageError: this is a package, whose content is its hash.
        KneeSynthError: the weights cannot be used, or bfloat16 alone takes up half of the tolerance with them.
        OutputError: the file cannot be written.
    """
    import torch

    root = default_root() if bundle_root is None else bundle_root
    if (root / "scripts").is_dir():
        raise UsageError("--store in a package would change its hash; need a checkout; store there and package anew")
    facts, processor = read_facts(root), torch.device("cpu")
    blocks: dict[str, np.ndarray] = {}
    with tempfile.TemporaryDirectory() as folder:
        for target, job in trial.write_phantom(Path(folder))[1].items():
            name = trial.direction(target)
            _, (model, data) = trial.prepare(root, target, job, None)
            _, usual = trial.synthesise(model, data["image"], processor, None, "")
            model.inferer.autocast = False  # type: ignore[attr-defined]
            _, exact = trial.synthesise(model, data["image"], processor, None, "")
            blocks |= {trial.input_of(target): blocks_of(data["image"][0]), name: blocks_of(exact[0])}
            compare(blocks_of(usual[0]), blocks[name], TOLERANCE / 2, "float32")
    return write_results(root, Results(facts.weights_sha256, blocks))


def _weights(root: Path) -> tuple[str, ModelFacts]:
    facts = read_facts(root)
    return f"{facts.name} {facts.version}, sha256 {facts.weights_sha256[:12]} as in metadata.json", facts


def _folder(out: Path | None, left_behind: contextlib.ExitStack) -> tuple[str, Path]:
    place = None if out is None else next(path for path in (out.absolute(), *out.absolute().parents) if path.exists())
    try:
        made = tempfile.TemporaryDirectory(prefix=".kneesynth-selftest-", dir=place, ignore_cleanup_errors=True)
    except OSError as error:
        raise OutputError(f"{error.strerror}; need a writable folder; set TMPDIR, or name another by -o") from error
    return "writable", Path(left_behind.enter_context(made))


def _stored(root: Path, facts: ModelFacts) -> tuple[str, Results | None]:
    stored = read_results(root, facts.weights_sha256)
    return (NO_RESULTS if stored is None else "of these weights"), stored


def _try_out(
    findings: Findings, root: Path, facts: ModelFacts | None, folder: Path, tell: Callable[[str], None]
) -> None:
    tell("decoders")
    jobs = findings.attempt("headers", partial(trial.write_phantom, folder))
    if jobs is None:
        return
    findings.attempt("decoders", partial(check_decoders, Path(jobs["PDFS"].loadable[0]), folder))
    if facts is None:
        return  # without its weights there is no model to try
    stored = findings.attempt("stored results", partial(_stored, root, facts))
    for target, job in jobs.items():
        tell(trial.direction(target))
        _try_direction(findings, root, target, job, stored, folder)


def _try_direction(findings: Findings, root: Path, target: str, job: Job, stored: Results | None, folder: Path) -> None:
    from scripts.devices import here

    name = trial.direction(target)
    prepared = findings.attempt(f"{name}, read", partial(trial.prepare, root, target, job, stored))
    if prepared is None:
        return
    model, data = prepared
    expected, what = (None, "") if stored is None else (stored.blocks[name], "the stored result")
    preds = []
    for device in here():
        synthesise = partial(trial.synthesise, model, data["image"], device, expected, what)
        pred = findings.attempt(f"{name}, {device}", synthesise)
        if pred is not None:
            preds.append(pred)
            if expected is None:
                expected, what = blocks_of(pred[0]), str(device)
    if preds:
        write = partial(trial.write_and_read_back, job, model, {**data, "pred": preds[0]}, folder / target)
        findings.attempt(f"{name}, written", write)
