# SPDX-License-Identifier: Apache-2.0
"""A diagnosis for people and machines: the figures with their limits, JSON, and one self-contained HTML page."""

from __future__ import annotations

import html
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from scripts.diagnosis.chart import draw_losses
from scripts.diagnosis.evidence import Evidence, Measured, Static, Trend
from scripts.diagnosis.thresholds import Thresholds
from scripts.diagnosis.verdict import Verdict
from scripts.errors import OutputError
from scripts.losses import TERMS
from scripts.report.document import fill_document

JSON, HTML = "diagnosis.json", "diagnosis.html"


@dataclass(frozen=True)
class Figure:
    """One number of the evidence.

    Args:
        source: ``settings``, ``measured`` or ``curves``.
        name: what it is.
        value: the value as text.
        limit: what health asks for; empty where it is only shown.
    """

    source: str
    name: str
    value: str
    limit: str = ""


def figures(evidence: Evidence, limits: Thresholds) -> list[Figure]:
    """The evidence as rows of a table."""
    rows: list[Figure] = []
    if evidence.static is not None:
        rows += _of_settings(evidence.static, limits)
    if evidence.measured is not None:
        rows += _of_batches(evidence.measured, limits)
    if evidence.trend is not None:
        rows += _of_curves(evidence.trend, limits)
    return rows


def _of_settings(static: Static, limits: Thresholds) -> Iterator[Figure]:
    yield Figure("settings", "skips, same / cross domain", f"{static.same_domain} / {static.cross_domain}", "equal")
    weights = " / ".join(f"{static.loss_weights[term]:g}" for term in TERMS)
    yield Figure("settings", "weights, content / recon / cross", weights, f"recon <= {limits.weight_ratio:g} x cross")
    if static.latent_channels is not None:
        yield Figure("settings", "latent channels", str(static.latent_channels))
    for name in ("encoder", "decoder_a", "decoder_b"):
        widths = getattr(static, f"{name}_features")
        if widths:
            yield Figure("settings", f"{name} features", ", ".join(map(str, widths)))


def _of_batches(measured: Measured, limits: Thresholds) -> Iterator[Figure]:
    def row(name: str, value: str, limit: str = "") -> Figure:
        return Figure("measured", name, value, limit)

    yield row("slices", str(measured.slices))
    pairing = measured.pairing
    yield row("shift within pairs [pixels]", f"{pairing.shift:.1f}", f"<= {limits.shift:g}")
    yield row("overlap of edges / unrelated", f"{pairing.peak:.2f}", f">= {limits.peak:g}")
    yield row("mutual information / unrelated", f"{pairing.information:.2f}", f">= {limits.information:g}")
    for name, part in measured.parts.items():
        yield row(f"{name}: frozen, dead", f"{part.frozen:.1%}, {part.dead:.1%}", f"<= {limits.dead:.0%}")
        if part.spread is not None:
            yield row(f"{name}: contrast / target's", f"{part.spread:.2f}", f">= {limits.spread:g}")
    yield row("recon in a, b", f"{measured.recon.into_a:.4f}, {measured.recon.into_b:.4f}")
    yield row("recon / constant image", f"{measured.recon.relative:.2f}", f"< {limits.recon:g}")
    yield row("cross in a, b", f"{measured.cross.into_a:.4f}, {measured.cross.into_b:.4f}")
    yield row("cross / best intensity mapping", f"{measured.cross.relative:.2f}", f"< {limits.cross:g}")
    yield row("recon's share of the gradient", f"{measured.recon_share:.1%}", f"<= {limits.recon_share:.0%}")
    latent = measured.latent
    yield row("content / std(z)", f"{latent.content:.3f}", f"aim {limits.content:g}")
    yield row("content / std(z), unrelated", f"{latent.unrelated:.3f}")
    yield row("std(z)", f"{latent.deviation:.3f}", f">= {limits.deviation:g}")
    yield row("std(z) / rms(z)", f"{latent.variation:.3f}", f">= {limits.variation:g}")
    yield row("effective rank of z", f"{latent.rank:.1f} of {latent.channels}", f">= {limits.rank:g}")
    yield row("skips seen, same / cross", f"{measured.same_domain} / {measured.cross_domain}", "equal")
    if measured.skips is not None:
        skips = measured.skips
        for change in skips.recon:
            factors = f"{skips.recon[change]:.2f}, {skips.cross[change]:.2f}"
            yield row(f"skips {change}: recon, cross x", factors)
        yield row("code swapped: recon, cross x", f"{skips.code_swapped[0]:.2f}, {skips.code_swapped[1]:.2f}")
        yield row("gradient through skips", f"{skips.gradient_share:.0%}")
        yield row("activation through skips", f"{skips.activation_share:.0%}")


