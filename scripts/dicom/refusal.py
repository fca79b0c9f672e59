# SPDX-License-Identifier: Apache-2.0
"""Why some headers are no stack that can be read as one volume."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from scripts.dicom import identity
from scripts.dicom.headers import Header
from scripts.dicom.pixels import MAX_BYTES
from scripts.errors import DecodeError, GateError, GeometryError

# Terms of PS3.3 C.7.3.1.1.1 that a message quotes; anything else may be anybody's text.
_MODALITIES = frozenset("CR CT DOC DX ES KO MG NM OT PR PT PX REG RF RTDOSE RTPLAN RTSTRUCT SC SEG SM SR US XA".split())


def refusal(group: Sequence[Header], geometry: str, damaged: int, lost: int) -> tuple[str, int]:
    """Give the reason why a group of headers is no usable stack, with its exit code; ("", 0) if it is one.

    Args:
        group: the headers.
        geometry: what is wrong with their geometry, or "".
        damaged: damaged files of their series.
        lost: damaged files beside it that do not say which series they are of.
    """
    first = group[0]
    if first.modality and first.modality != "MR":
        return f"not MR ({first.modality})" if first.modality in _MODALITIES else "not MR", GateError.exit_code
    if first.sop_class_uid and not first.enhanced and first.sop_class_uid != identity.MR_IMAGE_STORAGE:
        return "not MR images (another SOP class)", GateError.exit_code
    problems = Counter(header.problem for header in group if header.problem)
    if problems:
        problem, count = problems.most_common(1)[0]
        return f"cannot be decoded: {problem} ({count} of {len(group)} files)", DecodeError.exit_code
    if damaged:
        return f"cannot be decoded: {damaged} files of the series are damaged", DecodeError.exit_code
    if lost:
        return f"cannot be decoded: {lost} damaged files beside it may belong to it", DecodeError.exit_code
    if any(header.frames != 1 for header in group):
        return "a multi-frame file that is no Enhanced MR; convert it to classic MR images", DecodeError.exit_code
    if "MOSAIC" in first.facts.image_type:
        return "a mosaic of slices, not an MR image of one slice", GateError.exit_code
    if first.samples != 1 or first.photometric not in ("MONOCHROME1", "MONOCHROME2"):
        return "not a grey-scale MR image", GateError.exit_code
    if sum(header.decoded_bytes for header in group) > MAX_BYTES:
        return "cannot be decoded: the stack claims more than 2 GiB of pixels", DecodeError.exit_code
    return (geometry, GeometryError.exit_code) if geometry else ("", 0)
