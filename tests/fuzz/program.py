# SPDX-License-Identifier: Apache-2.0
"""What is fuzzed: the verbs `inspect` and `synthesize` in this process, with a network that changes nothing.

Reading, gates, preprocessing and writing are the real ones; only weights and convolutions are left out, for speed.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path


def kneesynth(arguments: Sequence[str]) -> int:
    """Run one command line, as `scripts.cli.app.main` does."""
    from scripts.cli.app import main

    return main(arguments)


def prepare() -> None:
    """Import all that the verbs need, and put the identity in the network's place, once for all forks."""
    import highdicom  # noqa: F401
    import monai.networks.nets  # noqa: F401
    import torch
    from typer.main import get_command

    import scripts.synthesis.products  # noqa: F401
    from scripts.cli import app
    from scripts.dicom import apart, read
    from scripts.software import software_block
    from scripts.synthesis import run
    from scripts.synthesis.bundle import Model, ModelFacts, load_transforms

    torch.set_num_threads(1)
    software_block()  # asks git once

    @lru_cache
    def identity(target: str, device: str = "auto", root: Path | None = None, gate: Path | None = None) -> Model:
        transforms = load_transforms(target)
        return Model(
            facts=ModelFacts("identity", "0", "00" * 32),
            device=torch.device("cpu"),
            network=torch.nn.Identity(),
            inferer=lambda volume, network: network(volume),
            preprocessing=transforms.preprocessing,
            postprocessing=transforms.postprocessing,
        )

    for target in ("PD", "PDFS"):
        identity(target)
    run.load_model = identity
    app.app = get_command(app.app)  # type: ignore[assignment]  # built anew for each command line otherwise

    class Lasting(apart.Decoder):
        """One process for all series: it is what takes the time with small ones."""

        def __exit__(self, *error: object) -> None:
            pass

    lasting = Lasting()
    read.Decoder = lambda: lasting  # type: ignore[assignment, misc]
