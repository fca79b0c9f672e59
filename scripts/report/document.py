# SPDX-License-Identifier: Apache-2.0
"""A self-contained page without scripts: what every page of this project has in common around its own words."""

from __future__ import annotations

import base64
import hashlib
from pathlib import Path
from string import Template


def fill_document(room: Path, **words: object) -> str:
    """A page that loads nothing, runs no script and shows only pictures that it holds.

    Args:
        room: folder of ``page.html``, whose first line is the title and whose other lines are the body, and of
            ``page.css``, which stands behind ``document.css``.
        words: what stands for each ``$name`` of them: numbers, and text that is escaped.

    Raises:
        KeyError: a name that is not given.
    """
    title, _, body = _own(room / "page.html").partition("\n")
    here = Path(__file__).parent
    style = _own(here / "document.css") + _own(room / "page.css")
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    frame = Template((here / "document.html").read_text(encoding="utf-8"))
    return frame.substitute(
        policy=f"default-src 'none'; base-uri 'none'; form-action 'none'; img-src data:; style-src 'sha256-{digest}'",
        title=Template(title).substitute(words),
        style=style,
        body=Template(body).substitute(words).rstrip("\n"),
    )


def _own(path: Path) -> str:
    """A file without the line of its licence."""
    return path.read_text(encoding="utf-8").split("\n", 1)[1]
