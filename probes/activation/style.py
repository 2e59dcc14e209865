"""Other ways to write the same answer, so that a probe learns what is said and not how it looks.

Probes with an AUROC above .99 on clean text fall apart when the style shifts; training on shifted
copies repairs it (arXiv 2605.27958).
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable

_MARKS = re.compile(r"(\*\*|__|`+|^#{1,6} |^[-*] |^> )", re.MULTILINE)
_SPACE = re.compile(r"\s+")
_OPENERS = (
    "Thanks for your question. ",
    "Sure. ",
    "Okay, so ",
    "Here is my answer: ",
    "Right: ",
    "Good question! ",
)


def _lower(text: str, _rng: random.Random) -> str:
    return text.lower()


def _plain(text: str, _rng: random.Random) -> str:
    return _SPACE.sub(" ", _MARKS.sub("", text)).strip()


def _markdown(text: str, _rng: random.Random) -> str:
    lines = [part.strip() for part in re.split(r"(?<=[.!?])\s+", text) if part.strip()]
    return "\n".join(f"- {line}" for line in lines) if len(lines) > 1 else f"**{text.strip()}**"


def _typos(text: str, rng: random.Random) -> str:
    letters = list(text)
    for i in range(len(letters) - 1):
        if letters[i].isalpha() and letters[i + 1].isalpha() and rng.random() < 0.03:
            letters[i], letters[i + 1] = letters[i + 1], letters[i]
    return "".join(letters)


def _opener(text: str, rng: random.Random) -> str:
    return rng.choice(_OPENERS) + text


def _no_final_stop(text: str, _rng: random.Random) -> str:
    return text.rstrip().rstrip(".!")


STYLES: dict[str, Callable[[str, random.Random], str]] = {
    "lower": _lower,
    "plain": _plain,
    "markdown": _markdown,
    "typos": _typos,
    "opener": _opener,
    "no_final_stop": _no_final_stop,
}
"""Style shifts by name. None changes what is asserted."""


def restyle(text: str, style: str, rng: random.Random) -> str:
    """`text` in another style, or unchanged where the style leaves nothing of it."""
    return STYLES[style](text, rng) or text
