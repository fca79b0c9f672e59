# SPDX-License-Identifier: Apache-2.0
"""``kneesynth evaluate``: how good any method's images are, and what the weights do to real scans."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from scripts.cli.json_output import check_json_target, write_json
from scripts.errors import UsageError


def evaluate(
    source: Annotated[
        Path | None,
        typer.Argument(
            metavar="[DIR]", help="With --scorecard: folder with real PD as DICOM (any depth), or one NIfTI file."
        ),
    ] = None,
    predictions: Annotated[
        Path | None,
        typer.Option("--predictions", metavar="DIR", help="Any method's images, NIfTI or DICOM, named as the targets."),
    ] = None,
    targets: Annotated[
        str | None,
        typer.Option(
            "--targets",
            metavar="DIR|benchmark-v1",
            help="Acquired targets, alone or with their sources, a manifest of pairs, or the simulated benchmark.",
        ),
    ] = None,
    sources: Annotated[
        Path | None,
        typer.Option("--sources", metavar="DIR", help="What the predictions were made from: baselines, flicker."),
    ] = None,
    masks: Annotated[
        Path | None,
        typer.Option("--masks", metavar="DIR", help="CASE/TISSUE.nii.gz, or CASE.nii.gz with labels.json."),
    ] = None,
    lesions: Annotated[
        Path | None, typer.Option("--lesions", metavar="FILE", help="CSV of lesion boxes with the columns of fastMRI+.")
    ] = None,
    lesion_frame: Annotated[
        str,
        typer.Option("--lesion-frame", metavar="shown|flipped", help="Boxes drawn on slices as shown, or upside down."),
    ] = "shown",
    protocol: Annotated[
        list[str] | None,
        typer.Option("--protocol", metavar="ours|fastmri", help="The ruler; repeatable. Default: ours."),
    ] = None,
    direction: Annotated[
        str | None, typer.Option("--direction", help='"PD to PDFS" or "PDFS to PD". Default: the first.')
    ] = None,
    method: Annotated[
        str | None, typer.Option("--method", metavar="NAME", help="Name of the method in tables and figures.")
    ] = None,
    prediction_scale: Annotated[
        str | None,
        typer.Option(
            "--prediction-scale",
            metavar="NUMBER|own|target",
            help="Value that means the target's 99.5th percentile. Default: 1000 for this project's images, else own.",
        ),
    ] = None,
    section: Annotated[
        str | None, typer.Option("--section", help="Of a manifest of targets. Default: test, where it has sections.")
    ] = None,
    simulated: Annotated[bool, typer.Option("--simulated", help="The targets are simulated, though unmarked.")] = False,
    resample: Annotated[
        bool, typer.Option("--resample", help="Interpolate predictions on another grid instead of refusing them.")
    ] = False,
    allow_missing: Annotated[
        bool, typer.Option("--allow-missing", help="Leave out targets without a prediction; the tables say so.")
    ] = False,
    no_figures: Annotated[bool, typer.Option("--no-figures", help="Tables, and a page of tables, alone.")] = False,
    cache: Annotated[
        Path | None, typer.Option("--cache", metavar="DIR", help="Where the benchmark is kept. Default: .cache.")
    ] = None,
    scorecard: Annotated[
        bool, typer.Option("--scorecard", help="Synthesise PDFS and measure it in regions of known tissue; no truth.")
    ] = False,
    regions: Annotated[
        list[Path] | None,
        typer.Option("--regions", metavar="FILE", help="Where which tissue lies in this knee, as JSON; repeatable."),
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Folder for tables, figures and page; or for the scorecard.")
    ] = None,
    weights: Annotated[
        Path | None, typer.Option("--weights", metavar="FILE", help="Weights to measure. Default: the bundle's own.")
    ] = None,
    compare: Annotated[
        Path | None, typer.Option("--compare", metavar="FILE", help="report.json of another scorecard to set beside.")
    ] = None,
    series: Annotated[
        list[str] | None,
        typer.Option("--series", metavar="ID", help="Stack id of `inspect`; repeatable. Default: every PD stack."),
    ] = None,
    device: Annotated[
        str | None, typer.Option("--device", metavar="auto|cpu|cuda", help="Where the network runs. Default: auto.")
    ] = None,
    json_file: Annotated[
        Path | None, typer.Option("--json", metavar="FILE|-", help="Write the report here too; `-` is stdout.")
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Score a sound series that the model was not made for.")
    ] = False,
) -> None:
    """Score any method's images against targets, or weights on real scans without a truth.

    With --predictions: paired metrics per patient beside trivial baselines, tables, figures, a page
    (bundle/docs/EVALUATION.md). With --scorecard: weights on real PD, one plain verdict per plane
    (bundle/docs/SCORECARD.md).

    Example: [bold]kneesynth evaluate --predictions outputs/mine --targets data/test -o evaluation/[/bold]

    Example: [bold]kneesynth evaluate --predictions mine/ --targets benchmark-v1 --protocol ours --protocol fastmri -o
    evaluation/[/bold]

    Example: [bold]kneesynth evaluate study/ --scorecard --regions knee.json -o scorecard/[/bold]
    """
    pairs = {
        "--targets": targets,
        "--sources": sources,
        "--masks": masks,
        "--lesions": lesions,
        "--protocol": protocol,
        "--direction": direction,
        "--method": method,
        "--prediction-scale": prediction_scale,
        "--section": section,
        "--simulated": simulated,
        "--resample": resample,
        "--allow-missing": allow_missing,
        "--no-figures": no_figures,
        "--cache": cache,
    }
    card = {
        "DIR": source,
        "--regions": regions,
        "--weights": weights,
        "--compare": compare,
        "--series": series,
        "--device": device,
        "--force": force,
    }
    if scorecard == (predictions is not None):
        raise UsageError(
            "evaluate without --scorecard and --predictions, or with both; need --predictions DIR --targets DIR "
            "(any method's images) or DIR --scorecard (weights on real PD); your own weights on pairs: `python -m "
            "monai.bundle run evaluating --config_file bundle/configs/evaluate.yaml`"
        )
    _refuse(card if predictions is not None else pairs, "--predictions" if predictions is not None else "--scorecard")
    if predictions is not None:
        _predictions(
            predictions, targets, out, json_file,
            sources=sources, masks=masks, lesions=lesions, lesion_frame=lesion_frame,
            protocols=tuple(protocol or ("ours",)), direction=direction or "PD to PDFS", method=method or "prediction",
            scale=prediction_scale, section=section, simulated=simulated, resample=resample,
            allow_missing=allow_missing, figures=not no_figures, cache=cache or Path(".cache"),
        )  # fmt: skip
        return
    if source is None:
        raise UsageError("--scorecard without a study; need a folder of real PD; add it: `evaluate DIR --scorecard`")
    _scorecard(source, regions, out, weights, compare, series, device or "auto", json_file, force)


def _refuse(given: Mapping[str, object], kind: str) -> None:
    if named := [name for name, value in given.items() if value]:
        raise UsageError(f"{', '.join(named)} with {kind}; the two have nothing in common; leave one out")


def _predictions(
    predictions: Path, targets: str | None, out: Path | None, json_file: Path | None, **options: Any
) -> None:
    if targets is None or out is None:
        missing = "--targets" if targets is None else "-o"
        raise UsageError(f"--predictions without {missing}; need --targets DIR|benchmark-v1 and -o DIR; add it")
    if json_file is not None:
        check_json_target(json_file)
    from scripts.cli.progress import progress
    from scripts.evaluation.run import Request, evaluate_predictions

    with progress() as tell:
        scores, report = evaluate_predictions(Request(predictions, targets, out, **options), tell)
    if json_file is not None:
        write_json(report, json_file)
    if json_file is None or str(json_file) != "-":
        sys.stdout.write(f"{scores.short}\nTables, figures and page: {len(report['files'])} files in {out}\n")


def _scorecard(
    source: Path,
    regions: list[Path] | None,
    out: Path | None,
    weights: Path | None,
    compare: Path | None,
    series: list[str] | None,
    device: str,
    json_file: Path | None,
    force: bool,
) -> None:
    if json_file is not None:
        check_json_target(json_file)
    from scripts.cli.progress import progress
    from scripts.scorecard.run import Request, run_scorecard
    from scripts.synthesis.selection import AmbiguousSource

    request = Request(
        source=source,
        regions=tuple(regions or ()),
        series=tuple(series or ()),
        weights=weights,
        out=out,
        compare=compare,
        device=device,
        force=force,
    )
    try:
        with progress() as tell:
            cards, report = run_scorecard(request, tell)
    except AmbiguousSource as error:
        from scripts.cli.tables import print_stacks

        print_stacks(error.stacks, sys.stderr, descriptions=False)
        raise
    if json_file is not None:
        write_json(report, json_file)
    if json_file is None or str(json_file) != "-":
        from scripts.cli.scorecard_table import print_card

        for card, entry in zip(cards, report["cards"], strict=True):
            print_card(card, entry.get("compared"), sys.stdout)
        if out is not None:
            sys.stdout.write(f"Report and pictures: {', '.join(report['files'])} in {out}\n")
