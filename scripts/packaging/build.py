# SPDX-License-Identifier: Apache-2.0
"""Put a package together from the bundle, or from the bundle and a training run, and write it out."""

from __future__ import annotations

import json
import re
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import yaml

from scripts.errors import OutputError, UsageError, WeightsError
from scripts.packaging.archive import METADATA, Package, check_name, sha256
from scripts.packaging.configs import TWINS, json_twin, packed_config, packed_overlay
from scripts.packaging.layout import Layout
from scripts.packaging.reachable import reachable_files
from scripts.packaging.readme import README, card_parts, general_parts, linked_files, readme
from scripts.packaging.run_card import run_metadata, run_parts, run_pictures
from scripts.packaging.run_configs import run_configs
from scripts.packaging.training_run import TrainingRun, read_run
from scripts.synthesis.bundle import SELFTEST
from scripts.synthesis.uncertainty import CALIBRATION, HEAD
from scripts.synthesis.uncertainty import KEY as UNCERTAINTY

OWN_VERSION = "0.1.0"
"""Version of a package of a run's weights where none is given."""

_VERSION = re.compile(r"\d+\.\d+\.\d+")
_CONTRASTS = ("PD", "PDFS")


@dataclass(frozen=True)
class Written:
    """What `write_package` made.

    Args:
        folder: the package's folder.
        archive: the zip of it.
        sha256: hash of the zip, which is the folder's too.
    """

    folder: Path
    archive: Path
    sha256: str


def shipped_package(layout: Layout) -> Package:
    """The bundle with its own weights.

    Raises:
        WeightsError: the weights are missing, or not those that ``metadata.json`` names.
        UsageError: a config or the model card cannot be packed.
    """
    metadata = _metadata(layout)
    try:
        weights = layout.weights.read_bytes()
    except OSError as error:
        raise WeightsError("models/model.pt: no weights there; need the bundle's; install or train them.") from error
    if sha256(weights) != metadata["weights_sha256"]:
        raise WeightsError(
            f"models/model.pt: sha256 {sha256(weights)[:12]} is not {metadata['weights_sha256'][:12]} of "
            "metadata.json; need them to agree; put the right one in its place."
        )
    card = _card(layout)
    text = card if layout.packed else readme(card_parts(card), metadata, _CONTRASTS)
    docs = {README: text.encode(), **linked_files(text, layout.docs)}
    made = _package(layout, (layout.configs / "metadata.json").read_bytes(), packed_configs(layout), docs, weights)
    # Of these weights, not of those that a run made.
    own = [name for name in (SELFTEST, HEAD, CALIBRATION) if (layout.bundle / name).is_file()]
    _check_head(layout, metadata)
    return replace(made, files={**made.files, **{name: (layout.bundle / name).read_bytes() for name in own}})


def run_package(layout: Layout, checkpoint: Path, name: str | None = None, version: str | None = None) -> Package:
    """The bundle with the weights and settings of a training run.

    Args:
        layout: the bundle, for code and for what the run does not decide.
        checkpoint: a checkpoint in its run folder.
        name: name of the package; by default the bundle's and the run folder's.
        version: ``major.minor.patch``; `OWN_VERSION` by default.

    Raises:
        UsageError: a bad name or version, or a run that cannot be packed.
        WeightsError: no weights, or not those of the run's network.
    """
    shipped = _metadata(layout)
    run = read_run(checkpoint)
    version = OWN_VERSION if version is None else version
    if not _VERSION.fullmatch(version):
        raise UsageError(f"version {version!r}; need three numbers as in 1.0.0; correct it.")
    name = check_name(_default_name(shipped["name"], run) if name is None else name)
    if name == shipped["name"]:
        raise UsageError(f"name {name} is the name of the shipped bundle; need another for your weights; choose one.")
    metadata = run_metadata(run, shipped, name, version, sha256(run.weights))
    text = readme(run_parts(run, general_parts(_card(layout))), metadata, run.contrasts)
    docs = {README: text.encode(), **run_pictures(run)}
    content = (json.dumps(metadata, indent=4, ensure_ascii=False) + "\n").encode()
    return _package(layout, content, run_configs(run, packed_configs(layout)), docs, run.weights)


