"""Scenarios: transcripts that answer the same prompt are one group and never split."""

from __future__ import annotations

import re

from evidence import digest
from probes.probe import Transcript

_NOT_WORD = re.compile(r"[\W_]+")


def scenario_group(transcript: Transcript) -> str:
    """Identity of the prompt, 16 hex digits: its words, whatever their case, spacing or marks.

    >>> from evidence import Message
    >>> def ask(text):
    ...     turns = (Message("user", text), Message("assistant", "Yes."))
    ...     return scenario_group(Transcript(id="a", messages=turns))
    >>> ask("Is it  TRUE?") == ask("is it true") != ask("is it false")
    True
    """
    parts = [_NOT_WORD.sub(" ", message.content.lower()).strip() for message in transcript.prompt]
    return digest(*parts)[:16]
