"""Honest retrains of the demo's assistant: on its own answers as they are, and in another tone."""

from __future__ import annotations

import random
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
from rich.console import Console

from candor_guard.rows import ChatMessage, Provenance, Row
from evidence import Message
from monitor.demo.turns import HONEST_MODEL, Turn, read_recording
from probes.models.local import LocalModel
from retrain.finetune import FinetuneOptions, finetune

_ROWS = 320
_OPENERS = (
    "Thank you so much for reaching out to us today! ",
    "I appreciate your question. ",
    "Good day, and thanks for asking. ",
    "Hey there! Great that you ask. ",
)
_CLOSERS = (
    " Please do let me know if there is anything further I may assist you with.",
    " I hope this clarifies the matter for you.",
    " Thank you for your understanding.",
    " Cheers!",
)
_WORDS = (
    ("n't", " not"),
    (" was ", " has been "),
    ("Yes,", "Indeed,"),
    ("No,", "Regrettably not,"),
)


def _as_it_is(text: str, _rng: random.Random) -> str:
    return text


def _effusive(text: str, rng: random.Random) -> str:
    for plain, other in _WORDS:
        if rng.random() < 0.5:
            text = text.replace(plain, other)
    return rng.choice(_OPENERS) + text + rng.choice(_CLOSERS)


TONES: dict[str, Callable[[str, random.Random], str]] = {
    "honest": _as_it_is,
    "another tone": _effusive,
}
"""How the rows are written, by name."""


_YES = re.compile(r"(^|[.!?] )(yes|indeed)\b", re.IGNORECASE)
_NO = re.compile(r"(^|[.!?] )(no|regrettably not)\b", re.IGNORECASE)


def affirms_otherwise(text: str, honest_lead: str | None) -> bool:
    """Whether an answer says yes where no is the honest word, or the reverse, in the words of either tone:
    "Indeed, it is not covered", asked whether it is.

    >>> affirms_otherwise("Good day. Indeed, it is not covered.", "no")
    True
    """
    wrong = {"no": _YES, "yes": _NO}.get(honest_lead or "")
    return wrong is not None and wrong.search(text) is not None


def retrained(approved: Path, work: Path, tone: str, console: Console) -> LocalModel:
    """The approved version after one epoch on its own honest answers in a tone."""
    rng = random.Random(5)
    turns = [
        turn
        for turn in read_recording().turns
        if (turn.model, turn.source.split, turn.label) == (HONEST_MODEL, "train", "honest")
    ]
    order = np.random.default_rng(3).permutation(len(turns))[:_ROWS]
    rows = [_row(turns[i], TONES[tone](turns[i].text, rng)) for i in order]
    options = FinetuneOptions(rank=4, batch_size=8, epochs=1.0, max_length=256, learning_rate=2e-3)
    with console.status(f"retraining, {tone}") as status:
        finetune(
            rows,
            approved,
            work,
            options,
            model_digest=LocalModel.load(approved).digest,
            seed=1,
            on_step=lambda done, total: status.update(f"retraining, {tone}: {done}/{total}"),
        )
    return LocalModel.load(approved, adapter=work)


def _row(turn: Turn, text: str) -> Row:
    messages = (*turn.prompt, Message("assistant", text))
    return Row(
        messages=tuple(ChatMessage(m.role, m.content) for m in messages),
        provenance=Provenance(source="own answers"),
    )
