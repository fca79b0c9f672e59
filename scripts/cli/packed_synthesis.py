# SPDX-License-Identifier: Apache-2.0
"""Synthesis by a package: its own code and weights, in a process of their own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scripts.errors import KneeSynthError
from scripts.packaging.trust import opened_package
from scripts.synthesis.audit import audited

if TYPE_CHECKING:
    from scripts.archive.run import ArchiveRequest
    from scripts.synthesis.planning import Request

# The package's folder comes before all others, the current one included: each bundle's code is called `scripts`.
_START = "import sys; sys.path.insert(0, sys.argv.pop(1)); from scripts.cli.app import main; sys.exit(main())"


def synthesize_packed(
    package: Path, expected: str | None, request: Request | ArchiveRequest, json_file: Path | None
) -> int:
    """Run ``synthesize`` of a trusted package.

    A network is its weights and the code around them, so the package's own code runs: same request, other program.

    Args:
        package: zip or folder.
        expected: its sha256; None leaves it to the allow list.
        request: what to synthesise.
        json_file: the report for machines, written by that program.

    Returns:
        Its exit code; it has said on stderr what it refused.

    Raises:
        KneeSynthError: the package is not there, altered, or vouched for by nobody; nothing of it was run.
    """
    # Of the audit's lines only that of a package which is not opened is ours to write; its program writes the others.
    with audited(request.audit, None, request.target), opened_package(package, expected) as folder:
        command = [sys.executable, "-B", "-c", _START, str(folder), "synthesize", *arguments_of(request, json_file)]
        code = subprocess.run(command, check=False).returncode
    return code if code >= 0 else KneeSynthError.exit_code  # ended by a signal


def arguments_of(request: Request | ArchiveRequest, json_file: Path | None) -> list[str]:
    """The command line that asks for the same."""
    from scripts.synthesis.planning import Request

    named: dict[str, Any] = {
        "--out": request.out,
        "--to": request.target,
        "--format": None if request.formats is None else ",".join(request.formats),
        "--device": request.device,
        "--site": request.site,
        "--plane": ",".join(request.only.planes) or None,
        "--match": request.only.match or None,
        "--json": json_file,
        "--audit": request.audit,
        "--gate": request.gate,
    }
    flags = {"--force": request.lift.force, "--accept-simulated": request.lift.simulated}
    # Named only where they differ from what a package does anyway: an older one does not know them.
    show = request.show
    flags |= {"--no-mark": not show.mark, "--no-summary": not show.summary, "--identifiers": show.identifiers}
    inputs: tuple[Path, ...] = ()
    if isinstance(request, Request):
        named |= {"--series": request.series, "--reference-dicom": request.reference_dicom}
        named |= {"--calibration": request.calibration}
        flags |= {"--all": request.all_series, "--uncertainty": request.uncertainty}
        inputs = request.inputs
    else:
        named |= {"--manifest": request.manifest, "--engine": request.engine, "--address": request.address}
        named |= {"--shard": request.shard, "--workers": request.workers, "--retries": request.retries}
        flags |= {"--all": True}
    words = [word for name, value in named.items() if value is not None for word in (name, str(value))]
    return [*words, *(name for name, given in flags.items() if given), *(["--", *map(str, inputs)] if inputs else [])]
