# SPDX-License-Identifier: Apache-2.0
"""Which of the stacks that lie there is synthesised from, and which refusal it is when none can be.

A wrong series gives a convincing wrong image, so nothing is guessed: one candidate is taken, several are a question.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NoReturn

from scripts.errors import DecodeError, GateError, GeometryError, SourceError, UsageError
from scripts.synthesis.gates import gate_problems, lifted
from scripts.synthesis.narrowing import Narrowing

if TYPE_CHECKING:
    from scripts.dicom.index import Stack

OPPOSITE = {"PD": "PDFS", "PDFS": "PD"}
TARGETS = ("PDFS", "PD", "auto")

_SPACING_TOLERANCE_MM = 0.01


class AmbiguousSource(SourceError):
    """No series, or several; the message stands below a table of what is there.

    Args:
        message: the one-line refusal.
        stacks: the stacks of the table.
    """

    def __init__(self, message: str, stacks: Sequence[Stack]) -> None:
        super().__init__(message)
        self.stacks = tuple(stacks)


@dataclass(frozen=True)
class Choice:
    """A stack to synthesise from.

    Args:
        stack: the source.
        target: contrast to make.
        reason: why this stack.
        warnings: what was lifted, one sentence each.
    """

    stack: Stack
    target: str
    reason: str
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class Selection:
    """What is synthesised, and which candidates were left out.

    Args:
        choices: one per series to make.
        skipped: stack id and reason of each candidate that is not taken.
    """

    choices: tuple[Choice, ...]
    skipped: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Lift:
    """Which refusals the caller lifts.

    Args:
        force: those of sound stacks that the model was not made for; never ambiguity, never damage.
        simulated: this project's simulated studies count as acquired.
    """

    force: bool = False
    simulated: bool = False

    def candidate(self, stack: Stack, contrast: str) -> bool:
        """Whether a stack is a sound, acquired image of a contrast."""
        synthetic = stack.synthetic and not (self.simulated and stack.simulated)
        return stack.usable and stack.contrast == contrast and not (stack.derived or stack.localizer or synthetic)


def choose(
    stacks: Sequence[Stack],
    target: str,
    *,
    series: str | None = None,
    all_series: bool = False,
    lift: Lift | None = None,
    only: Narrowing | None = None,
) -> Selection:
    """Choose the source stack, or with ``all_series`` one stack of each candidate series.

    Args:
        stacks: everything that was found.
        target: ``"PDFS"``, ``"PD"`` or ``"auto"``.
        series: stack id, or a SeriesInstanceUID that holds one stack.
        all_series: take every candidate series whose acquired partner is not there.
        lift: which refusals are lifted; none by default.
        only: which candidates count; all by default. Their acquired partners are looked for among all stacks.

    Raises:
        SourceError: nothing, or several (then an :class:`AmbiguousSource` with the table).
        DecodeError, GeometryError, GateError: why the only stack, or the named one, cannot be used.
        UsageError: an unknown target, or ``auto`` for all series.
    """
    lift, only = lift or Lift(), only or Narrowing()
    if target not in TARGETS:
        raise UsageError(f"--to {target}: unknown contrast; need one of {', '.join(TARGETS)}; correct it")
    if all_series and (target == "auto" or series is not None):
        raise UsageError("--all goes with neither --series nor --to auto; need one direction for all; drop one of them")
    if series is not None and only:
        raise UsageError("--series names a stack, --plane and --match choose among several; need one way; drop one")
    if not stacks:
        raise SourceError("no image series found; need a DICOM study or a NIfTI file; check the input path")
    if series is not None:
        return Selection((_named(stacks, series, target, lift),))
    if all_series:
        return _all(stacks, target, lift, only)
    sources = tuple(OPPOSITE) if target == "auto" else (OPPOSITE[target],)
    wanted = " or ".join(sources)
    found, skipped = _candidates(stacks, sources, lift, only)
    if len(found) == 1:
        choice = _take(found[0], target, lift, f"the only usable {wanted} stack of {len(stacks)}{_within(only)}")
        return Selection((choice,), skipped)
    if not found and len(stacks) == 1 and not only.objection(stacks[0]):
        return Selection((_take(stacks[0], target, lift, "the only stack there"),))
    if len({s.series_instance_uid for s in stacks}) == 1 and not any(s.usable for s in stacks):
        _refuse_unusable(stacks[0])  # the pieces of one broken series
    raise AmbiguousSource(_several(found, stacks, wanted, target, lift, only), stacks)


def acquired_partners(stack: Stack, stacks: Sequence[Stack], target: str, lift: Lift) -> list[Stack]:
    """Acquired stacks of the target contrast of the same study, plane and side as a source, equal grids first."""
    found = [
        s
        for s in stacks
        if s.id != stack.id
        and s.plane == stack.plane
        and not (s.side and stack.side and s.side != stack.side)
        and s.study_instance_uid == stack.study_instance_uid
        and lift.candidate(s, target)
    ]
    return sorted(found, key=lambda s: not same_grid_size(s, stack))


def same_grid_size(one: Stack, other: Stack) -> bool:
    """Whether two stacks have the same frame of reference, slices, matrix and spacing; their place is not compared."""
    if one.spacing_mm is None or other.spacing_mm is None:
        return False
    return (
        one.frame_of_reference_uid == other.frame_of_reference_uid
        and one.slices == other.slices
        and one.shape == other.shape
        and all(abs(a - b) <= _SPACING_TOLERANCE_MM for a, b in zip(one.spacing_mm, other.spacing_mm, strict=True))
    )


def _candidates(
    stacks: Sequence[Stack], sources: Sequence[str], lift: Lift, only: Narrowing
) -> tuple[list[Stack], tuple[tuple[str, str], ...]]:
    """The candidates that are wanted, and why each of the others is not."""
    found = [s for s in stacks if any(lift.candidate(s, contrast) for contrast in sources)]
    skipped = tuple((s.id, only.objection(s)) for s in found if only.objection(s))
    return [s for s in found if not only.objection(s)], skipped


def _within(only: Narrowing) -> str:
    return " within --plane and --match" if only else ""


def _several(
    found: Sequence[Stack], stacks: Sequence[Stack], wanted: str, target: str, lift: Lift, only: Narrowing
) -> str:
    count = f"{len(found) or 'no'} usable {wanted} stack{'' if len(found) == 1 else 's'}{_within(only)}"
    count += f" among {len(stacks)}"
    made = "to tell the direction" if target == "auto" else f"to make {target}"
    hint = "name one with --series ID"
    if len(found) > 1 and target != "auto":
        hint += ", or take one of each series with --all"
    if not lift.simulated and any(s.simulated for s in stacks):
        hint += "; simulated stacks need --accept-simulated"
    return f"{count}; need exactly one {made}; {hint}"


def _named(stacks: Sequence[Stack], series: str, target: str, lift: Lift) -> Choice:
    found = [s for s in stacks if s.id == series] or [s for s in stacks if s.series_instance_uid == series]
    if not found:
        raise AmbiguousSource("--series: no stack of that name; need an id of the table; choose one", stacks)
    if len(found) > 1:
        raise AmbiguousSource(
            f"--series: that series holds {len(found)} stacks; need one; name a stack id of the table", found
        )
    return _take(found[0], target, lift, "named by --series")


def _take(stack: Stack, target: str, lift: Lift, reason: str) -> Choice:
    """Check one stack against everything that could speak against it."""
    if not stack.usable:
        _refuse_unusable(stack)
    warnings = list(stack.notes)
    if stack.simulated and lift.simulated:
        warnings.append("Simulated input, accepted as such: this is no patient and no scan.")
    elif stack.simulated:
        raise GateError(
            f"stack {stack.id}: it is simulated; need an acquired series; --accept-simulated takes it all the same"
        )
    elif stack.synthetic:
        warnings.append(_lifted(stack, "it is already synthetic", "an acquired series", lift))
    for problem in gate_problems(stack):
        warnings.append(_lifted(stack, problem, "an acquired knee series of the usual size", lift))
    if target == "auto":
        if stack.contrast not in OPPOSITE:
            raise GateError(
                f"stack {stack.id}: its contrast is {stack.contrast}; need PD or PDFS for --to auto; "
                "name the contrast to make with --to",
                liftable=False,
            )
        return Choice(stack, OPPOSITE[stack.contrast], f"{reason}; it is {stack.contrast}", tuple(warnings))
    source = OPPOSITE[target]
    if stack.contrast != source:
        warnings.append(_lifted(stack, f"its contrast is {stack.contrast}", f"{source} to make {target}", lift))
    return Choice(stack, target, reason, tuple(warnings))


def _refuse_unusable(stack: Stack) -> NoReturn:
    what = f"stack {stack.id}: {stack.reason}"
    if stack.refusal_code == GateError.exit_code:
        raise GateError(f"{what}; need an MR series; give one, --force does not lift this", liftable=False)
    if stack.refusal_code == DecodeError.exit_code:
        raise DecodeError(f"{what}; need whole files that can be decoded; export or convert the series again")
    raise GeometryError(f"{what}; need one regular stack; export the series again")


def _lifted(stack: Stack, problem: str, needed: str, lift: Lift) -> str:
    return lifted(f"stack {stack.id}", problem, needed, lift.force)


def _all(stacks: Sequence[Stack], target: str, lift: Lift, only: Narrowing) -> Selection:
    source = OPPOSITE[target]
    found, unwanted = _candidates(stacks, (source,), lift, only)
    if not found:
        if len(stacks) == 1 and not only.objection(stacks[0]):
            return Selection((_take(stacks[0], target, lift, "the only stack there"),))
        raise AmbiguousSource(_several(found, stacks, source, target, lift, only), stacks)
    choices, skipped = [], list(unwanted)
    for stack in found:
        echo = next((s for s in found if s.id != stack.id and _one_acquisition(stack, s)), None)
        if echo is not None:
            skipped.append((stack.id, f"it and stack {echo.id} are echoes of one acquisition; name one with --series"))
            continue
        partners = acquired_partners(stack, stacks, target, lift)
        if partners:
            skipped.append((stack.id, f"its acquired {target} is there (stack {partners[0].id})"))
            continue
        try:
            choices.append(_take(stack, target, lift, f"a usable {source} series without an acquired {target}"))
        except GateError as error:
            skipped.append((stack.id, str(error)))
    if not choices:
        why = "; ".join(f"{name}: {reason.split(';')[0]}" for name, reason in skipped)
        raise AmbiguousSource(
            f"nothing left of {len(found) + len(unwanted)} {source} series ({why}); need one to make {target}; "
            "name it with --series",
            stacks,
        )
    return Selection(tuple(choices), tuple(skipped))


def _one_acquisition(one: Stack, other: Stack) -> bool:
    """Echoes: stacks of one series, or of two series that differ in nothing but the echo time (some scanners split)."""
    if one.plane != other.plane:
        return False
    if one.series_instance_uid == other.series_instance_uid:
        return True
    return (
        same_grid_size(one, other) and one.repetition_time == other.repetition_time and one.echo_time != other.echo_time
    )
