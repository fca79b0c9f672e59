# SPDX-License-Identifier: Apache-2.0
"""The page as a reader meets it: opened from a file, moved by keys and mouse."""

import time
from pathlib import Path

import numpy as np
import pytest

from scripts.report import page
from scripts.report.overlay import Overlay
from scripts.report.page import Pane, Report, write_page
from scripts.report.voxels import pack_slice

pytestmark = pytest.mark.browser

SHAPE = (9, 40, 50)
BLOCK = (20, 20)  # rows and columns of the bright block in the middle of every slice
PIXEL = """
const canvas = document.querySelectorAll('canvas')[arguments[0]];
const copy = document.createElement('canvas').getContext('2d', {willReadFrequently: true});
copy.drawImage(canvas, -canvas.width / 2, -canvas.height / 2);
return copy.getImageData(0, 0, 1, 1).data[0];
"""


COLOUR = "return Array.from(copy.getImageData(0, 0, 1, 1).data.slice(0, 3))"


def level(pane: int, index: int) -> float:
    """Value in the middle of a slice of a pane: each has its own grey."""
    return 0.1 + 0.08 * index + 0.02 * pane


@pytest.fixture
def opened(browser, tmp_path):
    names = [("PD acquired (source)", "PD", False), ("PDFS synthetic", "PDFS", True), ("PDFS acquired", "PDFS", False)]
    panes = []
    for number, (title, contrast, synthetic) in enumerate(names):
        voxels = np.zeros(SHAPE, np.float32)
        for i in range(SHAPE[0]):
            voxels[i, 10:30, 15:35] = level(number, i)
        panes.append(Pane(title, contrast, voxels, synthetic))
    report = Report(
        title="Knee <script>alert(1)</script>",
        panes=tuple(panes),
        spacing_mm=(0.5, 0.8),
        positions_mm=tuple(-12.0 + 3 * i for i in range(SHAPE[0])),
        plane="sagittal",
        edges={"left": "A", "right": "P", "top": "H", "bottom": "F"},
        target="PDFS",
        warnings=("Slices are 4.0 mm apart.",),
        facts={"Model": {"Weights": "9f86d081"}},
    )
    write_page(report, tmp_path / "report.html")
    browser.open((tmp_path / "report.html").as_uri())
    until(browser, "unpacked", "all")
    until(browser, "drawn", "true")
    yield browser
    assert browser.log() == []


def shown(browser, name):
    """A state of the viewer, after the frame that draws it."""
    return browser.run(
        "return new Promise(done => requestAnimationFrame(() => requestAnimationFrame(() => "
        "done(document.getElementById('viewer').dataset[arguments[0]]))))".replace("arguments[0]", f"'{name}'")
    )


def until(browser, name, value):
    deadline = time.monotonic() + 30
    while shown(browser, name) != value:
        assert time.monotonic() < deadline, (name, shown(browser, name), browser.log())


def grey(browser, pane):
    shown(browser, "slice")
    return browser.run(PIXEL, pane)


def middle_of(browser, pane):
    return tuple(
        browser.run(
            "const box = document.querySelectorAll('.stage')[arguments[0]].getBoundingClientRect();"
            "return [Math.round(box.x + box.width / 2), Math.round(box.y + box.height / 2)]",
            pane,
        )
    )


def test_the_page_unpacks_what_was_packed(opened):
    decode = Path(page.__file__).with_name("decode.js").read_text(encoding="utf-8")
    levels = np.random.default_rng(3).integers(0, 4096, (17, 13)).astype(np.uint16)
    levels[4:9] //= 64  # smooth and rough parts, so that every case of the predictor occurs
    script = decode + "return inflate(bytesOf(arguments[0])).then(p => Array.from(unpredict(p, 17, 13)))"
    np.testing.assert_array_equal(np.reshape(opened.run(script, pack_slice(levels)), (17, 13)), levels)


def test_a_slider_used_by_mouse_gives_the_arrow_keys_back(opened):
    place = (
        "const b = document.querySelector('.window input').getBoundingClientRect(); return [b.x + b.width / 2, b.y + 9]"
    )
    first, slice_ = shown(opened, "window"), int(shown(opened, "slice"))
    opened.drag(tuple(map(round, opened.run(place))), (12, 0))
    moved = shown(opened, "window")
    assert moved != first
    opened.press("ArrowDown")
    assert int(shown(opened, "slice")) == slice_ + 1
    assert shown(opened, "window") == moved


