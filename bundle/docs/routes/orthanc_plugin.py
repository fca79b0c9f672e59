# SPDX-License-Identifier: Apache-2.0
"""Orthanc plugin: a study that has become stable gets the series that it lacks, from kneesynth. See orthanc.md."""

from __future__ import annotations

import hashlib
import json
import queue
import shutil
import subprocess
import tempfile
import threading
from pathlib import Path

import orthanc

DEFAULTS = {"Command": ["kneesynth"], "Arguments": ["--all", "--format", "dicom"], "TimeoutSeconds": 3600}
SETTINGS = DEFAULTS | json.loads(orthanc.GetConfiguration()).get("KneeSynth", {})
TEMPORARY = "kneesynth-orthanc-"
FINAL = (0, 2, 3, 4, 5, 6, 7)  # exit codes that another attempt at the same study would end with too

studies: queue.Queue[str] = queue.Queue()
done_with: dict[str, bytes] = {}


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
            orthanc.LogWarning(f"kneesynth: study {study}: {type(error).__name__}; it is tried again when it changes")


def complete(study: str) -> None:
    """Synthesise from the acquired series of a study, and store what comes out."""
    acquired = sorted(acquired_instances(study))
    state = hashlib.sha256(" ".join(acquired).encode()).digest()
    if not acquired or done_with.get(study) == state:  # it has become stable again by what was stored here
        return
    with tempfile.TemporaryDirectory(prefix=TEMPORARY) as folder:
        source, out = Path(folder, "in"), Path(folder, "out")
        source.mkdir()
        for number, instance in enumerate(acquired):
            (source / f"{number:05d}.dcm").write_bytes(orthanc.RestApiGet(f"/instances/{instance}/file"))
        command = [*SETTINGS["Command"], "synthesize", source, "-o", out, *SETTINGS["Arguments"]]
        done = subprocess.run(
            command, capture_output=True, text=True, check=False, timeout=SETTINGS["TimeoutSeconds"]
        )  # fmt: skip
        if done.returncode:
            orthanc.LogWarning(f"kneesynth: study {study}: {done.returncode}: {done.stderr.strip().splitlines()[-1:]}")
        else:
            store(sorted(out.glob("*.dcm")))
    if done.returncode in FINAL:
        done_with[study] = state


def store(files: list[Path]) -> None:
    """Store all files or none: half a series would pass for a whole one."""
    new = []
    try:
        for file in files:
            answer = json.loads(orthanc.RestApiPost("/instances", file.read_bytes()))
            if answer["Status"] == "Success":  # not one that was there already
                new.append(answer["ID"])
    except Exception:
        for instance in new:
            orthanc.RestApiDelete(f"/instances/{instance}")
        raise


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


for left in Path(tempfile.gettempdir()).glob(f"{TEMPORARY}*"):  # by an Orthanc that was stopped meanwhile
    shutil.rmtree(left, ignore_errors=True)
if shutil.which(SETTINGS["Command"][0]) is None:
    orthanc.LogError(f"kneesynth: {SETTINGS['Command'][0]}: no such program; correct KneeSynth.Command")
threading.Thread(target=work, daemon=True).start()
orthanc.RegisterOnChangeCallback(on_change)
