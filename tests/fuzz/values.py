# SPDX-License-Identifier: Apache-2.0
"""Values that no scanner means: what a broken gateway, a bug, or somebody with a plan may put into a header."""

from __future__ import annotations

import random

_NUMBERS = (
    b"", b"0", b"-0", b"-0.5", b"0.5", b"NaN", b"nan", b"inf", b"-INF", b"1e400", b"1e-30", b"1E30", b"1e12", b"-1",
    b"1,5", b"ten", b" ", b"0x10", b"1_000", b"\\", b"\\\\\\", b"0.5\\", b"\\0.5", b"0.5\\0.5\\0.5", b"9" * 400,
    b"\xd9\xa1", b"1\0", b"1\n2", b"+.5", b"1e",
)  # fmt: skip
_INTEGERS = (
    b"1000000000", b"-1", b"2147483648", b"9" * 30, b"1.5", b"0", b"", b"NaN", b"4000000", b"1e3", b"2", b"6", b"7",
    b"1\\2", b"-2147483649", b"99999999999",
)  # fmt: skip
_WORDS = (
    b"", b"\\", b"\\\\\\\\", b"A" * 10_000, b"\n\n\r\n", b"\0" * 8, b"\x1b]0;owned\x07", b"\x1b[2J", b"\x1b$B0!",
    b"\xff" * 64,
    b"<script>alert(1)</script>", b"[bold red]x[/]", b"%s%n%x", b"{0.__class__}", b"\xe2\x80\xae", b"=HYPERLINK(1)",
    b"../../../../etc/passwd", b"C:\\con", b"$__import__('os').getcwd()", b"@network", b"\xed\xa0\x80", b"\x80abc",
    b"^^^^^=^^^^=", b"YES", b"NO", b"ORIGINAL\\PRIMARY\\LOCALIZER", b"DERIVED\\SECONDARY", b"MOSAIC", b"FS", b"OTHER",
    b"MONOCHROME1", b"RGB", b"PALETTE COLOR", b"YBR_FULL_422", b"MR", b"CT", b"+9999", b"-1360", b"+01",
    b"ISO_IR 192", b"ISO_IR 100\\ISO 2022 IR 87", b"\\ISO 2022 IR 149", b"ISO 2022 IR 58", b"GBK", b"GB18030",
    b"none such",
)  # fmt: skip
_UIDS = (
    b"", b"../../../x", b"/etc/passwd", b"1." * 5_000, b"1.2.3\0../../x", b"1..2", b"\0", b"1.2.3\n4", b"con", b"0",
    b"1.2.3",
    b"1.2.840.10008.1.2", b"1.2.840.10008.1.2.1", b"1.2.840.10008.1.2.2", b"1.2.840.10008.1.2.1.99",
    b"1.2.840.10008.1.2.5",
    b"1.2.840.10008.1.2.4.50", b"1.2.840.10008.1.2.4.51", b"1.2.840.10008.1.2.4.57", b"1.2.840.10008.1.2.4.70",
    b"1.2.840.10008.1.2.4.80", b"1.2.840.10008.1.2.4.90", b"1.2.840.10008.1.2.4.100", b"1.2.840.10008.1.2.4.201",
    b"1.2.840.10008.1.2.4.110", b"1.2.840.10008.5.1.4.1.1.4", b"1.2.840.10008.5.1.4.1.1.4.1",
    b"1.2.840.10008.5.1.4.1.1.4.4",
    b"1.2.840.10008.5.1.4.1.1.7", b"1.2.840.10008.1.3.10", b"1.2.840.10008.5.1.4.1.1.2.1",
)  # fmt: skip
_TIMES = (
    b"",
    b"99999999",
    b"20260230",
    b"250000",
    b"240000.999999",
    b"2026",
    b"-1",
    b"20260101-20270101",
    b"000000.",
    b"\0",
)
_SHORTS = (0, 1, 2, 3, 7, 8, 12, 15, 16, 17, 31, 32, 33, 64, 255, 256, 4095, 4096, 4097, 32768, 65535)

_BY_VR = {
    **dict.fromkeys((b"DS", b"FD", b"FL"), _NUMBERS),
    b"IS": _INTEGERS,
    b"UI": _UIDS,
    **dict.fromkeys((b"DA", b"TM", b"DT"), _TIMES),
}

_VRS = b"AE AS AT CS DA DS DT FD FL IS LO LT OB OD OF OL OV OW PN SH SL SQ SS ST SV TM UC UI UL UN UR US UT UV"
REPRESENTATIONS = (*_VRS.split(), b"ZZ", b"\0\0", b"  ", b"ox")

LENGTHS = (0, 1, 2, 3, 7, 0xFFFE, 0xFFFF, 0x10000, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFE, 0xFFFFFFFF)


def hostile(vr: bytes, little: bool, rng: random.Random) -> bytes:
    """A value for an element of a representation; now and then one of another."""
    if rng.random() < 0.1:
        return rng.choice(
            (rng.choice(_WORDS), rng.choice(_NUMBERS), rng.choice(_UIDS), rng.randbytes(rng.randrange(40)))
        )
    if vr in (b"US", b"SS", b"UL", b"SL", b"AT"):
        count = rng.choice((0, 1, 1, 1, 1, 1, 1, 2, 3))
        size = 2 if vr in (b"US", b"SS") else 4
        return b"".join(rng.choice(_SHORTS).to_bytes(size, "little" if little else "big") for _ in range(count))
    if vr in (b"OB", b"OW", b"UN", b"OF", b"OD"):
        return rng.randbytes(rng.choice((0, 1, 2, 64, 2304, 5000)))
    return rng.choice(_BY_VR.get(vr, _WORDS))
