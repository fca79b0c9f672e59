# SPDX-License-Identifier: Apache-2.0
"""The table of stacks that `inspect` prints and that an ambiguous source is answered with."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, TextIO

from scripts.errors import one_line

if TYPE_CHECKING:
    from scripts.dicom.index import Stack


def print_stacks(stacks: Sequence[Stack], file: TextIO, descriptions: bool) -> None:
    """Print one row per stack.

    Args:
        stacks: what was found.
        file: stdout or stderr.
        descriptions: show the series descriptions too; not where the text may end in a log.
    """
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    heads = ["id", "plane", "slices", "matrix", "spacing mm", "TE ms", "TR ms", "contrast", "usable"]
    for head in heads + (["description"] if descriptions else []):
        table.add_column(
            head, justify="right" if head in ("slices", "TE ms", "TR ms") else "left", no_wrap=head == "id"
        )
    for stack in stacks:
        cells = [
            stack.id,
            stack.plane,
            str(stack.slices),
            f"{stack.shape[0]}x{stack.shape[1]}",
            "?" if stack.spacing_mm is None else " x ".join(f"{value:.2f}" for value in stack.spacing_mm),
            _milliseconds(stack.echo_time, 1),
            _milliseconds(stack.repetition_time, 0),
            stack.contrast,
            _use(stack),
        ]
        # Text, not str: a header is not allowed to speak Rich's markup language, nor a file name the terminal's.
        table.add_row(*(Text(one_line(cell)) for cell in cells + ([stack.description] if descriptions else [])))
    console = Console(file=file, width=None if file.isatty() else 160)
    console.print(table)


def _milliseconds(seconds: float | None, digits: int) -> str:
    return "?" if seconds is None else f"{1000 * seconds:.{digits}f}"


def _use(stack: Stack) -> str:
    if not stack.usable:
        return f"no: {stack.reason}"
    marks = [name for name in ("simulated", "derived", "localizer", "lossy") if getattr(stack, name)]
    if stack.synthetic and not stack.simulated:
        marks.insert(0, "synthetic")
    return "yes" + (f" ({', '.join(marks)})" if marks else "")
