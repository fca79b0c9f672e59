# SPDX-License-Identifier: Apache-2.0
"""What a client of MONAI Label gets: the bundle's own synthesis on the source's grid, or the reason why not."""

from __future__ import annotations

import importlib.util
import json
import shutil
import sys
import types
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest

from scripts.synthesis.planning import Request
from scripts.synthesis.run import synthesize
from scripts.synthesis.selection import Lift

pytestmark = pytest.mark.label
SLICER_SCRIPT = Path(__file__).resolve().parents[2] / "bundle" / "docs" / "slicer" / "synth_volume.py"
# Of 1000. Both environments have the same torch, so the synthesis is the same to the last bit on one machine.
TOLERANCE = 0.01


@pytest.fixture(scope="module")
def label(start: Any, datastore: Path) -> Any:
    return start(datastore)


def read(answer: tuple[int, bytes], folder: Path, name: str = "answer.nii.gz") -> nibabel.Nifti1Image:
    status, body = answer
    assert status == 200, body
    (folder / name).write_bytes(body)
    return nibabel.load(folder / name)


def own(source: Path, target: str, out: Path) -> np.ndarray:
    synthesize(Request((source,), out, target, lift=Lift(simulated=True)))
    return nibabel.load(out / f"{target}.nii.gz").get_fdata()


@pytest.mark.parametrize(("source", "target"), [("PD", "PDFS"), ("PDFS", "PD")])
def test_both_directions_are_the_bundles_own_on_the_sources_grid(
    label: Any, knees: list[Path], tmp_path: Path, source: str, target: str
) -> None:
    made = read(label.infer(f"{source}_scan", target_contrast=target), tmp_path)
    path = knees[0] / f"{source}.nii.gz"
    given = nibabel.load(path)
    assert made.get_data_dtype() == np.float32 and made.shape == given.shape
    np.testing.assert_allclose(made.affine, given.affine, rtol=0, atol=1e-4)
    np.testing.assert_allclose(made.get_fdata(), own(path, target, tmp_path / "own"), rtol=0, atol=TOLERANCE)


def test_the_direction_is_the_requests(label: Any, tmp_path: Path) -> None:
    made = [
        read(label.infer("PD_scan", target_contrast=name), tmp_path, f"{name}.nii.gz").get_fdata()
        for name in ("PDFS", "PD")
    ]
    unasked = read(label.infer("PD_scan"), tmp_path, "unasked.nii.gz").get_fdata()
    assert np.abs(made[0] - made[1]).mean() > 10
    np.testing.assert_array_equal(unasked, made[0])


def test_a_file_may_be_sent(label: Any, knees: list[Path], tmp_path: Path) -> None:
    sent = label.infer(upload=knees[0] / "PD.nii.gz", target_contrast="PDFS")
    stored = label.infer("PD_scan", target_contrast="PDFS")
    np.testing.assert_array_equal(
        read(sent, tmp_path, "sent.nii.gz").get_fdata(), read(stored, tmp_path, "stored.nii.gz").get_fdata()
    )


@pytest.mark.parametrize("compressed", [False, True], ids=["plain", "jpeg 2000"])
def test_a_dicom_folder_on_the_server_is_read_as_the_command_line_reads_it(
    label: Any, knees: list[Path], tmp_path: Path, compressed: bool
) -> None:
    series = knees[0] / "dicom" / "02"
    if compressed:
        series = compress(series, tmp_path / "compressed")
    made = read(label.infer(series, target_contrast="PDFS", result_extension=".nii.gz"), tmp_path)
    synthesize(Request((series,), tmp_path / "own", "PDFS", formats=("nifti",), lift=Lift(True, True)))
    expected = nibabel.load(tmp_path / "own" / "PDFS.nii.gz")
    np.testing.assert_allclose(made.affine, expected.affine, rtol=0, atol=1e-4)
    np.testing.assert_allclose(made.get_fdata(), expected.get_fdata(), rtol=0, atol=TOLERANCE)


