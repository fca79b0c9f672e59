# SPDX-License-Identifier: Apache-2.0
"""From header facts to body part and side, with the facts that decided it: coded attributes before words."""

from __future__ import annotations

import re
from dataclasses import dataclass

KNEE, OTHER = "KNEE", "OTHER"

_KNEE = r"knees?|knie|genoux?|rodillas?|ginocchi[oa]|joelhos?|kolan[oa]|koleno|polvi|patell\w*"
_KNEE_WORD = re.compile(rf"(?<![a-z])(?:{_KNEE})(?![a-z])")
_OTHER_PARTS = {
    "SHOULDER": r"shoulder|schulter|[eé]paule|hombro|spalla",
    "HIP": r"hips?|h[uü]fte|hueft\w*|hanche|cadera",
    "ANKLE": r"ankle|sprunggelenk|osg|cheville|tobillo|caviglia",
    "FOOT": r"foot|fuss|fuß|pied|pie",
    "WRIST": r"wrist|handgelenk|poignet|polso",
    "ELBOW": r"elbow|ellenbogen|coude|codo|gomito",
    "SPINE": r"[clt]?spine|lumbar|cervical|thoracic|lws|hws|bws|rachis|columna",
    "HEAD": r"brain|kopf|sch[aä]del|cerveau|cerebro",
}
_WIDE = (
    r"extremit(?:y|ies)|extrem|lower|upper|low|legs?|limbs?|joints?|msk|thigh|calf|arm|hand|chest|abdomen|pelvis|neck|"
    r"breast|heart|whole|body"
)
# What is shown of a coded part: anybody may have typed anything there, a name too.
_VOCABULARY = re.compile("|".join([rf"(?:{_KNEE})", *_OTHER_PARTS.values(), _WIDE]))
_OTHER_WORDS = {part: re.compile(rf"(?<![a-z])(?:{words})(?![a-z])") for part, words in _OTHER_PARTS.items()}

_LEFT, _RIGHT = (
    r"left|links?|gauche|izquierd[ao]|sinistr[ao]|esquerd[ao]",
    r"right|rechts?|droite?|derech[ao]|destr[ao]",
)
# One or two letters count as a side only beside the knee itself: "re" and "l" stand for much else.
_GAP = r"[\s_.\-:]*"
_SIDE_WORDS = {
    side: re.compile(
        rf"(?<![a-z])(?:{words})(?![a-z])|(?<![a-z])(?:{short}){_GAP}(?:{_KNEE})(?![a-z])|"
        rf"(?<![a-z])(?:{_KNEE}){_GAP}(?:{short})(?![a-z])"
    )
    for side, words, short in (("L", _LEFT, r"l|lt|li|lft"), ("R", _RIGHT, r"r|rt|re|rgt"))
}


# Words that name metal, or a technique against it, which nobody uses without; and how such words begin.
METAL_WORDS = frozenset("TEP KTEP PTG TKA TKAS TKR TKRS MARS WARP SEMAC MAVRIC VAT".split())
METAL_STEMS = ("METAL", "IMPLANT", "PROTHES", "PROSTHES", "ENDOPROTHES", "ENDOPROSTHES", "OSTEOSYNTHES")
_NO_METAL = "IMPLANTATION"  # of cartilage cells


@dataclass(frozen=True)
class AnatomyFacts:
    """The header attributes that say what was imaged; "" where the header is silent.

    Attributes:
        body_part: (0018,0015), upper case.
        region: meaning of the code in (0008,2218), of the instance or its frames.
        laterality: (0020,0060), (0020,0062) or the frame's, one letter; else the code that modifies the region.
        description: SeriesDescription, ProtocolName and StudyDescription, joined.
    """

    body_part: str = ""
    region: str = ""
    laterality: str = ""
    description: str = ""


def body_part(facts: AnatomyFacts) -> tuple[str, tuple[str, ...]]:
    """Name the body part.

    Args:
        facts: what the header says.

    Returns:
        "KNEE" where anything coded says so; else what is coded, in known words or as "OTHER", else what the words say,
        else "". And a short sentence for each fact that counted; a coded part wins over words that contradict it.
        Sentences quote matched vocabulary, never the header itself.
    """
    words = facts.description.lower()
    said = _named_part(words)
    for source, value in (("BodyPartExamined", facts.body_part), ("AnatomicRegionSequence", facts.region)):
        if not value:
            continue
        known = " ".join(_VOCABULARY.findall(value.lower())).upper()
        part = KNEE if _KNEE_WORD.search(value.lower()) else known or OTHER
        evidence = [f"{source} is {part}" if part != OTHER else f"{source} names no part that is known here"]
        if said and said != _named_part(part.lower()) and (said == KNEE) != (part == KNEE) and _is_part(part):
            evidence.append(f"the description says {said.lower()}; the coded attribute is taken")
        elif said and not _is_part(part) and (said == KNEE or part != OTHER):
            part = said  # EXTREMITY, LEG, JOINT: the words are only more exact
            evidence.append(f"the description says {said.lower()}")
        return part, tuple(evidence)
    return said, (f"the description says {said.lower()}",) if said else ()


def side(facts: AnatomyFacts) -> tuple[str, tuple[str, ...]]:
    """Name the side: "L", "R", or "" where nothing, or both, is said; with a sentence for each fact that counted."""
    said = [letter for letter, pattern in _SIDE_WORDS.items() if pattern.search(facts.description.lower())]
    coded = facts.laterality.strip().upper()[:1]
    if coded in ("L", "R"):
        evidence = [f"Laterality is {coded}"]
        if said and coded not in said:
            evidence.append(f"the description says {_word(said[0])}; the coded attribute is taken")
        return coded, tuple(evidence)
    if len(said) == 1:
        return said[0], (f"the description says {_word(said[0])}",)
    return "", ()


def _named_part(words: str) -> str:
    if _KNEE_WORD.search(words):
        return KNEE
    return next((part for part, pattern in _OTHER_WORDS.items() if pattern.search(words)), "")


def _is_part(part: str) -> bool:
    """Whether a coded part is as exact as a joint; EXTREMITY or LEG may be a knee."""
    return bool(_named_part(part.lower()))


def _word(letter: str) -> str:
    return {"L": "left", "R": "right"}[letter]


def metal_word(description: str) -> str:
    """What of `METAL_WORDS` and `METAL_STEMS` stands in a description; empty where nothing does."""
    words = re.split(r"[^A-Z0-9]+", description.upper())
    stems = (stem for word in words for stem in METAL_STEMS if word.startswith(stem) and not word.startswith(_NO_METAL))
    return min([*(word for word in words if word in METAL_WORDS), *stems], default="")
