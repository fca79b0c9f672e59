# SPDX-License-Identifier: Apache-2.0
"""Exams that were paired already: kept beside the manifest, one file each, valid while files and settings stay."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from scripts.errors import OutputError
from scripts.handlers.files import remove_partials, write_text_atomically
from scripts.pairing.candidates import Exam
from scripts.pairing.settings import Settings


class Memory:
    """The folder of finished exams of one manifest.

    Args:
        manifest: file that is being made; the folder is ``<name>.exams`` beside it.
        settings: of the measurement.
    """

    def __init__(self, manifest: Path, settings: Settings) -> None:
        self.folder = manifest.with_name(f"{manifest.name}.exams")
        self._settings = settings.fingerprint()

    def open(self) -> None:
        """Make the folder, and clear what a killed run left in it.

        Raises:
            OutputError: it cannot be written.
        """
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            remove_partials(self.folder)
        except OSError as error:
            raise OutputError(
                f"{self.folder.name}: {error.strerror}; need a writable folder for the manifest; choose another"
            ) from error

    def key(self, exam: Exam) -> str:
        """What the result of an exam follows from: its files by name, size and time, and all settings."""
        digest = hashlib.sha256(self._settings.encode())
        for candidate in exam.candidates:
            facts = (candidate.contrast, candidate.plane, candidate.side, candidate.body_part, candidate.frame)
            digest.update("\0".join((*facts, str(candidate.problem))).encode())
            for name in candidate.files:
                path = Path(name)
                real = path if path.exists() else path.parents[1]  # a frame of an Enhanced file
                status = real.stat() if real.exists() else None
                stamp = "" if status is None else f"{status.st_size}:{status.st_mtime_ns}"
                digest.update(f"\0{name}\0{stamp}".encode())
        return digest.hexdigest()[:32]

    def recall(self, key: str) -> dict[str, Any] | None:
        """What was found about an exam, or None."""
        try:
            content: dict[str, Any] = json.loads((self.folder / f"{key}.json").read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None
        return content if {"pairs", "refused"} <= set(content) else None

    def keep(self, key: str, outcome: dict[str, Any]) -> None:
        """Write one down; whole or not at all."""
        try:
            write_text_atomically(self.folder / f"{key}.json", json.dumps(outcome))
        except OSError as error:
            raise OutputError(f"{self.folder.name}: {error.strerror}; need room for the results; make some") from error
