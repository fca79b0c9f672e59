# SPDX-License-Identifier: Apache-2.0
"""Configs as a package holds them: the same text with its own root, and twins in JSON for tools that know no YAML.

Every MONAI bundle calls its package ``scripts``, and a Python process keeps one module of a name. So a packed config
takes the name from whichever bundle was loaded before (whose objects go on working), and gives it back at its end. It
does so by expressions: what YAML names by ``_target_`` would be looked for in the other bundle's package.
"""

from __future__ import annotations

import json
import re
from typing import Any

import yaml

from scripts.errors import UsageError

TWINS = ("train", "inference")
"""Configs that `monai.bundle.load` asks for; it looks for JSON only."""

RUN_IDS = ("training", "evaluating", "inference", "diagnosing")

_ROOT = "os.path.abspath(@bundle_root)"
_MODULES = "sys.modules.pop(name) for name in list(sys.modules) if name.split('.')[0] == 'scripts'"
_FOREIGN = f"not str(getattr(sys.modules[name], '__file__', '')).startswith({_ROOT} + os.sep)"
_IS_ROOT = f"os.path.abspath(entry) == {_ROOT}"
CLAIM = (f"$sys.path.insert(0, {_ROOT})", f"$[{_MODULES} and {_FOREIGN}]")
# MONAI puts the folder on the path once more when it runs a workflow.
RELEASE = (f"$[{_MODULES}]", f"$[sys.path.remove(entry) for entry in list(sys.path) if entry and {_IS_ROOT}]")

# Whoever loads a bundle by name gives no folder; the workflow that reads the config knows it.
FOUND_ROOT = (
    "$next((str(frame.frame.f_locals['self'].config_root_path.parent) for frame in inspect.stack(0) "
    "if isinstance(frame.frame.f_locals.get('self'), monai.bundle.ConfigWorkflow)), '.')"
)

_BUNDLE_ROOT_LINE = re.compile(r"^bundle_root: .*$", re.MULTILINE)
_PATH_LINE = re.compile(r"^  - \$sys\.path\.append\(@bundle_root\)$", re.MULTILINE)
_SYS_LINE = re.compile(r"^  - \$import sys$", re.MULTILINE)
_NOTHING_AT_THE_END = re.compile(r"^finalize: \[\]\n?", re.MULTILINE)
_CHECKOUT_FOLDER = re.compile(r"\bbundle/(?=(?:configs|docs|models)\b)")


def packed_config(text: str, name: str) -> str:
    """Rewrite a config that runs alone in a checkout to one that runs alone in a package.

    Args:
        text: the YAML file's text; comments and order are kept.
        name: of the file, for the refusal.

    Raises:
        UsageError: the config does not name its root, or does not put it on the path first, as a checkout's do.
    """
    lines = "".join(f'  - "{line}"\n' for line in CLAIM).rstrip()
    changes = (
        (_BUNDLE_ROOT_LINE, "bundle_root: . # the package's folder; from elsewhere: --bundle_root PACKAGE"),
        (_SYS_LINE, "  - $import sys\n  - $import os"),
        (_PATH_LINE, f"  # the folder and the name `scripts` are this bundle's until it ends\n{lines}"),
    )
    for pattern, replacement in changes:
        text, count = pattern.subn(replacement.replace("\\", r"\\"), text)
        if count != 1:
            raise UsageError(f"{name}: {count} lines like `{pattern.pattern}`; need one; mend the config.")
    release = "".join(f'  - "{line}"\n' for line in RELEASE)
    return checkout_paths_dropped(f"{_NOTHING_AT_THE_END.sub('', text).rstrip()}\nfinalize:\n{release}")


def packed_overlay(text: str) -> str:
    """Rewrite a config that changes another one; where it begins anew, it takes the name as that one does."""
    lines = "\n".join(f'  - "{line}"' for line in CLAIM)
    return checkout_paths_dropped(_PATH_LINE.sub(lambda _: lines, text))


def checkout_paths_dropped(text: str) -> str:
    """Name the bundle's folders as they are called from a package's root."""
    return _CHECKOUT_FOLDER.sub("", text)


def replace_block(text: str, key: str, value: Any) -> str:
    """Put another value under a top-level key of a YAML text; all other lines stay as they are.

    Raises:
        UsageError: the key is not there.
    """
    block = re.compile(rf"^{re.escape(key)}:.*\n(?:(?:[ \t-].*)?\n)*?(?=\S|\Z)", re.MULTILINE)
    new = yaml.safe_dump({key: value}, sort_keys=False, allow_unicode=True, width=110)
    text, count = block.subn(lambda _: new, text, count=1)
    if not count:
        raise UsageError(f"no `{key}` in the config; need it to put a run's in its place.")
    return text


def json_twin(text: str) -> str:
    """The JSON form of a packed config, for tools that load a bundle's network by the bundle's name, and MONAI Label.

    It finds its own root and writes there, wherever its host was started. It gives the name ``scripts`` back as soon as
    the network is built, since such tools never end what they began; what runs takes it again.
    """
    config: dict[str, Any] = yaml.safe_load(text)
    config["bundle_root"] = FOUND_ROOT
    config["imports"] = [*config["imports"], "$import inspect"]
    for key in ("output_dir", "cache_dir"):
        if not config.get(key, "$").startswith("$"):
            config[key] = f"$@bundle_root + '/{config[key]}'"
    # Whoever only loads a network keeps the process's own hook for uncaught errors.
    begin = [item for item in config["initialize"] if not isinstance(item, dict)]
    hooks = [item for item in config["initialize"] if isinstance(item, dict)]
    config["initialize"] = [*begin, *([] if "$@network_def" in begin else ["$@network_def"]), *RELEASE]
    for run_id in RUN_IDS:
        if run_id in config:
            config[run_id] = [*CLAIM, *hooks, *config[run_id]]
    return json.dumps(config, indent=2) + "\n"
