# SPDX-License-Identifier: Apache-2.0
"""Patients by name: one person under two spellings, and one person in two sections."""

from __future__ import annotations

import re
import unicodedata
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence

SIDES = frozenset("l r left right li re lt rt links rechts".split())
VISITS = frozenset("v visit t baseline followup fu bl tp timepoint scan exam session ses".split())
_ALIKE = str.maketrans({"o": "0", "i": "1", "l": "1"})


def same_person(names: Iterable[str]) -> list[tuple[str, ...]]:
    """Names that differ only in how they are written: case, accents, separators, leading zeros, order, 0 for O.

    Returns:
        Groups of two and more.
    """
    return _groups(names, spelling)


def same_knee_or_visit(names: Iterable[str]) -> list[tuple[str, ...]]:
    """Names that differ in nothing but a side or the number of a visit: two knees or two days of one person."""
    return _groups(names, lambda name: _without_side(_tokens(name)))


def spelling(name: str) -> str:
    """A name without what is a matter of writing; equal for two spellings of one name."""
    tokens = _tokens(name)
    if all(token.isalpha() for token in tokens):
        return " ".join(sorted(tokens))  # family and given name in either order
    return " ".join(tokens)


def _tokens(name: str) -> list[str]:
    plain = unicodedata.normalize("NFKD", name).casefold()
    plain = "".join(sign for sign in plain if not unicodedata.combining(sign))
    words = re.findall(r"[^\W_]+", plain)
    tokens: list[str] = []
    for word in words:
        # Within a number an O is a zero, and an I or l a one, of a hand that typed it.
        if any(sign.isdigit() for sign in word):
            word = re.sub(r"(?<=\d)[oil]+|[oil]+(?=\d)", lambda found: found.group().translate(_ALIKE), word)
        tokens += re.findall(r"\d+|\D+", word)
    return [token.lstrip("0") or "0" if token.isdigit() else token for token in tokens]


def _without_side(tokens: Sequence[str]) -> tuple[str, ...]:
    kept: list[str] = []
    for number, token in enumerate(tokens):
        after_visit = token.isdigit() and number > 0 and tokens[number - 1] in VISITS
        if token not in SIDES and token not in VISITS and not after_visit:
            kept.append(token)
    return tuple(kept) or tuple(tokens)


def _groups(names: Iterable[str], key: Callable[[str], Hashable]) -> list[tuple[str, ...]]:
    found: dict[Hashable, set[str]] = defaultdict(set)
    for name in names:
        found[key(name)].add(name)
    return sorted(tuple(sorted(group)) for group in found.values() if len(group) > 1)


def sections_of(items: Iterable[Mapping[str, object]]) -> dict[str, set[str]]:
    """The sections of each patient."""
    found: dict[str, set[str]] = defaultdict(set)
    for item in items:
        found[str(item["patient"])].add(str(item["section"]))
    return dict(found)


def in_two_sections(placed: Iterable[tuple[str, str]]) -> list[str]:
    """Names of which items stand in more than one section, from (name, section)."""
    sections = defaultdict(set)
    for name, section in placed:
        sections[name].add(section)
    return sorted(name for name, found in sections.items() if len(found) > 1)
