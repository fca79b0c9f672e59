# SPDX-License-Identifier: Apache-2.0
"""Score every patient of an evaluation, beside the baselines, and write the tables."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import torch.distributed as dist
from ignite.engine import Engine, Events
from monai.utils import convert_to_tensor
from torch import Tensor

from scripts.errors import OutputError, UsageError
from scripts.handlers.score_files import gather, head_lines, write_scores
from scripts.metrics import protocols
from scripts.metrics.cases import CLEAN, NOISY, Case, Reference
from scripts.metrics.cases import score_case as score_one
from scripts.metrics.measures import MeasureScore, measure_case
from scripts.metrics.protocols import OURS, Protocol
from scripts.metrics.summary import AS_GIVEN, NOT_OURS, RESAMPLES, SIMULATED, CaseScore, MethodSummary
from scripts.processes import is_first_rank
from scripts.quality.water_fat import fat_and_muscle, noise_of
from scripts.weights import describe_weights

AUTOMATIC = "automatic"
"""Tissue regions found in the acquired pair."""

Row = TypeVar("Row")

logger = logging.getLogger(__name__)


class CaseTable:
    """Collect one row per patient, direction, method, reference and scaling; at the end write and log the summary.

    Files as in `scripts.handlers.score_files`: rows, and means with 95 % bootstrap intervals over patients, paired
    gains over copying and over the best intensity mapping. Every row and every table head says whether the data were
    simulated, and which protocol measured them. The last file written is ``summary.md``: a folder without it is
    incomplete.

    The evaluator's output is a list of items, each with ``image`` (first contrast), ``label`` (second), ``pred``
    (second from first), ``pred_reverse`` (first from second) and ``body``, all ``(1, D, H, W)``; simulated patients,
    and they alone, have a noise-free truth, ``image_clean`` and ``label_clean``.

    Args:
        output_dir: folder of this evaluation.
        contrasts: names of the first and the second contrast.
        patient_key: item key of the patient's name in the data set.
        seed: of the bootstrap.
        resamples: of the bootstrap.
        weights: the file that the network's weights came from; its hash stands above the tables.
        protocol: ``ours`` or ``fastmri``, see `scripts.metrics.protocols`.
        registration: what moved the targets onto their sources while they were loaded; ``as given`` for nothing.
    """

    def __init__(
        self,
        output_dir: str,
        contrasts: Sequence[str],
        patient_key: str = "patient",
        seed: int = 0,
        resamples: int = RESAMPLES,
        weights: str | None = None,
        protocol: str = OURS.name,
        registration: str = AS_GIVEN,
    ) -> None:
        if len(contrasts) != 2:
            raise UsageError(f"the table needs two contrast names, got {len(contrasts)}: give `contrasts: [PD, PDFS]`.")
        self.output_dir = Path(output_dir)
        self.contrasts = (contrasts[0], contrasts[1])
        self.patient_key = patient_key
        self.seed = seed
        self.resamples = resamples
        self.weights = weights
        self.protocol = protocols.protocol(protocol)
        self.registration = registration
        self.measures: list[MeasureScore] = []
        self.cases: list[CaseScore] = []
        self.summary: list[MethodSummary] = []

    def attach(self, engine: Engine) -> None:
        """Attach to the evaluator ``engine``."""
        engine.add_event_handler(Events.STARTED, self._start)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self._collect)
        engine.add_event_handler(Events.COMPLETED, self._write)

    def _start(self) -> None:
        self.cases, self.measures = [], []
        try:
            # Now, so that a place that cannot be written is found before the work.
            self.output_dir.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OutputError(
                f"{self.output_dir} cannot be made ({error.strerror}): give another output_dir."
            ) from error

    def _collect(self, engine: Engine) -> None:
        output: Any = engine.state.output
        for item in output:
            if self.patient_key not in item:
                raise UsageError(
                    f"a case has no '{self.patient_key}'; need the patient's name: add it to the data list."
                )
            patient = str(item[self.patient_key])
            for case, sigma in cases_of(item, self.contrasts, patient, self.registration):
                self.cases += score_one(case, self.protocol)
                self.measures += measure_case(case, sigma)
        logger.info("scored patient %d of %d", engine.state.iteration, engine.state.epoch_length)

    def _write(self) -> None:
        cases, measures = _from_all_ranks(self.cases), _from_all_ranks(self.measures)
        if not is_first_rank():
            return
        if not cases:
            raise UsageError("no patient was evaluated: the data list is empty, name one that is not.")
        scores = gather(cases, measures, seed=self.seed, resamples=self.resamples)
        self.summary = list(scores.lines)
        notes = [] if self.weights is None else [f"weights: {describe_weights(self.weights)}"]
        try:
            write_scores(self.output_dir, scores, head_lines(scores, self.seed, self.resamples, notes))
        except OSError as error:
            raise OutputError(
                f"{self.output_dir} cannot be written ({error.strerror}): free it or name another."
            ) from error
        logger.info("evaluation, written to %s\n%s", self.output_dir, scores.short)


def score_case(
    item: Mapping[str, Any], contrasts: tuple[str, str], patient: str, protocol: Protocol = OURS
) -> list[CaseScore]:
    """Score one patient: both directions, the model and each baseline, each reference, as stored and gain matched.

    Args:
        item: the volumes, as in :class:`CaseTable`.
        contrasts: names of the first and the second contrast.
        patient: the patient's key.
        protocol: the ruler.

    Returns:
        The rows.

    Raises:
        UsageError: for an item that lacks a volume.
        ValueError: for volumes that do not fit one another, see :mod:`scripts.metrics.image`.
    """
    return [row for case, _ in cases_of(item, contrasts, patient) for row in score_one(case, protocol)]


def cases_of(
    item: Mapping[str, Any], contrasts: tuple[str, str], patient: str, registration: str = AS_GIVEN
) -> Iterator[tuple[Case, float]]:
    """Both directions of one patient, each with the noise of its acquired target; see :func:`score_case`."""
    first, second = contrasts
    data = SIMULATED if "image_clean" in item else NOT_OURS
    for direction, source_key, target_key, pred_key in (
        (f"{first} to {second}", "image", "label", "pred"),
        (f"{second} to {first}", "label", "image", "pred_reverse"),
    ):
        source, pred, body, target = (_volume(item, key) for key in (source_key, pred_key, "body", target_key))
        references = [Reference(NOISY, target, body, registration)]
        if f"{target_key}_clean" in item:
            references.insert(0, Reference(CLEAN, _volume(item, f"{target_key}_clean"), body, registration))
        masks = fat_and_muscle(_volume(item, "image"), _volume(item, "label"), body)
        case = Case(data, patient, direction, pred, tuple(references), source, masks=masks, regions=AUTOMATIC)
        yield case, noise_of(target, body)


def _volume(item: Mapping[str, Any], key: str) -> Tensor:
    """The volume ``(1, D, H, W)`` without its geometry."""
    if key not in item:
        raise UsageError(f"the evaluator's output holds no '{key}', the table needs it: it holds {sorted(item)}.")
    return convert_to_tensor(item[key], track_meta=False)


def _from_all_ranks(rows: list[Row]) -> list[Row]:
    if not (dist.is_available() and dist.is_initialized()):
        return rows
    parts: list[list[Row]] = [[] for _ in range(dist.get_world_size())]
    dist.all_gather_object(parts, rows)
    return [row for part in parts for row in part]
