# SPDX-License-Identifier: Apache-2.0
"""The model over one volume, on whichever device has the memory for it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from scripts.synthesis.bundle import Model

if TYPE_CHECKING:
    import torch

NO_GPU_MEMORY = "The GPU had no memory for a single slice, so the processor did the synthesis."

#: Called with what is being done, steps done, and steps in all.
Progress = Callable[[str, int, int], None]


def predict(model: Model, source: str | list[str], tell: Progress) -> dict[str, Any]:
    """Load one volume and synthesise its other contrast.

    Args:
        model: what `load_model` gives.
        source: path, or paths of the instances of one stack.
        tell: called as the work goes on.

    Returns:
        The preprocessing's dictionary: ``image`` is what the network saw, ``pred`` what it made of it, both
        (1, slices, rows, columns) in display orientation and on the fixed scale, ``pred`` on the CPU; and the rest of
        what `infer` gives.

    Raises:
        ArithmeticError: the network gave values that are not finite.
    """
    data = model.preprocessing({"image": source})
    return data | infer(model, data["image"], tell)


def infer(model: Model, image: torch.Tensor, tell: Progress, target: str | None = None) -> dict[str, Any]:
    """The network's part of `predict`: a preprocessed volume (1, slices, rows, columns) to its synthesis.

    The contrast is the model's, unless ``target`` names the other one. Where a GPU has no memory for a single slice,
    the processor does the whole volume: every voxel is then what a run on the processor gives.

    Returns:
        ``pred`` (same shape), ``device`` that made it, and ``notes``: one sentence each, for the warnings.

    Raises:
        ArithmeticError: the network gave values that are not finite.
    """
    import torch
    from monai.data import MetaTensor

    from scripts.devices import is_out_of_device_memory

    plain = image.as_tensor() if isinstance(image, MetaTensor) else image
    device, processor = model.device, torch.device("cpu")
    notes: list[str] = []
    try:
        pred = _infer_on(device, model, plain, tell, target)
    except RuntimeError as error:
        if device == processor or not is_out_of_device_memory(error):
            raise
        notes.append(NO_GPU_MEMORY)
    if notes:  # here, where the exception no longer holds on to what lies on the GPU
        device = processor
        pred = _infer_on(device, model, plain, tell, target)
    if not bool(torch.isfinite(pred).all()):
        raise ArithmeticError("the network gave values that are not finite")
    return {"pred": pred, "device": device.type, "notes": notes}


def _infer_on(
    device: torch.device, model: Model, image: torch.Tensor, tell: Progress, target: str | None
) -> torch.Tensor:
    import torch

    # Contiguous, as a data loader hands it over: the layout chooses the kernels, and with them the last digit.
    volume = image[None].contiguous().to(device)
    slices, done = image.shape[1], 0
    tell("synthesising", 0, slices)

    def advance(module: torch.nn.Module, inputs: tuple[torch.Tensor, ...], output: object) -> None:
        nonlocal done
        done += inputs[0].shape[0]
        tell("synthesising", min(done, slices), slices)

    network = model.network.to(device)
    hook = network.register_forward_hook(advance)
    try:
        with torch.inference_mode():
            named = {} if target is None else {"target": target}
            return model.inferer(volume, network, **named)[0].float().cpu()
    finally:
        hook.remove()
