# SPDX-License-Identifier: Apache-2.0
"""How wide an interval must be: factors on the predicted scale, found on patients with known truth, and their file."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from scripts.errors import UsageError
from scripts.intervals.hierarchical import least_patients
from scripts.intervals.scale_network import TISSUES
from scripts.intervals.tissue_factors import Sample, mixed, sampled, solve

KIND, VERSION = "knee synthesis calibration", 2
SCHEMA = Path(__file__).with_name("calibration.schema.json")
"""What the file looks like, for whoever writes or reads it elsewhere."""
LEVEL = 0.9
WIDEST = 1.25
"""Half a width, in bright ends: larger errors are so rare that a wider interval covers no more of any tissue."""


@dataclass(frozen=True)
class Pair:
    """One patient and direction whose truth is known; volumes of one shape, on the fixed scales.

    Args:
        patient: key of the patient; several pairs may have the same.
        target: name of the contrast that was synthesised.
        source: what went in.
        prediction: what came out.
        scale: what the scale head says of it.
        truth: the target contrast, divided by its own bright end.
        body: where to look, boolean.
        seen: what the scale head says of its tissue: probability of each of `TISSUES` in 255ths, uint8 ``(T, ...)``.
        tissue: number of the true tissue among `TISSUES`, where it is known.
    """

    patient: str
    target: str
    source: Tensor
    prediction: Tensor
    scale: Tensor
    truth: Tensor
    body: Tensor
    seen: Tensor
    tissue: Tensor | None = None


@dataclass(frozen=True)
class Calibration:
    """Factors that turn the predicted scale into the half width of an interval.

    Args:
        level: share that the interval covers.
        factors: by target contrast, one for each of `TISSUES`.
        fallback: by target contrast, the factor that all pixels together need, times those that it began with.
        patients: by target contrast, how many it stands on.
        labelled: whether the true tissues were known, so that each is covered, and not only what is taken for it.
        reference: what the truth was, in words: noise-free or acquired.
        simulated: whether the patients are simulated.
        head_sha256: the head that it belongs to.
        weights_sha256: the weights of the synthesis that it belongs to.
        made: provenance, plain values.
    """

    level: float
    factors: Mapping[str, tuple[float, ...]]
    fallback: Mapping[str, float]
    patients: Mapping[str, int]
    labelled: bool
    reference: str
    simulated: bool
    head_sha256: str
    weights_sha256: str
    made: Mapping[str, Any] = field(default_factory=dict)

    def half_width(self, scale: Tensor, seen: Tensor, target: str) -> Tensor:
        """Half the width of the interval around each pixel of a synthesis, same shape, at most `WIDEST`.

        Args:
            scale: what the scale head says.
            seen: what it says of the tissue, see `Pair`.
            target: contrast that was synthesised.

        Raises:
            UsageError: this direction was not calibrated.
        """
        if target not in self.factors:
            raise UsageError(
                f"the calibration has no {target}; it holds {', '.join(sorted(self.factors)) or 'nothing'}; "
                f"calibrate with pairs to make {target} of"
            )
        return (scale.float() * mixed(seen, self.factors[target])).clamp_max(WIDEST)

    def as_dict(self) -> dict[str, Any]:
        """As JSON's types."""
        return {
            "kind": KIND,
            "version": VERSION,
            "level": self.level,
            "reference": self.reference,
            "simulated": self.simulated,
            "head_sha256": self.head_sha256,
            "weights_sha256": self.weights_sha256,
            "made": dict(self.made),
            "labelled": self.labelled,
            "tissues": list(TISSUES),
            "directions": {
                target: {
                    "patients": self.patients[target],
                    "fallback": self.fallback[target],
                    "factors": list(self.factors[target]),
                }
                for target in self.factors
            },
        }

    @property
    def text(self) -> str:
        """The file's content."""
        return json.dumps(self.as_dict(), indent=1) + "\n"

    @property
    def sha256(self) -> str:
        """Of the file's content."""
        return hashlib.sha256(self.text.encode()).hexdigest()


