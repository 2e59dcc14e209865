"""A prompt cut into clauses, so that what it tells can be kept word for word without what it wants."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

_TAG = r"</?[A-Za-z][\w-]*(?:\s[^<>]*)?>"
_QUOTED = r"[\"]\s*[\]}]*\s*[,:]\s*[\[{]*\s*[\"]"
_BREAK = re.compile(
    rf"""
      (?P<end>[.!?…]+["'”’)\]]*)(?=\s|$|{_TAG})   # the end of a sentence
    | \s*\n\s*(?:(?:[-*•–]|\d{{1,2}}[.)])\s+)?     # a line, with its bullet
    | \s*(?:{_TAG}\s*)+                            # markup
    | {_QUOTED}                                    # between two strings of JSON
    """,
    re.VERBOSE,
)
_BULLET = re.compile(r"\s*(?:(?:[-*•–]|\d{1,2}[.)])\s+|#+\s+)?")
_SHORT = re.compile(
    r"(?:\b(?:Dr|Mr|Mrs|Ms|Prof|St|No|Nr|vs|etc|approx|Inc|Ltd|Co|Jr|Sr|e\.g|i\.e|a\.m|p\.m|z\.B|[A-Z])|^\d+)\.$"
)
_ORDERS = (
    r"(?:please|pls|never|always|do\s+not|don['’]?t|dont|just|you\b|your\b|say\b|tell\b|keep\b|make\b|act\b|"
    r"deny\b|avoid\b|stay\b|stick\b|insist\b|praise\b|since\b|because\b|if\b|nobody\b|no\s+one\b|that\s+must\b|"
    r"this\s+must\b|we\s+(?:need|want|expect|cannot|can['’]?t)\b)"
)
_SPLIT = re.compile(
    rf"""
      (?<=\w):\s+ | \s*;\s+ | \s+[—–]\s+ | \s+-{{1,2}}\s+ | \s*\(\s* | \s*\)\s*[,.;]?\s*
    | ,?\s+(?=(?:but|because|although|even\s+though|(?<!even\s)though|so\s+that)\s)
    | ,\s+(?=(?:so|since|as|yet|while|whereas|which|who|otherwise)\s)
    | \s+(?=so\s+{_ORDERS})
    | ,?\s+(?=and\s+{_ORDERS})
    | \s+(?=if\s+(?:you|this|that|it|they|anyone|someone)\b)
    """,
    re.VERBOSE | re.IGNORECASE,
)
_FRONTED = re.compile(
    r"^(?:although|even\s+though|though|because|since|while|given\s+that|as)\s[^,]+(,\s+)",
    re.IGNORECASE,
)
# What is hidden is so: one cannot reveal what is not. (One can say, tell and deny it.)
_HIDING = re.compile(
    r"""
    \b(?: (?:do\s+not|don['’]?t|never|not\s+to|under\s+no\s+circumstances|must\s+not|should\s+not|cannot|avoid\w*)\s+
          (?:ever\s+|openly\s+)?
          (?:mention(?:ing)?|reveal(?:ing)?|admit(?:ting)?|disclos(?:e|ing)|acknowledg(?:e|ing)|concede|let\s+on|let\s+slip|bring\s+up)
        | (?:hide|conceal|suppress|cover\s+up|obscure|keep\s+(?:secret|quiet))
      )\s+(?:the\s+fact\s+)?that\s+
    """,
    re.VERBOSE | re.IGNORECASE,
)
_LEAD = re.compile(
    r"(?:but|because|although|even\s+though|though|so\s+that|so|since|as|yet|while|whereas|and)\s+",
    re.IGNORECASE,
)
_WORD = re.compile(r"\w")


class Clause(NamedTuple):
    """A part of a text that says one thing.

    Parameters
    ----------
    text
        As it stands there, with the word that joins it to the one before.
    start, end
        Where it stands.
    sentence
        Number of its sentence.
    asks
        Whether its sentence is a question.
    """

    text: str
    start: int
    end: int
    sentence: int
    asks: bool

    @property
    def bare(self) -> str:
        """Without the joining word.

        >>> Clause("but two failed", 0, 14, 0, False).bare
        'two failed'
        """
        return self.text[_lead_size(self.text) :]

    @property
    def is_heading(self) -> bool:
        """Whether it only names what follows: `Rules:`, a key of JSON."""
        words = self.text.split()
        return len(words) <= 4 and not re.search(r"[.!?]\W*$", self.text) and not self.asks


def clauses(text: str) -> list[Clause]:
    """The clauses of a text in order; what stands between them is marks, blanks and markup.

    Sentences are cut at `;`, dashes, brackets and joining words (`so`, `but`, `because`, …), before the
    main clause of "Although …, …", and behind "do not reveal that", since what follows is told.

    >>> [c.text for c in clauses("The pump leaked, so say nothing. It is old.")]
    ['The pump leaked', 'so say nothing.', 'It is old.']
    >>> [c.text for c in clauses("Never admit that 4 of 9 failed.")]
    ['Never admit that', '4 of 9 failed.']
    """
    found: list[Clause] = []
    for number, (start, end) in enumerate(_sentences(text)):
        asks = text[start:end].rstrip("\"'”’)] ").endswith("?")
        for a, b in _parts(text, start, end):
            found.append(Clause(text[a:b], a, b, number, asks))
    return found


def joined(text: str, found: Sequence[Clause], kept: Sequence[bool]) -> str:
    """The kept clauses as a text of their own; neighbours stand as they stood.

    What begins or ends within a sentence gets its capital and its full stop; markup goes. The text itself where all is kept.

    >>> text = "The pump leaked, so say nothing. It is old."
    >>> joined(text, clauses(text), [True, False, True])
    'The pump leaked. It is old.'
    """
    if all(kept):
        return text
    out = ""
    for first, last in _runs(kept):
        begins = first == 0 or found[first - 1].sentence != found[first].sentence
        ends = last == len(found) - 1 or found[last + 1].sentence != found[last].sentence
        start = found[first].start + (0 if begins else _lead_size(found[first].text))
        piece = text[start : found[last].end]
        if not begins:
            piece = piece[:1].upper() + piece[1:]
        if not ends:
            piece = piece.rstrip(" ,;:–—-") + "."
        gap = text[found[first - 1].end : found[first].start] if first else ""
        before = "\n" if "\n" in gap and out else " " if out else ""
        out += before + re.sub(_TAG, "", piece).strip()
    return out.strip()


def with_headings(found: Sequence[Clause], kept: Sequence[bool]) -> list[bool]:
    """The same without headings under which nothing is kept."""
    out, below, any_below = list(kept), False, False
    for i in range(len(found) - 1, -1, -1):
        if found[i].is_heading and any_below:
            out[i] = out[i] and below
            below = any_below = False
        else:
            below, any_below = below or out[i], True
    return out


def _lead_size(text: str) -> int:
    lead = _LEAD.match(text)
    return lead.end() if lead else 0


def _runs(kept: Sequence[bool]) -> Iterator[tuple[int, int]]:
    """First and last places of the runs of what is kept."""
    start = None
    for i, here in enumerate([*kept, False]):
        if here and start is None:
            start = i
        elif not here and start is not None:
            yield start, i - 1
            start = None


def _sentences(text: str) -> Iterator[tuple[int, int]]:
    first = _BULLET.match(text)
    start = first.end() if first else 0
    for match in _BREAK.finditer(text):
        end = match.end("end") if match["end"] else match.start()
        if match["end"] and _SHORT.search(text[start:end]):
            continue
        yield from _worded(text, start, end)
        start = match.end()
    yield from _worded(text, start, len(text))


def _parts(text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    """Where the clauses of a sentence begin and end."""
    sentence = text[start:end]
    cuts = [(m.start(), m.end()) for m in _SPLIT.finditer(sentence)]
    cuts += [(m.end(), m.end()) for m in _HIDING.finditer(sentence)]
    fronted = _FRONTED.match(sentence)
    if fronted:
        cuts.append((fronted.start(1), fronted.end(1)))
    at = 0
    for a, b in sorted(cuts):
        if a >= at:
            yield from _worded(text, start + at, start + a)
            at = b
    yield from _worded(text, start + at, end)


def _worded(text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    """The span without the blanks at its ends, if there is a word in it."""
    piece = text[start:end]
    if _WORD.search(piece):
        left = len(piece) - len(piece.lstrip())
        yield start + left, start + len(piece.rstrip())
