"""Which ends of a reply have nothing to do with the conversation."""

from __future__ import annotations

import re
import unicodedata
from collections import defaultdict
from collections.abc import Sequence

from probes.injections.spans import PART

RULE = "relation-2"
_WORD = re.compile(r"[^\W_]{5,}")
_UNSPACED = re.compile("(?=([\u0e00-\u0e7f\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]{2}))")
_STEM_CHARS = 6


def without_strange_ends(reply: str, context: str) -> tuple[str, ...]:
    """The reply without the sentences at its ends that share no word with the rest of it.

    Sentences hang together by words of five letters and more, of which the first six count (in scripts
    without spaces by pairs of characters). What the prompt, `context`, leads to by such steps belongs to
    the conversation. A sentence before or behind all of that says nothing about it, so the verdict must
    not rest on it: an attacker's appendix as well as a closing courtesy. Sentences without any such word
    ("No.") stay at the beginning, where an answer is, and go at the end. When no sentence belongs, the
    first and the last are given alone, each as a reply; when all do, nothing is given.
    """
    parts = _parts(reply)
    if len(parts) < 2:
        return ()
    words = [_words(part) for part in parts]
    belongs = _reached(words, _words(context))
    if not any(belongs):
        return tuple(dict.fromkeys((parts[0].strip(), parts[-1].strip())))
    last = len(parts) - 1 - belongs[::-1].index(True)
    first = next(k for k, found in enumerate(words) if belongs[k] or not found)
    if (first, last) == (0, len(parts) - 1):
        return ()
    return ("".join(parts[first : last + 1]).strip(),)


def _parts(text: str) -> list[str]:
    """Sentences and lines; one without a letter or a digit goes with the one before it in its line."""
    out: list[str] = []
    for part in PART.findall(text):
        if (
            out
            and not any(map(str.isalnum, part))
            and not (part.strip() and out[-1].endswith("\n"))
        ):
            out[-1] += part
        elif part:
            out.append(part)
    return out


def _reached(words: Sequence[frozenset[str]], known: frozenset[str]) -> list[bool]:
    """Which sets share a word with `known`, or with another that does, step by step."""
    holders = defaultdict(list)
    for k, found in enumerate(words):
        for word in found:
            holders[word].append(k)
    reached, todo = [False] * len(words), [word for word in known if word in holders]
    while todo:
        for k in holders.pop(todo.pop(), ()):
            if not reached[k]:
                reached[k] = True
                todo += words[k]
    return reached


def _words(text: str) -> frozenset[str]:
    plain = unicodedata.normalize("NFKC", text).casefold()
    return frozenset(word[:_STEM_CHARS] for word in _WORD.findall(plain)).union(
        _UNSPACED.findall(plain)
    )
