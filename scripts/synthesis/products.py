# SPDX-License-Identifier: Apache-2.0
"""Write what a synthesis gives: derived DICOM instances, NIfTI, a page to look at, and a report for machines."""

from __future__ import annotations

import html
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
from monai.data import MetaTensor

from scripts.dicom.write import Provenance, derive_series, save_series
from scripts.errors import GeometryError
from scripts.report.page import OEDEMA_LIMIT, RESEARCH_USE, Pane, Report, write_page
from scripts.synthesis.bundle import ModelFacts
from scripts.synthesis.grid import affine_ras, match_grid
from scripts.synthesis.staging import PROGRAM, REPORT_NAME
from scripts.transforms.orientation import display_plane, edge_letters

# Stored value of the target contrast's 99.5th percentile in the body; DICOM integers have 12 bits.
STORED_SCALE = 1000.0
STORED_MAX = 4095

FORMATS = ("dicom", "nifti")


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


def write_products(
    folder: Path, items: Sequence[Synthesis], model: ModelFacts, formats: Sequence[str], facts: Mapping[str, str]
) -> dict[str, Any]:
    """Write all products of one run into an empty folder.

    Args:
        folder: where to write: ``NNNN.dcm``, ``<target>.nii.gz``, ``report.html`` and ``report.json``. With several
            items the names of volumes and pages carry the item's label and ``report.html`` lists the pages.
        items: the syntheses.
        model: identity of the weights.
        formats: any of ``dicom`` and ``nifti``.
        facts: about the run (device, seconds), for page and report.

    Returns:
        The content of ``report.json``.

    Raises:
        GeometryError: a synthesis is not on its source's grid.
        OutputError: a page that cannot be written.
    """
    created = datetime.now().astimezone()
    instances = 0
    entries, files, pages = [], [], []
    for item in items:
        tag = f"_{_file_label(item.label)}" if len(items) > 1 else ""
        products: dict[str, Any] = {}
        if "dicom" in formats and item.files:
            names = _write_dicom(folder, item, model, created, first=instances + 1)
            instances += len(names)
            products["dicom"] = names
        if "nifti" in formats:
            products["nifti"] = f"{item.target}{tag}.nii.gz"
            write_nifti(item.pred, folder / products["nifti"])
        products["page"] = f"report{tag}.html"
        write_page(_page(item, model, created, facts), folder / products["page"])
        pages.append((products["page"], f"{item.target} of stack {item.label}"))
        files += [*products.get("dicom", []), *([products["nifti"]] if "nifti" in products else []), products["page"]]
        entries.append(_entry(item, products))
    if len(items) > 1:
        (folder / "report.html").write_text(_contents(pages), encoding="utf-8")
        files.append("report.html")
    report = {
        "program": PROGRAM,
        "status": "done",
        "exit_code": 0,
        "notice": RESEARCH_USE,
        "created": created.isoformat(timespec="seconds"),
        "model": {"name": model.name, "version": model.version, "weights_sha256": model.weights_sha256},
        "scale": f"{STORED_SCALE:g} is the target contrast's 99.5th percentile in the body",
        "run": dict(facts),
        "series": entries,
        "files": files,
    }
    (folder / REPORT_NAME).write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    return report


def write_nifti(volume: MetaTensor, path: Path) -> None:
    """Write a volume (1, i, j, k) as float32 NIfTI with its affine [RAS mm] and without any description."""
    import nibabel

    voxels = np.ascontiguousarray(volume.detach().cpu().numpy()[0], dtype=np.float32)
    image = nibabel.Nifti1Image(voxels, affine_ras(volume))
    image.set_sform(image.affine, code="scanner")
    image.set_qform(image.affine, code="scanner")
    image.header.set_xyzt_units("mm")
    image.header["descrip"] = b""
    # Viewers that honour it open with the contrast's fixed window, so that a bad result looks bad.
    image.header["cal_min"], image.header["cal_max"] = 0.0, STORED_SCALE
    nibabel.save(image, path)


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
    voxels = match_grid(pred.detach().cpu().numpy()[0], affine_ras(pred), file_affine)
    return np.clip(np.rint(voxels.transpose(2, 1, 0)), 0, STORED_MAX).astype(np.uint16)


def _write_dicom(folder: Path, item: Synthesis, model: ModelFacts, created: datetime, first: int) -> list[str]:
    if item.file_affine is None:
        raise GeometryError(f"{item.label}: instances without an affine; need their geometry; read them first")
    stored = stored_integers(item.pred, item.file_affine)
    if len(stored) != len(item.files):
        raise GeometryError(f"{item.label}: {len(item.files)} instances for {len(stored)} slices; need one each")
    options = {"source": item.source_contrast, "target": item.target}
    provenance = Provenance(model.name, model.version, model.weights_sha256, options, created)
    datasets = derive_series(item.files, stored, item.target, provenance)
    if first == 1:
        return [path.name for path in save_series(datasets, folder)]
    # A further series goes on counting where the last one ended.
    aside = folder / "series"
    aside.mkdir()
    names = []
    for number, path in enumerate(save_series(datasets, aside), start=first):
        names.append(f"{number:04d}.dcm")
        path.rename(folder / names[-1])
    aside.rmdir()
    return names


def _page(item: Synthesis, model: ModelFacts, created: datetime, facts: Mapping[str, str]) -> Report:
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
            "Source": dict(item.source_facts),
            "Decisions": dict(item.decisions),
            "Model": {"Name": model.name, "Version": model.version, "Weights (sha256)": model.weights_sha256},
            "Run": {"Created": created.isoformat(timespec="seconds"), **facts},
        },
    )


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