def test_keys_and_wheel_move_through_the_slices_of_all_panes(opened):
    steps = [("End", 9), ("ArrowUp", 8), ("PageUp", 3), ("Home", 1), ("ArrowUp", 1), ("ArrowDown", 2), ("PageDown", 7)]
    for key, expected in steps:
        opened.press(key)
        assert shown(opened, "slice") == str(expected), key
        for pane in range(3):
            assert grey(opened, pane) == pytest.approx(255 * level(pane, expected - 1), abs=1)
    opened.wheel(middle_of(opened, 1), 120)
    assert shown(opened, "slice") == "8"
    place = opened.run("return document.getElementById('place').textContent")
    assert "8 / 9" in place and "9.0 mm" in place


def test_flicker_puts_the_compared_image_in_place_of_the_synthesis(opened):
    synthesis = grey(opened, 1)
    name = "return document.querySelectorAll('.pane .name')[1].textContent"
    mark = "return document.querySelectorAll('.mark')[1].hidden"
    assert not opened.run(mark)
    opened.press("f")
    assert shown(opened, "flicker") == "true"
    assert grey(opened, 1) == grey(opened, 2) != synthesis
    assert opened.run(name) == "PDFS acquired"
    assert opened.run(mark)
    opened.press("Shift", "f")
    assert grey(opened, 1) == grey(opened, 0) != synthesis
    assert opened.run(name) == "PD acquired (source)"
    opened.press("f")
    assert grey(opened, 1) == synthesis
    assert not opened.run(mark)


def colour(browser, pane):
    shown(browser, "slice")
    return browser.run(PIXEL.replace("return copy.getImageData(0, 0, 1, 1).data[0]", COLOUR), pane)


@pytest.fixture
def judged(browser, tmp_path):
    voxels = np.full(SHAPE, 0.4, np.float32)
    values = np.zeros(SHAPE, np.float32)
    values[:, 10:30, 15:35] = 60
    values[0] = 10
    panes = (Pane("PD", "PD", voxels, False), Pane("PDFS", "PDFS", voxels, True))
    report = Report(
        title="Knee",
        panes=panes,
        spacing_mm=(0.5, 0.8),
        positions_mm=tuple(map(float, range(SHAPE[0]))),
        plane="sagittal",
        edges={"left": "A", "right": "P", "top": "H", "bottom": "F"},
        target="PDFS",
        warnings=(),
        facts={},
        overlay=Overlay(values, "half width of the 90% interval in percent of muscle signal", calibrated=True),
    )
    write_page(report, tmp_path / "report.html")
    browser.open((tmp_path / "report.html").as_uri())
    until(browser, "unpacked", "all")
    until(browser, "drawn", "true")
    yield browser
    assert browser.log() == []


def test_uncertainty_is_laid_over_the_synthesis_alone_and_taken_off_again(judged):
    plain = [colour(judged, pane) for pane in (0, 1)]
    assert plain[0] == plain[1] and len(set(plain[1])) == 1
    legend = "return document.getElementById('legend').hidden"
    assert judged.run(legend)
    judged.press("u")
    assert shown(judged, "uncertain") == "true" and not judged.run(legend)
    assert "percent of muscle" in judged.run("return document.getElementById('legend').textContent")
    red, green, blue = colour(judged, 1)
    assert red > green > blue  # the lowest band is yellow
    assert colour(judged, 0) == plain[0]
    judged.press("Home")  # where all of it is below the lowest band
    assert colour(judged, 1) == plain[1]
    judged.press("ArrowDown")
    assert colour(judged, 1) == [red, green, blue]
    judged.press("f")  # another image has no uncertainty
    assert colour(judged, 1) == plain[0]
    judged.press("f")
    judged.run("document.getElementById('overlay').click()")
    assert shown(judged, "uncertain") == "false"
    assert colour(judged, 1) == plain[1]
    judged.press("u")
    judged.press("r")
    assert colour(judged, 1) == plain[1]


