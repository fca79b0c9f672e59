# SPDX-License-Identifier: Apache-2.0
"""A run's weights in the place of the bundle's own, for a server that answers with those."""

from __future__ import annotations

import hashlib
import json
import logging
from pathlib import Path

from ignite.engine import Engine, Events

from scripts.handlers.checkpoint import MODEL
from scripts.handlers.files import write_atomically, write_text_atomically
from scripts.processes import is_first_rank

logger = logging.getLogger(__name__)


class PublishWeights:
    """When training ends, put its ``model.pt`` in the place of the bundle's and its hash into the metadata.

    The former weights stay beside it as ``model_before_<run>.pt``. A run that is killed changes nothing. First rank
    only; list it after `scripts.handlers.checkpoint.ResumableCheckpoint`.

    Args:
        run_dir: folder of the run.
        bundle_root: bundle folder.
    """

    def __init__(self, run_dir: str, bundle_root: str) -> None:
        self.run_dir, self.bundle_root = Path(run_dir), Path(bundle_root)

    def attach(self, engine: Engine) -> None:
        """Attach to the trainer ``engine``."""
        if is_first_rank():
            engine.add_event_handler(Events.COMPLETED, self._publish)

    def _publish(self) -> None:
        weights = (self.run_dir / MODEL).read_bytes()
        own = self.bundle_root / "models" / MODEL
        if own.is_file():
            former = own.read_bytes()
            kept = own.with_name(f"model_before_{self.run_dir.name}.pt")
            write_atomically(kept, lambda stream: stream.write(former))
            logger.info("the former weights are kept as %s", kept)
        write_atomically(own, lambda stream: stream.write(weights))
        path = self.bundle_root / "configs" / "metadata.json"
        metadata = json.loads(path.read_text(encoding="utf-8"))
        metadata["weights_sha256"] = hashlib.sha256(weights).hexdigest()
        write_text_atomically(path, json.dumps(metadata, indent=4, ensure_ascii=False) + "\n")
        logger.info("the weights of %s are the bundle's own now: %s", self.run_dir, own)
