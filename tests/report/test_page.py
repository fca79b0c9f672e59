# SPDX-License-Identifier: Apache-2.0
import base64
import hashlib
import json
import re
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest

from scripts.errors import OutputError
from scripts.report import page
from scripts.report.page import MAX_BYTES, OEDEMA_LIMIT, RESEARCH_USE, Pane, Report, render_page, write_page
from scripts.report.voxels import pack_slice, quantise
from scripts.report.windows import PRESETS

LOADS = {"src", "href", "srcset", "data", "poster", "action", "formaction", "background", "xlink:href"}


class Elements(HTMLParser):
    """Every element with its attributes and the text from its start to the next tag."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.found: list[tuple[str, dict[str, str], list[str]]] = []
        self.inside = False
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, {name: value or "" for name, value in attrs}, []))
        self.inside = True

    def handle_endtag(self, tag):
        self.inside = False

    def handle_data(self, data):
        if self.inside:
            self.found[-1][2].append(data)

    def texts(self, tag, **attributes):
        return [
            "".join(text)
            for name, attrs, text in self.found
            if name == tag and all(attrs.get(key.replace("_", "-")) == value for key, value in attributes.items())
        ]


def make_report(panes: int = 2, shape: tuple[int, int, int] = (3, 8, 6), seed: int = 0, **changes) -> Report:
    rng = np.random.default_rng(seed)
    stacks = [np.clip(rng.normal(0.4, 0.1, shape), 0, None).astype(np.float32) for _ in range(panes)]
    titles = [("PD acquired (source)", "PD", False), ("PDFS synthetic", "PDFS", True), ("PDFS acquired", "PDFS", False)]
    report = Report(
        title="Knee",
        panes=tuple(Pane(t, c, v, s) for (t, c, s), v in zip(titles, stacks, strict=False)),
        spacing_mm=(0.5, 0.4),
        positions_mm=tuple(-3.0 + 3.5 * i for i in range(shape[0])),
        plane="sagittal",
        edges={"left": "A", "right": "P", "top": "H", "bottom": "F"},
        target="PDFS",
        warnings=("Slices are 4.0 mm apart.",),
        facts={"Model": {"Weights": "9f86d081"}},
    )
    return replace(report, **changes)


def settings_of(text: str) -> dict:
    return json.loads(Elements(text).texts("script", id="settings")[0])


def test_the_page_loads_nothing():
    text = render_page(make_report(3))
    assert not re.search(r"(?i)https?:|@import|url\(|fetch\(|XMLHttpRequest|WebSocket|import\(", text)
    for tag, attributes, _ in Elements(text).found:
        for name in LOADS & attributes.keys():
            assert attributes[name].startswith("data:"), (tag, name)


def test_the_policy_allows_only_this_style_and_this_script():
    elements = Elements(render_page(make_report()))
    policy = next(a["content"] for t, a, _ in elements.found if t == "meta" and "http-equiv" in a)
    assert policy.startswith("default-src 'none';")
    assert "unsafe" not in policy
    running = elements.texts("style")
    running += ["".join(t) for tag, attrs, t in elements.found if tag == "script" and "type" not in attrs]
    assert len(running) == 2
    for body in running:
        digest = base64.b64encode(hashlib.sha256(body.encode()).digest()).decode()
        assert f"'sha256-{digest}'" in policy
    assert not any(name == "style" or name.startswith("on") for _, attrs, _ in elements.found for name in attrs)


def test_text_from_outside_stays_text():
    evil = "</script><script>alert(1)</script><img src=x onerror=alert(2)>\"'&"
    report = make_report(plane=evil, warnings=(evil,), facts={evil: {evil: evil}}, title=evil)
    report = replace(report, edges=dict.fromkeys(report.edges, evil))
    report = replace(report, panes=tuple(replace(pane, title=evil) for pane in report.panes))
    plain, attacked = Elements(render_page(make_report())), Elements(render_page(report))
    assert [tag for tag, _, _ in attacked.found] == [tag for tag, _, _ in plain.found]
    assert attacked.texts("title") == [evil]
    assert attacked.texts("h1") == [evil]
    assert {attacked.texts("h3")[0], attacked.texts("dt")[0], attacked.texts("dd")[0]} == {evil}
    assert settings_of(render_page(report))["panes"][0]["title"] == evil


def test_limits_and_warnings_stand_above_the_images():
    text = render_page(make_report())
    images = text.index('class="stills"')
    for sentence in (RESEARCH_USE, OEDEMA_LIMIT, "Slices are 4.0 mm apart."):
        assert text.index(sentence) < images
    assert text.index("9f86d081") > images


def test_the_oedema_sentence_belongs_to_pdfs_targets():
    report = make_report(target="PD")
    swapped = [replace(pane, contrast=c) for pane, c in zip(report.panes, ("PDFS", "PD"), strict=True)]
    text = render_page(replace(report, panes=tuple(swapped)))
    assert OEDEMA_LIMIT not in text
    assert RESEARCH_USE in text


def test_settings_say_what_the_page_needs_to_draw():
    settings = settings_of(render_page(make_report(3)))
    assert [pane["synthetic"] for pane in settings["panes"]] == [False, True, False]
    assert (settings["slices"], settings["rows"], settings["columns"]) == (3, 8, 6)
    assert settings["spacing"] == [0.5, 0.4]
    assert settings["positions"] == [-3.0, 0.5, 4.0]
    fixed = PRESETS["PDFS"]["fixed"]
    assert settings["presets"]["PDFS"]["fixed"] == {"level": fixed.level, "width": fixed.width}


def test_the_voxels_in_the_page_are_the_quantised_ones():
    report = make_report(3)
    text = render_page(report)
    for index, pane in enumerate(report.panes):
        lines = Elements(text).texts("script", data_stack=str(index))[0].split("\n")
        assert lines == [pack_slice(levels) for levels in quantise(pane.voxels, page.Precision())]
    assert "Reduced</strong>" not in text


def test_windows_do_not_follow_the_result():
    bright = make_report()
    dark = replace(bright, panes=tuple(replace(p, voxels=p.voxels * np.float32(0.1)) for p in bright.panes))
    assert settings_of(render_page(bright)) == settings_of(render_page(dark))


def test_a_page_that_would_be_too_large_says_what_it_lost(monkeypatch):
    report = make_report(shape=(4, 64, 64))
    monkeypatch.setattr(page, "MAX_BYTES", len(render_page(report).encode()) - 12_000)
    text = render_page(report)
    settings = settings_of(text)
    assert len(text.encode()) <= page.MAX_BYTES
    assert text.index("Reduced</strong>") < text.index('class="stills"')
    assert f"{settings['rows']} x {settings['columns']}" in text
    assert f"steps of {settings['step']:g}" in text
    assert settings["rows"] * settings["spacing"][0] == pytest.approx(64 * 0.5)


@pytest.mark.parametrize(
    ("shape", "whole"), [((36, 320, 320), True), ((60, 512, 512), False)], ids=["36x320x320", "60x512x512"]
)
def test_three_noisy_stacks_stay_within_the_budget(tmp_path, shape, whole):
    report = make_report(3, shape)
    write_page(report, tmp_path / "report.html")
    assert (tmp_path / "report.html").stat().st_size <= MAX_BYTES
    text = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert ("Reduced</strong>" not in text) == whole


def test_the_same_report_gives_the_same_page():
    assert render_page(make_report()) == render_page(make_report())


def other_shape(report: Report) -> Report:
    first, second = report.panes
    return replace(report, panes=(first, replace(second, voxels=second.voxels[:, :-1])))


def not_finite(report: Report) -> Report:
    voxels = report.panes[0].voxels.copy()
    voxels[0, 0, 0] = np.nan
    return replace(report, panes=(replace(report.panes[0], voxels=voxels), report.panes[1]))


@pytest.mark.parametrize(
    ("break_it", "message"),
    [
        (other_shape, r"pane 2 has shape \(3, 7, 6\); need \(3, 8, 6\)"),
        (not_finite, "pane 1 holds values that are not finite"),
        (lambda r: replace(r, panes=r.panes[:1]), "found 1 panes; need"),
        (lambda r: replace(r, panes=r.panes[::-1]), "pane 2 is not marked synthetic"),
        (lambda r: replace(r, target="PD"), "pane 2 is PDFS; need PD"),
        (lambda r: replace(r, positions_mm=(0.0,)), "found 1 positions; need 3"),
        (lambda r: replace(r, spacing_mm=(0.5, 0.0)), r"found spacing \(0.5, 0.0\); need two positive"),
        (lambda r: replace(r, edges={"left": "A"}), r"found edges \['left'\]; need left, right, top, bottom"),
        (lambda r: replace(r, panes=(replace(r.panes[0], contrast="T2"), r.panes[1])), "'T2' has no fixed window"),
        (
            lambda r: replace(r, panes=tuple(replace(p, voxels=p.voxels[0]) for p in r.panes)),
            r"pane 1 has shape \(8, 6\); need \(slices, rows, columns\)",
        ),
        (
            lambda r: replace(r, panes=tuple(replace(p, voxels=p.voxels.astype(np.int16)) for p in r.panes)),
            "pane 1 holds int16; need floats",
        ),
    ],
    ids=lambda value: value.replace(" ", "-")[:30] if isinstance(value, str) else "",
)
def test_a_report_that_contradicts_itself_is_refused(tmp_path, break_it, message):
    with pytest.raises(ValueError, match=message):
        write_page(break_it(make_report()), tmp_path / "report.html")
    assert not (tmp_path / "report.html").exists()


def test_a_place_that_cannot_be_written_is_an_output_error(tmp_path):
    with pytest.raises(OutputError, match="cannot write the report page"):
        write_page(make_report(), tmp_path / "absent" / "report.html")
