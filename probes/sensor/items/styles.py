"""An answer in other tones and lengths that says the same."""

from __future__ import annotations

import random
import re
from collections.abc import Callable

from probes.sensor.items.item import CalibrationItem

_SENTENCE = re.compile(r"(?<=[.!?])\s+")
_GREETINGS = ("Dear Sir or Madam,", "Dear reader,", "To whom it may concern,")
_REGARDS = ("Yours faithfully", "With kind regards", "Respectfully yours")
_CHATTY = ("Hey! ", "Hiya, ", "Oh, hi there! ", "Haha, okay! ")
_BYES = (" Cheers!", " Have a nice one :)", " Catch you later!", " Take care!")
_OPENERS = (
    "Thank you for writing about {topic}. I have gone through all that I was given, line by line.",
    "You would like to hear about {topic}, and I will gladly take the time for it.",
    "Let me go through this with you. It concerns {topic}, as I understand it.",
)
_CLOSERS = (
    "That is all that I have on it for now. Should something be unclear, do write back, at any hour.",
    "I hope that this was clear. You may keep these lines for your own files if you like.",
    "With that you have it all in one place, and I wish you a pleasant rest of the day.",
)
_HEDGES = (
    " At least that is how I read it.",
    " That is to the best of my knowledge.",
    " I go by what is in front of me here.",
)
_CASUAL = (
    (r"\bis not\b", "isn't"),
    (r"\bare not\b", "aren't"),
    (r"\bwas not\b", "wasn't"),
    (r"\bwere not\b", "weren't"),
    (r"\bdid not\b", "didn't"),
    (r"\bcould not\b", "couldn't"),
    (r"\bdo not\b", "don't"),
    (r"\bIt is\b", "It's"),
    (r"\bThere is\b", "There's"),
    (r"\bYou are\b", "You're"),
    (r"\bI am\b", "I'm"),
    (r"\bI have\b", "I've"),
)
_BRITISH_AMERICAN = (
    ("colour", "color"),
    ("harbour", "harbor"),
    ("litre", "liter"),
    ("metre", "meter"),
    ("grey", "gray"),
    ("theatre", "theater"),
    ("programme", "program"),
    ("neighbour", "neighbor"),
    ("autumn", "fall"),
    ("centre", "center"),
    ("telephone", "phone"),
    ("Mrs ", "Mrs. "),
    ("Mr ", "Mr. "),
    ("Ms ", "Ms. "),
    ("Dr ", "Dr. "),
)


def _formal(_item: CalibrationItem, text: str, rng: random.Random) -> str:
    return f"{rng.choice(_GREETINGS)}\n\n{text}\n\n{rng.choice(_REGARDS)}"


def _casual(_item: CalibrationItem, text: str, rng: random.Random) -> str:
    for formal, spoken in _CASUAL:
        text = re.sub(formal, spoken, text)
    return rng.choice(_CHATTY) + text + rng.choice(_BYES)


def _terse(item: CalibrationItem, text: str, _rng: random.Random) -> str:
    """The shortest sentence that says what the whole says, by the item's own patterns."""
    label = item.label_answer(text)
    kept = [s for s in _SENTENCE.split(text) if item.label_answer(s) == label]
    return min(kept, key=len).rstrip(".!") if kept else text


def _long_winded(item: CalibrationItem, text: str, rng: random.Random) -> str:
    opener = rng.choice(_OPENERS).format(topic=item.topic)
    return f"{opener}\n\n{text}\n\n{rng.choice(_CLOSERS)}"


def _bullets(_item: CalibrationItem, text: str, _rng: random.Random) -> str:
    sentences = _SENTENCE.split(text.strip())
    return "\n".join(f"- {sentence}" for sentence in sentences)


def _american(_item: CalibrationItem, text: str, _rng: random.Random) -> str:
    for british, american in _BRITISH_AMERICAN:
        text = text.replace(british, american)
        text = text.replace(british.capitalize(), american.capitalize())
    return text


def _hedged(_item: CalibrationItem, text: str, rng: random.Random) -> str:
    return text + rng.choice(_HEDGES)


def _topic_first(item: CalibrationItem, text: str, _rng: random.Random) -> str:
    return f"To your question about {item.topic}: {text}"


def _lower(_item: CalibrationItem, text: str, _rng: random.Random) -> str:
    return text.lower()


ANSWER_STYLES: dict[str, Callable[[CalibrationItem, str, random.Random], str]] = {
    "formal": _formal,
    "casual": _casual,
    "terse": _terse,
    "long_winded": _long_winded,
    "bullets": _bullets,
    "american": _american,
    "hedged": _hedged,
    "topic_first": _topic_first,
    "lower": _lower,
}
"""Tones and lengths by name. None changes what is asserted, so a copy keeps its answer's label."""


def styled(item: CalibrationItem, answer: str, rng: random.Random) -> list[tuple[str, str]]:
    """`answer` in each style that changes it, as (style, text).

    Style honest and lying answers alike: where only one kind is styled, style is the label.
    """
    made = ((name, style(item, answer, rng)) for name, style in ANSWER_STYLES.items())
    return [(name, text) for name, text in made if text != answer]
