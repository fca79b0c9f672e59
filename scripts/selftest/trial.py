# SPDX-License-Identifier: Apache-2.0
"""The phantom through the functions of `kneesynth synthesize`: read, synthesised on each device, written, read back.

Places are compared on the grid that the phantom was made on, so what turns or shifts a volume shows, wherever it does.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from scripts.errors import GeometryError, KneeSynthError, OutOfMemory
from scripts.selftest.phantom import affine_lps, phantom, phantom_series
from scripts.selftest.results import INPUT_TOLERANCE, REPAIR, TOLERANCE, Results, blocks_of, compare
from scripts.synthesis.bundle import Model, load_model
from scripts.synthesis.jobs import Job
from scripts.synthesis.selection import OPPOSITE, Lift

if TYPE_CHECKING:
    import torch

TARGETS = ("PDFS", "PD")


def write_phantom(folder: Path) -> tuple[str, dict[str, Job]]:
    """Write the phantom as a simulated DICOM study of both contrasts, and find the source for each target in it."""
    from scripts.dicom.study import write_simulated_study
    from scripts.synthesis.planning import Request, find_jobs

    write_simulated_study(folder / "study", [phantom_series(contrast) for contrast in OPPOSITE], 0)
    wanted = (Request((folder / "study",), folder, target=target, lift=Lift(simulated=True)) for target in TARGETS)
    jobs = {request.target or "": find_jobs(request).jobs[0] for request in wanted}
    return f"{' and '.join(OPPOSITE)} recognised", jobs


def prepare(root: Path, target: str, job: Job, stored: Results | None) -> tuple[str, tuple[Model, dict[str, Any]]]:
    """Load the model of one direction and what its network is given; compare that with the phantom, and as stored.

    Args:
        root: bundle folder.
        target: contrast to synthesise.
        job: the source.
        stored: results of these weights; None where there are none.

    Returns:
        What was found, and the model (on the processor) with the preprocessing's dictionary.

    Raises:
        GeometryError: what was read does not lie where the phantom lies.
        KneeSynthError: it shows something else, or on another scale.
    """
    from scripts.synthesis.grid import affine_ras

    model = load_model(target, "cpu", root)
    data = model.preprocessing({"image": job.loadable})
    found = _on_phantom_grid(data["image"][0].numpy(), affine_ras(data["image"]))
    wanted = phantom(OPPOSITE[target])
    factor = float((found * wanted).sum() / (wanted * wanted).sum())
    apart = float(np.abs(found - factor * wanted).max())
    if not apart < 1e-3:  # twelve bits keep it to three ten-thousandths
        raise KneeSynthError(f"what is read differs from what was written by {apart:.3g}; need the same; {REPAIR}")
    said = "read as it was written"
    if stored is not None:
        blocks = blocks_of(data["image"][0])
        said += f"; {compare(blocks, stored.blocks[input_of(target)], INPUT_TOLERANCE, 'the stored input')}"
    return said, (model, data)


def synthesise(
    model: Model, image: torch.Tensor, device: torch.device, expected: np.ndarray | None, what: str
) -> tuple[str, torch.Tensor]:
    """Synthesise the phantom on one device.

    Args:
        model: what does it.
        image: what the network is given.
        device: where; no other will do.
        expected: blocks of what should come out; None where nobody knows.
        what: that is, for people.

    Returns:
        How far the synthesis is from that, and the synthesis.

    Raises:
        OutOfMemory: the device has no memory for it.
        KneeSynthError: it is too far off.
    """
    from scripts.synthesis.inference import infer

    made = infer(replace(model, device=device), image, lambda text, done, total: None)
    if made["notes"]:
        raise OutOfMemory("no memory left on it; need some 100 MB; end what else uses it, or run with --device cpu")
    if expected is None:
        return "finite, and nothing to compare it with", made["pred"]
    return compare(blocks_of(made["pred"][0]), expected, TOLERANCE, what), made["pred"]


def write_and_read_back(job: Job, model: Model, data: Mapping[str, Any], out: Path) -> tuple[str, None]:
    """Write the products of a synthesis and read them back.

    Args:
        job: what was synthesised.
        model: what did it.
        data: the preprocessing's dictionary with ``pred``.
        out: where to; not there yet.

    Returns:
        What was found, and nothing.

    Raises:
        OutputError: they cannot be written.
        GeometryError: they do not lie where the phantom lies.
        KneeSynthError: their pixels are others, or they are not marked as synthetic.
    """
    from scripts.dicom.index import index_series
    from scripts.dicom.read import read_stack
    from scripts.synthesis.grid import affine_ras
    from scripts.synthesis.presentation import Presentation
    from scripts.synthesis.products import STORED_SCALE, write_products
    from scripts.synthesis.run import finish
    from scripts.synthesis.staging import staged_output
    from scripts.transforms.series import LoadKneeSeries, ras_from_stack_affine

    # Without the word SYNTHETIC in the corner, so that every voxel can be compared.
    show = Presentation(mark=False)
    with staged_output(out) as stage:
        item = finish(job, {**data, "notes": []}, model)
        report = write_products(stage, item, model.facts, ("dicom", "nifti"), {}, show)
    wanted = STORED_SCALE * _on_phantom_grid(data["pred"][0].numpy(), affine_ras(data["image"]))

    series = read_stack([out / name for name in report["series"][0]["products"]["dicom"]])
    found = _on_phantom_grid(series.array.transpose(2, 1, 0), ras_from_stack_affine(series.affine_lps))
    _check_same("DICOM", found, np.rint(wanted), 0.0)
    volume = LoadKneeSeries()(out / f"{job.target}.nii.gz")
    _check_same("NIfTI", _on_phantom_grid(volume[0].numpy(), affine_ras(volume)), wanted, 1e-2)
    if not all(stack.synthetic for stack in index_series([out])):
        raise KneeSynthError(f"the derived series is not known as synthetic; need its marks; {REPAIR}")
    return f"{len(series.files)} DICOM instances and NIfTI: every voxel in its place, marked as synthetic", None


def direction(target: str) -> str:
    """Name of a direction, for people and for `Results`."""
    return f"{OPPOSITE[target]} to {target}"


def input_of(target: str) -> str:
    """Name of what the network is given in a direction."""
    return f"input of {direction(target)}"


def _on_phantom_grid(voxels: np.ndarray, affine: np.ndarray) -> np.ndarray:
    """Voxels with their affine [RAS mm] as (slices, rows, columns) of the phantom.

    Raises:
        GeometryError: they lie elsewhere.
    """
    from scripts.synthesis.grid import match_grid
    from scripts.transforms.series import ras_from_stack_affine

    try:
        return match_grid(voxels, affine, ras_from_stack_affine(affine_lps())).transpose(2, 1, 0)
    except GeometryError as error:
        raise GeometryError(f"{str(error).partition(';')[0]}; need the place of the source; {REPAIR}") from error


def _check_same(what: str, found: np.ndarray, wanted: np.ndarray, tolerance: float) -> None:
    apart = float(np.abs(found - wanted).max())
    if not apart <= tolerance:
        raise KneeSynthError(f"{what} read back differs by {apart:g} of 1000; need at most {tolerance:g}; {REPAIR}")
