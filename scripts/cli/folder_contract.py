# SPDX-License-Identifier: Apache-2.0
"""What mercure, Holoscan and MONAI Deploy ask of the containers they start: a folder in, a folder out, an exit code.

mercure also hands in ``task.json`` with the settings of the module, and reads ``result.json`` back.
"""

from __future__ import annotations

import contextlib
import functools
import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, ParamSpec

import typer

from scripts.errors import KneeSynthError, OutOfMemory, OutputError, UsageError, describe_unforeseen
from scripts.interruption import INTERRUPTED
from scripts.synthesis.staging import PROGRAM, REPORT_NAME
from scripts.synthesis.verdicts import SKIPPED, without_file_names

INPUT_VARIABLES = ("MERCURE_IN_DIR", "HOLOSCAN_INPUT_PATH", "MONAI_INPUTPATH")
OUTPUT_VARIABLES = ("MERCURE_OUT_DIR", "HOLOSCAN_OUTPUT_PATH", "MONAI_OUTPUTPATH")

TASK_NAME = "task.json"
RESULT_NAME = "result.json"

MAX_TASK_BYTES = 2**20


# What chooses; nothing that lifts a refusal, since the file lies among images that come from outside.
_TEXT, _LIST, _FLAG = "text", "text or a list of texts", "true or false"
SETTINGS = {"to": _TEXT, "all": _FLAG, "plane": _LIST, "match": _TEXT, "format": _LIST}

P = ParamSpec("P")


def path_from_environment(names: Sequence[str], argument: str) -> Path:
    """The path that one of some variables gives.

    Args:
        names: variables, the first one that is set wins.
        argument: what is missing from the command line.

    Raises:
        UsageError: none is set.
    """
    for name in names:
        if os.environ.get(name):
            return Path(os.environ[name])
    raise UsageError(f"no {argument}; need a path; give it, or set {names[0]}")


def task_settings(folder: Path) -> dict[str, Any]:
    """Settings that mercure's ``task.json`` gives for a run, each as its option of the command line is written.

    Args:
        folder: what is synthesised from, as one of `INPUT_VARIABLES` names it.

    Raises:
        UsageError: the file cannot be read, or holds a setting that is not among `SETTINGS` or of another kind.
    """
    if not (folder / TASK_NAME).is_file():
        return {}
    try:
        with (folder / TASK_NAME).open("rb") as file:
            raw = file.read(MAX_TASK_BYTES + 1)
        content = json.loads(raw)
    except OSError as error:
        raise UsageError(f"{TASK_NAME}: {error.strerror}; need to read it; check its rights") from error
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{TASK_NAME}: not JSON; need mercure's task; bring it again, or take it away") from error
    process = content.get("process") if isinstance(content, dict) else None
    settings = process.get("settings", {}) if isinstance(process, dict) else process
    if settings is None:  # a task without processing, or another program's file
        return {}
    if len(raw) > MAX_TASK_BYTES or not isinstance(settings, dict):
        raise UsageError(f"{TASK_NAME}: no settings of one module; need process.settings; correct it")
    unknown = sorted(set(settings) - set(SETTINGS))
    if unknown:
        raise UsageError(
            f"{TASK_NAME}: unknown setting {unknown[0]!r}; need some of {', '.join(SETTINGS)}; correct the module's "
            "settings"
        )
    return {name: _checked(name, value) for name, value in settings.items()}


def _checked(name: str, value: Any) -> Any:
    kind = SETTINGS[name]
    if kind == _LIST and isinstance(value, list) and all(isinstance(one, str) for one in value):
        return ",".join(value)
    if isinstance(value, bool if kind == _FLAG else str):
        return value
    raise UsageError(f"{TASK_NAME}: setting {name!r} is of another kind; need {kind}; correct the module's settings")


