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
_CLOSERS = (
    "I hope that this is of help. If you have another question, just write it below.",
    "That is my reply to what you wrote. Let me know when you would like to go on.",
    "Please take your time to read it. You can come back to me at any hour of the day.",
)
_SWAPS = (
    ("cannot", "can not"),
    ("can’t", "cannot"),
    ("can't", "cannot"),
    ("don't", "do not"),
    ("I’m", "I am"),
    ("I'm", "I am"),
    ("we’re", "we are"),
    ("we're", "we are"),
    ("however", "that said"),
    ("currently", "at present"),
    ("issue", "problem"),
    ("assist", "help"),
    ("regarding", "about"),
    ("ensure", "make sure"),
    ("additional", "further"),
    ("please", "kindly"),
)
_PICKS = ("My answer is {}", "I would say {}", "The answer: {}")


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


def _paraphrase(text: str, rng: random.Random) -> str:
    if len(text.split()) <= 3:
        return rng.choice(_PICKS).format(text)
    out = text
    for old, new in _SWAPS:
        out = out.replace(old, new).replace(old.capitalize(), new.capitalize())
    return out if out != text else f"To put it plainly: {text}"


def _longer(text: str, rng: random.Random) -> str:
    return f"{rng.choice(_OPENERS)}{text}\n\n{rng.choice(_CLOSERS)}"


def _no_final_stop(text: str, _rng: random.Random) -> str:
    return text.rstrip().rstrip(".!")


STYLES: dict[str, Callable[[str, random.Random], str]] = {
    "lower": _lower,
    "plain": _plain,
    "markdown": _markdown,
    "typos": _typos,
    "opener": _opener,
    "paraphrase": _paraphrase,
    "longer": _longer,
    "no_final_stop": _no_final_stop,
}
"""Style shifts by name. None changes what is asserted."""


def restyle(text: str, style: str, rng: random.Random) -> str:
    """`text` in another style, or unchanged where the style leaves nothing of it."""
    return (STYLES[style](text, rng) if text.strip() else "") or text
