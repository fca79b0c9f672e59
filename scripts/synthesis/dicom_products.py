# SPDX-License-Identifier: Apache-2.0
"""What a synthesis becomes in a DICOM study: the derived series, with its mark, and the page about it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING

import numpy as np
from monai.data import MetaTensor

from scripts.body import bright_end
from scripts.dicom.burn_in import WORD, burn, find_corner
from scripts.dicom.inherited import damage_refused, read_source
from scripts.dicom.instance import MAX_STORED
from scripts.dicom.parametric import Quantity, derive_map
from scripts.dicom.summary import derive_summary
from scripts.dicom.values import text
from scripts.dicom.write import Provenance, derive_series
from scripts.errors import GeometryError
from scripts.report.overlay import OVERLAY_END
from scripts.report.page import Report
from scripts.report.summary import draw_summary
from scripts.synthesis.bundle import ModelFacts
from scripts.synthesis.grid import affine_ras, match_grid

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

    from scripts.synthesis.products import Synthesis

NO_CORNER = (
    f"The word {WORD} is not burned into the DICOM slices: no corner is large enough and air in every slice. "
    "Only headers mark them."
)
_JUDGED_BY = ("head_sha256", "calibration_sha256", "unit")
# Of what went in, what a reader of the images asks first; the rest stands in the report.
_ASKED_FIRST = ("Plane", "Slices", "Matrix", "Spacing", "Echo time", "Repetition time", "Origin")


@dataclass(frozen=True)
class Derived:
    """A derived series that is not written yet.

    Args:
        instances: in slice order.
        provenance: what they say about their making.
        marked: what became of the mark.
        warnings: one sentence each.
    """

    instances: list[Dataset]
    provenance: Provenance
    marked: str
    warnings: tuple[str, ...] = ()


def derive(item: Synthesis, model: ModelFacts, created: datetime, mark: bool) -> Derived:
    """Make the derived instances of a synthesis.

    Args:
        item: with files and their affine.
        model: identity of the weights.
        created: when.
        mark: whether to burn the word SYNTHETIC into an air corner.

    Raises:
        GeometryError: the synthesis is not on its source's grid.
    """
    if item.file_affine is None:
        raise GeometryError(f"{item.label}: instances without an affine; need their geometry; read them first")
    stored = stored_integers(item.pred, item.file_affine)
    if len(stored) != len(item.files):
        raise GeometryError(f"{item.label}: {len(item.files)} instances for {len(stored)} slices; need one each")
    corner = None
    if mark:
        corner = find_corner(_on_files(item.image, item.file_affine), float(bright_end(item.image.as_tensor())))
    warnings: tuple[str, ...] = ()
    marked = "left out as asked for"
    if corner is not None:
        stored, marked = burn(stored, corner), f"{WORD} is burned into the {corner.name} of each DICOM slice"
    elif mark:
        marked, warnings = "left out for want of a corner that is air in every slice", (NO_CORNER,)
    options = {"source": item.source_contrast, "target": item.target}
    where = corner.name if corner is not None else ""
    provenance = Provenance(model.name, model.version, model.weights_sha256, options, created, where)
    return Derived(derive_series(item.files, stored, item.target, provenance), provenance, marked, warnings)


def summarise(item: Synthesis, report: Report, derived: Derived, identifiers: Mapping[str, str] | None) -> Dataset:
    """Make the page about a derived series.

    Args:
        item: what was synthesised.
        report: what the report page shows.
        derived: the series.
        identifiers: whom it is of, to be shown; None to leave that out.
    """
    made, source = derived.provenance, read_source(item.files[0])
    number = text(source, "SeriesNumber") or "without number"
    facts = {
        "From": f"{item.source_contrast}, series {number} (stack {item.label})",
        "To": f"{item.target}, series {derived.instances[0].SeriesNumber}",
        **{name: item.source_facts[name] for name in _ASKED_FIRST if name in item.source_facts},
        "Mark": derived.marked,
        "Model": f"{made.model_name} {made.model_version}, weights {made.weights_sha256[:12]}",
        # The day alone: a page of the same day is the same image.
        "Date": f"{made.created:%Y-%m-%d}",
    }
    picture = draw_summary(report, facts, identifiers)
    identified = identifiers is not None
    with damage_refused(item.files[0]):
        return derive_summary(source, derived.instances, picture, item.target, made, identified=identified)


def judge_in_dicom(item: Synthesis, derived: Derived) -> Dataset:
    """Make the Parametric Map of what is known of a synthesis's errors.

    Args:
        item: with its uncertainty.
        derived: the series that it belongs to.

    Raises:
        GeometryError: the values are not on the grid of the source.
    """
    judged = item.uncertainty
    if judged is None or item.uncertain is None or item.file_affine is None:
        raise GeometryError(f"{item.label}: no uncertainty on a source's grid; need one; judge the synthesis first")
    options = {
        **derived.provenance.options,
        **{key: str(value) for key, value in judged.facts.items() if key in _JUDGED_BY},
    }
    quantity = Quantity(
        label="UNCERTAINTY",
        words=f"{judged.short[0].upper()}{judged.short[1:]}.",
        unit=("{rank}", "percentile rank") if judged.level is None else ("%", "percent"),
        window=(0.0, OVERLAY_END),
    )
    values = _on_files(item.uncertain, item.file_affine)
    made = replace(derived.provenance, options=options, mark="")
    return derive_map(item.files, values, item.target, quantity, made)


def stored_integers(pred: MetaTensor, file_affine: np.ndarray) -> np.ndarray:
    """Put a synthesis on the pixel grid of DICOM instances.

    Args:
        pred: (1, i, j, k), 1000 x normalised, any axis order.
        file_affine: RAS affine of the instances as (columns, rows, slices).

    Returns:
        uint16 (slices, rows, columns), rounded and clipped to 0..4095.

    Raises:
        GeometryError: the grids differ by more than 0.01 mm at a corner.
    """
    return np.clip(np.rint(_on_files(pred, file_affine)), 0, MAX_STORED).astype(np.uint16)


def _on_files(volume: MetaTensor, file_affine: np.ndarray) -> np.ndarray:
    """A volume (1, i, j, k) as (slices, rows, columns) of the instances."""
    return match_grid(volume.detach().cpu().numpy()[0], affine_ras(volume), file_affine).transpose(2, 1, 0)
