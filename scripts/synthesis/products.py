# SPDX-License-Identifier: Apache-2.0
"""Write what a synthesis gives: derived DICOM instances, NIfTI, a page to look at, and a report for machines."""

from __future__ import annotations

import html
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
from monai.data import MetaTensor

from scripts.dicom.instance import encode_instance, encode_series, write_files
from scripts.dicom.patient import identifiers_of
from scripts.report.overlay import OVERLAY_END, Overlay
from scripts.report.page import OEDEMA_LIMIT, RESEARCH_USE, Pane, Report, write_page
from scripts.software import software_block
from scripts.synthesis.bundle import ModelFacts
from scripts.synthesis.dicom_products import derive, judge_in_dicom, summarise
from scripts.synthesis.grid import affine_ras, match_grid
from scripts.synthesis.presentation import Presentation
from scripts.synthesis.staging import PROGRAM, REPORT_NAME
from scripts.synthesis.uncertainty import Uncertainty
from scripts.synthesis.verdicts import Verdict
from scripts.transforms.orientation import display_plane, edge_letters

# Stored value of the target contrast's 99.5th percentile in the body.
STORED_SCALE = 1000.0


@dataclass(frozen=True)
class Synthesis:
    """One series and what was made of it.

    Args:
        label: stack id or file label; tells several series of one run apart.
        source_contrast: ``"PD"`` or ``"PDFS"``.
        target: the other one.
        image: what the network saw: float32 (1, slices, rows, columns) in display orientation, normalised.
        pred: the synthesis: float32 (1, i, j, k) in file orientation, 1000 x normalised.
        files: DICOM instances in slice order whose headers the derived series takes; empty for none.
        file_affine: RAS affine of ``files`` as (columns, rows, slices); given with ``files``.
        acquired: an acquired series of the target contrast on the same grid, like ``image``; None where there is none.
        origin: how source and target came to be, as the page names them: acquired or simulated.
        warnings: one sentence each, for page and report.
        source_facts: what went in, without identifiers.
        decisions: what was decided and why.
        identifiers: source UIDs for the machine-readable report only.
        quality: what the gate measured on the source, by name, for the machine-readable report.
        uncertainty: what is known of the errors of ``pred``; None where nobody asked.
        uncertain: its values on the axes of ``pred``, given with it.
    """

    label: str
    source_contrast: str
    target: str
    image: MetaTensor
    pred: MetaTensor
    files: tuple[Path, ...] = ()
    file_affine: np.ndarray | None = None
    acquired: MetaTensor | None = None
    origin: str = "acquired"
    warnings: tuple[str, ...] = ()
    source_facts: Mapping[str, str] = field(default_factory=dict)
    decisions: Mapping[str, str] = field(default_factory=dict)
    identifiers: Mapping[str, str] = field(default_factory=dict)
    quality: Mapping[str, Any] = field(default_factory=dict)
    uncertainty: Uncertainty | None = None
    uncertain: MetaTensor | None = None


