# SPDX-License-Identifier: Apache-2.0
"""What the inference workflow finds in a folder or a manifest."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import nibabel
import numpy as np
import pytest

from scripts.errors import GateError, SourceError, UsageError
from scripts.synthesis.cases import find_cases

Series = Callable[..., list[Path]]


def _nifti(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    nibabel.save(nibabel.Nifti1Image(np.ones((4, 4, 3), np.float32), np.eye(4)), path)
    return path


def test_folder_gives_one_case_per_study_and_volume_of_the_source_contrast(knee_series: Series, tmp_path: Path) -> None:
    data = tmp_path / "data"
    knee_series("data/study_a", acquired=True)
    for plane in ("coronal", "axial"):
        knee_series(f"data/study_b/{plane}", plane=plane, acquired=True, number=len(plane), seed=len(plane))
    for name in ("p1/PD", "p1/PDFS", "PD/x7", "PDFS/x7"):
        _nifti(data / f"{name}.nii.gz")
    names = set(find_cases(str(data), "PDFS").jobs)
    assert names == {"study_a", "study_b_1.1", "study_b_2.1", "p1/PD", "PD/x7"}
    with pytest.raises(GateError, match=r"study_a: stack 1\.1: its contrast is PD"):
        find_cases(str(data), "PD")


def test_a_site_file_says_what_names_mean_here_too(knee_series: Series, tmp_path: Path) -> None:
    knee_series("data/study", acquired=True, description="KN 3")
    (tmp_path / "site.toml").write_text('[series."KN 3"]\nignore = true\n')
    assert set(find_cases(str(tmp_path / "data"), "PDFS").jobs) == {"study"}
    with pytest.raises(GateError, match="study: "):
        find_cases(str(tmp_path / "data"), "PDFS", site=str(tmp_path / "site.toml"))


def test_each_case_has_the_verdicts_on_its_study(knee_series: Series, tmp_path: Path) -> None:
    knee_series("data/study/1", acquired=True)
    knee_series("data/study/2", plane="coronal", contrast="PDFS", number=2, seed=2, acquired=True)
    (verdicts,) = find_cases(str(tmp_path / "data"), "PDFS").found.values()
    assert [(one.stack, one.verdict) for one in verdicts] == [("1.1", "made"), ("2.1", "not a candidate")]


def test_simulated_studies_need_their_word(knee_series: Series, tmp_path: Path) -> None:
    knee_series("data/study")
    with pytest.raises(GateError, match="--accept-simulated"):
        find_cases(str(tmp_path / "data"), "PDFS")
    assert set(find_cases(str(tmp_path / "data"), "PDFS", accept_simulated=True).jobs) == {"study"}


def test_manifest_replaces_the_search(knee_series: Series, tmp_path: Path) -> None:
    files = knee_series("study", acquired=True)
    volume = _nifti(tmp_path / "a.nii.gz")
    entries = [
        {"image": "a.nii.gz"},
        {"image": str(files[0].parent), "name": "knee"},
        {"image": [str(f) for f in files], "name": "../../escape"},
    ]
    manifest = tmp_path / "manifest.json"
    for content in (entries, {"cases": entries}):
        manifest.write_text(json.dumps(content))
        cases = find_cases("unused", "PDFS", str(manifest))
        assert cases.jobs["case_1"].source == volume
        assert len(cases.jobs["knee"].loadable) == 10
        # A name becomes a folder below the output folder and nowhere else.
        (escape,) = [name for name in cases.jobs if "escape" in name]
        assert ".." not in Path(escape).parts and not Path(escape).is_absolute()


def test_missing_file_of_a_manifest_is_named_before_anything_runs(tmp_path: Path) -> None:
    _nifti(tmp_path / "a.nii.gz")
    (tmp_path / "manifest.json").write_text(json.dumps([{"image": "a.nii.gz"}, {"image": "b.nii.gz"}]))
    with pytest.raises(UsageError, match=r"case 2 names b\.nii\.gz, which is not there"):
        find_cases("unused", "PDFS", str(tmp_path / "manifest.json"))


@pytest.mark.parametrize("text", ["{", '{"cases": 3}', '["a.nii"]', '[{"picture": "a.nii"}]'])
def test_manifest_of_another_form_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "manifest.json").write_text(text)
    with pytest.raises(UsageError, match=r"manifest\.json"):
        find_cases("unused", "PDFS", str(tmp_path / "manifest.json"))


def test_missing_and_empty_folders_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no such folder"):
        find_cases(str(tmp_path / "nowhere"), "PDFS")
    with pytest.raises(SourceError, match="no PD series"):
        find_cases(str(tmp_path), "PDFS")
    with pytest.raises(UsageError, match="unknown"):
        find_cases(str(tmp_path), "T2")
