# SPDX-License-Identifier: Apache-2.0
"""MONAI engines for the four paths of shared-content translation."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, cast

import torch
from ignite.engine import Engine, Events
from ignite.metrics import Average
from monai.data import MetaTensor
from monai.engines import SupervisedEvaluator, SupervisedTrainer
from monai.inferers import Inferer
from monai.utils.enums import CommonKeys as Keys

from scripts.body import body_mask
from scripts.devices import has_fast_bfloat16
from scripts.errors import UsageError
from scripts.losses import TERMS, CrossContrastLoss
from scripts.metrics.body import fill_body
from scripts.networks import CrossContrastNet
from scripts.processes import world_size

CLEAN = "_clean"


def _plain(image: torch.Tensor) -> torch.Tensor:
    """The voxels without their geometry, which a step does not need and would pay for."""
    return image.as_tensor() if isinstance(image, MetaTensor) else image


class CrossContrastTrainer(SupervisedTrainer):
    """One step: encode both contrasts, decode all four paths, step on the weighted losses.

    ``state.metrics`` holds the epoch's means of ``loss`` and of each term, ``state.output`` those of the step and the
    batch: a list of one dictionary, since MONAI's handlers look for ``loss`` in the first of a list. A dataset with
    ``set_epoch`` is told the epoch before it starts.

    Args:
        autocast: compute in bfloat16 where the device does it in hardware. MONAI's ``amp`` knows CUDA alone.
        clip_norm: largest norm of the gradient; None for no limit.
        ema: copy of the network (see `averaged`), which becomes the exponential moving average of its weights.
        ema_decay: weight of the past after many steps; after ``n`` steps it is at most ``(1 + n) / (10 + n)``, so that
            the average forgets its start.
        distributed: several processes train together, each on its share of every batch; their gradients are averaged.
        compiled: ``torch.compile`` the network's paths: a minute at the start; needs a C++ compiler.
        train_handlers: handlers, in the order in which they act.
        kwargs: those of `monai.engines.SupervisedTrainer`; the network has a ``pair`` method, and the loss function is
            a `scripts.losses.CrossContrastLoss`.
    """

    def __init__(
        self,
        *,
        autocast: bool = True,
        clip_norm: float | None = 1.0,
        ema: torch.nn.Module | None = None,
        ema_decay: float = 0.999,
        distributed: bool = False,
        compiled: bool = False,
        train_handlers: Sequence[Any] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(decollate=False, **kwargs)
        self.ema, self.ema_decay = ema, ema_decay
        self.autocast = autocast and has_fast_bfloat16(torch.device(self.state.device))
        self.clip_norm = clip_norm
        self.network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # missing in torch's stubs
        paths = _shared(self.network) if distributed else cast(CrossContrastNet, self.network).pair
        self._paths: Callable[..., dict[str, torch.Tensor]] = torch.compile(paths) if compiled else paths
        if distributed and ema is not None:
            _take_from_first(ema.state_dict().values())
        if not distributed and world_size() > 1:
            raise UsageError(
                f"{world_size()} processes train and train::trainer::distributed is false; each would train a network "
                "of its own: add bundle/configs/multi_gpu.yaml to the config files."
            )
        for name in ("loss", *TERMS):
            mean = Average(output_transform=lambda output, name=name: output[0][name], device=self.state.device)
            mean.attach(self, name)
        if distributed:  # what normalisation counts of its batches is each process's own, and validation is shared
            states = [buffer for module in (self.network, ema) if module is not None for buffer in module.buffers()]
            self.add_event_handler(Events.EPOCH_COMPLETED, lambda: _take_from_first(states))
        if train_handlers:  # only now, so that the means of an epoch are there when a handler asks for them
            self._register_handlers(train_handlers)
        dataset = getattr(self.data_loader, "dataset", None)
        if dataset is not None and hasattr(dataset, "set_epoch"):
            self.add_event_handler(Events.EPOCH_STARTED, lambda engine: dataset.set_epoch(engine.state.epoch))

    def _iteration(  # type: ignore[override]  # MONAI's own trainers give lists once they decollate
        self, engine: Engine, batchdata: Mapping[str, torch.Tensor]
    ) -> list[dict[str, Any]]:
        """Train on one batch of slices ``image`` (contrast a) and ``label`` (contrast b), ``(B, 1, H, W)``.

        They are the targets, and the inputs too where the batch has no ``image_input`` and ``label_input``.
        ``lesion`` is the share that lesions changed, where it is known.
        """
        device, non_blocking = self.state.device, self.non_blocking

        def slices(key: str) -> torch.Tensor:
            image = _plain(batchdata[key])
            return image.to(device, non_blocking=non_blocking, memory_format=torch.channels_last)

        a, b = slices(Keys.IMAGE), slices(Keys.LABEL)
        inputs = (slices("image_input"), slices("label_input")) if "image_input" in batchdata else (a, b)
        if "gain" in batchdata:  # a stranger's scale is never exactly ours: inputs vary, targets do not
            gain = batchdata["gain"].to(device, non_blocking=non_blocking)[:, :, None, None, None]
            inputs = (inputs[0] * gain[:, 0], inputs[1] * gain[:, 1])
        self.network.train()
        self.optimizer.zero_grad(set_to_none=True)
        loss = cast(CrossContrastLoss, self.loss_function)
        with torch.autocast(a.device.type, dtype=torch.bfloat16, enabled=self.autocast):
            paths = self._paths(*inputs, same_domain=loss.needs_same_domain)
        terms = loss(paths, a, b, inputs, slices("lesion") if "lesion" in batchdata else None)
        terms["loss"].backward()
        if self.clip_norm is not None:
            torch.nn.utils.clip_grad_norm_(self.network.parameters(), self.clip_norm)
        self.optimizer.step()
        if self.ema is not None:
            self._average(self.ema, engine.state.iteration)
        # Tensors, not numbers: nothing here waits for the device.
        told = {k: v.detach() for k, v in terms.items()}
        return [{Keys.IMAGE: a, Keys.LABEL: b, "origin": batchdata.get("origin")} | told]

    def _average(self, ema: torch.nn.Module, steps: int) -> None:
        # The count of steps is known on the host and restored by a resume; asking a device for it would wait for it.
        decay = min(self.ema_decay, (1 + steps) / (10 + steps))
        states = ([*module.state_dict().values()] for module in (ema, self.network))
        # Batch normalisation counts its batches, and a count has no average.
        past, now = ([value for value in state if value.is_floating_point()] for state in states)
        torch._foreach_lerp_(past, now, 1 - decay)


class CrossContrastEvaluator(SupervisedEvaluator):
    """One step: one patient, both directions.

    ``state.output`` is a list with one dictionary per patient: ``image`` and ``label`` (the acquired pair), ``pred``
    (label's contrast from the image), ``pred_reverse`` (image's from the label), ``body`` (mask), for simulated
    patients ``image_clean`` and ``label_clean``, each ``(1, D, H, W)`` on the CPU, and ``patient``.

    Args:
        contrasts: names of the two contrasts, domain a (``image``) first.
        kwargs: those of `monai.engines.SupervisedEvaluator`; the inferer takes ``target``.
    """

    def __init__(self, *, contrasts: tuple[str, str], inferer: Inferer, **kwargs: Any) -> None:
        super().__init__(inferer=inferer, decollate=False, **kwargs)
        self.contrasts = tuple(contrasts)

    def run(self, global_epoch: int = 1) -> None:  # type: ignore[override]  # as MONAI's
        """Validate this process's patients; the scores are those of all processes.

        A process that has none, where there are more processes than patients, goes through the events all the same: the
        others would wait for its part in the scores for ever.
        """
        if self.state.epoch_length or world_size() == 1:
            super().run(global_epoch)
            return
        self.state.epoch = global_epoch
        for event in (Events.STARTED, Events.EPOCH_STARTED, Events.EPOCH_COMPLETED, Events.COMPLETED):
            self.fire_event(event)

    def _iteration(  # type: ignore[override]  # MONAI's own evaluators give lists once they decollate
        self, engine: Engine, batchdata: Mapping[str, Any]
    ) -> list[dict[str, Any]]:
        """Synthesise both contrasts of one patient."""
        present = [key for key in (Keys.IMAGE, Keys.LABEL, f"image{CLEAN}", f"label{CLEAN}") if key in batchdata]
        output = {key: _plain(batchdata[key]).float() for key in present}
        self.network.eval()
        for key, name, target in ((Keys.IMAGE, Keys.PRED, 1), (Keys.LABEL, "pred_reverse", 0)):
            source = output[key].to(self.state.device)
            output[name] = self.inferer(source, self.network, target=self.contrasts[target]).cpu()
        reference = [output.get(f"{key}{CLEAN}", output[key]) for key in (Keys.IMAGE, Keys.LABEL)]
        output["body"] = fill_body(body_mask(reference[0]) | body_mask(reference[1]))
        patients = batchdata.get("patient", [""] * len(output["body"]))
        return [{key: value[i] for key, value in output.items()} | {"patient": name} for i, name in enumerate(patients)]


class _Pair(torch.nn.Module):
    """``pair`` of a network as its ``forward``: the only call behind which DDP averages gradients."""

    def __init__(self, network: torch.nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, *args: Any, **kwargs: Any) -> dict[str, torch.Tensor]:
        return cast(CrossContrastNet, self.network).pair(*args, **kwargs)


def _shared(network: torch.nn.Module) -> torch.nn.Module:
    """The four paths of a network that several processes train; its weights become those of the first process.

    The network itself stays what optimiser, average and checkpoint hold, so that no file knows of the wrapper.
    """
    if not torch.distributed.is_initialized():
        raise UsageError(
            "train::trainer::distributed is true and this process has joined no others; need those that torchrun "
            "started: set processes as bundle/configs/multi_gpu.yaml does."
        )
    return torch.nn.parallel.DistributedDataParallel(_Pair(network), gradient_as_bucket_view=True)


def _take_from_first(values: Iterable[torch.Tensor]) -> None:
    for value in values:
        torch.distributed.broadcast(value, src=0)


def averaged(network: torch.nn.Module) -> torch.nn.Module:
    """A copy of a network to hold the moving average of its weights; it takes no gradients."""
    return copy.deepcopy(network).requires_grad_(False).eval()