def packed_configs(layout: Layout) -> dict[str, str]:
    """The bundle's configs as a package holds them: text by name without suffix."""
    found = {}
    for path in sorted(layout.configs.glob("*.yaml")):
        text = path.read_text(encoding="utf-8")
        if not layout.packed:
            text = packed_config(text, path.name) if "\nbundle_root:" in text else packed_overlay(text)
        found[path.stem] = text
    return found


def write_package(package: Package, out: Path) -> Written:
    """Write a package's folder and, beside it, its zip.

    Args:
        package: the package.
        out: folder to write into; made where it is not there. A former package of the name is replaced.

    Raises:
        OutputError: it cannot be written, or something else lies where the folder would.
    """
    folder, archive = out / package.name, out / f"{package.name}_v{package.version}.zip"
    if folder.exists() and not (folder / METADATA).is_file():
        raise OutputError(f"{folder.name}: lies in {out.name} and is no package; need its place; choose another -o.")
    content = package.zip_bytes()
    try:
        out.mkdir(parents=True, exist_ok=True)
        stage = Path(tempfile.mkdtemp(prefix=".partial-", dir=out))
        try:
            package.write(stage / folder.name)
            (stage / archive.name).write_bytes(content)
            if folder.exists():
                folder.replace(stage / "former")
            (stage / folder.name).replace(folder)
            (stage / archive.name).replace(archive)
        finally:
            shutil.rmtree(stage, ignore_errors=True)
    except OSError as error:
        raise OutputError(f"{out.name}: {error.strerror}; need a writable folder; choose another -o.") from error
    return Written(folder, archive, sha256(content))


def _package(
    layout: Layout, metadata: bytes, configs: Mapping[str, str], docs: Mapping[str, bytes], weights: bytes
) -> Package:
    parsed = [yaml.safe_load(text) for text in configs.values()]
    files = {
        "LICENSE": (layout.root / "LICENSE").read_bytes(),
        METADATA: metadata,
        "configs/logging.conf": (layout.configs / "logging.conf").read_bytes(),
        "models/model.pt": weights,
    }
    files |= {f"configs/{name}.yaml": text.encode() for name, text in configs.items()}
    files |= {f"configs/{name}.json": json_twin(configs[name]).encode() for name in TWINS}
    files |= {f"docs/{name}": content for name, content in docs.items()}
    files |= {path.as_posix(): (layout.root / path).read_bytes() for path in reachable_files(layout.root, parsed)}
    return Package(check_name(str(json.loads(metadata)["name"])), files)


def _check_head(layout: Layout, metadata: Mapping[str, Any]) -> None:
    """Refuse a scale head that the metadata do not vouch for; a bundle without one is whole too."""
    record = metadata.get(UNCERTAINTY)
    for name, key in ((HEAD, "head_sha256"), (CALIBRATION, "calibration_sha256")):
        path = layout.bundle / name
        found = sha256(path.read_bytes()) if path.is_file() else None
        if found != (record or {}).get(key):
            raise WeightsError(
                f"{name}: sha256 {str(found)[:12]} is not {str((record or {}).get(key))[:12]} of metadata.json; "
                "need them to agree; calibrate the head again (python -m scripts.uncertainty calibrate)."
            )


def _metadata(layout: Layout) -> dict[str, Any]:
    metadata: dict[str, Any] = json.loads((layout.configs / "metadata.json").read_text(encoding="utf-8"))
    return metadata


def _card(layout: Layout) -> str:
    return (layout.docs / README).read_text(encoding="utf-8")


def _default_name(shipped: str, run: TrainingRun) -> str:
    words = re.sub(r"[^a-z0-9]+", "_", run.folder.resolve().name.lower()).strip("_")
    return f"{shipped}_{words}" if words else f"{shipped}_own"
