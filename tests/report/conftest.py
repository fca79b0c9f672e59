# SPDX-License-Identifier: Apache-2.0
"""A headless Chromium for the tests of this folder, by a small client of W3C WebDriver (JSON over HTTP)."""

from __future__ import annotations

import base64
import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.request import ProxyHandler, Request, build_opener

import pytest

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
CHROMEDRIVER = shutil.which("chromedriver")

#: Key codes of the standard, section "Keyboard actions".
KEYS = {
    "Shift": "\ue008",
    "Control": "\ue009",
    "Escape": "\ue00c",
    "PageUp": "\ue00e",
    "PageDown": "\ue00f",
    "End": "\ue010",
    "Home": "\ue011",
    "ArrowUp": "\ue013",
    "ArrowDown": "\ue015",
    "Tab": "\ue004",
}

_FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


class Browser:
    """One browser session.

    Args:
        address: of the driver on the loopback interface.
        capabilities: of the session to open.
    """

    def __init__(self, address: str, capabilities: dict[str, Any]) -> None:
        self._opener = build_opener(ProxyHandler({}))
        self._base = address
        answer = self._call("POST", "/session", {"capabilities": {"alwaysMatch": capabilities}})
        self._base = f"{address}/session/{answer['sessionId']}"

    def _call(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        request = Request(self._base + path, data, {"Content-Type": "application/json"}, method=method)
        with self._opener.open(request, timeout=60) as response:
            return json.load(response)["value"]

    def open(self, url: str) -> None:
        self._call("POST", "/url", {"url": url})

    def run(self, script: str, *arguments: Any) -> Any:
        """Result of a script body; ``arguments`` are its ``arguments``; a promise is awaited."""
        return self._call("POST", "/execute/sync", {"script": script, "args": list(arguments)})

    def press(self, *keys: str) -> None:
        """Hold the keys in their order, then release them."""
        codes = [KEYS.get(key, key) for key in keys]
        actions = [{"type": "keyDown", "value": c} for c in codes]
        actions += [{"type": "keyUp", "value": c} for c in reversed(codes)]
        self._call("POST", "/actions", {"actions": [{"type": "key", "id": "keys", "actions": actions}]})

    def drag(self, start: tuple[int, int], by: tuple[int, int], button: int = 0) -> None:
        """Drag with a mouse button (0 left, 2 right), in page pixels."""
        actions = [
            {"type": "pointerMove", "x": start[0], "y": start[1]},
            {"type": "pointerDown", "button": button},
            {"type": "pointerMove", "x": start[0] + by[0], "y": start[1] + by[1], "duration": 50},
            {"type": "pointerUp", "button": button},
        ]
        self._call("POST", "/actions", {"actions": [{"type": "pointer", "id": "mouse", "actions": actions}]})

    def wheel(self, at: tuple[int, int], down: int) -> None:
        """Turn the wheel at a place, in page pixels."""
        actions = [{"type": "scroll", "x": at[0], "y": at[1], "deltaX": 0, "deltaY": down}]
        self._call("POST", "/actions", {"actions": [{"type": "wheel", "id": "wheel", "actions": actions}]})

    def screenshot(self) -> bytes:
        """The visible part of the page as PNG."""
        return base64.b64decode(self._call("GET", "/screenshot"))

    def resize(self, width: int, height: int) -> None:
        self._call("POST", "/window/rect", {"width": width, "height": height})

    def log(self) -> list[str]:
        """Console messages since the last call, refusals of the content security policy among them."""
        return [f"{entry['level']} {entry['message']}" for entry in self._call("POST", "/se/log", {"type": "browser"})]

    def close(self) -> None:
        self._call("DELETE", "")


@contextmanager
def chromium(profile: Path, width: int = 1366, height: int = 768, *flags: str) -> Iterator[Browser]:
    """A headless Chromium with an empty profile, closed with its driver at the end."""
    assert CHROMIUM and CHROMEDRIVER
    driver = subprocess.Popen([CHROMEDRIVER, "--port=0"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        assert driver.stdout
        found = next(filter(None, (re.search(r"successfully on port (\d+)", line) for line in driver.stdout)))
        arguments = [*_FLAGS, f"--user-data-dir={profile}", f"--window-size={width},{height}", *flags]
        capabilities = {
            "browserName": "chrome",
            "goog:chromeOptions": {"binary": CHROMIUM, "args": arguments},
            "goog:loggingPrefs": {"browser": "ALL"},
        }
        browser = Browser(f"http://127.0.0.1:{found[1]}", capabilities)
        try:
            yield browser
        finally:
            browser.close()
    finally:
        driver.terminate()
        driver.wait(timeout=20)
        assert driver.stdout
        driver.stdout.close()


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    if not (CHROMIUM and CHROMEDRIVER):
        pytest.skip("needs chromium and chromedriver on the PATH (Debian: chromium chromium-driver)")
    with chromium(tmp_path_factory.mktemp("browser") / "profile") as session:
        yield session
