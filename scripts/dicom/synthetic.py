# SPDX-License-Identifier: Apache-2.0
"""Signs in a header that an image was computed by a model and not acquired, whoever made it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from scripts.dicom import identity
from scripts.dicom.values import text, texts, value_of

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

_WORD = re.compile(r"(?<![a-z])(?:synth|synthetic|synthesi[sz]ed|symri)(?![a-z])")
_SYNTHESIZING_EQUIPMENT = "109100"


def synthetic_sign(dataset: Dataset) -> str:
    """Say by what an image is known as synthetic, or give "".

    De-identification and older archives drop SyntheticData, so that its absence says nothing.
    """
    if text(dataset, "SyntheticData").upper() == "YES":
        return "SyntheticData is YES"
    if "SYNTHETIC" in (value.upper() for value in texts(dataset, "ImageType")):
        return "ImageType holds SYNTHETIC"
    if text(dataset, "Manufacturer") == identity.MANUFACTURER:
        return "its manufacturer is this project"
    for item in value_of(dataset, "ContributingEquipmentSequence") or ():
        for code in value_of(item, "PurposeOfReferenceCodeSequence") or ():
            if (text(code, "CodeValue"), text(code, "CodingSchemeDesignator")) == (_SYNTHESIZING_EQUIPMENT, "DCM"):
                return "ContributingEquipmentSequence names synthesizing equipment"
    word = _WORD.search(text(dataset, "SeriesDescription").lower())
    return f'the description says "{word.group()}"' if word else ""