def _of_curves(trend: Trend, limits: Thresholds) -> Iterator[Figure]:
    yield Figure("curves", "epochs", str(trend.epochs), f">= {limits.epochs}")
    for term, slope in trend.losses.items():
        value = f"{slope.last:.4f} ({slope.drop:+.0%} gone), {slope.slope:+.2%} per epoch"
        yield Figure("curves", f"{term}: last, since the start", value)
    if trend.score_gain is not None:
        yield Figure("curves", "validation PSNR gained [dB]", f"{trend.score_gain:.2f}")


def as_json(verdict: Verdict, evidence: Evidence, limits: Thresholds, next_command: str) -> dict[str, Any]:
    """Verdict and evidence as plain values; numbers that are not finite become None."""
    return _finite(
        {
            "verdict": verdict.kind.value,
            "fault": verdict.is_fault,
            "sure": verdict.sure,
            "sentence": verdict.sentence,
            "reasons": list(verdict.reasons),
            "mend": verdict.mend,
            "settings": dict(verdict.settings),
            "next_command": next_command,
            "figures": [asdict(figure) for figure in figures(evidence, limits)],
            "evidence": asdict(evidence),
            "thresholds": asdict(limits),
        }
    )


def _finite(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def write_report(report: Mapping[str, Any], rows: Sequence[Mapping[str, float]], folder: Path) -> None:
    """Write ``diagnosis.json`` and ``diagnosis.html`` into a folder, which is made.

    Raises:
        OutputError: they cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / JSON).write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    except OSError as error:
        raise OutputError(f"cannot write {JSON}: {error.strerror}; choose a writable folder.") from error
    write_page(report, rows, folder / HTML)


def write_page(report: Mapping[str, Any], rows: Sequence[Mapping[str, float]], path: Path) -> None:
    """Write a diagnosis as one HTML file that loads nothing and runs no script.

    Raises:
        OutputError: the file cannot be written.
    """
    try:
        path.write_text(render_page(report, rows), encoding="utf-8", newline="\n")
    except OSError as error:
        raise OutputError(f"cannot write the page {path.name}: {error.strerror}; choose a writable folder.") from error


def render_page(report: Mapping[str, Any], rows: Sequence[Mapping[str, float]]) -> str:
    """The page as text; the same report always gives the same text.

    Args:
        report: what `as_json` gives.
        rows: rows of the curves, drawn where there are two or more.
    """
    reasons = "\n".join(f"<li>{html.escape(reason)}</li>" for reason in report["reasons"])
    settings = "\n".join(f"{key}: {json.dumps(value)}" for key, value in report["settings"].items())
    return fill_document(
        Path(__file__).parent,
        mark="fault" if report["fault"] else "fine",
        verdict=html.escape(report["verdict"]),
        sentence=html.escape(report["sentence"]),
        reasons=reasons,
        mend=html.escape(report["mend"]),
        settings=f"<pre>{html.escape(settings)}</pre>" if settings else "",
        next_command=html.escape(report["next_command"]),
        curves=draw_losses(rows),
        figures="\n".join(
            "<tr>" + "".join(f"<td>{html.escape(str(cell))}</td>" for cell in figure.values()) + "</tr>"
            for figure in report["figures"]
        ),
    )
