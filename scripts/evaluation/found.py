# SPDX-License-Identifier: Apache-2.0
"""Find one volume per case below a folder, whoever wrote it: NIfTI files, folders of NIfTI, DICOM series."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from scripts.dicom.identity import MANUFACTURER
from scripts.errors import SourceError, UsageError
from scripts.evaluation.volumes import Loadable
from scripts.synthesis.staging import PROGRAM, REPORT_NAME
from scripts.transforms.nifti import SUFFIXES, is_nifti

LAYOUT = "CASE.nii.gz, CASE/ANYTHING.nii.gz or CASE/ with one DICOM series, CASE being the name of the target"


@dataclass(frozen=True)
class Found:
    """One volume.

    Args:
        loadable: what `load_volume` takes.
        simulated: a simulated scan of this project, by its marks or by the record beside it.
        ours: a synthesis of this project, on its documented scale.
        marked: DICOM of this project's, which bears a word in a corner.
    """

    loadable: Loadable
    simulated: bool = False
    ours: bool = False
    marked: bool = False


def find_volumes(root: Path, contrast: str, what: str, named: bool = False) -> dict[str, Found]:
    """Every case below a folder with its volume.

    Args:
        root: the folder; or one NIfTI file.
        contrast: of several volumes of a case the one that bears this name is taken, or the DICOM series that its
            headers give this contrast.
        what: how refusals call the folder, as ``--predictions``.
        named: take only volumes that bear the contrast's name: the folder holds other volumes too.

    Returns:
        By case, sorted.

    Raises:
        UsageError: no such folder, nothing in it, or a case that is there twice.
        SourceError: a case with several volumes and none of that name.
    """
    if root.is_file() and is_nifti(root):
        return {stem(root): _nifti(root)}
    if not root.is_dir():
        raise UsageError(f"{what} {root.name}: no such folder; need {LAYOUT}; check the path")
    found: dict[str, Found] = {}
    for entry in sorted(_visible(root)):
        one = _nifti(entry) if entry.is_file() and is_nifti(entry) and not named else None
        if entry.is_dir():
            one = _in_folder(entry, contrast, f"{what}, case {entry.name}", named)
        if one is None:
            continue
        key = stem(entry)
        if key in found:
            raise UsageError(f"{what}: case {key} is there twice; need one volume each; take one away")
        found[key] = one
    if not found and not named:
        found = _loose(root, contrast, what)
    if not found and not named:
        seen = ", ".join(sorted(entry.name for entry in _visible(root))[:4]) or "nothing"
        raise UsageError(f"{what} {root.name}: no volume there (found: {seen}); need {LAYOUT}; check the path")
    return dict(sorted(found.items()))


def stem(path: Path) -> str:
    """A file's name without the ending of NIfTI."""
    for suffix in sorted(SUFFIXES, key=len, reverse=True):
        if path.name.lower().endswith(suffix):
            return path.name[: -len(suffix)]
    return path.name


def _visible(folder: Path) -> Iterator[Path]:
    return (entry for entry in folder.iterdir() if not entry.name.startswith("."))


def _in_folder(folder: Path, contrast: str, what: str, named: bool) -> Found | None:
    files = sorted(path for path in folder.rglob("*.nii*") if is_nifti(path) and path.is_file())
    files = [path for path in files if not any(part.startswith(".") for part in path.relative_to(folder).parts)]
    of_name = [path for path in files if stem(path) == contrast]
    if len(of_name) > 1 or (not of_name and len(files) > 1 and not named):
        several = len(of_name) or len(files)
        raise SourceError(f"{what}: {several} NIfTI volumes; need one, or one named {contrast}; take the others away")
    if of_name or (files and not named):
        return _nifti((of_name or files)[0])
    return _dicom(folder, contrast, what, named)


def _nifti(path: Path) -> Found:
    return Found(str(path), simulated=_beside(path, "drawn.json"), ours=is_ours(path.parent))


def _beside(path: Path, name: str) -> bool:
    return (path.parent / name).is_file()


def is_ours(folder: Path) -> bool:
    """Whether a folder holds what `kneesynth synthesize` wrote."""
    try:
        report = json.loads((folder / REPORT_NAME).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(report, dict) and report.get("program") == PROGRAM and "series" in report


def is_simulated(loadable: Loadable) -> bool:
    """Whether a volume is a simulated scan of this project: by its marks, or by the record beside it."""
    first = Path(loadable if isinstance(loadable, str) else loadable[0])
    if first.suffix == ".pt" or is_nifti(first) or first.is_dir():
        return first.suffix == ".pt" or _beside(first, "drawn.json")
    from scripts.dicom.files import split_address
    from scripts.dicom.parsing import read_headers

    headers = read_headers([split_address(first)[0]])[0]
    return bool(headers) and all(one.patient_simulated and one.ours and one.marked_synthetic for one in headers)


def _dicom(folder: Path, contrast: str, what: str, named: bool) -> Found | None:
    from scripts.dicom.index import index_series

    stacks = [stack for stack in index_series([folder]) if stack.modality == "MR" and stack.shape[0] > 1]
    whole = [stack for stack in stacks if stack.usable]
    fitting = [stack for stack in whole if stack.contrast == contrast and not stack.localizer]
    if not named and not fitting:
        fitting = whole
    if len(fitting) > 1:
        raise SourceError(f"{what}: {len(fitting)} DICOM stacks; need one of {contrast}; give each a folder of its own")
    if not fitting:
        if stacks and not named:
            raise SourceError(f"{what}: {stacks[0].reason}; need one whole series; export it again")
        return None
    stack = fitting[0]
    ours = stack.synthetic and _manufacturer(stack.files[0]) == MANUFACTURER
    return Found([str(path) for path in stack.files], stack.simulated, ours and stack.derived, ours and stack.derived)


def _manufacturer(path: Path) -> str:
    import pydicom

    from scripts.dicom.values import text

    return text(pydicom.dcmread(path, stop_before_pixels=True, specific_tags=["Manufacturer"]), "Manufacturer")


def _loose(root: Path, contrast: str, what: str) -> dict[str, Found]:
    """DICOM files that lie in the folder itself: one series is one case, named as the folder."""
    one = _dicom(root, contrast, what, named=False)
    return {} if one is None else {root.name: one}
