# SPDX-License-Identifier: Apache-2.0
"""Orthanc plugin: a study that has become stable gets the series that it lacks, from kneesynth. See orthanc.md."""

from __future__ import annotations

import json
import queue
import subprocess
import tempfile
import threading
from pathlib import Path

import orthanc

DEFAULTS = {"Command": ["kneesynth"], "Arguments": ["--all", "--format", "dicom"]}
SETTINGS = DEFAULTS | json.loads(orthanc.GetConfiguration()).get("KneeSynth", {})

studies: queue.Queue[str] = queue.Queue()
seen: dict[str, frozenset[str]] = {}


def on_change(change: int, level: int, resource: str) -> None:
    """Orthanc waits for this, so a study is only put in line."""
    if change == orthanc.ChangeType.STABLE_STUDY:
        studies.put(resource)


def work() -> None:
    """One study at a time, for ever."""
    while True:
        study = studies.get()
        try:
            complete(study)
        except Exception as error:  # the next study is another one
            orthanc.LogWarning(f"kneesynth: study {study}: {type(error).__name__}")


def complete(study: str) -> None:
    """Synthesise from the acquired series of a study, and store what comes out."""
    acquired = frozenset(acquired_instances(study))
    if not acquired or seen.get(study) == acquired:  # it has become stable again by what was stored here
        return
    seen[study] = acquired
    with tempfile.TemporaryDirectory(prefix="kneesynth-") as folder:
        source, out = Path(folder, "in"), Path(folder, "out")
        source.mkdir()
        for number, instance in enumerate(sorted(acquired)):
            (source / f"{number:05d}.dcm").write_bytes(orthanc.RestApiGet(f"/instances/{instance}/file"))
        command = [*SETTINGS["Command"], "synthesize", source, "-o", out, *SETTINGS["Arguments"]]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            orthanc.LogWarning(f"kneesynth: study {study}: {done.returncode}: {done.stderr.strip().splitlines()[-1:]}")
            return
        for file in sorted(out.glob("*.dcm")):
            orthanc.RestApiPost("/instances", file.read_bytes())


def acquired_instances(study: str) -> list[str]:
    """Instances of the MR series of a study that no program has computed: what comes out never goes in again."""
    found = []
    for series in json.loads(orthanc.RestApiGet(f"/studies/{study}/series")):
        first = series["Instances"][0]
        computed = tag(first, "0008-0008").startswith("DERIVED") or tag(first, "0008-001c") == "YES"
        if series["MainDicomTags"].get("Modality") == "MR" and not computed:
            found += series["Instances"]
    return found


def tag(instance: str, number: str) -> str:
    """Text of an attribute; empty where it is absent."""
    try:
        text: bytes = orthanc.RestApiGet(f"/instances/{instance}/content/{number}")
        return text.decode(errors="replace").strip(" \0")
    except orthanc.OrthancException:
        return ""


threading.Thread(target=work, daemon=True).start()
orthanc.RegisterOnChangeCallback(on_change)
