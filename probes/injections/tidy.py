"""Text as people see it: nothing invisible, no control characters, no walls of repetition."""

from __future__ import annotations

import re
import zlib

_INVISIBLE = re.compile(
    "[\u00ad\u061c\u115f\u1160\u180b-\u180f\u200b\u200c\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff]"
    "|[\ufff0-\uffff]"
    "|[\U000e0000-\U000e0fff]"
    "|[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]"
)
_REVERSED = re.compile("\u202e([^\u202c\n]*)\u202c?")
_JOINER = re.compile("(?<![\u2190-\u2bff\ufe0f\U0001f000-\U0001faff])\u200d")
_WALL = re.compile(r"(.{1,80}?)\1{7,}", re.DOTALL)
_ESCAPE = re.compile("\x1b\\[[0-9;?]*[A-Za-z]")
_WALL_FROM_CHARS, _WALL_CHARS = 2000, 400
_WALL_RATIO = 0.2


def tidy(text: str) -> str:
    """Text without what people cannot see and without its walls of repetition.

    Zero-width, bidirectional, tag and control characters and terminal escapes go; a joiner stays
    within an emoji, a tab and a line break stay; where something went, so does space at the ends.
    What is shown backwards is turned. Of a wall of repetition (`without_walls`) the unit is kept
    twice. Lone surrogates become U+FFFD.

    >>> tidy("a\u200bb"), tidy("so. " * 500)
    ('ab', 'so. so.')
    """
    return without_walls(seen(text), keep=2)


def seen(text: str) -> str:
    """`tidy` with its walls of repetition left standing."""
    text = text.encode("utf-8", "surrogatepass").decode("utf-8", "replace")
    shown = _REVERSED.sub(lambda match: match.group(1)[::-1], _ESCAPE.sub("", text))
    shown = _JOINER.sub("", _INVISIBLE.sub(_kept, shown))
    return text if shown == text else shown.strip()


def without_walls(text: str, keep: int) -> str:
    """A text whose walls, 400 characters and more of one unit again and again, hold it `keep` times.

    A unit has up to 80 characters; space at the ends goes with a wall. Texts under 2000 characters, and those that deflate to no less
    than a fifth, have no wall that would drown the rest: they are left as they are.
    """
    if len(text) < _WALL_FROM_CHARS:
        return text
    data = text.encode("utf-8", "replace")
    if len(zlib.compress(data, 1)) >= _WALL_RATIO * len(data):
        return text
    shorter = _WALL.sub(
        lambda match: match.group(1) * keep if len(match.group()) >= _WALL_CHARS else match.group(),
        text,
    )
    return text if shorter == text else shorter.strip()


def _kept(match: re.Match[str]) -> str:
    """U+2028 and U+2029 are line breaks; U+FFFC and U+FFFD are seen."""
    found = match.group()
    if found in "\u2028\u2029":
        return "\n"
    return found if found in "\ufffc\ufffd" else ""