class Products:
    """What one run writes into an empty folder: series by series, so that one of them is in memory at a time.

    Written are ``NNNN.dcm``, ``summary.dcm``, ``<target>.nii.gz``, ``report.html`` and ``report.json``. With several
    series the names of summaries, volumes and pages carry the series' label, and ``report.html`` lists the pages.

    Args:
        folder: where to write.
        model: identity of the weights.
        formats: any of ``dicom`` and ``nifti``.
        show: what they show besides; by default mark and summary, and no identifiers.
        several: more than one series is asked for.
    """

    def __init__(
        self,
        folder: Path,
        model: ModelFacts,
        formats: Sequence[str],
        show: Presentation | None = None,
        several: bool = False,
    ) -> None:
        self.folder, self.model, self.formats, self.several = folder, model, formats, several
        self.show = show or Presentation()
        self.created = datetime.now().astimezone()
        self.entries: list[dict[str, Any]] = []
        self._instances = 0
        self._files: list[str] = []
        self._pages: list[tuple[str, str]] = []

    def add(self, item: Synthesis, facts: Mapping[str, str]) -> None:
        """Write the products of one series.

        Args:
            item: the synthesis.
            facts: about the run so far (device, seconds), for its page.

        Raises:
            DecodeError: a header of the source is damaged; nothing of the series is written then.
            GeometryError: the synthesis is not on its source's grid; nothing of the series is written then.
            OutputError: a file that cannot be written.
        """
        tag = f"_{_file_label(item.label)}" if self.several else ""
        products: dict[str, Any] = {}
        patient = identifiers_of(item.files[0]) if self.show.identifiers and item.files else None
        derived = None
        if "dicom" in self.formats and item.files:
            derived = derive(item, self.model, self.created, self.show.mark)
            decisions = {**item.decisions, "Mark": derived.marked}
            item = replace(item, warnings=(*item.warnings, *derived.warnings), decisions=decisions)
        page = _page(item, self.model, self.created, facts, patient)
        if derived is not None:
            # All of it before the first is written, so that a damaged value leaves no part of a series.
            contents = encode_series(derived.instances, self._instances + 1)
            products["dicom"] = [*contents]
            if self.show.summary:
                products["summary"] = f"summary{tag}.dcm"
                summary = summarise(item, page, derived, patient)
                contents[products["summary"]] = encode_instance(summary, products["summary"])
            if item.uncertain is not None:
                products["uncertainty"] = f"uncertainty{tag}.dcm"
                judged = judge_in_dicom(item, derived)
                contents[products["uncertainty"]] = encode_instance(judged, products["uncertainty"])
            write_files(contents, self.folder)
            self._instances += len(products["dicom"])
        if "nifti" in self.formats:
            products["nifti"] = f"{item.target}{tag}.nii.gz"
            write_nifti(item.pred, self.folder / products["nifti"])
            if item.uncertain is not None:
                products["uncertainty_nifti"] = f"{item.target}{tag}_uncertainty.nii.gz"
                write_nifti(item.uncertain, self.folder / products["uncertainty_nifti"], OVERLAY_END)
        products["page"] = f"report{tag}.html"
        write_page(page, self.folder / products["page"])
        self._pages.append((products["page"], f"{item.target} of stack {item.label}"))
        self._files += [*products.get("dicom", []), *(name for kind, name in products.items() if kind != "dicom")]
        self.entries.append(_entry(item, products))

    def close(self, facts: Mapping[str, str], found: Sequence[Verdict] = ()) -> dict[str, Any]:
        """Write the report, which says that the run is done.

        Args:
            facts: about the run.
            found: what became of each stack of the input.

        Returns:
            The content of ``report.json``.
        """
        files = self._files
        if self.several:
            (self.folder / "report.html").write_text(_contents(self._pages), encoding="utf-8")
            files = [*files, "report.html"]
        model = self.model
        report = {
            "program": PROGRAM,
            "status": "done",
            "exit_code": 0,
            "notice": RESEARCH_USE,
            "created": self.created.isoformat(timespec="seconds"),
            "model": {"name": model.name, "version": model.version, "weights_sha256": model.weights_sha256},
            "software": software_block(vars(model)),
            "scale": f"{STORED_SCALE:g} is the target contrast's 99.5th percentile in the body",
            "run": dict(facts),
            "series": self.entries,
            **({"input": [asdict(verdict) for verdict in found]} if found else {}),
            "files": files,
        }
        (self.folder / REPORT_NAME).write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
        return report


def write_products(
    folder: Path,
    item: Synthesis,
    model: ModelFacts,
    formats: Sequence[str],
    facts: Mapping[str, str],
    show: Presentation | None = None,
    found: Sequence[Verdict] = (),
) -> dict[str, Any]:
    """Write the products of a run of one series, see `Products`."""
    products = Products(folder, model, formats, show)
    products.add(item, facts)
    return products.close(facts, found)


