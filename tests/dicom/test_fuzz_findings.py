# SPDX-License-Identifier: Apache-2.0
"""What the fuzzer found, each in the smallest form that shows it."""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.encaps import encapsulate
from pydicom.uid import UID

from scripts.cli.app import main
from scripts.dicom.index import index_series
from scripts.dicom.read import read_stack
from scripts.dicom.write import Provenance, derive_series, save_series
from scripts.errors import DecodeError, one_line
from tests.fuzz.elements import Element, File, parse

Series = Callable[..., list[Path]]

CONTRIBUTORS = (0x0018, 0xA001)
TAGS = (
    "Rows Columns BitsAllocated BitsStored PixelRepresentation SamplesPerPixel PhotometricInterpretation PixelData"
).split()


def change(path: Path, edit: Callable[[File], None]) -> None:
    file = parse(path.name, path.read_bytes())
    edit(file)
    path.write_bytes(file.encode())


def put(file: File, *elements: Element) -> None:
    tags = [element.tag for element in elements]
    file.elements = sorted([e for e in file.elements if e.tag not in tags] + [*elements], key=lambda e: e.tag)


def compress(path: Path, syntax: str, stream: bytes) -> None:
    dataset = pydicom.dcmread(path)
    dataset.file_meta.TransferSyntaxUID = UID(syntax)
    dataset.PixelData = encapsulate([stream])
    dataset["PixelData"].VR = "OB"
    dataset.save_as(path)


def derive(file: Path, folder: Path, provenance: Provenance) -> None:
    save_series(derive_series([file], np.ones((1, 20, 24), np.uint16), "PDFS", provenance), folder)


@pytest.fixture
def file(knee_series: Series) -> Path:
    return knee_series(slices=1, acquired=True)[0]


