# SPDX-License-Identifier: Apache-2.0
"""From header facts to PD, PDFS, other or unknown, with the facts that decided it.

The order of evidence: coded attributes (Enhanced MR's suppression, ScanOptions, ImageType), then timing, then words in
the description. Words count only as whole tokens: the "FS" inside FSE and FSPGR is not fat saturation, and SAT_GEMS
alone is a saturation band.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

PD, PDFS, OTHER, UNKNOWN = "PD", "PDFS", "other", "unknown"

MIN_REPETITION_TIME = 1.8
"""Seconds. Below it T1 weights the picture too much for PD; see PD_WORD_REPETITION_TIME for 3-D sequences."""

PD_WORD_REPETITION_TIME = 1.0
"""Seconds. Three-dimensional TSE named PD runs with TR 1.0-1.5 s, and variable flip angles make up for it."""

MAX_ECHO_TIME = 0.050
"""Seconds. A longer echo time weights by T2."""

PD_WORD_ECHO_TIME = 0.060
"""Seconds. Knee protocols named PD or intermediate reach 60 ms."""

_SUPPRESSING_OPTIONS = frozenset({"FS", "SFS", "WE"})
_FAT_SUPPRESSION = frozenset({"FAT", "FAT_AND_WATER"})
_WATER_IMAGE = frozenset({"W", "WATER", "DIXON_W", "WATER_IMAGE"})
_FAT_IMAGE = frozenset({"F", "FAT", "DIXON_F", "FAT_IMAGE"})
_OPPOSED_IMAGE = frozenset({"OP", "OPP_PHASE", "OUT_PHASE", "OUT_OF_PHASE", "OPPOSED_PHASE"})
_IN_PHASE_IMAGE = frozenset({"IP", "IN_PHASE", "INPHASE", "IN"})
_DIXON_OPTIONS = frozenset({"IDEAL_GEMS", "FLEX_GEMS"})
_COMPLEX_PARTS = frozenset({"PHASE", "REAL", "IMAGINARY"})
_MAPS = frozenset(
    {
        "ADC",
        "T1 MAP",
        "T2 MAP",
        "T2_STAR MAP",
        "R2 MAP",
        "B0 MAP",
        "FIELD_MAP",
        "PHASE MAP",
        "P",
        "PHASE",
        "REAL",
        "IMAGINARY",
        "VELOCITY MAP",
    }
)

_NOT = r"(?:no|non|not|without|w/?o|ohne|sans|sin)[\s_.\-]*"
_FS_WORD = (
    r"fs|sfs|fat[\s_.\-]?(?:sat\w*|sup\w*|sep)|fsat|fatsat\w*|chem[\s_.\-]?sat|a?spair|a?spir|spectral fat|"
    r"proset|pasta|wet|wats|we|water[\s_.\-]?(?:exc\w*|sel\w*)"
)
_NEGATED = re.compile(rf"(?<![a-z]){_NOT}(?:{_FS_WORD})(?![a-z])")
_SUPPRESSED = re.compile(rf"(?<![a-z])(?:{_FS_WORD})(?![a-z])")
_PDFS_WORD = re.compile(r"(?:pd[wi]?|dp)[\s_.\-]*fs(?![a-z])")
_PD_WORD = re.compile(
    r"(?<![a-z])(?:sag|cor|ax|tra|tse|fse)?(?:pd[wi]?|dp)(?:fs)?(?![a-z])|(?<![a-z])pd(?:tse|fse|spair|spir)|"
    r"proton[\s_.\-]?dens|(?<![a-z])intermediate(?![a-z])"
)
_SPECIAL = re.compile(r"(?<![a-z])special(?![a-z])")
"""GE's spectral inversion at lipids; with any other maker a protocol may just be special."""

_STIR = re.compile(r"(?<![a-z])(?:t?stir|tirm|turbo[\s_.\-]?inv\w*)(?![a-z])")
_DIXON = re.compile(r"(?<![a-z])m?(?:dixon|ideal|flex|lava|vibe[\s_.\-]?dixon)(?![a-z])")
_DIXON_NAME = re.compile(r"(?<![a-z])m?(?:dixon|ideal)(?![a-z])")  # "flex" and "lava" are words of other things too
_IN_PHASE_WORD = re.compile(r"(?<![a-z])(?:in|ip|inphase|in[\s_.\-]phase)(?![a-z])")
_WATER_WORD = re.compile(r"(?<![a-z])(?:w|water)(?![a-z])")
_FAT_WORD = re.compile(r"(?<![a-z])(?:f|fat)(?![a-z])(?![\s_.\-]?(?:sat|sup|sep))")
_OPPOSED_WORD = re.compile(r"(?<![a-z])(?:opp|op|out|outphase|oppphase|opposed)(?![a-z])")
_OTHER_WORD = re.compile(
    r"(?<![a-z0-9])(?:t1w?|t2w?|t2star|adc|dwi|trace)(?![a-z0-9])|(?<![a-z])(?:t2\*|localizer|scout|survey)"
)


