# SPDX-License-Identifier: Apache-2.0
"""pix2pix (Isola 2017, arXiv:1611.07004) on the study's data: one generator and one discriminator per direction.

MONAI's `AdversarialTrainer` shows its discriminator the network's *inputs* as real images, since it was made for
autoencoders. Here the real image is the target, and the discriminator sees the source beside either.
"""

from __future__ import annotations

import copy
import logging
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from ignite.engine import Events
from monai.bundle import ConfigParser
from monai.data import DataLoader
from monai.engines import AdversarialTrainer
from monai.inferers import Inferer
from monai.losses import PatchAdversarialLoss
from monai.networks.nets import PatchDiscriminator
from monai.utils.enums import AdversarialIterationEvents, AdversarialKeys
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from scripts.devices import has_fast_bfloat16
from scripts.engines import averaged
from scripts.study.direct import DirectPair

RECON_WEIGHT = 100.0
"""Weight of the absolute difference beside the adversarial loss, as in the paper."""
RATE, BETAS = 2e-4, (0.5, 0.999)
"""Of Adam, as in the paper; the rate falls linearly to zero over the second half."""
EMA_DECAY = 0.999
"""The generators are averaged as the other rows' networks are."""
_INPUTS = ("image_input", "label_input")
_TARGETS = ("image", "label")

logger = logging.getLogger(__name__)


class Beside(Inferer):
    """Run a network on an image, for a discriminator with the source of the step beside it.

    Args:
        conditional: whether the network sees the source.
    """

    def __init__(self, conditional: bool) -> None:
        super().__init__()
        self.conditional = conditional
        self.source = torch.empty(0)

    def __call__(self, inputs: Tensor, network: Any, *args: Any, **kwargs: Any) -> Any:
        """Inputs ``(B, 1, H, W)`` to what the network gives, in float32."""
        seen = torch.cat((self.source, inputs), dim=1) if self.conditional else inputs
        device = inputs.device
        with torch.autocast(device.type, dtype=torch.bfloat16, enabled=has_fast_bfloat16(device)):
            out = network(seen)
        return out[-1].float() if isinstance(out, list) else out.float()  # the last of a discriminator's layers


def direction_trainer(generator: nn.Module, target: int, loader: DataLoader, epochs: int) -> AdversarialTrainer:
    """The trainer of one direction.

    Args:
        generator: source ``(B, 1, H, W)`` to target.
        target: number of the target contrast.
        loader: batches as `scripts.engines.CrossContrastTrainer` takes them.
        epochs: to train; the rates follow from it.
    """
    discriminator = PatchDiscriminator(spatial_dims=2, channels=64, in_channels=2, out_channels=1, num_layers_d=3)
    judge = PatchAdversarialLoss(criterion="least_squares")
    see, look = Beside(conditional=False), Beside(conditional=True)

    def prepare(
        batch: Mapping[str, Tensor], device: torch.device, non_blocking: bool, **_: Any
    ) -> tuple[Tensor, Tensor]:
        gain = batch["gain"].to(device)[:, 1 - target, None, None, None]
        look.source = (batch[_INPUTS[1 - target]].to(device) * gain).contiguous(memory_format=torch.channels_last)
        return look.source, batch[_TARGETS[target]].to(device)

    optimizers = [torch.optim.Adam(net.parameters(), lr=RATE, betas=BETAS) for net in (generator, discriminator)]
    trainer = AdversarialTrainer(
        device=next(generator.parameters()).device,
        max_epochs=epochs,
        train_data_loader=loader,
        g_network=generator.to(memory_format=torch.channels_last),  # type: ignore[call-overload]  # torch's stubs
        g_optimizer=optimizers[0],
        g_loss_function=lambda fake: judge(fake, target_is_real=True, for_discriminator=False),
        recon_loss_function=lambda fake, real: RECON_WEIGHT * (fake - real).abs().mean(),
        d_network=discriminator.to(memory_format=torch.channels_last),  # type: ignore[call-overload]  # torch's stubs
        d_optimizer=optimizers[1],
        d_loss_function=lambda real, fake: (
            (judge(real, target_is_real=True, for_discriminator=True) + judge(fake, False, True)) / 2
        ),
        prepare_batch=prepare,
        g_inferer=see,
        d_inferer=look,
        decollate=False,
    )

    @trainer.on(AdversarialIterationEvents.GENERATOR_MODEL_COMPLETED)
    def show_target(engine: AdversarialTrainer) -> None:
        engine.state.output[AdversarialKeys.REALS] = engine.state.output["label"]

    @trainer.on(Events.EPOCH_STARTED)
    def start(engine: AdversarialTrainer) -> None:
        done = (engine.state.epoch - 1) / epochs
        for optimizer in optimizers:
            for group in optimizer.param_groups:
                group["lr"] = RATE * min(1.0, 2 * (1 - done))
        engine.state.dataloader.dataset.set_epoch(engine.state.epoch)

    return trainer


