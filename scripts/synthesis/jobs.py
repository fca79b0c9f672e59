# SPDX-License-Identifier: Apache-2.0
"""One volume to synthesise, and all that its products will say about where it came from and what was decided."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scripts.errors import UsageError
from scripts.synthesis.gates import admit
from scripts.synthesis.selection import OPPOSITE, AmbiguousSource, Choice, Lift, acquired_partners, same_grid_size

if TYPE_CHECKING:
    from monai.data import MetaTensor

    from scripts.dicom.index import Stack
    from scripts.synthesis.products import Synthesis

SIMULATED_REFERENCE = "Simulated reference, accepted as such: this is no patient and no scan."


@dataclass(frozen=True)
class Job:
    """One volume to load and synthesise.

    Args:
        label: stack id, or the word ``nifti``; tells several series of one run apart.
        source: NIfTI path, or the instances of one stack in slice order.
        target: contrast to make.
        warnings: one sentence each.
        source_facts: what goes in, without identifiers.
        decisions: what was decided and why.
        identifiers: source UIDs, for the machine-readable report beside derived DICOM only.
        partner: acquired stack of the target contrast with the same frame, matrix and spacing.
        reference: stack whose headers a derived series of a NIfTI source takes.
    """

    label: str
    source: Path | tuple[Path, ...]
    target: str
    warnings: tuple[str, ...] = ()
    source_facts: Mapping[str, str] = field(default_factory=dict)
    decisions: Mapping[str, str] = field(default_factory=dict)
    identifiers: Mapping[str, str] = field(default_factory=dict)
    partner: Stack | None = None
    reference: Stack | None = None

    @property
    def loadable(self) -> str | list[str]:
        """What `LoadKneeSeriesd` takes."""
        return str(self.source) if isinstance(self.source, Path) else [str(path) for path in self.source]


def nifti_job(path: Path, target: str | None, reference: Stack | None = None) -> Job:
    """Describe a NIfTI volume, whose contrast is taken at the user's word.

    Raises:
        UsageError: no target named.
    """
    if target not in OPPOSITE:
        raise UsageError("NIfTI says nothing about its contrast; need --to PDFS or --to PD; name the contrast to make")
    decisions = {"Source contrast": f"{OPPOSITE[target]}, taken at the user's word", "Target": target}
    warnings: tuple[str, ...] = ()
    if reference is not None:
        decisions["DICOM headers"] = f"from reference stack {reference.id}"
        warnings = (SIMULATED_REFERENCE,) if reference.simulated else ()
    return Job("nifti", path, target, warnings, {"Kind": "NIfTI"}, decisions, reference=reference)


def dicom_job(choice: Choice, stacks: Sequence[Stack], lift: Lift, skipped: Sequence[tuple[str, str]] = ()) -> Job:
    """Describe a chosen stack among all that were found."""
    stack, target = choice.stack, choice.target
    partners = [s for s in acquired_partners(stack, stacks, target, lift) if same_grid_size(s, stack)]
    facts = {
        "Kind": "DICOM",
        "Stack": stack.id,
        "Contrast": stack.contrast,
        "Evidence": "; ".join(stack.evidence) or "none in the header",
        "Plane": stack.plane,
        "Slices": str(stack.slices),
        "Matrix": f"{stack.shape[0]} x {stack.shape[1]}",
    }
    if stack.spacing_mm is not None:
        facts["Spacing"] = " x ".join(f"{value:.3g}" for value in stack.spacing_mm) + " mm (slice, row, column)"
    if stack.echo_time is not None:
        facts["Echo time"] = f"{1000 * stack.echo_time:.1f} ms"
    if stack.repetition_time is not None:
        facts["Repetition time"] = f"{1000 * stack.repetition_time:.0f} ms"
    if stack.simulated:
        facts["Origin"] = "simulated"
    left_out = {f"Left out: stack {name}": why for name, why in skipped}
    return Job(
        label=stack.id,
        source=stack.files,
        target=target,
        warnings=choice.warnings,
        source_facts=facts,
        decisions={"Source": choice.reason, "Target": target, **left_out},
        identifiers={
            "series_instance_uid": stack.series_instance_uid,
            "study_instance_uid": stack.study_instance_uid,
        },
        partner=partners[0] if partners else None,
    )


def find_reference(folder: Path, target: str, lift: Lift) -> Stack:
    """The one stack of a folder whose headers can stand for a NIfTI source.

    Raises:
        UsageError: no such folder.
        SourceError: none or several.
    """
    from scripts.dicom.index import index_series

    if not folder.exists():
        raise UsageError("--reference-dicom: no such folder; need the DICOM series of the NIfTI; check the path")
    stacks = index_series([folder])
    usable = [s for s in stacks if s.usable and (not s.synthetic or (s.simulated and lift.simulated))]
    preferred = [s for s in usable if s.contrast == OPPOSITE[target]] or usable
    if len(preferred) != 1:
        raise AmbiguousSource(
            f"--reference-dicom: {len(preferred) or 'no'} usable stacks; need exactly one on the NIfTI's grid; "
            "give the folder of that series alone",
            stacks,
        )
    return preferred[0]


def assemble(
    job: Job,
    image: MetaTensor,
    pred: MetaTensor,
    preprocessing: Callable[[Mapping[str, Any]], dict[str, Any]],
    result: Mapping[str, Any] | None = None,
) -> Synthesis:
    """Put a synthesis together with what belongs beside it.

    Args:
        job: what was synthesised.
        image: what the network saw, display orientation, normalised.
        pred: the synthesis in file orientation, stored scale.
        preprocessing: what made ``image``; an acquired target goes through the same.
        result: what preprocessing says of the image; it is no longer a question whether it may be a source.

    Raises:
        GeometryError: the synthesis does not lie on its source's voxels.
    """
    from scripts.synthesis.grid import affine_ras
    from scripts.synthesis.products import Synthesis
    from scripts.transforms.quality import lines_of, quality_of
    from scripts.transforms.series import LoadKneeSeries

    files: tuple[Path, ...] = ()
    file_affine = None
    quality = quality_of(result or {})
    said = list(admit(job.label, quality, force=True))
    # A stack's other doubts were refusals before it was loaded; those lifted are among the job's warnings already.
    if isinstance(job.source, Path):
        known = lines_of(quality)
        said += [line for line in (result or {}).get("warnings", "").splitlines() if line not in known]
    if not isinstance(job.source, Path):
        files, file_affine = job.source, affine_ras(pred)
    elif job.reference is not None:
        reference = LoadKneeSeries()([str(path) for path in job.reference.files])
        files, file_affine = job.reference.files, affine_ras(reference)
    acquired, decisions = None, dict(job.decisions)
    if job.partner is not None:
        acquired, decisions["Acquired target"] = _shown_beside(job.partner, image, preprocessing)
    return Synthesis(
        label=job.label,
        source_contrast=OPPOSITE[job.target],
        target=job.target,
        image=image,
        pred=pred,
        files=files,
        file_affine=file_affine,
        acquired=acquired,
        origin=job.source_facts.get("Origin", "acquired"),
        warnings=(*job.warnings, *said),
        source_facts=job.source_facts,
        decisions=decisions,
        identifiers=job.identifiers,
        quality=quality["measures"],
    )


def _shown_beside(
    partner: Stack, image: MetaTensor, preprocessing: Callable[[Mapping[str, Any]], dict[str, Any]]
) -> tuple[MetaTensor | None, str]:
    """The acquired target on the grid of a source, if it can be shown, and what was decided."""
    from scripts.synthesis.grid import CORNER_TOLERANCE_MM, affine_ras, corner_distance
    from scripts.transforms.quality import without_measures

    try:
        other = without_measures(preprocessing)({"image": [str(path) for path in partner.files]})["image"]
    except MemoryError:
        raise
    except Exception as error:  # it is only shown: what is wrong with it keeps no synthesis from being made
        return None, f"stack {partner.id} cannot be read ({type(error.__cause__ or error).__name__})"
    same = other.shape == image.shape
    if same and corner_distance(image.shape[1:], affine_ras(image), affine_ras(other)) <= CORNER_TOLERANCE_MM:
        return other, f"stack {partner.id}, shown for comparison only"
    return None, f"stack {partner.id} lies elsewhere"