@dataclass(frozen=True)
class SequenceFacts:
    """The header attributes that say how an image was weighted. Times in seconds; empty where the header is silent.

    Attributes:
        scanning_sequence: (0018,0020) values, e.g. ("SE",); Enhanced MR's SPIN and GRADIENT are given as SE and GR.
        scan_options: (0018,0022) values.
        image_type: (0008,0008) values.
        repetition_time: (0018,0080) in s.
        echo_time: (0018,0081) in s.
        inversion_time: (0018,0082) in s.
        description: SeriesDescription and ProtocolName, joined: what people call the series.
        sequence_name: SequenceName and PulseSequenceName, joined: what the scanner calls it.
        suppression: Enhanced MR's SpectrallySelectedSuppression.
        excitation: Enhanced MR's SpectrallySelectedExcitation.
        acquisition_contrast: Enhanced MR's AcquisitionContrast.
        inversion_recovery: Enhanced MR's InversionRecovery.
        complex_component: Enhanced MR's ComplexImageComponent.
        manufacturer: (0008,0070); a few words mean something with one maker only.
    """

    scanning_sequence: tuple[str, ...] = ()
    scan_options: tuple[str, ...] = ()
    image_type: tuple[str, ...] = ()
    repetition_time: float | None = None
    echo_time: float | None = None
    inversion_time: float | None = None
    description: str = ""
    sequence_name: str = ""
    suppression: str = ""
    excitation: str = ""
    acquisition_contrast: str = ""
    inversion_recovery: str = ""
    complex_component: str = ""
    manufacturer: str = ""


def classify(facts: SequenceFacts) -> tuple[str, tuple[str, ...]]:
    """Name the contrast of a series.

    Args:
        facts: what the header says.

    Returns:
        "PD", "PDFS", "other" (sure to be neither) or "unknown" (the header does not say), and one short sentence for
        each fact that counted. The sentences quote matched vocabulary only, never the description.
    """
    words = _words(facts)
    reason = _excluded(facts, words)
    if reason:
        return OTHER, (reason,)
    suppressed, how = _fat_suppression(facts, words)
    weighting, why = _weighting(facts, words)
    evidence = (*why, *how)
    if weighting != PD:
        return weighting, evidence
    if not suppressed and _is_unnamed_dixon(facts, words):
        return UNKNOWN, (*why, "a Dixon image that does not say whether it is of water, of fat, or of both")
    return (PDFS if suppressed else PD), evidence


def fat_is_open(facts: SequenceFacts) -> bool:
    """Whether nothing in a header speaks for or against fat suppression, so that only pixels can tell.

    ScanOptions that hold anything would hold FS too, and a description that says PD would say FS.
    """
    words = _words(facts)
    coded = (*facts.scan_options, facts.suppression, facts.excitation)
    return not any(coded) and not _suppression_words(words) and not _PD_WORD.search(words)


def _words(facts: SequenceFacts) -> str:
    return f"{facts.description} / {facts.sequence_name}".strip(" /").lower()


def _is_unnamed_dixon(facts: SequenceFacts, words: str) -> bool:
    """Whether an image is of a Dixon acquisition and neither ImageType nor words say which of its images it is."""
    options = {value.upper().strip() for value in facts.scan_options}
    kinds = {value.upper() for value in facts.image_type[2:]}
    if not (options & _DIXON_OPTIONS or "DIXON" in kinds or _DIXON_NAME.search(words)):
        return False
    return not (kinds & _IN_PHASE_IMAGE or _IN_PHASE_WORD.search(words))


def _excluded(facts: SequenceFacts, words: str) -> str:
    """Say why an image is neither PD nor PDFS whatever its timing, or give ""."""
    kinds = {value.upper() for value in facts.image_type[2:]}
    sequence = {value.upper() for value in facts.scanning_sequence}
    maps = kinds & _MAPS
    if maps:
        return f"ImageType holds {sorted(maps)[0]}: not a magnitude image"
    if facts.complex_component.upper() in _COMPLEX_PARTS:
        return f"ComplexImageComponent is {facts.complex_component.upper()}: not a magnitude image"
    if "LOCALIZER" in kinds:
        return "ImageType holds LOCALIZER"
    if sequence & {"GR", "EP"}:
        return f"ScanningSequence holds {sorted(sequence & {'GR', 'EP'})[0]}: not a spin echo"
    if "IR" in sequence or facts.inversion_recovery.upper() == "YES" or facts.acquisition_contrast.upper() == "STIR":
        return "inversion recovery"
    if stir := _STIR.search(words):
        return f'the description says "{stir.group()}": inversion recovery'
    if kinds & _FAT_IMAGE or kinds & _OPPOSED_IMAGE:
        return f"ImageType holds {sorted(kinds & (_FAT_IMAGE | _OPPOSED_IMAGE))[0]}: a Dixon fat or opposed-phase image"
    if _DIXON.search(words) and not _WATER_WORD.search(words):
        if _FAT_WORD.search(words) or _OPPOSED_WORD.search(words):
            return "the description names a Dixon fat or opposed-phase image"
    return ""


