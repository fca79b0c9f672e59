# SPDX-License-Identifier: Apache-2.0
"""Score every patient of an evaluation, beside the baselines, and write the tables."""

from __future__ import annotations

import csv
import io
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch.distributed as dist
from ignite.engine import Engine, Events
from monai.utils import convert_to_tensor
from torch import Tensor

from scripts.errors import OutputError, UsageError
from scripts.handlers.files import write_text_atomically
from scripts.metrics.baselines import BASELINES, COPY, INTENSITY_MAPPING
from scripts.metrics.image import match_gain, score
from scripts.metrics.summary import RESAMPLES, CaseScore, MethodSummary, summarise, to_markdown
from scripts.processes import is_first_rank
from scripts.weights import describe_weights

SIMULATED, NOT_OURS = "simulated", "user's"
MODEL = "model"
AS_STORED = "as stored"
GAIN_MATCHED = "gain matched"

logger = logging.getLogger(__name__)


class CaseTable:
    """Collect one row per patient, direction, method, reference and protocol; at the end write and log the summary.

    Files: ``metrics.csv`` (the rows), ``summary.csv`` and ``summary.md`` (means with 95 % bootstrap intervals over
    patients, paired gains over copying and over the best intensity mapping). Every row and every table head says
    whether the data were simulated. The last file written is ``summary.md``: a folder without it is incomplete.

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
    """

    def __init__(
        self,
        output_dir: str,
        contrasts: Sequence[str],
        patient_key: str = "patient",
        seed: int = 0,
        resamples: int = RESAMPLES,
        weights: str | None = None,
    ) -> None:
        if len(contrasts) != 2:
            raise UsageError(f"the table needs two contrast names, got {len(contrasts)}: give `contrasts: [PD, PDFS]`.")
        self.output_dir = Path(output_dir)
        self.contrasts = (contrasts[0], contrasts[1])
        self.patient_key = patient_key
        self.seed = seed
        self.resamples = resamples
        self.weights = weights
        self.cases: list[CaseScore] = []
        self.summary: list[MethodSummary] = []

    def attach(self, engine: Engine) -> None:
        """Attach to the evaluator ``engine``."""
        engine.add_event_handler(Events.STARTED, self._start)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self._collect)
        engine.add_event_handler(Events.COMPLETED, self._write)

    def _start(self) -> None:
        self.cases = []
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
            self.cases += score_case(item, self.contrasts, str(item[self.patient_key]))
        logger.info("scored patient %d of %d", engine.state.iteration, engine.state.epoch_length)

    def _write(self) -> None:
        cases = _from_all_ranks(self.cases)
        if not is_first_rank():
            return
        if not cases:
            raise UsageError("no patient was evaluated: the data list is empty, name one that is not.")
        self.summary = summarise(cases, (COPY, INTENSITY_MAPPING), self.seed, self.resamples)
        tables = to_markdown(self.summary)
        try:
            write_text_atomically(self.output_dir / "metrics.csv", _csv([case.as_row() for case in cases]))
            write_text_atomically(self.output_dir / "summary.csv", _csv([line.as_row() for line in self.summary]))
            write_text_atomically(self.output_dir / "summary.md", f"{self._head()}\n{tables}")
        except OSError as error:
            raise OutputError(
                f"{self.output_dir} cannot be written ({error.strerror}): free it or name another."
            ) from error
        logger.info("evaluation, written to %s\n%s", self.output_dir, tables)

    def _head(self) -> str:
        lines = [] if self.weights is None else [f"- weights: {describe_weights(self.weights)}"]
        lines += [
            "- measured per patient inside the body; data range 1.0, a contrast's own 99.5th percentile there; SSIM "
            "Gaussian 11, sigma 1.5, slice by slice",
            f"- mean [95 % bootstrap interval over patients, {self.resamples} resamples, seed {self.seed}]; columns "
            "'over' are paired by patient",
            "- 'gain matched': one least-squares gain per volume, fitted on the answer; 'intensity mapping' (the best "
            "that grey values alone allow) and 'histogram match' are fitted on the answer too",
        ]
        return "\n".join(["# Evaluation", "", *lines, ""])


def score_case(item: Mapping[str, Any], contrasts: tuple[str, str], patient: str) -> list[CaseScore]:
    """Score one patient: both directions, the model and each baseline, each reference, as stored and gain matched.

    The mappings are fitted anew on each reference, so that each is the bound for the column it stands in.

    Args:
        item: the volumes, as in :class:`CaseTable`.
        contrasts: names of the first and the second contrast.
        patient: the patient's key.

    Returns:
        The rows.

    Raises:
        UsageError: for an item that lacks a volume.
        ValueError: for volumes that do not fit one another, see :mod:`scripts.metrics.image`.
    """
    first, second = contrasts
    data = SIMULATED if "image_clean" in item else NOT_OURS
    rows = []
    for direction, source_key, target_key, pred_key in (
        (f"{first} to {second}", "image", "label", "pred"),
        (f"{second} to {first}", "label", "image", "pred_reverse"),
    ):
        source, pred, body = (_volume(item, key) for key in (source_key, pred_key, "body"))
        references = {"noisy": _volume(item, target_key)}
        if f"{target_key}_clean" in item:
            references = {"clean": _volume(item, f"{target_key}_clean")} | references
        for reference, target in references.items():
            methods = {MODEL: pred} | {name: make(source, target, body) for name, make in BASELINES.items()}
            for method, volume in methods.items():
                matched, gain = match_gain(volume, target, body)
                for protocol, measured, factor in ((AS_STORED, volume, 1.0), (GAIN_MATCHED, matched, float(gain))):
                    scores = {name: float(value) for name, value in score(measured, target, body).items()}
                    rows.append(CaseScore(data, patient, direction, method, reference, protocol, scores, factor))
    return rows


def _volume(item: Mapping[str, Any], key: str) -> Tensor:
    """The volume as a batch of one, ``(1, 1, D, H, W)``, without its geometry."""
    if key not in item:
        raise UsageError(f"the evaluator's output holds no '{key}', the table needs it: it holds {sorted(item)}.")
    return convert_to_tensor(item[key], track_meta=False).unsqueeze(0)


def _from_all_ranks(cases: list[CaseScore]) -> list[CaseScore]:
    if not (dist.is_available() and dist.is_initialized()):
        return cases
    parts: list[list[CaseScore]] = [[] for _ in range(dist.get_world_size())]
    dist.all_gather_object(parts, cases)
    return [case for part in parts for case in part]


def _csv(rows: Sequence[Mapping[str, str]]) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()
