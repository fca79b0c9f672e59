# SPDX-License-Identifier: Apache-2.0
"""Which cases are evaluated: targets with their predictions and whatever else is known of them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from scripts.errors import UsageError
from scripts.evaluation.found import LAYOUT, Found, find_volumes, is_simulated
from scripts.evaluation.volumes import Loadable
from scripts.simulation.benchmark import SECTION as BENCHMARK

_LISTED = 5


@dataclass(frozen=True)
class Item:
    """One case.

    Args:
        key: of the case; its prediction bears this name.
        patient: whose it is; intervals are over patients.
        target: the acquired target.
        simulated: the target is a simulated one.
        source: what the prediction was made from, if it is known.
        clean: noise-free target (simulation only).
        source_clean: noise-free source (simulation only); it decides with the target where the body is.
        labels: label map, or folder of masks.
        lesion: share of each voxel that lesions changed (benchmark only).
        kinds: of these lesions.
        twin: key of the same knee without its lesions; empty where there is none.
        slices: how the target lies to the source, see `kneesynth pair`; None on one grid.
        prediction: None until it is matched.
    """

    key: str
    patient: str
    target: Loadable
    simulated: bool = False
    source: Loadable | None = None
    clean: Loadable | None = None
    source_clean: Loadable | None = None
    labels: Path | None = None
    lesion: Path | None = None
    kinds: tuple[str, ...] = ()
    twin: str = ""
    slices: Sequence[Sequence[float]] | None = None
    prediction: Found | None = None


def find_targets(root: Path, contrasts: tuple[str, str], section: str | None = None) -> list[Item]:
    """The cases of a folder or manifest of targets.

    Args:
        root: a benchmark (`kneesynth simulate --preset benchmark-v1`), a manifest of pairs or its folder,
            ``<case>/{PD,PDFS}.nii.gz``, ``PD/`` beside ``PDFS/``, DICOM studies, or targets alone.
        contrasts: source and target.
        section: of a manifest; None takes its test section, or all of a manifest without sections.

    Raises:
        UsageError: nothing there, or a case twice.
    """
    if (root / "benchmark.json").is_file():
        return _benchmark(root, contrasts)
    manifest = root if root.is_file() and root.suffix == ".json" else None
    if root.is_dir():
        manifest = next((root / name for name in ("manifest.json", "dataset.json") if (root / name).is_file()), None)
    if manifest is not None:
        return _manifest(manifest, contrasts, section)
    source, target = contrasts
    if (root / source).is_dir() and (root / target).is_dir():
        targets = find_volumes(root / target, target, "--targets")
        sources = find_volumes(root / source, source, "--targets")
    else:
        sources = find_volumes(root, source, "--targets", named=True) if root.is_dir() else {}
        targets = find_volumes(root, target, "--targets", named=bool(sources))
    items = []
    for key, found in targets.items():
        given = sources.get(key)
        one = Item(key, key, found.loadable, found.simulated, None if given is None else given.loadable)
        items.append(_with_truth(one, contrasts) if found.simulated else one)
    if not items:
        raise UsageError(f"--targets {root.name}: no {target} there; need {LAYOUT}; check the path")
    return items


def _with_truth(item: Item, contrasts: tuple[str, str]) -> Item:
    """What the simulator leaves beside its scans."""
    if not isinstance(item.target, str):
        return item
    folder = Path(item.target).parent
    found = {name: folder / f"{name}.nii.gz" for name in (*(f"{one}_clean" for one in contrasts), "labels")}
    source, target, labels = (path if path.is_file() else None for path in found.values())
    texts = [None if path is None else str(path) for path in (source, target)]
    return replace(item, source_clean=texts[0], clean=texts[1], labels=labels)


def _benchmark(root: Path, contrasts: tuple[str, str]) -> list[Item]:
    source, target = contrasts
    items = []
    for case in _read(root / "benchmark.json").get("cases", []):
        folder = root / case["name"]
        lesion = folder / "lesion.nii.gz"
        items.append(
            Item(
                key=case["name"],
                patient=f"knee-{case['knee']:02d}",
                target=str(folder / f"{target}.nii.gz"),
                simulated=True,
                source=str(folder / f"{source}.nii.gz"),
                clean=str(folder / f"{target}_clean.nii.gz"),
                source_clean=str(folder / f"{source}_clean.nii.gz"),
                labels=folder / "labels.nii.gz",
                lesion=lesion if case["lesions"] and lesion.is_file() else None,
                kinds=tuple(case["lesions"]),
                twin=case["twin"],
            )
        )
    if not items:
        raise UsageError(f"--targets {root.name}: a {BENCHMARK} without cases; need the whole set; make it again")
    return items


def _manifest(path: Path, contrasts: tuple[str, str], section: str | None) -> list[Item]:
    content = _read(path)
    entries: list[dict[str, Any]] = []
    for name, listed in content.items():
        if isinstance(listed, list):
            pairs = [one for one in listed if isinstance(one, dict) and {"image", "label"} <= one.keys()]
            entries += [
                {"section": name if name in ("training", "validation", "test") else None} | one for one in pairs
            ]
    sections = {entry.get("section") for entry in entries}
    wanted = section or ("test" if "test" in sections else None)
    entries = [entry for entry in entries if wanted is None or entry.get("section") == wanted]
    if not entries:
        of = f" of section {wanted}" if wanted else ""
        raise UsageError(
            f"manifest {path.name}: no pairs{of}; need image (PD) and label (PDFS); name another --section"
        )
    target, source = ("label", "image") if contrasts[1] == "PDFS" else ("image", "label")
    items = []
    for number, entry in enumerate(entries, 1):
        patient = str(entry.get("patient", f"pair-{number:04d}"))
        clean, source_clean = (entry.get(f"{name}_clean") for name in (target, source))
        items.append(
            Item(
                key=str(entry.get("id", patient)),
                patient=patient,
                target=_paths(path.parent, entry[target], number),
                simulated=bool(clean) or is_simulated(_paths(path.parent, entry[target], number)),
                source=_paths(path.parent, entry[source], number),
                clean=_paths(path.parent, clean, number) if clean else None,
                source_clean=_paths(path.parent, source_clean, number) if source_clean else None,
                slices=entry.get("slices"),
            )
        )
    keys = [item.key for item in items]
    if twice := sorted({key for key in keys if keys.count(key) > 1}):
        raise UsageError(f"manifest {path.name}: {twice[0]} is there twice; need an id for each pair; correct it")
    return items


def _paths(base: Path, entry: str | Sequence[str], number: int) -> Loadable:
    names = [entry] if isinstance(entry, str) else list(entry)
    paths = [base / name for name in names]  # an absolute name stays what it is
    if not all(path.exists() for path in paths):
        raise UsageError(f"manifest: files of pair {number} not found; need every file; correct the paths")
    return str(paths[0]) if isinstance(entry, str) else [str(path) for path in paths]


def _read(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UsageError(f"{path.name}: not readable as JSON; need what made the folder; make it again") from error
    return content if isinstance(content, dict) else {"pairs": content}


def match(
    items: Sequence[Item], predictions: Mapping[str, Found], allow_missing: bool = False
) -> tuple[list[Item], list[str]]:
    """Give each case its prediction, by the name of the case, or of a patient who has one case.

    Args:
        items: the cases.
        predictions: by name.
        allow_missing: leave cases without a prediction out, and say so.

    Returns:
        The cases, and notes for the tables.

    Raises:
        UsageError: cases without a prediction.
    """
    of_patient: dict[str, int] = {}
    for item in items:
        of_patient[item.patient] = of_patient.get(item.patient, 0) + 1
    matched: list[Item] = []
    missing: list[str] = []
    used: set[str] = set()
    alone = len(items) == len(predictions) == 1
    for item in items:
        names = [item.key, *([item.patient] if of_patient[item.patient] == 1 else []), *(predictions if alone else [])]
        name = next((name for name in names if name in predictions), None)
        if name is None:
            missing.append(item.key)
            continue
        used.add(name)
        matched.append(replace(item, prediction=predictions[name]))
    notes = []
    if missing and not (allow_missing and matched):
        some = ", ".join(missing[:_LISTED]) + (", ..." if len(missing) > _LISTED else "")
        there = ", ".join(list(predictions)[:_LISTED])
        raise UsageError(
            f"{len(missing)} of {len(items)} targets have no prediction: {some}; need one each, by name (there are: "
            f"{there}); add them" + ("" if allow_missing else ", or leave them out with --allow-missing")
        )
    if missing:
        notes.append(f"scored {len(matched)} of {len(items)} cases: the others have no prediction")
    if spare := len(predictions) - len(used):
        notes.append(f"{spare} predictions have no target and were left out")
    return matched, notes


def with_volumes(items: Sequence[Item], sources: Mapping[str, Found]) -> list[Item]:
    """Cases with the sources of a folder of their own.

    Raises:
        UsageError: a case without one.
    """
    missing = [item.key for item in items if item.key not in sources and item.patient not in sources]
    if missing:
        some = ", ".join(missing[:_LISTED])
        raise UsageError(f"--sources: none for {len(missing)} of {len(items)} cases: {some}; need one each; add them")
    return [replace(item, source=sources.get(item.key, sources.get(item.patient, None)).loadable) for item in items]  # type: ignore[union-attr]