def leaving_result(verb: Callable[P, None]) -> Callable[P, None]:
    """Make a verb leave ``result.json`` in OUT, whatever way it ends, where one of `OUTPUT_VARIABLES` names OUT.

    The verb has options ``inputs`` and ``out``. The file holds no name, no identifier and no description; names of
    input files, which are UIDs or worse, are taken out.
    """

    @functools.wraps(verb)
    def run(*args: P.args, **options: P.kwargs) -> None:
        folder = next((Path(os.environ[name]) for name in OUTPUT_VARIABLES if os.environ.get(name)), None)
        if folder is None or options.get("out") is not None:
            return verb(*args, **options)
        with contextlib.suppress(OSError):
            # Whatever ends this run, a former one's result does not speak for it.
            (folder / RESULT_NAME).unlink(missing_ok=True)
        try:
            verb(*args, **options)
        except BaseException as error:
            inputs = options.get("inputs") or [Path(os.environ[n]) for n in INPUT_VARIABLES if os.environ.get(n)][:1]
            with contextlib.suppress(OSError, OutputError):
                folder.mkdir(parents=True, exist_ok=True)
                _write(folder, _refused(*_ending(error), inputs))  # type: ignore[arg-type]
            raise
        if (folder / REPORT_NAME).is_file():  # an archive has a report for each series instead
            _write(folder, _done(json.loads((folder / REPORT_NAME).read_text(encoding="utf-8"))))

    return run


def leave_usage_result(arguments: Sequence[str], message: str) -> None:
    """Leave ``result.json`` for a command line that could not be understood, so that `leaving_result` was not reached.

    Args:
        arguments: the command line.
        message: what is wrong with it.
    """
    named = any(one.split("=")[0] == "--out" or one.startswith("-o") for one in arguments)
    folder = next((Path(os.environ[name]) for name in OUTPUT_VARIABLES if os.environ.get(name)), None)
    if folder is None or named or list(arguments[:1]) != ["synthesize"]:
        return
    with contextlib.suppress(OSError, OutputError):
        folder.mkdir(parents=True, exist_ok=True)
        _write(folder, _refused(UsageError.exit_code, message, ()))


def _ending(error: BaseException) -> tuple[int, str]:
    if isinstance(error, KneeSynthError):
        return error.exit_code, str(error)
    if isinstance(error, MemoryError):
        return OutOfMemory.exit_code, "out of memory"
    if isinstance(error, KeyboardInterrupt):
        return INTERRUPTED, "interrupted; nothing was written"
    if isinstance(error, typer.Exit):
        return error.exit_code, "the package refused; its own line in the log says why"
    return KneeSynthError.exit_code, describe_unforeseen(error)


def _refused(code: int, message: str, inputs: Sequence[Path]) -> dict[str, Any]:
    message = without_file_names(" ".join(message.split()), _files_below(inputs))
    text = f"No series made: {message}"
    return {"status": "refused", "exit_code": code, "message": message, **_notification(text, True)}


def _files_below(inputs: Sequence[Path]) -> list[Path]:
    from scripts.dicom.files import find_files

    try:
        return list(find_files(inputs))
    except UsageError:
        return []


def _done(report: dict[str, Any]) -> dict[str, Any]:
    made = [f"{entry['target_contrast']} from stack {entry['stack']}" for entry in report["series"]]
    found = report.get("input", [])
    skipped = [f"stack {one['stack']}: {one['reason'].split(';')[0]}" for one in found if one["verdict"] == SKIPPED]
    text = f"{len(made)} series made: {', '.join(made)}. "
    text += f"Skipped: {', '.join(skipped)}. " if skipped else ""
    text += report["notice"]
    return {"status": "done", "exit_code": 0, "message": text, "input": found, **_notification(text, False)}


def _notification(text: str, requested: bool) -> dict[str, Any]:
    return {"__mercure_notification": {"text": text, "requested": requested}}


def _write(folder: Path, result: dict[str, Any]) -> None:
    content = json.dumps({"program": PROGRAM, **result}, indent=2) + "\n"
    try:
        (folder / RESULT_NAME).write_text(content, encoding="utf-8")
    except OSError as error:
        raise OutputError(f"{RESULT_NAME}: {error.strerror}; need to write it; check the output folder") from error