def step_flops(networks: DirectPair, batch: Mapping[str, Tensor]) -> float:
    """Operations of one training step of both directions, per slice of the batch."""
    total = 0.0
    for target in (1, 0):
        generator = copy.deepcopy(networks.a_to_b if target == 1 else networks.b_to_a)
        loader: Any = _One(batch)
        trainer = direction_trainer(generator, target, loader, 1)
        with FlopCounterMode(display=False) as count:
            trainer.run()
        total += count.get_total_flops()
    return total / len(batch[_TARGETS[0]])


class _One(list[Mapping[str, Tensor]]):
    """A loader of one batch."""

    def __init__(self, batch: Mapping[str, Tensor]) -> None:
        super().__init__([batch])
        self.dataset = self

    def set_epoch(self, epoch: int) -> None:
        """Nothing changes with the epoch."""


def train_pix2pix(config: dict[str, Any], folder: Path, epochs: int, budget: float) -> dict[str, float]:
    """Train both directions and keep their averaged weights as ``last.pt``.

    Args:
        config: of the cell; its data, network and seed are used.
        folder: of the run.
        epochs: of each direction.
        budget: operations of all steps.

    Returns:
        ``steps`` and ``step_flops``.
    """
    folder.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(config["seed"])
    parser = ConfigParser(config)
    networks: DirectPair = parser.get_parsed_content("network_def")
    loader = parser.get_parsed_content("train#dataloader")
    flops = step_flops(networks, next(iter(loader)))
    batch = config["batch_size"]
    per_epoch = max(1, round(budget / (flops * batch) / epochs))
    parser["samples_per_epoch"] = per_epoch * batch
    parser.parse(reset=True)
    loader = parser.get_parsed_content("train#dataloader")
    rows: dict[int, dict[str, float]] = {}
    for target in (1, 0):
        generator = networks.a_to_b if target == 1 else networks.b_to_a
        ema = averaged(generator)
        trainer = direction_trainer(generator, target, loader, epochs)
        _follow(trainer, ema, rows, target)
        trainer.run()
        generator.load_state_dict(ema.state_dict())
    with (folder / "curves.csv").open("w", encoding="utf-8") as stream:
        stream.write("epoch,cross\n")
        stream.writelines(f"{epoch},{sum(row.values()):.6g}\n" for epoch, row in sorted(rows.items()))
    torch.save(networks.state_dict(), folder / "last.pt")
    return {"steps": float(per_epoch * epochs), "step_flops": flops}


def _follow(trainer: AdversarialTrainer, ema: nn.Module, rows: dict[int, dict[str, float]], target: int) -> None:
    """Average the generator after each step, and note the absolute difference of each epoch."""
    seen: list[float] = []
    started = time.monotonic()

    @trainer.on(Events.ITERATION_COMPLETED)
    def step(engine: AdversarialTrainer) -> None:
        decay = min(EMA_DECAY, (1 + engine.state.iteration) / (10 + engine.state.iteration))
        now = engine.state.g_network.state_dict()
        for name, past in ema.state_dict().items():
            if past.is_floating_point():
                past.lerp_(now[name], 1 - decay)
        seen.append(float(engine.state.output[AdversarialKeys.RECONSTRUCTION_LOSS]) / RECON_WEIGHT)

    @trainer.on(Events.EPOCH_COMPLETED)
    def epoch(engine: AdversarialTrainer) -> None:
        mean = sum(seen) / len(seen)
        rows.setdefault(engine.state.epoch, {})[str(target)] = mean
        spent = time.monotonic() - started
        logger.info("target %d, epoch %d: difference %.4f, %.0f s", target, engine.state.epoch, mean, spent)
        seen.clear()
