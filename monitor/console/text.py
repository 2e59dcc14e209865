"""Text of strangers as it may stand on a page: no mark of it acts on the words around it."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable

import msgspec

SHOWN_CHARS = 4_000
"""Of one text, until a person asks for all of it."""
WHOLE_CHARS = 400_000
"""Of one text that was asked for whole: a page has to end somewhere."""

_KEPT = frozenset("\n\t")
# Cc: controls; Cf: bidi overrides, isolates, joiners, tags; Cs: lone surrogates; Zl, Zp: breaks of lines that
# are none; Co and Cn stay, a font shows them as boxes.
_MADE_VISIBLE = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})


class Part(msgspec.Struct, frozen=True):
    """A stretch of a text; `mark` names what it was found to be, empty for nothing."""

    text: str
    mark: str = ""


class Shown(msgspec.Struct, frozen=True):
    """A text cut for a page: its parts in order, and how many characters were left out."""

    parts: tuple[Part, ...]
    left_out: int = 0


def harmless(text: str) -> str:
    """The text with every control and direction mark written out, as ␀ or ⟨U+202E⟩."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(c if c.isprintable() else _visible(c) for c in text)


def marked(text: str, marks: Iterable[tuple[str, str]], *, whole: bool = False) -> Shown:
    """A text cut to what a page shows, with what it quotes marked in place.

    Parameters
    ----------
    marks
        Quotes to look for, each with its name. The first place of each is marked; one that overlaps an
        earlier one is not.
    """
    places: list[tuple[int, int, str]] = []
    for quote, name in marks:
        start = text.find(quote) if quote else -1
        end = start + len(quote)
        if start >= 0 and all(end <= a or start >= b for a, b, _ in places):
            places.append((start, end, name))
    places.sort()
    limit = WHOLE_CHARS if whole else SHOWN_CHARS
    parts: list[Part] = []
    at = 0
    for start, end, name in places:
        parts += [Part(text[at:start]), Part(text[start:end], name)]
        at = end
    parts.append(Part(text[at:]))
    return _cut([part for part in parts if part.text], limit)


def _cut(parts: list[Part], limit: int) -> Shown:
    kept: list[Part] = []
    room = limit
    for part in parts:
        if room <= 0:
            break
        kept.append(Part(harmless(part.text[:room]), part.mark))
        room -= len(part.text)
    whole = sum(len(part.text) for part in parts)
    return Shown(tuple(kept), max(0, whole - limit))


def _visible(character: str) -> str:
    if character in _KEPT:
        return character
    if character < " ":
        return chr(0x2400 + ord(character))
    if unicodedata.category(character) in _MADE_VISIBLE:
        return f"⟨U+{ord(character):04X}⟩"
    return character
