# SPDX-License-Identifier: Apache-2.0
"""What is done to one file: each a function that changes it in place, drawing from a generator."""

from __future__ import annotations

import random
import struct
from collections.abc import Callable

from tests.fuzz.elements import BIG_ENDIAN, ITEM, PIXEL_DATA, SEQUENCE_END, UNDEFINED, Element, File, flat
from tests.fuzz.values import LENGTHS, REPRESENTATIONS, hostile

# What reading and writing look at, so that most harm is done where it may matter; added where it is absent.
_LOOKED_AT = {
    b"US": (
        "Rows Columns BitsAllocated BitsStored HighBit PixelRepresentation SamplesPerPixel PlanarConfiguration "
        "SmallestImagePixelValue"
    ),
    b"IS": "NumberOfFrames SeriesNumber EchoNumbers InstanceNumber AcquisitionNumber EchoTrainLength",
    b"DS": (
        "PixelSpacing ImagePositionPatient ImageOrientationPatient SliceThickness SpacingBetweenSlices SliceLocation "
        "RescaleSlope RescaleIntercept EchoTime RepetitionTime InversionTime MagneticFieldStrength PatientWeight"
    ),
    b"UI": "SOPClassUID SOPInstanceUID StudyInstanceUID SeriesInstanceUID FrameOfReferenceUID ConcatenationUID",
    b"CS": (
        "SpecificCharacterSet ImageType Modality PhotometricInterpretation SyntheticData ScanOptions ScanningSequence "
        "SequenceVariant BodyPartExamined Laterality ImageLaterality LossyImageCompression BurnedInAnnotation"
    ),
    b"LO": "SeriesDescription ProtocolName StudyDescription PatientID Manufacturer ManufacturerModelName",
    b"SH": "SequenceName TimezoneOffsetFromUTC StudyID AccessionNumber",
    b"PN": "PatientName ReferringPhysicianName",
    b"DA": "StudyDate PatientBirthDate AcquisitionDate",
    b"TM": "StudyTime AcquisitionTime",
    b"SQ": (
        "ContributingEquipmentSequence AnatomicRegionSequence SharedFunctionalGroupsSequence "
        "PerFrameFunctionalGroupsSequence ContrastBolusAgentSequence DeidentificationMethodCodeSequence"
    ),
    b"OW": "PixelData ExtendedOffsetTable",
}
_LOOKED_AT_BY_NAME = tuple((name, vr) for vr, names in _LOOKED_AT.items() for name in names.split())
_NESTED_TAG = (0x0008, 0x1140)
Harm = Callable[[File, random.Random], None]


def looked_at_value(file: File, rng: random.Random) -> None:
    from pydicom.datadict import tag_for_keyword

    name, vr = rng.choice(_LOOKED_AT_BY_NAME)
    number = tag_for_keyword(name) or 0
    element = Element((number >> 16, number & 0xFFFF), vr, hostile(vr, file.syntax != BIG_ENDIAN, rng))
    for holder, at in flat(file.elements):  # an Enhanced file has most of them deep inside
        if holder[at].tag == element.tag:
            holder[at] = element
            return
    file.elements.append(element)
    file.elements.sort(key=lambda e: e.tag)


def any_value(file: File, rng: random.Random) -> None:
    element = _any(file, rng)
    element.value = hostile(element.vr, file.syntax != BIG_ENDIAN, rng)


def meta_value(file: File, rng: random.Random) -> None:
    if not file.meta:  # not a DICOM file
        return flipped_bits(file, rng)
    element = rng.choice([e for e in file.meta if e.tag == (2, 0x10)] * 4 + file.meta)
    element.value = hostile(element.vr, True, rng)


def representation(file: File, rng: random.Random) -> None:
    _any(file, rng).vr = rng.choice(REPRESENTATIONS)


def claimed_length(file: File, rng: random.Random) -> None:
    _any(file, rng).length = rng.choice(LENGTHS)


def element_twice(file: File, rng: random.Random) -> None:
    holder, place = _place(file, rng)
    holder.insert(rng.randrange(len(holder) + 1), holder[place])


def element_gone(file: File, rng: random.Random) -> None:
    holder, place = _place(file, rng)
    del holder[place]


def order_of_elements(file: File, rng: random.Random) -> None:
    rng.shuffle(file.elements)


def nested_deep(file: File, rng: random.Random) -> None:
    """Sequences within sequences, closed or not."""
    depth, order = rng.choice((3, 40, 300, 3000)), "<" if file.syntax != BIG_ENDIAN else ">"
    item = struct.pack(f"{order}HHI", *ITEM, UNDEFINED)
    tag = struct.pack(f"{order}HH", *_NESTED_TAG)
    opened = tag + b"SQ\0\0" + struct.pack(f"{order}I", UNDEFINED) + item
    file.elements.append(Element(_NESTED_TAG, b"SQ", item + opened * depth, length=UNDEFINED))
    file.elements.sort(key=lambda e: e.tag)


def items(file: File, rng: random.Random) -> None:
    """Fewer, more, or other items in a sequence."""
    sequences = [h[i] for h, i in flat(file.elements) if isinstance(h[i].value, list)]
    if not sequences:
        return any_value(file, rng)
    value = rng.choice(sequences).value
    assert isinstance(value, list)
    what = rng.randrange(4)
    if what == 0 or not value:
        value.append([])
    elif what == 1:
        del value[rng.randrange(len(value))]
    elif what == 2:
        value += [rng.choice(value)] * rng.choice((1, 5, 500))
    else:
        rng.shuffle(value)


