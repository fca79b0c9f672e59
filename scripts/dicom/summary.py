# SPDX-License-Identifier: Apache-2.0
"""A drawn page as Secondary Capture image: a series of its own in the study that it is about."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from scripts.dicom import identity
from scripts.dicom.copying import keep_raw
from scripts.dicom.inherited import inherit
from scripts.dicom.instance import new_instance, set_pixels, set_window
from scripts.dicom.marking import (
    Provenance,
    ascii_only,
    fill_equipment,
    fill_marks,
    fill_times,
    series_description,
    series_number,
    source_image,
)
from scripts.dicom.values import quiet

if TYPE_CHECKING:
    from pydicom.dataset import Dataset


def derive_summary(
    source: Dataset,
    derived: Sequence[Dataset],
    picture: np.ndarray,
    contrast: str,
    provenance: Provenance,
    *,
    identified: bool,
) -> Dataset:
    """Make the instance that shows a page about a derived series.

    Its series is that of the derived one, so that a page of another day joins it; the instance follows the picture.

    Args:
        source: header of any image of the source, for patient and study, as `read_source` gives it.
        derived: what `derive_series` made of it.
        picture: uint8 (rows, columns), as it is to be seen.
        contrast: that was synthesised.
        provenance: what made the derived series.
        identified: whether the picture shows whom it is of.
    """
    with quiet():
        series_uid = identity.uid_from("summary series", derived[0].SeriesInstanceUID)
        uid = identity.uid_from(
            "summary image", series_uid, str(picture.shape), np.ascontiguousarray(picture).tobytes()
        )
        target = new_instance(uid, None, identity.SECONDARY_CAPTURE_STORAGE)
        inherit(source, target, ("BodyPartExamined", "Laterality"))
        target.Modality = "OT"
        target.ConversionType = "WSD"
        target.SeriesInstanceUID = series_uid
        target.SeriesNumber = series_number(source, 2)
        target.SeriesDescription = series_description(f"SYNTH {contrast} (AI) summary page")
        target.InstanceNumber = 1
        target.PatientOrientation = None
        fill_times(source, target, provenance.created)
        fill_marks(target, contrast, ("DERIVED", "SECONDARY", "OTHER", "SYNTHETIC"))
        target.DerivationDescription = ascii_only(
            f"Page about the {contrast} series synthesised by {provenance.model_name} {provenance.model_version}. "
            "Research use only; not a medical device; not for diagnosis."
        )
        target.BurnedInAnnotation = "YES" if identified else "NO"
        target.SourceImageSequence = [source_image(instance, same_place=False) for instance in derived]
        fill_equipment(source, target, provenance)
        set_pixels(target, picture)
        set_window(target, 128, 256)
        keep_raw(source, target)
        return target
