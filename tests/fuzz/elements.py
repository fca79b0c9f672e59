# SPDX-License-Identifier: Apache-2.0
"""A DICOM file as a tree of raw elements that can be written back with any lie in it.

pydicom refuses to write most of what a fuzzer wants to write, so this knows just enough of PS3.5 to take apart what
pydicom wrote, and nothing of what a value means.
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass, replace

UNDEFINED = 0xFFFFFFFF
DEFLATED = "1.2.840.10008.1.2.1.99"
BIG_ENDIAN = "1.2.840.10008.1.2.2"
IMPLICIT = "1.2.840.10008.1.2"
PIXEL_DATA = (0x7FE0, 0x0010)
ITEM, ITEM_END, SEQUENCE_END = (0xFFFE, 0xE000), (0xFFFE, 0xE00D), (0xFFFE, 0xE0DD)

_LONG = frozenset({b"OB", b"OD", b"OF", b"OL", b"OV", b"OW", b"SQ", b"UC", b"UN", b"UR", b"UT", b"SV", b"UV"})


@dataclass
class Element:
    """One element: its value is bytes, or for a sequence a list of items.

    Args:
        tag: group and element number.
        vr: two letters.
        value: bytes as in the file, or items.
        length: what the file claims instead of the true length.
        encapsulated: ``value`` is a run of items with its delimiter (compressed pixels).
    """

    tag: tuple[int, int]
    vr: bytes
    value: bytes | list[list[Element]]
    length: int | None = None
    encapsulated: bool = False


@dataclass
class File:
    """One file: preamble and meta group, and the elements of its data set.

    Args:
        name: within its study's folder.
        meta: the elements of group 0002.
        elements: the data set.
        syntax: how the data set is written, whatever ``meta`` comes to say.
        raw: the finished bytes, once something was done to them that no element can express.
    """

    name: str
    meta: list[Element]
    elements: list[Element]
    syntax: str
    raw: bytes | None = None

    def copy(self) -> File:
        return replace(self, meta=_copied(self.meta), elements=_copied(self.elements))

    def encode(self) -> bytes:
        if self.raw is not None:
            return self.raw
        meta = b"".join(_encode(element, False, True) for element in self.meta)
        dataset = b"".join(_encode(e, self.syntax == IMPLICIT, self.syntax != BIG_ENDIAN) for e in self.elements)
        if self.syntax == DEFLATED:
            deflater = zlib.compressobj(wbits=-zlib.MAX_WBITS)
            dataset = deflater.compress(dataset) + deflater.flush()
        head = _encode(Element((2, 0), b"UL", struct.pack("<I", len(meta))), False, True)
        return bytes(128) + b"DICM" + head + meta + dataset


@dataclass
class _Cursor:
    data: bytes
    implicit: bool
    little: bool
    place: int = 0

    def take(self, count: int) -> bytes:
        self.place += count
        return self.data[self.place - count : self.place]

    def numbers(self, form: str) -> tuple[int, ...]:
        form = ("<" if self.little else ">") + form
        return struct.unpack(form, self.take(struct.calcsize(form)))


def parse(name: str, data: bytes) -> File:
    """Take apart a sound file with preamble and meta group, as pydicom writes them."""
    end = 144 + struct.unpack("<I", data[140:144])[0]
    meta = _elements(_Cursor(data[144:end], False, True), end - 144)
    syntax = next(bytes(e.value) for e in meta if e.tag == (2, 0x10)).rstrip(b"\0").decode()  # type: ignore[arg-type]
    dataset = data[end:]
    if syntax == DEFLATED:
        dataset = zlib.decompress(dataset, -zlib.MAX_WBITS)
    cursor = _Cursor(dataset, syntax == IMPLICIT, syntax != BIG_ENDIAN)
    return File(name, meta, _elements(cursor, len(dataset)), syntax)


def _elements(cursor: _Cursor, end: int) -> list[Element]:
    """Read up to ``end``, or to the end of an item."""
    found = []
    while cursor.place < end:
        group, number = cursor.numbers("HH")
        if (group, number) == ITEM_END:
            cursor.take(4)
            return found
        if cursor.implicit:
            vr = _vr_of(group, number)
            (length,) = cursor.numbers("I")
        else:
            vr = cursor.take(2)
            if vr in _LONG:
                cursor.take(2)
            (length,) = cursor.numbers("I" if vr in _LONG else "H")
        found.append(_element(cursor, (group, number), vr, length))
    return found


def _element(cursor: _Cursor, tag: tuple[int, int], vr: bytes, length: int) -> Element:
    if vr != b"SQ" and length == UNDEFINED:
        return Element(tag, vr, cursor.take(len(cursor.data) - cursor.place), encapsulated=True)
    if vr != b"SQ":
        return Element(tag, vr, cursor.take(length))
    items = []
    end = len(cursor.data) if length == UNDEFINED else cursor.place + length
    while cursor.place < end:
        marker, size = cursor.numbers("HH"), cursor.numbers("I")[0]
        if marker == SEQUENCE_END:
            break
        items.append(_elements(cursor, len(cursor.data) if size == UNDEFINED else cursor.place + size))
    return Element(tag, vr, items)


def _vr_of(group: int, number: int) -> bytes:
    from pydicom.datadict import dictionary_VR

    try:
        return dictionary_VR((group, number))[:2].encode()
    except KeyError:
        return b"UN"


def _encode(element: Element, implicit: bool, little: bool) -> bytes:
    order = "<" if little else ">"
    value, length = element.value, element.length
    if isinstance(value, list):
        # Of undefined length, so that a change deep inside leaves everything around it sound.
        opened, closed, ended = (
            struct.pack(f"{order}HHI", *tag, size)
            for tag, size in ((ITEM, UNDEFINED), (ITEM_END, 0), (SEQUENCE_END, 0))
        )
        items = (b"".join(_encode(inner, implicit, little) for inner in item) for item in value)
        value = b"".join(opened + item + closed for item in items) + ended
        length = UNDEFINED if length is None else length
    elif element.encapsulated:
        length = UNDEFINED if length is None else length
    elif len(value) % 2:
        value += b"\0" if element.vr in (b"UI", b"OB", b"UN") else b" "
    length = len(value) if length is None else length
    tag = struct.pack(f"{order}HH", *element.tag)
    if implicit:
        return tag + struct.pack(f"{order}I", length) + value
    if element.vr in _LONG:
        return tag + element.vr + b"\0\0" + struct.pack(f"{order}I", length) + value
    return tag + element.vr + struct.pack(f"{order}H", length & 0xFFFF) + value


def _copied(elements: list[Element]) -> list[Element]:
    return [
        replace(e, value=[_copied(item) for item in e.value]) if isinstance(e.value, list) else replace(e)
        for e in elements
    ]


def flat(elements: list[Element]) -> list[tuple[list[Element], int]]:
    """Every element at any depth, as the list that holds it and its place there."""
    found = []
    for index, element in enumerate(elements):
        found.append((elements, index))
        if isinstance(element.value, list):
            for item in element.value:
                found += flat(item)
    return found