def test_the_value_under_the_pointer_has_its_interval(judged):
    judged.press("u")
    judged.drag(middle_of(judged, 1), (1, 1))
    value = "return document.querySelectorAll('.pane .value')[1].textContent"
    assert judged.run(value).split() == ["0.400", "\u00b160", "%"]
    judged.press("u")
    shown(judged, "slice")
    assert judged.run(value).split() == ["0.400"]


def test_a_report_without_uncertainty_offers_none(opened):
    assert opened.run("return document.getElementById('uncertain').hidden")
    opened.press("u")
    assert shown(opened, "uncertain") == "false"


def test_windows_change_by_preset_and_by_mouse_for_one_contrast_and_come_back(opened):
    first = shown(opened, "window")
    opened.press("w")
    assert shown(opened, "window") != first
    assert grey(opened, 1) == pytest.approx(255 * level(1, 4) / 1.6, abs=1)
    opened.press("r")
    assert shown(opened, "window") == first
    before = [grey(opened, pane) for pane in range(3)]
    opened.drag(middle_of(opened, 2), (0, -40), button=2)
    after = [grey(opened, pane) for pane in range(3)]
    assert after[0] == before[0]
    assert after[1] > before[1] and after[2] > before[2]
    assert opened.run("return [...document.querySelectorAll('.grey')].map(e => e.textContent.includes('changed'))") == [
        False,
        True,
        True,
    ]
    opened.press("r")
    assert [grey(opened, pane) for pane in range(3)] == before


def test_zoom_and_place_are_linked_and_double_click_fits(opened):
    centre = shown(opened, "centre")
    for _ in range(4):
        opened.press("+")
    assert float(shown(opened, "zoom")) == pytest.approx(1.25**4, rel=1e-3)
    opened.drag(middle_of(opened, 0), (30, 20))
    x, y = map(float, shown(opened, "centre").split())
    assert (x, y) < tuple(map(float, centre.split()))
    opened.run("document.querySelector('.stage').dispatchEvent(new MouseEvent('dblclick', {bubbles: true}))")
    assert (shown(opened, "zoom"), shown(opened, "centre")) == ("1.000", centre)


def test_pixels_have_their_true_aspect(opened):
    opened.press("i")
    shown(opened, "smooth")
    across, down = opened.run(
        "const canvas = document.querySelectorAll('canvas')[1];"
        "const copy = document.createElement('canvas');"
        "copy.width = canvas.width; copy.height = canvas.height;"
        "const context = copy.getContext('2d', {willReadFrequently: true});"
        "context.drawImage(canvas, 0, 0);"
        "const at = (x, y) => context.getImageData(x, y, 1, 1).data[0];"
        "const [x, y] = [copy.width >> 1, copy.height >> 1], grey = at(x, y);"
        "const run = (dx, dy) => { let n = 0; while (at(x + dx * n, y + dy * n) === grey) n += 1; return n; };"
        "return [run(1, 0) + run(-1, 0) - 1, run(0, 1) + run(0, -1) - 1]"
    )
    assert across / down == pytest.approx(BLOCK[1] * 0.8 / (BLOCK[0] * 0.5), rel=0.03)


def test_help_opens_and_closes_and_holds_the_keys_back(opened):
    opened.press("?")
    assert opened.run("return document.getElementById('help').open")
    opened.press("End")
    opened.press("Escape")
    assert not opened.run("return document.getElementById('help').open")
    assert shown(opened, "slice") == "5"


def test_without_the_inflater_the_middle_slice_is_shown(browser, opened, tmp_path):
    text = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert opened.run("return getComputedStyle(document.querySelector('.stills')).display") == "none"
    (tmp_path / "broken.html").write_text(text.replace('data-stack="1">', 'data-stack="1">AAAA'), encoding="utf-8")
    opened.open((tmp_path / "broken.html").as_uri())
    deadline = time.monotonic() + 30
    while opened.run("return document.getElementById('failure').hidden"):
        assert time.monotonic() < deadline
    assert opened.run("return getComputedStyle(document.querySelector('.stills')).display") == "flex"
    assert opened.run("return [...document.querySelectorAll('.stills img')].every(i => i.naturalWidth === 50)")
