"""What a reply was told, and what it claims: the pairs that the reader of premises is asked about."""

from __future__ import annotations

from typing import NamedTuple

from probes.injections.spans import PART
from probes.probe import Transcript

WINDOW_WORDS = 60
MOST_WINDOWS, MOST_CLAIMS = 8, 8
"""Bounds on the work for one reply: what stands first in the conversation and in the reply is read."""
_FEWEST_WORDS = 3


class Claim(NamedTuple):
    """A sentence of the reply, and the same in a form that can be read without the question."""

    sentence: str
    whole: str


def sentences(text: str) -> list[str]:
    """The sentences and lines of a text; one of a single word goes with the next.

    >>> sentences("No. It was not recalled. Dr. Ray says so.")
    ['No. It was not recalled.', 'Dr. Ray says so.']
    """
    out: list[str] = []
    short = False
    for part in (found.strip() for found in PART.findall(text)):
        if not part:
            continue
        if short:
            out[-1] += " " + part
        else:
            out.append(part)
        short = len(out[-1].split()) < 2
    return out


def told(transcript: Transcript) -> list[str]:
    """Sentences that stood before the reply: system prompt, documents, tool results, earlier user turns.

    What the assistant said itself is no told fact, nor is the last thing that the user asks.
    """
    prompt = transcript.prompt
    turns = prompt[:-1] if prompt and prompt[-1].role == "user" else prompt
    found = (s for turn in turns if turn.role != "assistant" for s in sentences(turn.content))
    return [sentence for sentence in found if len(sentence.split()) >= _FEWEST_WORDS]


def windows(facts: list[str]) -> list[list[str]]:
    """Neighbouring sentences joined up to about sixty words, in order; a bounded number of windows."""
    out: list[list[str]] = []
    size = 0
    for fact in facts:
        words = len(fact.split())
        if out and size + words <= WINDOW_WORDS:
            out[-1].append(fact)
            size += words
        elif len(out) == MOST_WINDOWS:
            break
        else:
            out.append([fact])
            size = words
    return out


def claims(transcript: Transcript) -> list[Claim]:
    """What the reply asserts sentence by sentence; a word or two are read with the user's last question."""
    prompt = transcript.prompt
    asked = sentences(prompt[-1].content) if prompt and prompt[-1].role == "user" else []
    question = next((s for s in reversed(asked) if s.endswith("?")), "")
    out = []
    for sentence in sentences(transcript.response):
        if sentence.endswith("?"):
            continue
        bare = len(sentence.split()) <= _FEWEST_WORDS
        out.append(Claim(sentence, f"{question} {sentence}".strip() if bare else sentence))
    return out[:MOST_CLAIMS]
