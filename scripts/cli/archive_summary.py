# SPDX-License-Identifier: Apache-2.0
"""What a run over an archive did, in a few lines: the full record is its results file."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

_SHOWN = 20


def say_summary(report: dict[str, Any], out: Path) -> None:
    """Write counts and rate to stdout, and the series that were not made with their reasons."""
    if not report["done"] and not report["failures"]:
        sys.stdout.write(f"Nothing to do: all {report['finished_before']} series are finished in {out}\n")
        return
    rate = f" ({report['series_per_minute']:.1f} a minute, devices busy {100 * report['device_busy']:.0f} %)"
    before = f", {report['finished_before']} finished before" if report["finished_before"] else ""
    sys.stdout.write(f"{report['done']} series made{rate if report['done'] else ''}{before}, in {out}\n")
    for record in report["failures"][:_SHOWN]:
        attempts = f" after {record['attempt']} attempts" if record["attempt"] > 1 else ""
        sys.stdout.write(
            f"  {record['series']} (line {record['line']}), {record['status']}{attempts}: {record['error']}\n"
        )
    if len(report["failures"]) > _SHOWN:
        sys.stdout.write(f"  and {len(report['failures']) - _SHOWN} more in {report['results']}\n")
