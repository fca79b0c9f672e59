# SPDX-License-Identifier: Apache-2.0
"""A commissioning as one self-contained page."""

from __future__ import annotations

import base64
import html
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from scripts.commissioning.compare import SAME, WORSE, Moved, changed_software, changed_verdict, leaves_of, moved
from scripts.commissioning.judge import MEASURES, SMALLER_IS_BETTER, Ends, estimate, per_patient, title_of
from scripts.commissioning.record import FAIL, PASS, Judged, Record
from scripts.quality.limits import Limits
from scripts.report.document import fill_document
from scripts.report.page import OEDEMA_LIMIT, RESEARCH_USE

HTML = "commissioning.html"
_MARKS = {PASS: "fine", FAIL: "fault"}


@dataclass(frozen=True)
class Picture:
    """One worst case.

    Args:
        pair: its id.
        direction: of the synthesis.
        caption: what is seen, in words.
        png: source, synthesis, acquired scan and error beside one another.
    """

    pair: str
    direction: str
    caption: str
    png: bytes = field(repr=False)


def render_page(record: Record, pictures: Sequence[Picture], shipped: Limits, before: Record | None = None) -> str:
    """The page.

    Args:
        record: what was found.
        pictures: of the worst cases, in the order to show them.
        shipped: limits of the gate, to set the recommended ones beside.
        before: an earlier commissioning to compare with.
    """
    return fill_document(
        Path(__file__).parent,
        date=html.escape(record.date),
        verdict=html.escape(record.verdict),
        mark=_MARKS.get(record.verdict, "note"),
        sentence=html.escape(record.sentence),
        research=html.escape(RESEARCH_USE),
        oedema=html.escape(OEDEMA_LIMIT),
        data=html.escape(_data(record.data)),
        refused=_refused(record.data),
        limits="\n".join(_limit(one) for one in record.judged),
        moved="" if before is None else _moved(before, record),
        measures="\n".join(_measures(record)),
        pictures="\n".join(_figure(one) for one in pictures) or "<p>None.</p>",
        gate="\n".join(_gate(record.gate, shipped)),
        software="\n".join(_cells(name, value) for name, value in leaves_of(record.software)),
    )


def _data(data: Mapping[str, Any]) -> str:
    kind = "simulated" if data.get("simulated") else "acquired"
    return f"{data['pairs']} pairs of {data['patients']} patients, {kind}; refused: {data['refused_pairs']}."


def _refused(data: Mapping[str, Any]) -> str:
    reasons = data.get("refused", {})
    rows = "\n".join(_cells(reason, count) for reason, count in reasons.items())
    return f"<table><thead><tr><th>refused</th><th>pairs</th></tr></thead><tbody>{rows}</tbody></table>" if rows else ""


def _limit(one: Judged) -> str:
    word = '<span class="fine">kept</span>' if one.passed else '<span class="fault">missed</span>'
    value = "not measured" if one.value is None else _interval(one.value, one.low, one.high)
    cells = (one.direction or "all scans", title_of(one.measure), value, _ends(one.limit))
    return "<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in cells) + f"<td>{word}</td></tr>"


def _moved(before: Record, now: Record) -> str:
    rows = "\n".join(_moved_row(one) for one in moved(before, now))
    changed = "\n".join(_cells(*one) for one in changed_software(before, now)) or _cells("nothing", "", "")
    return (
        f"<h2>Since {html.escape(before.date)}</h2>\n<p>{html.escape(changed_verdict(before, now))}</p>\n"
        "<table><thead><tr><th>direction</th><th>measure</th><th>before</th><th>now</th><th>change [95 %]</th>"
        f"<th>compared</th><th></th></tr></thead><tbody>{rows}</tbody></table>\n"
        "<table><thead><tr><th>changed</th><th>before</th><th>now</th></tr></thead>"
        f"<tbody>{changed}</tbody></table>"
    )


def _moved_row(one: Moved) -> str:
    change = f"{one.change:+.3g} [{one.low:+.3g}, {one.high:+.3g}]"
    compared = f"{one.patients} same patients" if one.patients else "other patients"
    cells = (one.direction, MEASURES[one.measure], f"{one.before:.3g}", f"{one.now:.3g}", change, compared)
    mark = "note" if one.judgement == SAME else "fault" if one.judgement == WORSE else "fine"
    plain = "".join(f"<td>{html.escape(cell)}</td>" for cell in cells)
    return f'<tr>{plain}<td class="{mark}">{one.judgement}</td></tr>'


def _measures(record: Record) -> Iterator[str]:
    for direction in dict.fromkeys(one.direction for one in record.scored):
        for measure, title in MEASURES.items():
            values = per_patient(record.scored, direction, measure)
            if values:
                mean = estimate(list(values.values()))
                worst = (max if measure in SMALLER_IS_BETTER else min)(values.values())
                yield _cells(direction, title, _interval(mean.mean, mean.low, mean.high), f"{worst:.3g}")


def _figure(one: Picture) -> str:
    source = f"data:image/png;base64,{base64.b64encode(one.png).decode()}"
    text = html.escape(f"{one.direction}, pair {one.pair}: {one.caption}")
    return f'<figure><img src="{source}" alt="{text}"><figcaption>{text}</figcaption></figure>'


def _gate(gate: Mapping[str, Mapping[str, Ends]], shipped: Limits) -> Iterator[str]:
    for contrast, ends in gate.items():
        for name, own in ends.items():
            before = shipped.warned[contrast].get(name)
            told = "" if before is None else _ends((before.low, before.high))
            yield _cells(contrast, name, told, _ends((own[0], own[1])))


def _cells(*cells: object) -> str:
    return "<tr>" + "".join(f"<td>{html.escape(str(cell))}</td>" for cell in cells) + "</tr>"


def _interval(mean: float, low: float | None, high: float | None) -> str:
    return f"{mean:.3g}" if low is None or high is None or low != low else f"{mean:.3g} [{low:.3g}, {high:.3g}]"


def _ends(ends: Ends) -> str:
    low, high = ends
    if low is None:
        return "any" if high is None else f"at most {high:g}"
    return f"at least {low:g}" if high is None else f"{low:g} to {high:g}"
