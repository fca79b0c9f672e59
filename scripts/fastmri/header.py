# SPDX-License-Identifier: Apache-2.0
"""The geometry that an ISMRMRD header states: pixel size and slice thickness of the reconstructed image.

Inati et al., Magn Reson Med 2017;77:411 (ISMRM raw data format). Of a fastMRI knee the readout is encoded over twice
the field of view and cropped; ``reconSpace`` describes the image that is left.
"""

from __future__ import annotations

import math
import xml.etree.ElementTree as ElementTree
from dataclasses import dataclass

LARGEST_HEADER = 1 << 20
"""Characters: published headers have some ten thousand."""
_NAMESPACE = "{http://www.ismrm.org/ISMRMRD}"


@dataclass(frozen=True)
class Space:
    """``encodedSpace`` or ``reconSpace`` of a header, along readout, phase encoding and slices.

    Args:
        matrix: samples.
        field_of_view: [mm]; of a slice in a 2-D acquisition the last is the thickness.
    """

    matrix: tuple[int, int, int]
    field_of_view: tuple[float, float, float]


@dataclass(frozen=True)
class Geometry:
    """What the header says of where samples lie.

    Args:
        encoded: as acquired, with oversampling.
        recon: of the image.
    """

    encoded: Space
    recon: Space

    @property
    def spacing(self) -> tuple[float, float, float]:
        """Between slices, rows and columns of the image [mm]; slices have no gap (Zbontar et al., arXiv:1811.08839)."""
        (rows, columns, _), (along, across, thickness) = self.recon.matrix, self.recon.field_of_view
        return thickness, along / rows, across / columns


def read_geometry(text: bytes | str) -> Geometry:
    """Read the first ``encoding`` of a header.

    Args:
        text: XML.

    Raises:
        ValueError: no such header, or sizes that no image has; the message says what.
    """
    text = text.decode("utf-8", "replace") if isinstance(text, bytes) else text
    if len(text) > LARGEST_HEADER or "<!DOCTYPE" in text or "<!ENTITY" in text:
        raise ValueError("ismrmrd_header is no plain header")
    try:
        root = ElementTree.fromstring(text.lstrip("\ufeff").encode())
    except ElementTree.ParseError as error:
        raise ValueError("ismrmrd_header is no XML") from error
    encoding = root.find(f"{_NAMESPACE}encoding")
    if encoding is None:
        raise ValueError("ismrmrd_header has no encoding")
    return Geometry(_space(encoding, "encodedSpace"), _space(encoding, "reconSpace"))


def _space(encoding: ElementTree.Element, name: str) -> Space:
    sizes = [_number(encoding, name, "matrixSize", axis) for axis in "xyz"]
    fields = [_number(encoding, name, "fieldOfView_mm", axis) for axis in "xyz"]
    if any(size != int(size) for size in sizes):
        raise ValueError(f"ismrmrd_header: matrixSize of {name} is no whole number")
    return Space((int(sizes[0]), int(sizes[1]), int(sizes[2])), (fields[0], fields[1], fields[2]))


def _number(encoding: ElementTree.Element, *path: str) -> float:
    found = encoding.find("/".join(_NAMESPACE + step for step in path))
    try:
        value = float(found.text or "") if found is not None else math.nan
    except ValueError:
        value = math.nan
    if not (math.isfinite(value) and value > 0):
        raise ValueError(f"ismrmrd_header: {'/'.join(path)} is missing or no size")
    return value