def _fat_suppression(facts: SequenceFacts, words: str) -> tuple[bool, tuple[str, ...]]:
    """Decide whether fat is suppressed; coded attributes before words."""
    if facts.suppression.upper() in _FAT_SUPPRESSION:
        return True, (f"SpectrallySelectedSuppression is {facts.suppression.upper()}",)
    if facts.excitation.upper() == "WATER":
        return True, ("SpectrallySelectedExcitation is WATER",)
    options = {value.upper().strip() for value in facts.scan_options}
    text = _suppression_words(words, facts.manufacturer)
    token = options & _SUPPRESSING_OPTIONS
    if token:
        evidence = [f"ScanOptions holds {sorted(token)[0]}"]
        if words.strip() and not text:
            evidence.append("the description does not name fat suppression; the coded attribute is taken")
        return True, tuple(evidence)
    water = {value.upper() for value in facts.image_type[2:]} & _WATER_IMAGE
    if water:
        return True, (f"ImageType holds {sorted(water)[0]}: a Dixon water image",)
    if text:
        if facts.suppression.upper() == "NONE":
            return False, (f'SpectrallySelectedSuppression is NONE although the description says "{text}"',)
        return True, (f'the description says "{text}"',)
    return False, ("no sign of fat suppression",)


def _suppression_words(words: str, manufacturer: str = "") -> str:
    """Give the words that name fat suppression, or "". "Without FS" counts as none."""
    words = _NEGATED.sub(" ", words)
    patterns = [_PDFS_WORD, _SUPPRESSED, *([_SPECIAL] if manufacturer.upper().startswith("GE") else [])]
    for pattern in patterns:
        found = pattern.search(words)
        if found:
            return found.group().strip()
    dixon = _DIXON.search(words)
    if dixon and _WATER_WORD.search(words):
        return f"{dixon.group()} water"
    return ""


def _weighting(facts: SequenceFacts, words: str) -> tuple[str, tuple[str, ...]]:
    """Decide PD-weighting from timing; words widen the limits and stand in where timing is missing."""
    says_pd = _PD_WORD.search(words) or _PDFS_WORD.search(words)
    coded_pd = facts.acquisition_contrast.upper() == "PROTON_DENSITY"
    named = 'the description says "pd"' if says_pd else "AcquisitionContrast is PROTON_DENSITY" if coded_pd else ""
    tr, te = facts.repetition_time, facts.echo_time
    if facts.acquisition_contrast.upper() in {"T1", "T2", "T2_STAR", "DIFFUSION", "PERFUSION", "FLUID_ATTENUATED"}:
        return OTHER, (f"AcquisitionContrast is {facts.acquisition_contrast.upper()}",)
    if te is not None and te > (PD_WORD_ECHO_TIME if named else MAX_ECHO_TIME):
        return OTHER, (f"TE {1000 * te:.1f} ms weights by T2", *_against(named))
    if tr is not None and tr < (PD_WORD_REPETITION_TIME if named else MIN_REPETITION_TIME):
        # Between T1 and PD, an unnamed spin echo could be either: a 3-D PD or a long T1.
        verdict = OTHER if tr < PD_WORD_REPETITION_TIME else UNKNOWN
        return verdict, (f"TR {1000 * tr:.0f} ms is short for PD", *_against(named))
    timed = tr is not None and te is not None and tr > 0 and te > 0
    spin_echo = "SE" in {value.upper() for value in facts.scanning_sequence}
    if timed and (spin_echo or named):
        evidence = (f"TR {1000 * (tr or 0):.0f} ms and TE {1000 * (te or 0):.1f} ms of a spin echo weight by PD",)
        other = _OTHER_WORD.search(words)
        if other and not named:
            return PD, (*evidence, f'the description says "{other.group()}"; the timing is taken')
        return PD, evidence
    if named:
        return PD, (f"{named}; TR and TE are not both given",)
    if _OTHER_WORD.search(words):
        return OTHER, ("the description names another contrast",)
    return UNKNOWN, ("TR, TE and sequence type are not all given and the description does not say",)


def _against(named: str) -> tuple[str, ...]:
    return (f"although {named}",) if named else ()
