# SPDX-License-Identifier: Apache-2.0
"""``kneesynth synthesize``: one series in, its other contrast out."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from scripts.cli.archive_summary import say_summary
from scripts.cli.folder_contract import (
    INPUT_VARIABLES,
    OUTPUT_VARIABLES,
    leaving_result,
    path_from_environment,
    task_settings,
)
from scripts.cli.json_output import check_json_target, write_json
from scripts.errors import KneeSynthError, SeriesNotMade, UsageError

if TYPE_CHECKING:
    from scripts.archive.run import ArchiveRequest
    from scripts.synthesis.planning import Request

ARCHIVE = "An archive of studies (bundle/docs/ARCHIVE.md)"


@leaving_result
def synthesize(
    inputs: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="[IN]...",
            help=f"DICOM folder (searched to any depth), DICOM files, or one NIfTI file. "
            f"Default: {', '.join(INPUT_VARIABLES)}.",
        ),
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help=f"Output folder. Default: {', '.join(OUTPUT_VARIABLES)}.")
    ] = None,
    to: Annotated[
        str | None,
        typer.Option("--to", metavar="PDFS|PD|auto", help="Contrast to make. DICOM: PDFS by default; NIfTI: required."),
    ] = None,
    series: Annotated[
        str | None, typer.Option("--series", metavar="ID", help="Stack id of `inspect`, or a SeriesInstanceUID.")
    ] = None,
    all_series: Annotated[
        bool,
        typer.Option("--all", help="One derived series of each source series whose acquired partner is not there."),
    ] = False,
    plane: Annotated[
        str | None,
        typer.Option("--plane", metavar="sagittal,coronal,axial", help="Only series in these planes."),
    ] = None,
    match: Annotated[
        str | None,
        typer.Option("--match", metavar="TEXT", help="Only series whose description holds this, in any capitals."),
    ] = None,
    formats: Annotated[
        str | None,
        typer.Option("--format", metavar="dicom,nifti", help="What to write. Default: all that is possible."),
    ] = None,
    manifest: Annotated[
        Path | None,
        typer.Option(
            "--manifest",
            metavar="FILE",
            help="With --all: .csv or .jsonl with `source` and, optional, `series`, `to`, `name`; in place of IN.",
            rich_help_panel=ARCHIVE,
        ),
    ] = None,
    engine: Annotated[
        str, typer.Option("--engine", metavar="local|ray", help="What does the work.", rich_help_panel=ARCHIVE)
    ] = "local",
    address: Annotated[
        str | None,
        typer.Option(
            "--address",
            metavar="HOST:PORT|auto",
            help="Ray cluster. Default: processes of this machine, for this run.",
            rich_help_panel=ARCHIVE,
        ),
    ] = None,
    shard: Annotated[
        str | None,
        typer.Option("--shard", metavar="I/N", help="Only this of N equal parts.", rich_help_panel=ARCHIVE),
    ] = None,
    workers: Annotated[
        int | None,
        typer.Option("--workers", metavar="N", help="Networks at work. Default: per device.", rich_help_panel=ARCHIVE),
    ] = None,
    retries: Annotated[
        int,
        typer.Option(
            "--retries", metavar="N", help="Further attempts after a crash or a full disk.", rich_help_panel=ARCHIVE
        ),
    ] = 2,
    mark: Annotated[
        bool, typer.Option("--mark/--no-mark", help="Burn the word SYNTHETIC into an air corner of the DICOM slices.")
    ] = True,
    summary: Annotated[
        bool, typer.Option("--summary/--no-summary", help="Write a page about the synthesis into the DICOM study.")
    ] = True,
    identifiers: Annotated[
        bool,
        typer.Option("--identifiers", help="Name, patient ID and accession number on that page and in report.html."),
    ] = False,
    reference_dicom: Annotated[
        Path | None,
        typer.Option("--reference-dicom", metavar="DIR", help="For NIfTI: the DICOM series on the same grid."),
    ] = None,
    site: Annotated[
        Path | None,
        typer.Option("--site", metavar="FILE", help="TOML file: what the series names of this site mean."),
    ] = None,
    device: Annotated[str, typer.Option("--device", metavar="auto|cpu|cuda", help="Where the network runs.")] = "auto",
    json_file: Annotated[
        Path | None, typer.Option("--json", metavar="FILE|-", help="Also write the report here, refusals included.")
    ] = None,
    audit: Annotated[
        Path | None,
        typer.Option("--audit", metavar="FILE", help="Append a line of JSON for each series, without patient data."),
    ] = None,
    bundle: Annotated[
        Path | None,
        typer.Option("--bundle", metavar="DIR|ZIP", help="Package of other weights, made by `kneesynth package`."),
    ] = None,
    expect_sha256: Annotated[
        str | None,
        typer.Option("--expect-sha256", metavar="HASH", help="Hash of that package, if not in the allow list."),
    ] = None,
    gate: Annotated[
        Path | None,
        typer.Option("--gate", metavar="FILE", help="Ranges of this site's own scans, from kneesynth commission."),
    ] = None,
    uncertainty: Annotated[
        bool,
        typer.Option("--uncertainty", help="Also say of each pixel how far the synthesis may be off; twice the time."),
    ] = False,
    calibration: Annotated[
        Path | None,
        typer.Option("--calibration", metavar="FILE", help="With --uncertainty: calibrated on this site's own pairs."),
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Take a sound series that the model was not made for; the report says so.")
    ] = False,
    accept_simulated: Annotated[
        bool, typer.Option("--accept-simulated", help="Take a simulated study of this project as input.")
    ] = False,
) -> None:
    """Synthesise the other contrast of a knee series as derived DICOM, NIfTI and a report page.

    A package runs with its own code, so it is opened only if its hash, as `kneesynth package` prints it, is given or
    in the allow list of this machine.

    An archive is a manifest of many studies; a finished series is not made again. See bundle/docs/ARCHIVE.md.

    Example: [bold]kneesynth synthesize study/ -o result/ --to PDFS[/bold]

    Example: [bold]kneesynth synthesize --all --manifest studies.csv -o results/ --engine ray[/bold]
    """
    from scripts.cli.unknown_user import find_temporary_folder
    from scripts.synthesis.narrowing import Narrowing
    from scripts.synthesis.presentation import Presentation
    from scripts.synthesis.selection import AmbiguousSource, Lift

    if json_file is not None:
        check_json_target(json_file)
    try:
        if manifest is None:
            task: dict[str, Any] = {}
            if not inputs:
                inputs = [path_from_environment(INPUT_VARIABLES, "IN")]
                task = task_settings(inputs[0])  # in a folder that a person names it is a file like any other
            to = task.get("to") if to is None else to
            formats = task.get("format") if formats is None else formats
            if series is None:  # which has chosen already
                plane = task.get("plane") if plane is None else plane
                match = task.get("match") if match is None else match
                all_series = all_series or task.get("all", False)
        common: dict[str, Any] = {
            "out": out if out is not None else path_from_environment(OUTPUT_VARIABLES, "-o OUT"),
            "target": to,
            "formats": None if formats is None else _words(formats),
            "device": device,
            "lift": Lift(force=force, simulated=accept_simulated),
            "site": site,
            "show": Presentation(mark, summary, identifiers),
            "audit": audit,
            "gate": gate,
            "only": Narrowing(() if plane is None else _words(plane), match or ""),
        }
        request: Request | ArchiveRequest
        if manifest is None:
            from scripts.synthesis.planning import Request

            if engine != "local" or address or shard or workers:
                raise UsageError("--engine, --address, --shard, --workers: for an archive; need --manifest; add it")
            request = Request(
                inputs=tuple(inputs or ()),
                series=series,
                all_series=all_series,
                reference_dicom=reference_dicom,
                uncertainty=uncertainty,
                calibration=calibration,
                **common,
            )
        else:
            from scripts.archive.run import ArchiveRequest

            if uncertainty or calibration:
                raise UsageError("--uncertainty with --manifest: not done for archives; need one study; name it as IN")
            if inputs or series or reference_dicom or not all_series:
                raise UsageError(
                    "--manifest: its lines name the series; need --all with it, and neither IN nor --series nor "
                    "--reference-dicom; correct the command"
                )
            request = ArchiveRequest(
                manifest, engine=engine, address=address, shard=shard, workers=workers, retries=retries, **common
            )
        find_temporary_folder(request.out)
        if bundle is not None:
            from scripts.cli.packed_synthesis import synthesize_packed

            code = synthesize_packed(bundle, expect_sha256, request, json_file)
            if code:
                raise typer.Exit(code)  # it has said why, and written its refusal to --json
            return
        if expect_sha256 is not None:
            raise UsageError("--expect-sha256 without --bundle: nothing to compare; need the package; name it")
        report = _run(request)
    except KneeSynthError as error:
        stacks = error.stacks if isinstance(error, AmbiguousSource) else ()
        if stacks:
            from scripts.cli.tables import print_stacks

            print_stacks(stacks, sys.stderr, descriptions=False)
        if json_file is not None:
            # As in a log: the description is free text, which `inspect` shows to whoever asks for it.
            listed = [
                {key: value for key, value in stack.as_dict().items() if key != "description"} for stack in stacks
            ]
            write_json(_refusal(error, listed), json_file)
        raise
    if json_file is not None:
        write_json(report, json_file)
    if json_file is None or str(json_file) != "-":
        (_say if manifest is None else say_summary)(report, request.out)
    if manifest is not None and report["exit_code"]:
        raise SeriesNotMade(report["message"])


def _run(request: Request | ArchiveRequest) -> dict[str, Any]:
    from scripts.cli.progress import progress
    from scripts.synthesis import run

    with progress() as tell:
        if isinstance(request, run.Request):
            return run.synthesize(request, tell)
        from scripts.archive.run import synthesize_archive

        return synthesize_archive(request, tell).as_dict()


def _words(text: str) -> tuple[str, ...]:
    return tuple(word.strip() for word in text.split(","))


def _refusal(error: KneeSynthError, stacks: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "program": "kneesynth",
        "status": "refused",
        "exit_code": error.exit_code,
        "message": str(error),
        "stacks": stacks,
        "files": [],
    }


def _say(report: dict[str, Any], out: Path) -> None:
    for one in report.get("input", []):
        if one["verdict"] == "skipped":
            sys.stdout.write(f"Skipped: stack {one['stack']}: {one['reason']}\n")
    for entry in report["series"]:
        for warning in entry["warnings"]:
            sys.stdout.write(f"Note: {warning}\n")
        products = entry["products"]
        count = len(products.get("dicom", []))
        made = [f"{count} DICOM instance{'s' * (count > 1)}"] if count else []
        made += [
            products[kind]
            for kind in ("summary", "nifti", "uncertainty", "uncertainty_nifti", "page")
            if kind in products
        ]
        sys.stdout.write(f"{entry['target_contrast']} from stack {entry['stack']}: {', '.join(made)} in {out}\n")
