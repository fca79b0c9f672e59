# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import json
from html.parser import HTMLParser
from pathlib import Path

import pytest

from scripts.diagnosis.evidence import Slope, Trend
from scripts.diagnosis.report import HTML, JSON, render_page, write_report
from scripts.diagnosis.run import Diagnosis, diagnose
from scripts.diagnosis.static import static_evidence
from scripts.errors import OutputError
from scripts.software import software_block

ROWS = [{"epoch": epoch, "content": 0.1, "recon": 0.5, "cross": 1.0 / epoch} for epoch in range(1, 5)]


def fault() -> Diagnosis:
    static = static_evidence({"content": 1.0, "recon": 0.05, "cross": 1.0}, "zero_skip")
    slope = Slope(first=1.0, last=1.0, drop=float("nan"), slope=0.0)
    return diagnose(static, trend=Trend(4, {"cross": slope}), config="<b>&.yaml", rows=ROWS)


class Tags(HTMLParser):
    def __init__(self, page: str) -> None:
        super().__init__()
        self.seen: list[tuple[str, dict[str, str | None]]] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attrs)))


def test_the_page_loads_and_runs_nothing() -> None:
    found = fault()
    tags = Tags(render_page(found.report(), found.rows)).seen
    assert not {"script", "link", "img", "iframe"} & {tag for tag, _ in tags}
    assert not [attributes for _, attributes in tags if {"src", "href", "style"} & set(attributes)]
    (policy,) = (a["content"] for tag, a in tags if a.get("http-equiv") == "Content-Security-Policy")
    assert policy is not None and policy.startswith("default-src 'none'")


def test_the_page_says_what_was_found_and_escapes_it() -> None:
    found = fault()
    page = render_page(found.report(), found.rows)
    assert found.verdict.sentence in page
    assert "&lt;b&gt;&amp;.yaml" in page and "<b>" not in page
    assert page.count("<polyline") == 3
    assert "<polyline" not in render_page(found.report(), ())


def test_json_holds_no_word_that_json_does_not_know(tmp_path: Path) -> None:
    fault().write(str(tmp_path / "new"))
    text = (tmp_path / "new" / JSON).read_text()
    report = json.loads(text, parse_constant=pytest.fail)
    assert report["verdict"] == "skip dependency" and report["fault"] is True
    assert report["settings"]["cross_domain_strategy"] == "source_skip"
    assert report["software"] == software_block()
    assert (tmp_path / "new" / HTML).is_file()


def test_a_folder_that_cannot_be_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError):
        write_report(fault().report(), ROWS, tmp_path / "file")