def write_nifti(volume: MetaTensor, path: Path, white: float = STORED_SCALE) -> None:
    """Write a volume (1, i, j, k) as float32 NIfTI with its affine [RAS mm] and without any description.

    Args:
        volume: to write.
        path: of the file.
        white: value that viewers show white.
    """
    import nibabel

    voxels = np.ascontiguousarray(volume.detach().cpu().numpy()[0], dtype=np.float32)
    image = nibabel.Nifti1Image(voxels, affine_ras(volume))
    image.set_sform(image.affine, code="scanner")
    image.set_qform(image.affine, code="scanner")
    image.header.set_xyzt_units("mm")
    image.header["descrip"] = b""
    # Viewers that honour it open with the contrast's fixed window, so that a bad result looks bad.
    image.header["cal_min"], image.header["cal_max"] = 0.0, white
    nibabel.save(image, path)


def _page(
    item: Synthesis,
    model: ModelFacts,
    created: datetime,
    facts: Mapping[str, str],
    patient: Mapping[str, str] | None,
) -> Report:
    affine = affine_ras(item.image)
    spacing = np.linalg.norm(affine[:3, :3], axis=0)
    slices = item.image.shape[1]
    normal = affine[:3, 0] / spacing[0]
    start = float(normal @ affine[:3, 3])
    synthetic = match_grid(item.pred.detach().cpu().numpy()[0], affine_ras(item.pred), affine) / STORED_SCALE
    panes = [
        Pane(f"{item.source_contrast} {item.origin} (source)", item.source_contrast, _voxels(item.image), False),
        Pane(f"{item.target} synthesised", item.target, np.ascontiguousarray(synthetic, dtype=np.float32), True),
    ]
    if item.acquired is not None:
        panes.append(Pane(f"{item.target} {item.origin}", item.target, _voxels(item.acquired), False))
    return Report(
        title=f"{item.target} synthesised from {item.source_contrast}",
        panes=tuple(panes),
        spacing_mm=(float(spacing[1]), float(spacing[2])),
        positions_mm=tuple(start + float(spacing[0]) * k for k in range(slices)),
        plane=display_plane(affine, 0),
        edges=edge_letters(affine),
        target=item.target,
        warnings=item.warnings,
        facts={
            **({"Patient": patient} if patient is not None else {}),
            "Source": dict(item.source_facts),
            "Decisions": dict(item.decisions),
            "Model": {"Name": model.name, "Version": model.version, "Weights (sha256)": model.weights_sha256},
            "Run": {"Created": created.isoformat(timespec="seconds"), **facts},
        },
        overlay=_overlay(item),
    )


def _overlay(item: Synthesis) -> Overlay | None:
    judged = item.uncertainty
    if judged is None:
        return None
    values = np.ascontiguousarray(judged.values.numpy()[0], dtype=np.float32)
    return Overlay(values, judged.short, calibrated=judged.level is not None)


def _voxels(volume: MetaTensor) -> np.ndarray:
    return np.ascontiguousarray(volume.detach().cpu().numpy()[0], dtype=np.float32)


def _entry(item: Synthesis, products: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "stack": item.label,
        "source_contrast": item.source_contrast,
        "target_contrast": item.target,
        "source": dict(item.source_facts),
        "decisions": dict(item.decisions),
        "warnings": [*item.warnings, *([OEDEMA_LIMIT] if item.target == "PDFS" else [])],
        "quality": dict(item.quality),
        **({"uncertainty": dict(item.uncertainty.facts)} if item.uncertainty is not None else {}),
        # UIDs only where the DICOM beside this file carries them anyway.
        **({"identifiers": dict(item.identifiers)} if "dicom" in products and item.identifiers else {}),
        "products": dict(products),
    }


def _contents(pages: Sequence[tuple[str, str]]) -> str:
    items = "".join(f'<li><a href="{html.escape(name)}">{html.escape(text)}</a></li>' for name, text in pages)
    return (
        f"<!doctype html><meta charset=utf-8><title>Synthesised series</title><p>{RESEARCH_USE}</p><ul>{items}</ul>\n"
    )


def _file_label(label: str) -> str:
    kept = "".join(c if c.isascii() and (c.isalnum() or c in ".-") else "-" for c in label).strip(".")
    return kept or "series"