def compress(series: Path, out: Path) -> Path:
    import pydicom
    from pydicom.uid import JPEG2000Lossless

    out.mkdir()
    for file in series.iterdir():
        dataset = pydicom.dcmread(file)
        dataset.compress(JPEG2000Lossless, generate_instance_uid=False)
        dataset.save_as(out / file.name)
    return out


def test_what_is_doubtful_comes_with_the_image(label: Any) -> None:
    status, body = label.infer("PD_scan", output="json", target_contrast="PDFS")
    said = json.loads(body)
    assert status == 200
    assert (said["source_contrast"], said["target_contrast"]) == ("PD", "PDFS")
    assert "pixels are" in said["warnings"], "the small study has coarse pixels"
    assert "Research use only" in said["notice"]


@pytest.mark.parametrize(
    ("params", "said"),
    [
        ({"target_contrast": "T2"}, "target_contrast 'T2': unknown; need PD or PDFS"),
        ({"target_contrast": None}, "target_contrast None: unknown"),
        ({"target": "PD"}, "parameter target: unknown; need target_contrast"),
    ],
    ids=["contrast", "nothing", "misnamed"],
)
def test_a_wrong_parameter_is_refused_in_words(label: Any, params: dict[str, Any], said: str) -> None:
    status, body = label.infer("PD_scan", **params)
    assert status == 422
    assert said in json.loads(body)["detail"]


def test_a_wrong_image_is_refused_in_words(label: Any, knees: list[Path], tmp_path: Path) -> None:
    scan = nibabel.load(knees[0] / "PD.nii.gz")
    like_ct = tmp_path / "ct.nii.gz"
    nibabel.save(nibabel.Nifti1Image(scan.get_fdata() - 0.5 * scan.get_fdata().max(), scan.affine), like_ct)
    constant = tmp_path / "constant.nii.gz"
    nibabel.save(nibabel.Nifti1Image(np.full(scan.shape, 7.0), scan.affine), constant)
    holed = tmp_path / "nan.nii.gz"
    nibabel.save(nibabel.Nifti1Image(np.where(scan.get_fdata() > 1, scan.get_fdata(), np.nan), scan.affine), holed)
    asked = {
        "voxels are negative": label.infer(upload=like_ct),
        "1 different voxel values": label.infer(upload=constant),
        "NaN": label.infer(upload=holed),
        "mask or label map": label.infer(upload=knees[0] / "labels.nii.gz"),
        "headers say PDFS; need PD": label.infer(knees[0] / "dicom" / "03", result_extension=".nii.gz"),
        "3 stacks": label.infer(knees[0] / "dicom", result_extension=".nii.gz"),
        "no image of that name": label.infer("nobody"),
    }
    for said, (status, body) in asked.items():
        assert status == 422, (said, body)
        assert said in json.loads(body)["detail"]


def test_a_batch_lands_in_the_datastore(label: Any, datastore: Path, tmp_path: Path) -> None:
    request = {"images": ["PD_scan"], "target_contrast": "PDFS", "label_tag": "synth", "device": "cpu"}
    request |= {"multi_gpu": False, "max_workers": 1, "save_label": True}
    status, body = label.ask("POST", "/batch/infer/knee_pd_pdfs_synthesis", request, run_sync=True)
    assert status == 200, body
    saved = nibabel.load(datastore / "labels" / "synth" / "PD_scan.nii.gz")
    single = read(label.infer("PD_scan", target_contrast="PDFS"), tmp_path)
    assert saved.get_data_dtype() == np.float32
    np.testing.assert_array_equal(saved.get_fdata(), single.get_fdata())


# ---- the script for 3D Slicer, with as much of Slicer as it touches --------------------------------------------------