def test_a_decoder_in_rust_that_panics(file: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Segments of RLE with more bytes than there are pixels; the panic is no Exception, and prints a backtrace."""
    segment = b"\x81\x07" * 4  # four times 128 for 480
    compress(file, "1.2.840.10008.1.2.5", struct.pack("<16I", 2, 64, 72, *[0] * 13) + segment + segment)
    with pytest.raises(DecodeError, match="cannot be decoded"):
        read_stack([file])
    assert capfd.readouterr().err == ""


def jpeg_lossless(path: Path) -> bytes:
    """The compressed stream of a file, by GDCM."""
    import gdcm
    from pydicom.encaps import generate_frames

    reader, changer, writer = gdcm.ImageReader(), gdcm.ImageChangeTransferSyntax(), gdcm.ImageWriter()
    reader.SetFileName(str(path))
    assert reader.Read()
    changer.SetTransferSyntax(gdcm.TransferSyntax(gdcm.TransferSyntax.JPEGLosslessProcess14_1))
    changer.SetInput(reader.GetImage())
    assert changer.Change()
    writer.SetFileName(str(path))
    writer.SetFile(reader.GetFile())
    writer.SetImage(changer.GetOutput())
    assert writer.Write()
    return next(iter(generate_frames(pydicom.dcmread(path).PixelData, number_of_frames=1)))


def test_a_decoder_in_cpp_that_aborts(file: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """An exception that GDCM does not catch ends its process, with all series of an archive that were at work."""
    stream = bytearray(jpeg_lossless(file))
    start = stream.index(b"\xff\xc4")
    stream[start : start + 4] = b"\xff\xff\xff\xff"  # no table of Huffman codes
    compress(file, "1.2.840.10008.1.2.4.70", bytes(stream))
    with pytest.raises(DecodeError):
        read_stack([file])
    assert capfd.readouterr().err == ""


def test_a_decoder_that_does_not_end_is_replaced(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from scripts.dicom import apart

    jpeg_lossless(file)
    with apart.Decoder() as decoder:
        monkeypatch.setattr(apart, "SECONDS", 0.01)  # less than it takes to start
        with pytest.raises(apart.DecoderFailed, match="did not come to an end"):
            decoder.pixels(file, TAGS, 960)
        monkeypatch.undo()
        np.testing.assert_array_equal(decoder.pixels(file, TAGS, 960), pydicom.dcmread(file).pixel_array)


def test_a_decoder_is_given_so_much_memory(file: Path) -> None:
    from scripts.dicom.apart import Decoder, DecoderFailed

    dataset = pydicom.dcmread(file)
    dataset.compress(pydicom.uid.RLELossless, generate_instance_uid=False)
    dataset.Rows = dataset.Columns = 60_000
    dataset.save_as(file)
    with Decoder() as decoder, pytest.raises(DecoderFailed, match="MemoryError"):
        decoder.pixels(file, TAGS, 960)


@pytest.mark.parametrize("value", [b"MR", struct.pack("<HHI", 0xFFFE, 0xE000, 8)[:6]], ids=len)
def test_a_copied_sequence_that_is_cut(file: Path, tmp_path: Path, provenance: Provenance, value: bytes) -> None:
    """Its parser raises OSError, which passed for a full disk."""
    change(file, lambda f: put(f, Element((0x0012, 0x0064), b"SQ", value)))
    with pytest.raises(DecodeError, match=r"damaged|cannot be copied"):
        derive(file, tmp_path / "out", provenance)


@pytest.mark.parametrize("tag", [(0x0008, 0x0070), (0x4141, 0x4141)], ids=["standard", "private"])
def test_an_unknown_representation_within_a_copied_sequence(
    file: Path, tmp_path: Path, provenance: Provenance, tag: tuple[int, int]
) -> None:
    change(file, lambda f: put(f, Element(CONTRIBUTORS, b"SQ", [[Element(tag, b"AA", b"AAAA")]])))
    with pytest.raises(DecodeError):
        derive(file, tmp_path / "out", provenance)


def test_memory_that_runs_out_is_not_blamed_on_a_file(
    file: Path, tmp_path: Path, provenance: Provenance, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*arguments: object, **options: object) -> None:
        raise MemoryError

    for place in ("pydicom.dataset.Dataset.save_as", "scripts.dicom.write.derive_image", "scripts.dicom.read._pixels"):
        with monkeypatch.context() as patch:
            patch.setattr(place, full)
            with pytest.raises(MemoryError):
                read_stack([file])
                derive(file, tmp_path / "out", provenance)


def test_an_unknown_representation_of_what_is_looked_at(file: Path) -> None:
    change(file, lambda f: put(f, Element((0x0008, 0x103E), b"LM", b"")))
    assert index_series([file])


@pytest.mark.parametrize(("kind", "value"), [(b"SV", b"PFP "), (b"SV", b"PFP FS  "), (b"SQ", b"PF")], ids=str)
def test_private_options_of_another_representation(file: Path, kind: bytes, value: bytes) -> None:
    change(
        file,
        lambda f: put(f, Element((0x21, 0x10), b"LO", b"SIEMENS MR SDS 01 "), Element((0x21, 0x105C), kind, value)),
    )
    assert index_series([file])[0].usable


@pytest.mark.parametrize("tag", [(0x0008, 0x103E), (0x0008, 0x0060)], ids=["SeriesDescription", "Modality"])
def test_headers_do_not_speak_to_the_terminal(
    file: Path, capsys: pytest.CaptureFixture[str], tag: tuple[int, int]
) -> None:
    change(file, lambda f: put(f, Element(tag, b"LO", b"\x1b]0;owned\x07\x08")))
    main(["inspect", str(file)])
    main(["synthesize", str(file), "-o", str(file.with_name("out"))])
    said = capsys.readouterr()
    assert not [c for c in said.out + said.err if not c.isprintable() and c != "\n"]


def test_a_file_name_does_not_speak_to_the_terminal(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    named = file.with_name("\x1b[2Ja\nb.dcm")
    named.write_text("hello")
    assert main(["synthesize", str(named), "-o", str(file.with_name("out"))]) == 4
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and "\x1b" not in said


def test_a_header_cannot_make_a_message_endless(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What stands in the place of a code may have swallowed its neighbours, the patient's name among them."""
    change(file, lambda f: put(f, Element((0x8, 0x60), b"LO", b"C" * 60 + b"NOBODY")))
    assert main(["synthesize", str(file), "-o", str(file.with_name("out"))]) == 6
    said = capsys.readouterr().err
    assert "NOBODY" not in said and said.count("\n") == 1
    assert len(one_line("x" * 10_000)) < 600