def claimed_size(file: File, rng: random.Random) -> None:
    """A matrix or a number of frames that the pixels do not have."""
    numbers = {(0x28, 0x10): 32, (0x28, 0x11): 36, (0x28, 0x08): 6}
    for element in file.elements:
        if element.tag in numbers and rng.random() < 0.7:
            value = rng.choice((0, 1, 16, 31, 33, 64, 1024, 4096, 20000, 65535))
            order = "little" if file.syntax != BIG_ENDIAN else "big"
            text = str(rng.choice((value, 10**9, 200, 60))).encode()
            element.value = text if element.vr == b"IS" else value.to_bytes(2, order)  # type: ignore[arg-type]


def size_in_stream(file: File, rng: random.Random) -> None:
    """Other numbers in the first bytes of a compressed image: segments of RLE, sizes of JPEG."""
    place = _pixels(file)
    if place is None:
        return flipped_bits(file, rng)
    value = bytearray(bytes(file.elements[place].value))  # type: ignore[arg-type]
    start = 16 if len(value) > 16 else 0
    for _ in range(rng.choice((1, 1, 2, 4))):
        at = rng.randrange(start, min(start + 80, len(value))) if len(value) > start else 0
        value[at : at + 4] = rng.choice((b"\xff\xff\xff\xff", b"\0\0\0\0", b"\xff\xff", b"\x7f", rng.randbytes(4)))
    file.elements[place].value = bytes(value)


def fragments(file: File, rng: random.Random) -> None:
    """Other items around the same compressed pixels."""
    place = _pixels(file)
    if place is None:
        return any_value(file, rng)
    parts, value, at = [], bytes(file.elements[place].value), 0  # type: ignore[arg-type]
    while at + 8 <= len(value) and value[at : at + 4] == struct.pack("<HH", *ITEM):
        size = struct.unpack("<I", value[at + 4 : at + 8])[0]
        parts.append(value[at + 8 : at + 8 + size])
        at += 8 + size
    parts = parts or [b""]
    what = rng.randrange(8)
    if what == 0:
        parts[0] = b"".join(
            struct.pack("<I", rng.choice((0, 4, *LENGTHS))) for _ in range(rng.choice((1, 2, 6, 7, 900)))
        )
    elif what == 1:
        del parts[rng.randrange(len(parts))]
    elif what == 2:
        parts.insert(rng.randrange(len(parts) + 1), rng.choice((b"", b"\0\0", rng.randbytes(64), parts[-1])))
    elif what == 3:
        rng.shuffle(parts)
    elif what == 4:
        parts[1:] = [piece for part in parts[1:] for piece in (part[: len(part) // 4 * 2], part[len(part) // 4 * 2 :])]
    elif what == 5:
        parts[1:] = [part[: rng.randrange(len(part) + 1) // 2 * 2] for part in parts[1:]]
    encoded = [struct.pack("<HHI", *ITEM, len(part)) + part for part in parts]
    if what == 6:
        encoded[-1] = encoded[-1][:4] + struct.pack("<I", rng.choice(LENGTHS)) + encoded[-1][8:]
    end = b"" if what == 7 else struct.pack("<HHI", *SEQUENCE_END, 0)
    file.elements[place].value = b"".join(encoded) + end


def flipped_bits(file: File, rng: random.Random) -> None:
    data = bytearray(file.encode())
    first = rng.choice((0, 128, 144, max(len(data) - 2000, 0)))
    for _ in range(rng.choice((1, 2, 8, 60))):
        if len(data) > first:
            data[rng.randrange(first, len(data))] ^= 1 << rng.randrange(8)
    file.raw = bytes(data)


def overwritten(file: File, rng: random.Random) -> None:
    data = bytearray(file.encode())
    place, size = rng.randrange(len(data) + 1), rng.choice((1, 4, 16, 300))
    data[place : place + size] = (
        rng.choice((b"\xff", b"\0", b"(")) * size if rng.random() < 0.5 else rng.randbytes(size)
    )
    file.raw = bytes(data)


def cut(file: File, rng: random.Random) -> None:
    data = file.encode()
    start = rng.choice((0, 0, 0, 0, 128, 132, 144, rng.randrange(len(data) + 1)))
    file.raw = data[start : rng.choice((len(data), rng.randrange(len(data) + 1)))]


def appended(file: File, rng: random.Random) -> None:
    data = file.encode()
    file.raw = data + rng.choice(
        (b"\0" * 9, data, data[132:], rng.randbytes(200), struct.pack("<HHI", *SEQUENCE_END, 0))
    )


HARMS: dict[Harm, int] = {
    looked_at_value: 30,
    any_value: 12,
    meta_value: 5,
    representation: 8,
    claimed_length: 8,
    element_twice: 3,
    element_gone: 4,
    order_of_elements: 1,
    nested_deep: 1,
    items: 4,
    claimed_size: 6,
    size_in_stream: 6,
    fragments: 6,
    flipped_bits: 10,
    overwritten: 4,
    cut: 4,
    appended: 2,
}


def _any(file: File, rng: random.Random) -> Element:
    holder, place = _place(file, rng)
    return holder[place]


def _place(file: File, rng: random.Random) -> tuple[list[Element], int]:
    places = flat(file.elements)
    if not places:
        file.elements.append(Element((8, 0x60), b"CS", b"MR"))
        places = flat(file.elements)
    return rng.choice(places)


def _pixels(file: File) -> int | None:
    """Where the compressed pixels are, if there are any."""
    found = [n for n, e in enumerate(file.elements) if e.tag == PIXEL_DATA and isinstance(e.value, bytes) and e.value]
    return found[0] if found and file.elements[found[0]].encapsulated else None
