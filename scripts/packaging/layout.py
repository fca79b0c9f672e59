# SPDX-License-Identifier: Apache-2.0
"""Where the parts of the bundle lie: in a checkout they stand apart, in a package they stand together."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from scripts.errors import UsageError


@dataclass(frozen=True)
class Layout:
    """Folders that a package is made from.

    Args:
        bundle: holds ``configs``, ``docs`` and ``models``.
        root: holds ``scripts`` and ``LICENSE``; what ``scripts.`` is imported from.
    """

    bundle: Path
    root: Path

    @property
    def configs(self) -> Path:
        """Folder of the configs and of ``metadata.json``."""
        return self.bundle / "configs"

    @property
    def docs(self) -> Path:
        """Folder of the model card and of what it links to."""
        return self.bundle / "docs"

    @property
    def weights(self) -> Path:
        """The bundle's own weights."""
        return self.bundle / "models" / "model.pt"

    @property
    def packed(self) -> bool:
        """Whether this is a package already, whose configs and docs are as they must be."""
        return self.bundle == self.root


def find_layout() -> Layout:
    """The layout that this code belongs to.

    Raises:
        UsageError: neither a checkout nor a package.
    """
    root = Path(__file__).resolve().parents[2]
    for bundle in (root, root / "bundle"):
        if (bundle / "configs" / "metadata.json").is_file():
            return Layout(bundle, root)
    raise UsageError(f"no configs/metadata.json in {root.name} or its bundle folder; need a checkout or a package.")
