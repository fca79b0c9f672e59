# SPDX-License-Identifier: Apache-2.0
"""Write an evaluation: tables, figures, page and report, all or nothing."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from scripts.evaluation.figures import (
    Shown,
    draw_agreement,
    draw_case,
    draw_patients,
    save_figure,
    screen_png,
)
from scripts.evaluation.items import Item
from scripts.evaluation.lesions import LesionScore
from scripts.evaluation.loading import Settings, load_case
from scripts.evaluation.page import PAGE, render_page
from scripts.evaluation.ranking import RULE, ranked, shown_slice
from scripts.handlers.score_files import Scores, write_scores
from scripts.metrics.summary import AS_STORED, CaseScore, counted
from scripts.metrics.tables import to_csv
from scripts.report.page import OEDEMA_LIMIT
from scripts.software import software_block
from scripts.synthesis.staging import PROGRAM, REPORT_NAME, staged_output

KIND = "evaluation"


def write_products(
    out: Path,
    scores: Scores,
    lesions: Sequence[LesionScore],
    head: Sequence[str],
    items: Mapping[str, Item],
    settings: Settings,
    figures: bool = True,
) -> dict[str, Any]:
    """Write everything into one folder; ``report.json`` comes last.

    Args:
        out: the folder, absent, or an earlier result of this program.
        scores: what was measured.
        lesions: likewise, a row per lesion and method.
        head: lines above the tables.
        items: the cases by key, to show some of them.
        settings: how predictions were taken.
        figures: draw them; the page then shows them.

    Returns:
        The content of ``report.json``.

    Raises:
        OutputError: the folder cannot be written.
    """
    shown = ranked(scores.cases, settings.method)
    with staged_output(out) as stage:
        files = write_scores(stage, scores, head)
        if lesions:
            (stage / "lesions.csv").write_text(to_csv([row.as_row() for row in lesions]), encoding="utf-8")
            files.append("lesions.csv")
        cases, charts = {}, {}
        if figures:
            for word, row in shown.items():
                files += save_figure(draw_case(_shown(items[row.case or row.patient], row, settings)), stage, word)
                cases[word] = screen_png(stage / f"{word}.png")
            drawn = {
                "patients": draw_patients(scores.cases),
                "agreement": draw_agreement(scores.measures, settings.method),
            }
            for name, figure in drawn.items():
                if figure is not None:
                    files += save_figure(figure, stage, name)
                    charts[name] = screen_png(stage / f"{name}.png")
        title = f"Evaluation, {scores.data} data: {settings.direction}"
        limits = [OEDEMA_LIMIT] if settings.contrasts[1] == "PDFS" else []
        lead = _lead(scores, settings.method)
        page = render_page(title, lead, RULE, cases, charts, scores.tables, [*limits, *head])
        (stage / PAGE).write_text(page, encoding="utf-8", newline="\n")
        report = {
            "program": PROGRAM,
            "kind": KIND,
            "status": "done",
            "data": scores.data,
            "direction": settings.direction,
            "method": settings.method,
            "protocols": list(dict.fromkeys(case.protocol for case in scores.cases)),
            "prediction_scale": settings.scale,
            "notes": list(head),
            "shown": {word: row.case or row.patient for word, row in shown.items()},
            "summary": [line.as_row() for line in scores.lines],
            "measures": [line.as_row() for line in scores.measure_lines],
            "software": software_block(),
            "files": [*files, PAGE],
        }
        (stage / REPORT_NAME).write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    return report


def _lead(scores: Scores, method: str) -> str:
    line = next(line for line in scores.lines if line.method == method and line.scaling == AS_STORED)
    return (
        f"{method}: PSNR {line.scores['psnr'].text(2)} dB, SSIM {line.scores['ssim'].text(3)} over "
        f"{counted(line.patients)} ({line.data} data, against the {line.reference} target {line.registration}, as "
        f"stored, protocol {line.protocol})."
    )


def _shown(item: Item, row: CaseScore, settings: Settings) -> Shown:
    """The slice of a case, by the rule; what was measured is what is shown."""
    loaded = load_case(item, settings)
    case, reference = loaded.case, loaded.case.references[0]
    number = shown_slice(case.pred, reference.volume, reference.body)
    source, target = settings.contrasts
    volumes = {} if case.source is None else {f"source {source}": case.source}
    volumes |= {f"{settings.method} {target}": case.pred, f"{reference.name} target {target}": reference.volume}
    volumes["absolute error"] = (case.pred - reference.volume).abs()
    words = "simulated knee, no patient" if item.simulated else "user's data"
    place = f"slice {number + 1} of {case.pred.shape[1]}"
    scored = f"{row.scores['psnr']:.2f} dB, SSIM {row.scores['ssim']:.3f} as stored, protocol {row.protocol}"
    _, down, right = loaded.grid.spacing
    return Shown(
        images={title: volume[0, number].numpy() for title, volume in volumes.items()},
        aspect=down / right,
        caption=f"{words}; case {item.key}, {place}; whole volume {scored};\nwindows 0 to 1, error 0 to 0.3",
    )
