# SPDX-License-Identifier: Apache-2.0
"""``kneesynth train``: assemble a configuration, check every key of it, and hand it to the bundle."""

from __future__ import annotations

import difflib
import re
import tempfile
import warnings
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from scripts.errors import KneeSynthError, OutOfMemory, UsageError
from scripts.interruption import INTERRUPTED

# Top-level settings of the project this one succeeds, by the names its users know, and where they live here.
PREDECESSOR_KEYS = {
    "encoder": "network_def::encoder",
    "decoder_a": "network_def::decoder_a",
    "decoder_b": "network_def::decoder_b",
    "same_domain_use_skip": "network_def::same_domain_use_skip",
    "cross_domain_strategy": "network_def::cross_domain_strategy",
    "allow_asymmetric": "network_def::allow_asymmetric",
    "loss_weights": "loss_weights",
}
OPTIONAL_SETTINGS = {"same_domain_use_skip": None, "allow_asymmetric": False}


def train(
    overrides: Annotated[
        list[str] | None, typer.Argument(metavar="[KEY=VALUE]...", help="Settings by id, e.g. loss_weights.recon=0.1")
    ] = None,
    config: Annotated[
        Path | None,
        typer.Option("--config", "-c", help="A complete config, or an overlay on train.yaml; YAML or JSON."),
    ] = None,
    epochs: Annotated[int | None, typer.Option(min=1, help="Epochs to train (id max_epochs).")] = None,
    wandb: Annotated[
        bool | None, typer.Option("--wandb/--no-wandb", help="Log to Weights & Biases as well.", show_default=False)
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Continue the latest unfinished run.")] = False,
    folds: Annotated[
        int | None,
        typer.Option("--folds", metavar="N", help="Cross-validate on your pairs: train and score N times; resumable."),
    ] = None,
) -> None:
    """Train on the simulated cohort, or on your own pairs.

    Example: kneesynth train --config bundle/configs/no_skip_everywhere.yaml --epochs 10 dataset_dir=/data/knees

    Example: kneesynth train --config bundle/configs/finetune.yaml manifest=pairs.json --folds 5 output_dir=folds
    """
    settings: dict[str, Any] = {}
    if epochs is not None:
        settings["max_epochs"] = epochs
    if wandb is not None:
        settings["wandb"] = wandb
    if resume:
        settings["resume"] = True
    settings = parse_overrides(overrides or []) | settings
    if folds is None:
        run_training(assemble(config, settings))
        return
    from scripts.cli.folds import check_folds, train_folds

    check_folds(folds, settings)
    folder = Path(settings.get("output_dir", "outputs/folds"))
    typer.echo(train_folds(config, settings, folds, folder))


def configs_dir() -> Path:
    """Folder of the bundle's configs: beside this package in a checkout (``bundle/configs``) or in a packed bundle."""
    root = Path(__file__).resolve().parents[2]
    for folder in (root / "bundle" / "configs", root / "configs"):
        if (folder / "train.yaml").is_file():
            return folder
    raise UsageError(f"no train.yaml in bundle/configs or configs under {root.name}; run from a complete checkout.")


def assemble(config: Path | None, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Merge a user's config and settings into one complete training config.

    Args:
        config: a complete config, an overlay on ``train.yaml``, or None for ``train.yaml`` alone.
        settings: ids and values that win over the config, e.g. ``{"max_epochs": 10}``.

    Returns:
        The merged config, references and expressions as text.

    Raises:
        UsageError: the file cannot be read, or a key is unknown (the message names the nearest known one).
    """
    from scripts.bundle_config import load_config, read_config, target_faults

    base = with_optional_settings(read_config(configs_dir() / "train.yaml"))
    overlays: list[dict[str, Any]] = []
    if config is not None:
        given = read_config(config)
        if is_complete(given):
            stray = unused_keys(given, base)
            if stray:
                raise UsageError(f"{config.name} sets what nothing in it uses: {_with_hints(stray, base)}.")
            base = with_optional_settings(given)
        else:
            overlays.append(translate(given, base))
    overlays.append(translate(settings, base))
    merged = load_config(base, overlays)
    faults = target_faults(merged)
    if faults:
        raise UsageError(f"the config cannot be built: {'; '.join(faults)}.")
    return merged


def with_optional_settings(base: Mapping[str, Any]) -> dict[str, Any]:
    """The config with every setting of the network that may be named, at its own default where unsaid."""
    config = dict(base)
    network = config.get("network_def")
    if isinstance(network, Mapping) and network.get("_target_") == "scripts.networks.CrossContrastNet":
        config["network_def"] = {**network, **{k: v for k, v in OPTIONAL_SETTINGS.items() if k not in network}}
    return config


def is_complete(config: Mapping[str, Any]) -> bool:
    """Whether a config runs alone: it has a trainer and says how to run."""
    trainer = config.get("train")
    return isinstance(trainer, Mapping) and "trainer" in trainer and ("training" in config or "run" in config)


def unused_keys(config: Mapping[str, Any], base: Mapping[str, Any]) -> list[str]:
    """Top-level keys of a complete config that neither ``train.yaml`` knows nor anything in the config refers to.

    MONAI would pass over them in silence, and a misspelt ``max_epochs`` would train with another number.
    """
    from scripts.bundle_config import texts_of

    texts = list(texts_of(config))
    return [
        key
        for key in config
        if key not in base and not any(re.search(rf"[@%](::|#)?{re.escape(key)}\b", text) for text in texts)
    ]


def translate(overlay: Mapping[str, Any], base: Mapping[str, Any]) -> dict[str, Any]:
    """Spell an overlay in MONAI's ids: ``a.b`` as ``a::b``, and the predecessor's settings as ours.

    The predecessor's mappings are taken leaf by leaf, so that ``loss_weights: {recon: 0.1}`` leaves the other weights.

    Args:
        overlay: keys and values as the user wrote them.
        base: the config to apply it on; where it has a predecessor's key at its top level, that key stays as it is.
    """
    found: dict[str, Any] = {}
    for key, value in overlay.items():
        config_id = _as_id(key)
        root, _, rest = config_id.partition("::")
        if root not in PREDECESSOR_KEYS:
            found[config_id] = value
            continue
        place = root if root in base else PREDECESSOR_KEYS[root]
        found |= _leaves(f"{place}::{rest}" if rest else place, value)
    return found


def parse_overrides(words: Sequence[str]) -> dict[str, Any]:
    """``KEY=VALUE`` words as a mapping; values are read as YAML: ``true``, ``1e-3``, ``[1, 2]``, text.

    Raises:
        UsageError: a word without ``=``, or a value that is no YAML.
    """
    import yaml

    found: dict[str, Any] = {}
    for word in words:
        key, sign, text = word.partition("=")
        if not sign or not key:
            raise UsageError(f"`{word}` is no setting; need KEY=VALUE, e.g. max_epochs=10.")
        try:
            value = yaml.safe_load(text)
        except yaml.YAMLError as error:
            raise UsageError(f"the value of `{key}` cannot be read as YAML: {text!r}; quote it.") from error
        if isinstance(value, str) and re.fullmatch(r"[+-]?\d+(\.\d*)?[eE][+-]?\d+", value):
            value = float(value)  # YAML 1.1 takes 1e-3 for a text
        found[key] = value
    return found


def run_training(config: Mapping[str, Any]) -> None:
    """Run the bundle's ``training`` on a merged config, see `run_bundle`."""
    run_bundle("training" if "training" in config else "run", config)


def run_bundle(run_id: str, config: Mapping[str, Any]) -> None:
    """Run a merged config of the bundle.

    Args:
        run_id: what to run, ``training`` or ``evaluating``.
        config: references and expressions as text.

    Raises:
        KneeSynthError: the refusal behind whatever MONAI raised, with its own exit code.
        OutOfMemory: the device ran out of memory.
    """
    import yaml
    from monai.bundle import run

    folder = configs_dir()
    complete = dict(config)
    if Path(str(complete.get("bundle_root", ""))).resolve() != folder.parent:
        complete["bundle_root"] = str(folder.parent)  # called from elsewhere than the repository root
    with tempfile.TemporaryDirectory(prefix="kneesynth-") as scratch:
        merged = Path(scratch) / "config.yaml"
        merged.write_text(yaml.safe_dump(complete, sort_keys=False), encoding="utf-8")
        try:
            with warnings.catch_warnings():
                warnings.filterwarnings("ignore", message="parsing config_file", category=UserWarning)
                run(
                    run_id=run_id,
                    config_file=str(merged),
                    meta_file=str(folder / "metadata.json"),
                    logging_file=str(folder / "logging.conf"),
                )
        except KeyboardInterrupt:
            typer.echo("kneesynth: interrupted; the epochs that were finished are kept: go on with --resume", err=True)
            raise typer.Exit(INTERRUPTED) from None
        except Exception as error:
            refusal = refusal_behind(error, run_id)
            if refusal is error:
                raise
            raise refusal from None


def refusal_behind(error: Exception, doing: str) -> Exception:
    """What an exception of a bundle run means to the user: our own refusal where one lies behind it, else itself.

    Args:
        error: what MONAI raised.
        doing: what was being done, e.g. ``training``.
    """
    import torch

    for cause in _causes(error):
        if isinstance(cause, KneeSynthError):
            return cause
        if isinstance(cause, ValueError) and _is_ours(cause):  # settings that contradict each other
            return UsageError(str(cause))
        if isinstance(cause, torch.OutOfMemoryError):
            return OutOfMemory(f"the GPU ran out of memory in {doing}; lower batch_size or crop size.")
    return error


def _causes(error: BaseException) -> Iterator[BaseException]:
    """An exception and what lies behind it: MONAI wraps whatever a component raises."""
    current: BaseException | None = error
    while current is not None:
        yield current
        current = current.__cause__ or current.__context__


def _is_ours(error: BaseException) -> bool:
    """Whether this package raised it: its messages are written for users, other libraries' may quote anything."""
    last = error.__traceback__
    while last is not None and last.tb_next is not None:
        last = last.tb_next
    return last is not None and str(last.tb_frame.f_globals.get("__name__", "")).startswith("scripts.")


def _as_id(key: Any) -> str:
    return str(key).replace("#", "::").replace(".", "::")


def _leaves(prefix: str, value: Any) -> dict[str, Any]:
    if not isinstance(value, Mapping) or not value or "_target_" in value:
        return {prefix: value}
    found: dict[str, Any] = {}
    for key, inner in value.items():
        found |= _leaves(f"{prefix}::{_as_id(key)}", inner)
    return found


def _with_hints(keys: Sequence[str], base: Mapping[str, Any]) -> str:
    words = []
    for key in keys:
        near = difflib.get_close_matches(key, list(base), n=1, cutoff=0.6)
        words.append(f"`{key}`" + (f" (did you mean `{near[0]}`?)" if near else ""))
    return ", ".join(words)