def calibrate(
    pairs: Iterable[Pair],
    head_sha256: str,
    weights_sha256: str,
    *,
    level: float = LEVEL,
    reference: str = "acquired",
    simulated: bool = False,
    start: Calibration | None = None,
    made: Mapping[str, Any] | None = None,
) -> Calibration:
    """Find the factors; of each pair only some pixels stay in memory.

    With acquired (noisy) truth the interval covers what a scanner would measure: its noise is part of the width, and
    for the signal behind the noise the interval is too wide rather than too narrow.

    Args:
        pairs: of patients that neither the synthesis nor the head was trained on.
        head_sha256: the head that made the scales.
        weights_sha256: the weights that made the predictions.
        level: share to be covered.
        reference: what the truth is, in words: noise-free or acquired.
        simulated: whether the patients are.
        start: calibration of the same head, whose ratios between tissues hold where too few patients tell of one.
        made: provenance, plain values; no patient's name.

    Raises:
        UsageError: too few patients for the level, or volumes that do not fit each other.
    """
    found: dict[str, dict[str, list[Sample]]] = {}
    labelled = True
    for pair in pairs:
        found.setdefault(pair.target, {}).setdefault(pair.patient, []).append(sample_of(pair))
        labelled &= pair.tissue is not None
    least = least_patients(level)
    factors: dict[str, tuple[float, ...]] = {}
    fallback: dict[str, float] = {}
    for target, by_patient in found.items():
        if len(by_patient) < least:
            raise UsageError(
                f"{len(by_patient)} patients to calibrate {target} with; need {least} for {level:.0%} intervals; "
                "add some"
            )
        begin = start.factors[target] if start is not None and target in start.factors else (1.0,) * len(TISSUES)
        fallback[target], factors[target] = solve([_joined(some) for some in by_patient.values()], level, begin)
        if math.isinf(fallback[target]):
            raise UsageError(f"the errors of {target} have no finite {level:.0%} quantile; check the pairs")
    if not found:
        raise UsageError(f"no pairs to calibrate with; need {least} patients with both contrasts; name some")
    return Calibration(
        level=level,
        factors=factors,
        fallback=fallback,
        patients={target: len(by_patient) for target, by_patient in found.items()},
        labelled=labelled,
        reference=reference,
        simulated=simulated,
        head_sha256=head_sha256,
        weights_sha256=weights_sha256,
        made=dict(made or {}),
    )


def sample_of(pair: Pair) -> Sample:
    """Some pixels of each tissue of one pair: of the true one where it is known, else of the one that is seen.

    Raises:
        UsageError: volumes that do not fit each other.
    """
    volumes = (pair.prediction, pair.scale, pair.truth, pair.body, pair.seen[0])
    if len({tuple(one.shape) for one in volumes}) != 1:
        raise UsageError(f"volumes of a pair have shapes {sorted({tuple(v.shape) for v in volumes})}; need one grid")
    inside = pair.body.bool()
    prediction, scale, truth = (one[inside].float() for one in volumes[:3])
    seen = pair.seen[:, inside]
    return sampled(truth - prediction, scale, seen, seen.argmax(0) if pair.tissue is None else pair.tissue[inside])


def _joined(some: Sequence[Sample]) -> Sample:
    names = [one.name for one in fields(Sample)]
    return Sample(*(torch.cat([getattr(one, name) for one in some]) for name in names))


def read_calibration(path: Path) -> Calibration:
    """Read a calibration file.

    Raises:
        UsageError: it is missing or is none.
    """
    try:
        content = json.loads(Path(path).read_text(encoding="utf-8"))
        if content["kind"] != KIND or content["version"] != VERSION:
            raise ValueError(f"kind {content['kind']!r}, version {content['version']!r}")
        if tuple(content["tissues"]) != TISSUES:
            raise ValueError("other tissues than the head's")
        directions = content["directions"]
        factors = {target: _numbers(one["factors"], len(TISSUES)) for target, one in directions.items()}
        return Calibration(
            level=float(content["level"]),
            factors=factors,
            fallback={target: float(one["fallback"]) for target, one in directions.items()},
            patients={target: int(one["patients"]) for target, one in directions.items()},
            labelled=bool(content["labelled"]),
            reference=str(content["reference"]),
            simulated=bool(content["simulated"]),
            head_sha256=str(content["head_sha256"]),
            weights_sha256=str(content["weights_sha256"]),
            made=dict(content["made"]),
        )
    except OSError as error:
        raise UsageError(
            f"calibration {Path(path).name}: {error.strerror}; need the file that calibrating wrote; check the path"
        ) from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UsageError(
            f"calibration {Path(path).name}: not a calibration ({type(error).__name__}: {error}); "
            "need the file that calibrating wrote; make it again"
        ) from error


def _numbers(values: Sequence[Any], count: int) -> tuple[float, ...]:
    found = tuple(float(value) for value in values)
    if len(found) != count or not all(math.isfinite(value) and value > 0 for value in found):
        raise ValueError(f"{len(found)} factors, need {count}, finite and above 0")
    return found
