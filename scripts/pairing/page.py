# SPDX-License-Identifier: Apache-2.0
"""The review page of a manifest: one HTML file that loads nothing, what was refused first, then the worst pairs."""

from __future__ import annotations

import html
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from scripts.report.document import fill_document

MOST_PICTURES = 400
"""Entries with pictures: a page of more is no longer opened."""

_CAPTIONS = {"pd": "PD", "pdfs": "PDFS", "before": "by the headers", "after": "as it will be used"}
_REFUSED_CAPTIONS = _CAPTIONS | {"before": "at the best place found"}
_REASONS = {
    "no_partner": "no partner",
    "ambiguous_partner": "several partners",
    "other_patient": "another knee",
    "other_plane": "another plane",
    "other_body_part": "another body part",
    "geometry": "geometry",
    "unreadable": "unreadable",
    "low_similarity": "too little in common",
    "residual_shift": "shift remains",
    "too_few_slices": "too few slices",
    "wrong_contrast": "wrong contrast",
    "outlier": "unlike the others",
}
_ORDER = {reason: place for place, reason in enumerate(("low_similarity", "outlier", "residual_shift"))}

Pictures = Callable[[Mapping[str, Any]], Mapping[str, str]]


def render_page(manifest: Mapping[str, Any], pictures: Pictures) -> str:
    """The page as text.

    Args:
        manifest: see `manifest.manifest_of`.
        pictures: gives the pictures of an entry as data URLs, see `preview.preview`.
    """
    pairs = sorted(manifest["pairs"], key=lambda entry: (-entry["residual_px"]["p95"], entry["scores"]["lift"]))
    refused = sorted(manifest["refused"], key=lambda entry: (_ORDER.get(entry["reason"], 9), entry["reason"]))
    room = MOST_PICTURES
    blocks: dict[str, list[str]] = {"refused": [], "pairs": []}
    for name, entries, block in (("refused", refused, _refusal), ("pairs", pairs, _pair)):
        for entry in entries:
            shown = pictures(entry) if room > 0 else {}
            room -= bool(shown)
            blocks[name].append(block(entry, shown))
    sections = Counter(entry["section"] for entry in manifest["pairs"])
    people = len({entry["patient"] for entry in manifest["pairs"]})
    kept = sum(len(entry["slices"]) for entry in manifest["pairs"])
    summary = f"{people} patients, {kept} slices; " + ", ".join(
        f"{sections[name]} {name}" for name in ("training", "validation", "test")
    )
    return fill_document(
        Path(__file__).parent,
        accepted=len(pairs),
        refused=len(refused),
        summary=html.escape(summary),
        notes="".join(f"<p><strong>Note</strong> {html.escape(note)}</p>" for note in manifest["notes"]),
        counts=_counts(refused),
        refusals="\n".join(blocks["refused"]) or "<p>Nothing.</p>",
        pairs="\n".join(blocks["pairs"]) or "<p>None.</p>",
    )


def _counts(refused: list[Mapping[str, Any]]) -> str:
    counts = Counter(entry["reason"] for entry in refused)
    rows = "".join(
        f"<tr><td>{html.escape(_REASONS.get(reason, reason))}</td><td><code>{html.escape(reason)}</code></td>"
        f"<td>{count}</td></tr>"
        for reason, count in counts.most_common()
    )
    return f"<table><tr><th>refused for</th><th>code</th><th>how many</th></tr>{rows}</table>" if rows else ""


def _pair(entry: Mapping[str, Any], pictures: Mapping[str, str]) -> str:
    scores, evidence, residual = entry["scores"], entry["evidence"], entry["residual_px"]
    shift = evidence["shift_px"]
    lines = [
        f'<p class="accepted">{html.escape(entry["section"])}, {html.escape(entry["plane"])}</p>',
        f"<p>{len(entry['slices'])} slices; moved {shift[0]:+.1f}, {shift[1]:+.1f} pixels, "
        f"{evidence['turn_degrees']:+.1f}°, {evidence['offset_mm']:+.1f} mm along the normal</p>",
        f"<p>residual {residual['median']:.2f} pixels, 95 % below {residual['p95']:.2f}</p>",
        f"<p class='soft'>{scores['agreement']:.0%} of slices agree, standing out {scores['lift']:.1f} times; "
        f"information {scores['information']:.1f} times that of unrelated slices</p>",
    ]
    return _article(entry["id"], lines, pictures, _CAPTIONS)


def _refusal(entry: Mapping[str, Any], pictures: Mapping[str, str]) -> str:
    reason = _REASONS.get(entry["reason"], entry["reason"])
    plane = f", {html.escape(entry['plane'])}" if entry.get("plane") else ""
    lines = [
        f'<p class="refused">{html.escape(reason)}{plane}</p>',
        f"<p>{html.escape(entry['words'])}</p>",
    ]
    return _article(entry["patient"], lines, pictures, _REFUSED_CAPTIONS if "after" not in pictures else _CAPTIONS)


def _article(title: str, lines: list[str], pictures: Mapping[str, str], captions: Mapping[str, str]) -> str:
    figures = "".join(
        f'<figure><img alt="{captions[name]}" src="{pictures[name]}"><figcaption>{captions[name]}</figcaption></figure>'
        for name in ("pd", "pdfs", "before", "after")
        if name in pictures
    )
    return (
        f"<article><div><h3>{html.escape(title)}</h3>{''.join(lines)}</div>"
        f'<div class="pictures">{figures}</div></article>'
    )
