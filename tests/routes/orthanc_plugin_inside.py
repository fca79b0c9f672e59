# SPDX-License-Identifier: Apache-2.0
"""A study comes to Orthanc, becomes stable, and is completed by the plugin; `test_orthanc_route` runs this."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.orthanc import PYTHON, ROOT, ask, serving, store

STABLE_SECONDS = 2


def wait_for(what: Callable[[], bool], seconds: float, log: Path) -> None:
    end = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end, log.read_text()[-3000:]
        time.sleep(0.5)


def test_a_stable_study_gets_one_derived_series_and_no_loop(
    knee_exam: Path, kneesynth: list[str], tmp_path: Path
) -> None:
    calls = tmp_path / "calls.txt"
    calls.write_text("")
    told = f'exec 9>> "{calls}"; echo start >&9; OMP_NUM_THREADS=1 "$@"; code=$?; echo $code >&9; exit $code'
    counted = ["sh", "-c", told, "sh", *kneesynth]
    late = sorted((knee_exam / "T2_sagittal").iterdir())
    early = [file for file in sorted(knee_exam.rglob("*.dcm")) if file not in late]
    settings = {"Command": counted, "Arguments": ["--all", "--plane", "coronal", "--format", "dicom"]}
    script = ROOT / "bundle" / "docs" / "routes" / "orthanc_plugin.py"
    config = {"PythonScript": str(script), "KneeSynth": settings, "StableAge": STABLE_SECONDS}
    with serving(tmp_path, PYTHON, **config) as url:
        log = tmp_path / "log.txt"

        def derived() -> list[dict[str, Any]]:
            found = json.loads(ask(f"{url}/series?expand"))
            tags = [s["MainDicomTags"] for s in found]
            ours = [t.get("SeriesDescription", "").startswith("SYNTH") and t["Modality"] == "MR" for t in tags]
            return [series for series, our in zip(found, ours, strict=True) if our]

        def stable() -> int:
            changes = json.loads(ask(f"{url}/changes?limit=10000"))["Changes"]
            return sum(change["ChangeType"] == "StableStudy" for change in changes)

        store(url, early)
        wait_for(lambda: bool(derived()) and len(derived()[0]["Instances"]) == 10, 120, log)
        # The study becomes stable once more by what was stored; that must come to nothing.
        wait_for(lambda: stable() >= 2, 60, log)
        time.sleep(2 * STABLE_SECONDS)
        assert calls.read_text().split() == ["start", "0"]
        (made,) = derived()
        assert ask(f"{url}/instances/{made['Instances'][0]}/content/0008-001c").startswith(b"YES")
        assert (
            len(json.loads(ask(f"{url}/studies"))) == 1 and len(json.loads(ask(f"{url}/series"))) == 7
        )  # with the summary page

        # A series that comes late is a new state of the study; what is there is made again as the same instances.
        store(url, late)
        wait_for(lambda: len(calls.read_text().split()) >= 4, 120, log)
        time.sleep(4 * STABLE_SECONDS)
        assert calls.read_text().split() == ["start", "0"] * 2
        assert [len(one["Instances"]) for one in derived()] == [10]
        assert "kneesynth: study" not in log.read_text()
