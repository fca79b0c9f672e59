# SPDX-License-Identifier: Apache-2.0
"""The command line: verbs, exit codes, and one line on stderr for whatever goes wrong.

Each verb lives in the module of its name, which imports nothing heavy before the verb runs: help must come at once.
"""

from __future__ import annotations

import importlib
import importlib.util
import logging
import os
import sys
import traceback
import warnings
from collections.abc import Sequence
from typing import Annotated

import typer

from scripts.cli.folder_contract import leave_usage_result
from scripts.cli.unknown_user import name_user
from scripts.errors import (
    KneeSynthError,
    OutOfMemory,
    UsageError,
    WeightsError,
    describe_unforeseen,
    one_line,
)
from scripts.interruption import INTERRUPTED, terminated_as_interrupted

# In the order of the help page. A verb is offered when its module is there and defines a function of the same name.
VERBS = (
    *("synthesize", "inspect", "pair", "check", "train", "evaluate", "commission"),
    *("diagnose", "simulate", "package", "selftest"),
)

DEBUG_VARIABLE = "KNEESYNTH_DEBUG"

_USAGE = 2

app = typer.Typer(
    name="kneesynth",
    help="Turn a proton-density knee series (PD) into its fat-suppressed twin (PDFS) and back. "
    "Research use only; not for diagnosis.",
    no_args_is_help=True,
    rich_markup_mode="rich",
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(context: typer.Context, wanted: bool) -> None:
    if not wanted:
        return
    from scripts.software import program_version

    typer.echo(_software() if context.params["as_json"] else f"kneesynth {program_version()}")
    raise typer.Exit


def _software() -> str:
    import json

    from scripts.software import default_root, software_block
    from scripts.synthesis.bundle import read_facts

    try:
        model = vars(read_facts(default_root()))
    except WeightsError:  # whoever looks for a fault asks this first; `selftest` says what is wrong with them
        model = None
    return json.dumps(software_block(model), indent=2)


@app.callback()
def _options(
    # Eager, so that it is known when --version, which ends the program, comes first on the line.
    as_json: Annotated[
        bool, typer.Option("--json", is_eager=True, help="With --version: versions of all that matters, as JSON.")
    ] = False,
    version: Annotated[bool, typer.Option("--version", callback=_version, help="Show the version and exit.")] = False,
) -> None:
    if as_json:
        raise UsageError("--json before the verb: belongs to --version there; need it after the verb; move it")


for _verb in VERBS:
    if importlib.util.find_spec(f"scripts.cli.{_verb}") is not None:
        app.command(_verb)(getattr(importlib.import_module(f"scripts.cli.{_verb}"), _verb))


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one verb.

    Args:
        arguments: the command line without the program's name; by default this process's.

    Returns:
        The exit code.
    """
    _quiet()
    name_user()
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    try:
        with terminated_as_interrupted():
            code = app(args=arguments, prog_name="kneesynth", standalone_mode=False)
    except KneeSynthError as error:
        return _fail(str(error), error.exit_code)
    except MemoryError:
        return _fail("out of memory; need more for a series of this size; close other programs", OutOfMemory.exit_code)
    except (KeyboardInterrupt, typer.Abort):
        return _fail("interrupted; nothing was written", INTERRUPTED)
    except Exception as error:
        # Typer bundles its own copy of click, so its usage errors have no public base class.
        if hasattr(error, "format_message") and hasattr(error, "exit_code"):
            return _usage(error, arguments)
        return _unexpected(error)
    if code == INTERRUPTED:  # Typer turns the interrupt into this code itself, without a word
        return _fail("interrupted; nothing was written", INTERRUPTED)
    return code if isinstance(code, int) else 0


def _fail(message: str, code: int) -> int:
    sys.stderr.write(f"kneesynth: {one_line(message)}\n")
    return code


def _usage(error: Exception, arguments: Sequence[str]) -> int:
    context = getattr(error, "ctx", None)
    message = error.format_message()  # type: ignore[attr-defined]
    if type(error).__name__ == "NoArgsIsHelpError":
        sys.stdout.write(message + "\n")
        return _USAGE
    path = context.command_path if context is not None else "kneesynth"
    leave_usage_result(arguments, message)
    return _fail(f"{message.rstrip('.')}; see {path} --help", _USAGE)


def _unexpected(error: Exception) -> int:
    if os.environ.get(DEBUG_VARIABLE):
        traceback.print_exc()
    return _fail(
        f"{describe_unforeseen(error)}; this is a fault of the program; "
        f"set {DEBUG_VARIABLE}=1 to see where, and report it",
        KneeSynthError.exit_code,
    )


def _quiet() -> None:
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S", stream=sys.stderr)
    if not os.environ.get(DEBUG_VARIABLE):
        # Libraries speak of values and paths; what concerns the user is said by the verbs themselves.
        warnings.simplefilter("ignore")
        for name in (
            "monai",
            "ignite",
            "matplotlib",
            "pydicom",
            "highdicom",
            "nibabel",
            "py.warnings",
            "scripts.dicom",
            "scripts.transforms",
        ):
            logging.getLogger(name).setLevel(logging.CRITICAL)
