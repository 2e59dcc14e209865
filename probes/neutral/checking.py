"""Whether a rewrite still tells what its original told, and nothing else: by its words, without a model."""

from __future__ import annotations

import re
from collections.abc import Sequence
from difflib import SequenceMatcher
from typing import NamedTuple, Protocol

from evidence import digest
from probes.neutral.clauses import Clause, clauses
from probes.neutral.extract import Decides, keep
from probes.neutral.text import Role

_LEAST_SHARE = 0.7
_SHOWN_CHARS = 80
_NUMBER = re.compile(
    r"\d+(?:[.,:/]\d+)*\s?(?:%|°C|°F|€|\$|£|k\b|m\b|kg\b|g\b|mg\b|km\b)?", re.IGNORECASE
)
_WORD = re.compile(r"[^\W\d_]+(?:['’-][^\W\d_]+)*|\d+(?:[.,:/]\d+)*")
_QUOTE = re.compile(r"[\"“]([^\"“”]+)[\"”]")
_NEGATION = re.compile(
    r"\b(?:not|never|no|nobody|nothing|none|nowhere|neither|nor|without|cannot)\b|n['’]t\b",
    re.IGNORECASE,
)
_EMPTY = frozenset(
    re.findall(
        r"\w+",
        """
a an the is are was were be been being am it its this that these those of to in on at by
for with from as and or but so because since although though even which who whom whose
has have had do does did you your yours we our us they their them he she his her him i
me my there here also please
""",
    )
)


class FactCheck(Protocol):
    """Says what is wrong with a rewrite."""

    @property
    def digest(self) -> str: ...

    def problem(self, role: Role, original: str, rewritten: str) -> str | None:
        """Why the rewrite may not be used; None where nothing is wrong with it."""
        ...


class Coverage(NamedTuple):
    """How many of the clauses that are told in a text are told in its rewrite, and those that are not."""

    kept: int
    told: int
    missing: tuple[str, ...]


class WordCheck:
    """Compares clause by clause, both ways, and refuses when in doubt.

    A told clause must be there with the same numbers with their units, names and quotations, an even
    difference of negations, its words in their order, none of them exchanged and 70 % of them kept.
    The rewrite may hold no word that the original does not. A paraphrase is refused, true or not.

    Parameters
    ----------
    decides
        Says which clauses of the original are told.
    """

    def __init__(self, decides: Decides) -> None:
        self._decides = decides
        self.digest = digest("word-check-1", decides.digest, repr(_LEAST_SHARE), *sorted(_EMPTY))

    def problem(self, role: Role, original: str, rewritten: str) -> str | None:
        """The first thing that is wrong, in words for a person."""
        if not _WORD.search(rewritten):
            return "the rewrite is empty"
        if len(rewritten) > len(original) + 40:
            return "the rewrite is longer than the text"
        if _begins_with_answer(rewritten) and not _begins_with_answer(original):
            return "it answers instead of rewriting"
        added = self._added(original, rewritten)
        if added is not None:
            return added
        lost = _lost_question(original, rewritten) if role == "user" else None
        if lost is not None:
            return f"it drops the question: {_short(lost)}"
        missing = self.coverage(role, original, rewritten).missing
        return f"it drops or changes what is told: {_short(missing[0])}" if missing else None

    def coverage(self, role: Role, original: str, rewritten: str) -> Coverage:
        """Which told clauses of the original are in the rewrite."""
        found = clauses(original)
        (kept,) = keep(self._decides, [(role, found)])
        told = [c for c, here in zip(found, kept, strict=True) if here and _content(c.bare)]
        missing = _uncovered(told, rewritten)
        return Coverage(len(told) - len(missing), len(told), tuple(missing))

    def removed(self, original: str, rewritten: str) -> tuple[str, ...]:
        """The clauses of the original that the rewrite does not tell."""
        return tuple(_uncovered([c for c in clauses(original) if _content(c.bare)], rewritten))

    def _added(self, original: str, rewritten: str) -> str | None:
        known = {_stem(word) for word in _WORD.findall(original)}
        new = [w for w in _content(rewritten) if _stem(w) not in known]
        if new:
            return f"it adds what is not there: {_short(' '.join(new))}"
        units = _units(original)
        for clause in clauses(rewritten):
            if _content(clause.bare) and not any(_same(unit, clause.bare) for unit in units):
                return f"it says what is not said there: {_short(clause.bare)}"
        return None


def _lost_question(original: str, rewritten: str) -> str | None:
    asked = [c.bare for c in clauses(rewritten) if c.asks]
    questions = [c.bare for c in clauses(original) if c.asks and _content(c.bare)]
    return next((q for q in questions if not any(_same(q, other) for other in asked)), None)


def _uncovered(told: Sequence[Clause], rewritten: str) -> list[str]:
    units = _units(rewritten)
    return [c.bare for c in told if not any(_same(c.bare, unit) for unit in units)]


def _units(text: str) -> list[str]:
    """The clauses of a text and its sentences."""
    found = clauses(text)
    spans: dict[int, tuple[int, int]] = {}
    for c in found:
        start, _ = spans.get(c.sentence, (c.start, c.end))
        spans[c.sentence] = (start, c.end)
    return list(dict.fromkeys([*(c.bare for c in found), *(text[a:b] for a, b in spans.values())]))


def _same(whole: str, part: str) -> bool:
    """Whether `part` says what `whole` says, with at most 30 % of its words left out or set in."""
    if _numbers(whole) != _numbers(part) or _odd(whole) != _odd(part):
        return False
    if _names(whole) - set(_WORD.findall(part)) or _names(part) - set(_WORD.findall(whole)):
        return False
    if any(quote not in part for quote in _QUOTE.findall(whole)):
        return False
    a, b = ([_stem(word) for word in _content(text)] for text in (whole, part))
    matcher = SequenceMatcher(None, a, b, autojunk=False)
    exchanged = any(tag == "replace" for tag, *_ in matcher.get_opcodes())
    same = sum(block.size for block in matcher.get_matching_blocks())
    return not exchanged and same >= _LEAST_SHARE * max(len(a), len(b))


def _numbers(text: str) -> list[str]:
    return sorted(re.sub(r"\s", "", found).lower() for found in _NUMBER.findall(text))


def _odd(text: str) -> bool:
    return len(_NEGATION.findall(text)) % 2 == 1


def _names(text: str) -> set[str]:
    """Words with a capital that does not come from beginning the text."""
    words = _WORD.findall(text)
    return {w for w in words[1:] if w[:1].isupper()} | {w for w in words[:1] if not w[1:].islower()}


def _content(text: str) -> list[str]:
    return [word for word in _WORD.findall(text) if word.lower() not in _EMPTY]


def _stem(word: str) -> str:
    plain = word.lower().replace("’", "'").removesuffix("'s")
    return plain[:-1] if len(plain) > 4 and plain.endswith("s") else plain


def _begins_with_answer(text: str) -> bool:
    return (
        re.match(
            r"\W*(?:yes|no|sure|certainly|of course|i'm sorry|sorry|i can['’]?t)\b\W", text, re.I
        )
        is not None
    )


def _short(text: str) -> str:
    plain = " ".join(text.split())
    return plain if len(plain) <= _SHOWN_CHARS else f"{plain[: _SHOWN_CHARS - 1]}…"
