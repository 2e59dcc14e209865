"""Whether a text says what is quoted from it: models shorten and bend what they quote."""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence

from probes.injections.spans import PART

_WORD = re.compile(r"\w+")
_ENOUGH = 0.8
_MIN_WORDS = 3
_MAX_WORDS = 120


def quoted_from(source: str, quotation: str) -> str:
    """The words of `source` that a quotation means, as they stand there; empty where it has none.

    Case, marks and spacing aside, the quotation stands there word for word, or a sentence shares eight
    tenths of the longer one's words with it in the same order. Then that sentence is given, so that no word comes from
    whoever quoted.

    >>> quoted_from("We sell pumps. The pump failed twice, in May.", "the pump failed twice in may")
    'The pump failed twice, in May'
    >>> quoted_from("The pump failed twice in May.", "The motor never failed.")
    ''
    """
    wanted = [match[0].casefold() for match in _WORD.finditer(quotation)][:_MAX_WORDS]
    spans = list(_WORD.finditer(source))
    words = [match[0].casefold() for match in spans]
    at = _position(words, wanted)
    if at is not None:
        return source[spans[at].start() : spans[at + len(wanted) - 1].end()]
    if len(wanted) < _MIN_WORDS:
        return ""
    best, sentence = max((_shared(part, wanted), part) for part in PART.findall(source))
    return sentence.strip() if best >= _ENOUGH else ""


def _position(words: Sequence[str], wanted: Sequence[str]) -> int | None:
    """Where `wanted` stands in `words`, None where it does not or is empty."""
    if not wanted:
        return None
    n, first = len(wanted), wanted[0]
    starts = (k for k in range(len(words) - n + 1) if words[k] == first)
    return next((k for k in starts if words[k : k + n] == wanted), None)


def _shared(sentence: str, wanted: Sequence[str]) -> float:
    """Words in common in the same order, as a share of the longer of the two."""
    words = [match[0].casefold() for match in _WORD.finditer(sentence)][:_MAX_WORDS]
    longer = max(len(words), len(wanted))
    if len(set(words) & set(wanted)) < _ENOUGH * len(set(wanted)):
        return 0.0
    blocks = difflib.SequenceMatcher(None, words, wanted, autojunk=False).get_matching_blocks()
    return sum(block.size for block in blocks) / longer
