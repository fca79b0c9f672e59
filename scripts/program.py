# SPDX-License-Identifier: Apache-2.0
"""How a program other than ``kneesynth`` ends: a refusal is one line and its exit code, without a traceback."""

from __future__ import annotations

import sys
from collections.abc import Sequence

import typer

from scripts.errors import KneeSynthError, one_line


def run_program(app: typer.Typer, module: str, arguments: Sequence[str] | None = None) -> int:
    """Run one command of a program.

    Args:
        app: its commands, made with ``pretty_exceptions_enable=False``.
        module: the package that ``python -m`` runs, as in ``scripts.clinic``.
        arguments: the command line without the program's name; by default this process's.

    Returns:
        The exit code.
    """
    try:
        app(args=arguments, prog_name=f"python -m {module}")
    except KneeSynthError as error:
        sys.stderr.write(f"{module.rpartition('.')[2]}: {one_line(str(error))}\n")
        return error.exit_code
    except SystemExit as end:  # the usual end, and that of a wrong usage
        return end.code if isinstance(end.code, int) else 0
    return 0
