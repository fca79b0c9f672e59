# SPDX-License-Identifier: Apache-2.0
import numpy as np
import pytest

from scripts.report.windows import DEFAULT, PRESETS, Window, fixed_window


def test_ends_are_black_and_white_and_the_level_is_mid_grey():
    window = Window(0.2, 0.6)
    grey = window.apply(np.array([-1.0, 0.2, window.level, 0.6, 7.0]))
    assert grey.dtype == np.uint8
    np.testing.assert_array_equal(grey, [0, 0, 128, 255, 255])


def test_grey_never_falls_as_the_value_rises():
    grey = fixed_window("PD").apply(np.linspace(-0.5, 2, 2001)).astype(int)
    assert (np.diff(grey) >= 0).all()
    assert set(range(256)) == set(grey)


def test_every_contrast_has_the_same_presets_that_keep_zero_black():
    names = {tuple(presets) for presets in PRESETS.values()}
    assert len(names) == 1
    assert DEFAULT in next(iter(names))
    assert all(window.lower == 0 for presets in PRESETS.values() for window in presets.values())


def test_narrow_lies_within_fixed_within_wide():
    for presets in PRESETS.values():
        assert presets["narrow"].width < presets["fixed"].width < presets["wide"].width


def test_other_contrasts_are_refused_with_the_known_ones():
    with pytest.raises(ValueError, match=r"T2.*need one of PD, PDFS"):
        fixed_window("T2")


def test_an_empty_window_is_refused():
    with pytest.raises(ValueError, match="need an upper end above"):
        Window(1.0, 1.0)