class Node:
    def __init__(self, path: Path, name: str) -> None:
        self.path, self.name, self.window = path, name, None

    def GetName(self) -> str:
        return self.name

    def GetDisplayNode(self) -> Node:
        return self

    def AutoWindowLevelOff(self) -> None:
        self.window = ()

    def SetWindowLevelMinMax(self, low: float, high: float) -> None:
        assert self.window == (), "Slicer would put its own window back"
        self.window = (low, high)


class Util:
    """`slicer.util`: what was shown, and nodes that are files."""

    def __init__(self, folder: Path, nodes: dict[str, Node]) -> None:
        self.folder, self.nodes, self.shown, self.layers = folder, nodes, [], {}

    def getNode(self, name: str) -> Node:
        return self.nodes[name]

    def saveNode(self, node: Node, path: str) -> bool:
        shutil.copy(node.path, path)
        return True

    def loadVolume(self, path: str, properties: dict[str, Any]) -> Node:
        assert set(properties) == {"name"}, "a scalar volume, no label map"
        return Node(Path(shutil.copy(path, self.folder / "loaded.nii.gz")), properties["name"])

    def setSliceViewerLayers(self, **layers: Any) -> None:
        self.layers = layers

    def errorDisplay(self, text: str) -> None:
        self.shown.append(("error", text))

    def warningDisplay(self, text: str) -> None:
        self.shown.append(("warning", text))

    def showStatusMessage(self, text: str) -> None:
        self.shown.append(("status", text))


@pytest.fixture
def slicer(knees: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    source = Node(knees[0] / "PD.nii.gz", "3: sag pd")
    view = types.SimpleNamespace(GetBackgroundLayer=lambda: types.SimpleNamespace(GetVolumeNode=lambda: source))
    manager = types.SimpleNamespace(sliceWidget=lambda name: types.SimpleNamespace(sliceLogic=lambda: view))
    stub = types.ModuleType("slicer")
    stub.util = Util(tmp_path, {"3: sag pd": source})
    stub.app = types.SimpleNamespace(layoutManager=lambda: manager)
    monkeypatch.setitem(sys.modules, "slicer", stub)
    return stub


@pytest.fixture
def synthesise(slicer: Any) -> Any:
    spec = importlib.util.spec_from_file_location("synth_volume", SLICER_SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.synthesise


@pytest.mark.parametrize("volume", [None, "3: sag pd"], ids=["shown", "named"])
def test_slicer_gets_a_scalar_volume_beside_its_own(
    label: Any, slicer: Any, synthesise: Any, tmp_path: Path, volume: str | None
) -> None:
    made = synthesise("PDFS", volume, label.url)
    assert made.name == "SYNTH PDFS of 3: sag pd" and made.window == (0, 1000)
    assert slicer.util.layers["foreground"] is made and slicer.util.layers["background"].name == "3: sag pd"
    expected = read(label.infer("PD_scan", target_contrast="PDFS"), tmp_path)
    loaded = nibabel.load(made.path)
    np.testing.assert_array_equal(loaded.get_fdata(), expected.get_fdata())
    np.testing.assert_allclose(loaded.affine, expected.affine, rtol=0, atol=1e-6)
    kinds = dict(slicer.util.shown)
    assert "pixels are" in kinds["warning"] and "Research use only" in kinds["status"]


def test_slicer_shows_why_it_was_refused(label: Any, slicer: Any, synthesise: Any) -> None:
    assert synthesise("T2", None, label.url) is None
    assert synthesise("PDFS", None, "http://127.0.0.1:9") is None
    assert [kind for kind, _ in slicer.util.shown] == ["error", "error"]
    assert "need PD or PDFS" in slicer.util.shown[0][1]


def test_the_script_for_slicer_needs_nothing_but_slicer_and_is_short() -> None:
    lines = SLICER_SCRIPT.read_text().splitlines()
    imported = {line.split()[1].partition(".")[0] for line in lines if line.startswith(("import ", "from "))}
    assert len(lines) <= 80
    assert imported <= sys.stdlib_module_names | {"slicer"}
