# SPDX-License-Identifier: Apache-2.0
"""The series of a folder or a manifest, each with what is to be made of it."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scripts.errors import KneeSynthError, SourceError, UsageError
from scripts.synthesis.jobs import Job, dicom_job, nifti_job
from scripts.synthesis.selection import OPPOSITE, AmbiguousSource, Lift, choose
from scripts.synthesis.verdicts import Verdict, judge
from scripts.transforms.nifti import SUFFIXES, is_nifti

if TYPE_CHECKING:
    from scripts.dicom.site import Site

logger = logging.getLogger(__name__)

#: Name of a case, its job, and the verdict on each stack of its study.
Found = tuple[str, Job, Sequence[Verdict]]


class Cases:
    """Jobs by name, and the data list that MONAI's datasets take.

    Args:
        jobs: name of the case, which is also its output folder, to job.
        found: name of the case to the verdict on each stack of its study.
        refusal: why there are none. A workflow is put together, and its properties are checked, without data; so the
            refusal waits for `check`, the first thing that runs.
    """

    def __init__(
        self,
        jobs: dict[str, Job],
        refusal: KneeSynthError | None = None,
        found: Mapping[str, Sequence[Verdict]] | None = None,
    ) -> None:
        self.jobs, self.refusal, self.found = jobs, refusal, found or {}

    def check(self) -> None:
        """Raise the refusal if there is one."""
        if self.refusal is not None:
            raise self.refusal

    def items(self) -> list[dict[str, Any]]:
        """One entry per case: ``image`` for the loader, ``case`` to find the job again."""
        return [{"image": job.loadable, "case": name} for name, job in self.jobs.items()]


def try_find_cases(*arguments: Any, **options: Any) -> Cases:
    """`find_cases`, with the refusal kept for :meth:`Cases.check`."""
    try:
        return find_cases(*arguments, **options)
    except KneeSynthError as error:
        return Cases({}, error)


def find_cases(
    dataset_dir: str,
    target: str,
    manifest: str | None = None,
    force: bool = False,
    accept_simulated: bool = False,
    site: str | None = None,
) -> Cases:
    """Find what to synthesise.

    A folder gives one case per DICOM study (the folder itself, or each folder in it; one case per candidate series
    where there are several) and one per NIfTI file that is not named after the target contrast.

    Args:
        dataset_dir: folder to search.
        target: ``"PD"`` or ``"PDFS"``.
        manifest: JSON list of ``{"image": path or list of paths, "name": optional}``, or it under ``cases``;
            paths relative to it. Replaces the search.
        force: lift refusals of sound series that the model was not made for.
        accept_simulated: take simulated studies.
        site: file of what the site's own series names mean, see `scripts.dicom.site`.

    Raises:
        UsageError: folder, manifest or a file that it names does not exist.
        KneeSynthError: a series that cannot be used; nothing has been computed then.
    """
    if target not in OPPOSITE:
        raise UsageError(f"target_contrast {target}: unknown; need PD or PDFS; correct it")
    search = _Search(target, Lift(force, accept_simulated), _site(site))
    jobs: dict[str, Job] = {}
    found: dict[str, Sequence[Verdict]] = {}
    listed = search.manifest(Path(manifest)) if manifest is not None else search.folder(Path(dataset_dir))
    for name, job, verdicts in listed:
        free = name
        while free in jobs:
            free += "_"
        jobs[free], found[free] = job, verdicts
    if not jobs:
        raise SourceError(
            f"{Path(dataset_dir).name}: no {OPPOSITE[target]} series; need DICOM studies or NIfTI; check dataset_dir"
        )
    logger.info("%d series to synthesise", len(jobs))
    return Cases(jobs, found=found)


def _site(path: str | None) -> Site | None:
    if not path:
        return None
    from scripts.dicom.site import load_site

    return load_site(Path(path))


@dataclass(frozen=True)
class _Search:
    """What is looked for, and how; its methods give name, job and verdicts of each case."""

    target: str
    lift: Lift
    site: Site | None

    def folder(self, folder: Path) -> Iterator[Found]:
        if not folder.is_dir():
            raise UsageError(f"{folder}: no such folder; need DICOM studies or NIfTI files in it; give --dataset_dir")
        for path in sorted(p for p in folder.rglob("*") if is_nifti(p)):
            inside = path.relative_to(folder)
            if self.target not in (stem_of(path), *inside.parts[:-1]):
                yield folder_name(inside.parent / stem_of(path)), nifti_job(path, self.target), ()
        for child in sorted(folder.iterdir()):
            if child.is_dir():
                yield from self.study([child], folder_name(Path(child.name)))
        yield from self.study([p for p in sorted(folder.iterdir()) if p.is_file() and not is_nifti(p)], "study")

    def study(self, paths: list[Path], name: str) -> Iterator[Found]:
        from scripts.dicom.index import index_series

        stacks = index_series(paths, self.site)
        if not stacks:
            return
        try:
            try:
                selection = choose(stacks, self.target, lift=self.lift)
            except AmbiguousSource:
                selection = choose(stacks, self.target, all_series=True, lift=self.lift)
        except KneeSynthError as error:
            # The class keeps its exit code; only the study is added, since a folder holds many.
            error.args = (f"{name}: {error}",)
            raise
        found = judge(stacks, selection, self.lift)
        for choice in selection.choices:
            label = name if len(selection.choices) == 1 else f"{name}_{choice.stack.id}"
            yield label, dicom_job(choice, stacks, self.lift, selection.skipped), found

    def manifest(self, path: Path) -> Iterator[Found]:
        for name, files in _listed(path):
            if len(files) == 1 and is_nifti(files[0]):
                yield name, nifti_job(files[0], self.target), ()
                continue
            found = list(self.study(files, name))
            if not found:
                raise SourceError(f"{name}: no DICOM series; need one; correct the manifest")
            yield from found


def _listed(path: Path) -> list[tuple[str, list[Path]]]:
    """Names and files of a manifest's cases."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"{path}: no readable manifest; need a JSON file; check --manifest") from error
    except ValueError as error:
        raise UsageError(f"{path.name}: not JSON; need a list of cases; correct it") from error
    entries = content.get("cases") if isinstance(content, dict) else content
    if not isinstance(entries, list) or not all(isinstance(e, dict) and "image" in e for e in entries):
        raise UsageError(f'{path.name}: need a list of {{"image": path}}, or that under "cases"; correct it')
    checked = []
    for number, entry in enumerate(entries, start=1):
        images = entry["image"] if isinstance(entry["image"], list) else [entry["image"]]
        files = [path.parent / str(image) for image in images]
        missing = [file for file in files if not file.exists()]
        if missing:
            raise UsageError(
                f"{path.name}: case {number} names {missing[0].name}, which is not there; need every file; "
                "correct the manifest or bring the file"
            )
        checked.append((folder_name(Path(str(entry.get("name", f"case_{number}")))), files))
    return checked


def stem_of(path: Path) -> str:
    """Name of a NIfTI file without its ending."""
    suffix = next(s for s in sorted(SUFFIXES, key=len, reverse=True) if path.name.lower().endswith(s))
    return path.name[: -len(suffix)]


def folder_name(path: Path) -> str:
    """A relative folder made of plain words: names come from outside and become paths."""
    parts = ["".join(c if c.isalnum() or c in "-_." else "-" for c in part).strip(".") for part in path.parts]
    return "/".join(part or "-" for part in parts) or "series"
