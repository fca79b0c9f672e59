# SPDX-License-Identifier: Apache-2.0
"""Build network, preprocessing and postprocessing from the bundle's own ``inference.yaml``, and trust only its weights.

A MONAI config is code. Nothing here reads a config that a caller hands in: the bundle beside this package is the only
one, and its weights are opened after their hash has been compared with the one in ``metadata.json``.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scripts.errors import UsageError, WeightsError
from scripts.software import default_root

if TYPE_CHECKING:
    import torch
    from monai.bundle import ConfigParser

logger = logging.getLogger(__name__)

HASH_KEY = "weights_sha256"
NAME = "knee contrast synthesis"
SELFTEST = "models/selftest.json"
"""Within the bundle: what the selftest compares with. It belongs to the weights, and a package holds it."""


@dataclass(frozen=True)
class ModelFacts:
    """What a product says about the model that made it.

    Args:
        name: name of the model.
        version: version of the bundle.
        weights_sha256: hash of the weights file, hexadecimal.
    """

    name: str
    version: str
    weights_sha256: str


@dataclass(frozen=True)
class Transforms:
    """What stands before and after the network.

    Args:
        preprocessing: data dictionary to data dictionary, fills ``image``.
        postprocessing: the same, turns ``pred`` back to the axes of the file and to the stored scale.
    """

    preprocessing: Callable[[Mapping[str, Any]], dict[str, Any]]
    postprocessing: Callable[[Mapping[str, Any]], dict[str, Any]]


@dataclass(frozen=True)
class Model(Transforms):
    """All that turns a series into its synthesis.

    Args:
        facts: identity of the weights.
        device: where the network runs.
        network: the network in evaluation mode, weights loaded; not on the device yet, where there may be no room.
        inferer: called with a volume (B, 1, D, H, W) and the network.
    """

    facts: ModelFacts
    device: torch.device
    network: torch.nn.Module
    inferer: Callable[..., torch.Tensor]


def read_facts(root: Path, checkpoint: Path | None = None) -> ModelFacts:
    """Name the model and hash its weights.

    Args:
        root: bundle folder.
        checkpoint: weights file; the bundle's own if not given. Only the bundle's own has a known hash to compare with.

    Raises:
        WeightsError: weights missing, or not the ones that ``metadata.json`` names.
    """
    metadata_path = root / "configs" / "metadata.json"
    try:
        metadata = json.loads(metadata_path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise WeightsError(
            f"{metadata_path.name}: missing or damaged; need the bundle's own; install it again"
        ) from error
    own = root / "models" / "model.pt"
    path = own if checkpoint is None else Path(checkpoint)
    try:
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise WeightsError(
            f"{path.name}: no weights there; need the bundle's weights; install or train them"
        ) from error
    expected = metadata.get(HASH_KEY)
    if path.resolve() == own.resolve() and digest != expected:
        raise WeightsError(
            f"{path.name}: sha256 {digest[:12]} is not {str(expected)[:12]} of metadata.json; "
            "need unaltered weights; install the bundle again"
        )
    return ModelFacts(str(metadata.get("name", NAME)), str(metadata.get("version", "0")), digest)


def load_model(
    target: str,
    device: str = "auto",
    root: Path | None = None,
    checkpoint: Path | None = None,
    gate: Path | None = None,
) -> Model:
    """Build the bundle's model for one direction.

    Args:
        target: ``"PD"`` or ``"PDFS"``, the contrast to synthesise.
        device: ``"auto"`` (CUDA where there is one), ``"cpu"`` or ``"cuda"``.
        root: bundle folder; by default the one this package belongs to.
        checkpoint: weights to use in place of the bundle's own, to measure them; of any hash, but strictly fitting.
        gate: ranges of a site's own scans, in place of the weights'.

    Raises:
        UsageError: CUDA asked for and not there, or ranges that are none.
        WeightsError: weights missing, altered, or made for another network.
    """
    root = default_root() if root is None else root
    facts = read_facts(root, checkpoint)  # before the slow imports: a wrong file is refused in a second

    import torch

    from scripts.weights import load_weights

    if device not in ("auto", "cpu", "cuda"):
        raise UsageError(f"device {device}: unknown; need auto, cpu or cuda")
    if device == "cuda" and not torch.cuda.is_available():
        raise UsageError("device cuda: no CUDA device found; need one; use --device cpu")
    use_cuda = device == "cuda" or (device == "auto" and torch.cuda.is_available())
    where = torch.device("cuda" if use_cuda else "cpu")

    parser = _parser(root, target, gate)
    parser["device"] = where
    network = parser.get_parsed_content("network_def")
    load_weights(network, root / "models" / "model.pt" if checkpoint is None else checkpoint)
    return Model(
        facts=facts,
        device=where,
        network=network.eval(),
        inferer=parser.get_parsed_content("inferer"),
        preprocessing=parser.get_parsed_content("preprocessing"),
        postprocessing=parser.get_parsed_content("postprocessing"),
    )


def load_transforms(target: str, root: Path | None = None, gate: Path | None = None) -> Transforms:
    """The same without network and weights, for a process that only reads and writes."""
    parser = _parser(default_root() if root is None else root, target, gate)
    return Transforms(parser.get_parsed_content("preprocessing"), parser.get_parsed_content("postprocessing"))


def _parser(root: Path, target: str, gate: Path | None) -> ConfigParser:
    from monai.bundle import ConfigParser

    parser = ConfigParser()
    parser.read_config(root / "configs" / "inference.yaml")
    parser["bundle_root"] = str(root)
    parser["displayable_configs"]["target_contrast"] = target
    if gate is not None:
        parser["gate"] = str(gate)
    return parser
