# SPDX-License-Identifier: Apache-2.0
"""Where the inference workflow meets the world: weights, gate and products, by the code of ``kneesynth synthesize``."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Hashable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from ignite.engine import Engine, Events
from monai.config import KeysCollection
from monai.data import MetaTensor
from monai.transforms import MapTransform, Transform

from scripts.synthesis.bundle import read_facts
from scripts.synthesis.cases import Cases
from scripts.synthesis.gates import admit
from scripts.synthesis.jobs import assemble
from scripts.synthesis.planning import FORMATS, check_formats
from scripts.synthesis.presentation import Presentation
from scripts.synthesis.products import write_products
from scripts.synthesis.staging import staged_output
from scripts.transforms.quality import quality_of
from scripts.weights import load_weights

logger = logging.getLogger(__name__)


class LoadWeights:
    """Handler that loads the weights when the engine starts: strictly, and the bundle's own only if their hash fits.

    Args:
        network: the network to fill.
        checkpoint: a state dict, or the ``best.pt`` or ``last.pt`` of a run.
        bundle_root: bundle folder, whose metadata hold the hash.
    """

    def __init__(self, network: torch.nn.Module, checkpoint: str, bundle_root: str) -> None:
        self.network, self.checkpoint, self.bundle_root = network, Path(checkpoint), Path(bundle_root)

    def attach(self, engine: Engine) -> None:
        """Load at the start of the run.

        Raises:
            WeightsError: from the run, if the weights are missing, altered, or do not fit.
        """
        engine.add_event_handler(Events.STARTED, self._load)

    def _load(self) -> None:
        read_facts(self.bundle_root, self.checkpoint)
        load_weights(self.network, self.checkpoint)


class Admit(Transform):
    """Refuse a preprocessed case whose pixels are not what the model was made for.

    Args:
        force: let it pass; the report says so.
    """

    def __init__(self, force: bool = False) -> None:
        self.force = force

    def __call__(self, data: Mapping[Hashable, Any]) -> Mapping[Hashable, Any]:
        """Ask the gate; the data pass through.

        Raises:
            GateError: it refuses.
        """
        admit(str(data["case"]), quality_of(data["result"]), self.force)
        return data


class SaveDerivedSeriesd(MapTransform):
    """Write the derived DICOM series (DICOM sources), NIfTI, page and report of each case into its own folder.

    Args:
        keys: the synthesis, in file orientation and stored scale.
        image_key: what the network saw, in display orientation.
        cases: jobs by case name; ``data["case"]`` says which one this is.
        preprocessing: what made the image; an acquired target goes through the same.
        output_dir: folder of the case folders.
        bundle_root: bundle folder, for the name and version of the model.
        checkpoint: the weights that are used, for their hash.
        formats: any of ``dicom`` and ``nifti``.
        mark, summary, identifiers: see `Presentation`.
    """

    def __init__(
        self,
        keys: KeysCollection,
        image_key: str,
        cases: Cases,
        preprocessing: Callable[[Mapping[str, Any]], dict[str, Any]],
        output_dir: str,
        bundle_root: str,
        checkpoint: str,
        formats: str | Sequence[str] = FORMATS,
        mark: bool = True,
        summary: bool = True,
        identifiers: bool = False,
    ) -> None:
        super().__init__(keys)
        self.image_key, self.cases, self.preprocessing = image_key, cases, preprocessing
        self.output_dir = Path(output_dir)
        self.formats = (formats,) if isinstance(formats, str) else tuple(formats)  # one word on the command line
        check_formats(self.formats)
        self.bundle_root, self.checkpoint = Path(bundle_root), Path(checkpoint)
        self.show = Presentation(mark, summary, identifiers)
        self._started = time.monotonic()

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Write one case; the data pass through."""
        job = self.cases.jobs[data["case"]]
        model = read_facts(self.bundle_root, self.checkpoint)
        image: MetaTensor = data[self.image_key].cpu()
        for key in self.key_iterator(dict(data)):
            item = assemble(job, image, data[key], self.preprocessing, data["result"])
            out = self.output_dir / data["case"]
            facts = {
                "Device": str(data[self.image_key].device),
                "Seconds since start": f"{time.monotonic() - self._started:.1f}",
            }
            found = self.cases.found.get(data["case"], ())
            with staged_output(out) as stage:
                write_products(stage, item, model, self.formats, facts, self.show, found)
            logger.info("%s written", data["case"])
        return dict(data)
