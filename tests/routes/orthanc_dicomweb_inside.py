# SPDX-License-Identifier: Apache-2.0
"""Source and result by STOW-RS to Orthanc, found by QIDO-RS, back by WADO-RS; `test_orthanc_route` runs this."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pydicom

from tests.orthanc import DICOM_WEB, ROOT, ask, serving

SERIES_UID, END_OF_HEAD = "0020000E", b"\r\n\r\n"


def stow(url: str, files: list[Path]) -> dict[str, list[object]]:
    """Store instances; gives the values of the answer's Referenced and Failed SOP Sequence."""
    mark = b"kneesynth-mark"
    parts = [b"--" + mark + b"\r\nContent-Type: application/dicom\r\n\r\n" + f.read_bytes() + b"\r\n" for f in files]
    kind = 'multipart/related; type="application/dicom"; boundary=kneesynth-mark'
    body = b"".join(parts) + b"--" + mark + b"--\r\n"
    answer = json.loads(ask(f"{url}/studies", body, Content_Type=kind, Accept="application/dicom+json"))
    return {name: answer.get(tag, {}).get("Value", []) for name, tag in (("good", "00081199"), ("bad", "00081198"))}


def frame(url: str) -> bytes:
    """Pixels of the first frame of an instance."""
    answer = ask(f"{url}/frames/1", Accept='multipart/related; type="application/octet-stream"')
    mark = answer.split(b"\r\n", 1)[0]
    return answer.partition(END_OF_HEAD)[2].partition(b"\r\n" + mark)[0]


def test_source_and_result_are_one_study_over_dicomweb(knee_exam: Path, kneesynth: list[str], tmp_path: Path) -> None:
    source, out = sorted((knee_exam / "PD_coronal").iterdir()), tmp_path / "out"
    subprocess.run([*kneesynth, "synthesize", source[0].parent, "-o", out, "--format", "dicom"], cwd=ROOT, check=True)
    result, page = sorted(out.glob("0*.dcm")), out / "summary.dcm"
    with serving(tmp_path, DICOM_WEB) as base:
        url = f"{base}/dicom-web"
        for files in (source, [*result, page]):
            stored = stow(url, files)
            assert (len(stored["good"]), stored["bad"]) == (len(files), [])
        first = pydicom.dcmread(result[0])
        study = f"{url}/studies/{first.StudyInstanceUID}"
        found = json.loads(ask(f"{study}/series", Accept="application/dicom+json"))
        uids = {series[SERIES_UID]["Value"][0] for series in found}
        assert uids == {pydicom.dcmread(file).SeriesInstanceUID for file in (source[0], result[0], page)}
        series = f"{study}/series/{first.SeriesInstanceUID}"
        for metadata in json.loads(ask(f"{series}/metadata", Accept="application/dicom+json")):
            assert metadata["0008001C"]["Value"] == ["YES"]
        for file in result:
            dataset = pydicom.dcmread(file)
            assert frame(f"{series}/instances/{dataset.SOPInstanceUID}") == dataset.PixelData
