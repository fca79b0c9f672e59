# SPDX-License-Identifier: Apache-2.0
"""A study follows from its seed and its recorded parameters alone, and its parts mean what they say."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
import torch

from scripts.simulation.anatomy.structures import LABEL
from scripts.simulation.pathology.base import LesionParameters
from scripts.simulation.preset import load_preset
from scripts.simulation.scanner.coil import Coil
from scripts.simulation.scanner.field import Field
from scripts.simulation.scanner.ghosts import Ghosts
from scripts.simulation.scanner.motion import Motion
from scripts.simulation.scanner.noise import Noise
from scripts.simulation.scanner.scan import Environment
from scripts.simulation.scanner.vendor import Vendor
from scripts.simulation.signal import nominal_pulse
from scripts.simulation.study import (
    Study,
    StudyParameters,
    draw_study,
    map_study,
    simulate_study,
    without_lesions,
)

SHAPE = (3, 48, 48)


def drawn(seed: int = 7, **options: Any) -> StudyParameters:
    return draw_study(seed, **{"plane": "sagittal", "shape": SHAPE} | options)


def plain(parameters: StudyParameters, snr: float = 20.0) -> StudyParameters:
    """Both scans on one grid, with one readout, without artefacts: noise is what is left between clean and noisy."""
    scanner = parameters.scanner
    pd = replace(scanner.pd, noise=Noise(snr), ghosts=Ghosts(), vendor=Vendor())
    pdfs = replace(pd, suppression=scanner.pdfs.suppression, motion=Motion())
    around = Environment(parameters.field_strength, Coil(), Field())
    return replace(parameters, scanner=replace(scanner, environment=around, pd=pd, pdfs=pdfs))


def as_json(parameters: StudyParameters) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(json.dumps(parameters.as_dict()))
    return content


def same(a: Study, b: Study) -> bool:
    return all(torch.equal(getattr(a, name), getattr(b, name)) for name in ("noisy", "clean", "labels", "lesion"))


@pytest.mark.parametrize("preset", ["clinical", "randomised"])
def test_recorded_parameters_go_through_json_to_the_last_bit(preset: str) -> None:
    for seed in range(12):
        parameters = draw_study(seed, preset, shape=SHAPE)
        assert StudyParameters.from_dict(as_json(parameters)) == parameters


def test_a_record_gives_the_same_voxels_and_so_does_any_number_of_workers() -> None:
    parameters = drawn()
    study = simulate_study(parameters)
    assert same(study, simulate_study(StudyParameters.from_dict(as_json(parameters)), workers=3))
    assert not same(study, simulate_study(drawn(8)))


def test_shares_at_random_positions_do_not_hear_the_global_generator() -> None:
    torch.manual_seed(1)
    before = torch.get_rng_state()
    simulate_study(drawn(), sub_slices=1)
    assert torch.equal(before, torch.get_rng_state())


def test_what_is_asked_for_changes_nothing_else() -> None:
    free, asked = draw_study(11, shape=SHAPE), draw_study(11, plane="axial", shape=SHAPE, pathology={"oedema": 1.0})
    assert asked.stack.plane == "axial"
    assert asked.anatomy == free.anatomy
    assert asked.scanner == free.scanner
    assert [one for one in asked.lesions if one.name != "oedema"] == [
        one for one in free.lesions if one.name != "oedema"
    ]
    assert any(one.name == "oedema" for one in asked.lesions)


def test_a_chance_of_pathology_is_met_and_none_or_certain_are_exact() -> None:
    def share(chance: float, count: int) -> float:
        found = [draw_study(seed, preset, shape=SHAPE, pathology={"baker_cyst": chance}) for seed in range(count)]
        return sum(any(one.name == "baker_cyst" for one in study.lesions) for study in found) / count

    preset = load_preset("clinical")
    assert share(0.0, 25) == 0.0
    assert share(1.0, 25) == 1.0
    assert share(0.6, 150) == pytest.approx(0.6, abs=0.12)


def test_noise_is_the_stated_one_and_clean_is_its_truth() -> None:
    parameters = plain(draw_study(9, plane="sagittal", shape=(4, 96, 96)), snr=12.0)
    parameters = replace(parameters, stack=replace(parameters.stack, spacing=(4.0, 2.4, 2.4)))  # with air around
    scanner = parameters.scanner  # the truth is suppressed by the nominal pulse
    pdfs = replace(scanner.pdfs, suppression=nominal_pulse(parameters.field_strength))
    parameters = replace(parameters, scanner=replace(scanner, pdfs=pdfs))
    study = simulate_study(parameters, sub_slices=1)
    for clean, noisy, sigma in zip(study.clean, study.noisy, study.sigma, strict=True):
        air, bright = clean < 1.5 * sigma, clean > 6 * sigma
        assert min(int(air.sum()), int(bright.sum())) > 1000
        # Without signal a magnitude is Rayleigh, its mean square 2 sigma^2; with much of it, Gaussian.
        excess = (noisy.square() - clean.square())[air].mean()
        assert float(excess) == pytest.approx(2 * sigma**2, rel=0.08)
        error = (noisy - clean)[bright]
        assert float(error.std()) == pytest.approx(sigma, rel=0.05)
        assert abs(float(error.mean())) < 0.1 * sigma


def test_the_clean_target_lies_where_the_other_scan_lies() -> None:
    parameters = plain(drawn(5), snr=500.0)
    moved = replace(parameters.scanner.pdfs, motion=Motion((0.0, 5.0)))
    shifted = simulate_study(replace(parameters, scanner=replace(parameters.scanner, pdfs=moved)), sub_slices=1)
    still = simulate_study(parameters, sub_slices=1)
    inner = slice(10, -10)
    # PDFS was scanned five pixels further; its target is where PD is, and PD's target is where PDFS is.
    torch.testing.assert_close(shifted.clean[1], still.clean[1])
    torch.testing.assert_close(
        shifted.clean[0].roll(-5, -1)[..., inner], still.clean[0][..., inner], atol=0.02, rtol=0.02
    )
    torch.testing.assert_close(
        shifted.noisy[1].roll(-5, -1)[..., inner], still.noisy[1][..., inner], atol=0.03, rtol=0.05
    )


def test_motion_through_the_plane_moves_the_scan_and_not_its_target() -> None:
    parameters = plain(drawn(5), snr=500.0)
    between = parameters.stack.spacing[0]
    far = replace(parameters.scanner.pdfs, motion=Motion(through_plane=between))
    moved = simulate_study(replace(parameters, scanner=replace(parameters.scanner, pdfs=far)), sub_slices=1)
    still = simulate_study(parameters, sub_slices=1)
    torch.testing.assert_close(moved.clean[1], still.clean[1])
    # A knee that moved by one slice along the normal shows in slice 1 what was in slice 0.
    torch.testing.assert_close(moved.clean[0][1:], still.clean[0][:-1], atol=1e-3, rtol=1e-3)
    assert float((moved.clean[0] - still.clean[0]).abs().mean()) > 0.01


def test_suppression_takes_fat_and_leaves_water() -> None:
    study = simulate_study(plain(draw_study(9, plane="sagittal", shape=(3, 96, 96), field_strength=3.0)), sub_slices=1)
    fat, muscle = (study.labels == LABEL[name] for name in ("subcutaneous_fat", "muscle"))
    before, after = (float(volume[fat].mean() / volume[muscle].mean()) for volume in study.clean)
    assert before > 1.5
    assert after < 0.8


def test_a_lesion_changes_nothing_where_it_is_not() -> None:
    parameters = replace(drawn(3, plane="axial", shape=(11, 64, 64)), lesions=())
    sick = replace(parameters, lesions=(LesionParameters("baker_cyst", "popliteal", 16.0, 1.0, 1),))
    assert without_lesions(sick) == parameters
    before, after = simulate_study(parameters, sub_slices=1), simulate_study(sick, sub_slices=1)
    touched = after.lesion.flatten(1).amax(1) > 0
    assert 0 < int(touched.sum()) < 11
    assert torch.equal(after.noisy[:, ~touched], before.noisy[:, ~touched])
    inside = after.lesion > 0.9
    assert int(inside.sum()) > 10
    assert float((after.clean[1] - before.clean[1])[inside].mean()) > 0.1  # fluid in place of suppressed fat
    assert torch.equal(after.labels[~(after.lesion > 0)], before.labels[~(after.lesion > 0)])


def test_quantities_are_those_of_the_tissues() -> None:
    study = simulate_study(drawn(6), sub_slices=1)
    maps, table = study.quantities(), {one.name: one for one in study.parameters.tissues}
    assert set(maps) == {"proton_density", "t1", "t2", "fat_fraction"}
    assert all(volume.shape == SHAPE for volume in maps.values())
    assert 0 <= float(maps["fat_fraction"].min()) and float(maps["fat_fraction"].max()) <= 1 + 1e-6
    fluid = study.maps.dense(slice(None))[list(table).index("fluid")] == 1
    assert bool(fluid.any())
    torch.testing.assert_close(maps["t2"][fluid], torch.full((int(fluid.sum()),), table["fluid"].t2))
    air = study.labels == 0
    assert float(maps["proton_density"][air].mean()) < 0.05


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"plane": "oblique"}, "choose one of sagittal, coronal, axial"),
        ({"shape": (0, 64, 64)}, "cannot be scanned"),
        ({"shape": (4, 8, 64)}, "cannot be scanned"),
        ({"field_strength": 7.0}, "need 1.5 or 3 T"),
        ({"pathology": {"gout": 0.5}}, "Pathology 'gout' is unknown; choose one of .*oedema"),
        ({"pathology": {"oedema": 1.5}}, "need 0 to 1"),
        ({"preset": "nightmare"}, "choose one of .*clinical"),
        ({"preset": {"base": "clinical", "knees": {}}}, "unknown key 'knees'"),
        ({"preset": {"base": "clinical", "scanner": {"pd": {"echo": 1}}}}, "scanner/pd has an unknown key 'echo'"),
        ({"preset": {"base": "clinical", "tissues": {"only": {"bone": {}}}}}, "Tissue 'bone' is unknown"),
        ({"preset": {"base": "clinical", "tissues": {"only": {"fluid": {"t3": 1}}}}}, "fluid has no 't3'"),
        ({"preset": {"base": "clinical", "scanner": {"pd": {"echo_time": 5.0}}}}, "TE 5 s is not shorter than TR"),
        ({"preset": {"base": "clinical", "geometry": {"stack": {"thickness": -3.0}}}}, "need sizes above zero"),
        ({"preset": {"geometry": {}}}, "lacks knee, lesions"),
        ({"seed": -1}, "Seed -1 cannot be used"),
    ],
)
def test_what_cannot_be_is_refused_with_the_way_out(options: dict[str, Any], text: str) -> None:
    with pytest.raises(ValueError, match=text):
        draw_study(**{"seed": 0, "shape": SHAPE} | options)


@pytest.mark.parametrize(
    ("path", "value", "text"),
    [
        (("scanner", "pd", "sequence", "echo_time"), 9.0, "is not shorter than TR"),
        (("scanner", "pdfs", "noise", "snr"), 0.0, "SNR above zero"),
        (("stack", "spacing"), [3.0, -0.5, 0.5], "need sizes above zero"),
        (("tissues", 2, "name"), "bone", "Tissue 'bone' is unknown"),
        (("tissues", 2, "t2"), 0.0, "need relaxation times above zero"),
        (("stack", "plane"), 3, "StudyParameters.stack.plane is 3; need a text"),
    ],
)
def test_an_impossible_record_is_refused(path: tuple[Any, ...], value: object, text: str) -> None:
    content = as_json(drawn())
    inner: Any = content
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = value
    with pytest.raises(ValueError, match=text):
        StudyParameters.from_dict(content)


def test_a_field_of_view_that_misses_the_knee_is_refused() -> None:
    parameters = drawn()
    away = replace(parameters, stack=replace(parameters.stack, centre=(400.0, 0.0, 0.0)))
    with pytest.raises(ValueError, match=r"around \(400, 0, 0\) mm misses the knee"):
        map_study(away, sub_slices=1)


def test_a_preset_that_builds_on_itself_is_refused(tmp_path: Any) -> None:
    path = tmp_path / "loop.yaml"
    path.write_text(f"base: {path}\n")
    with pytest.raises(ValueError, match="builds on itself"):
        load_preset(path)
