"""What a judge's reply says: its notes, and P(yes) of every answer from the tokens it is made of."""

from __future__ import annotations

import json
import re
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from itertools import accumulate
from typing import Any, NamedTuple

from candor_guard.reading.reasoning import split_reasoning
from evidence import CandorError
from probes.models.completion import Choice, Completion
from probes.models.openai import bare, candidate_probability
from probes.rubrics import Rubric, Step

_MAX_OBJECTS = 64
_ENDS = {
    "length": "the judge's reply was cut off at its limit of tokens",
    "content_filter": "the judge's reply was withheld by a content filter",
}
_SAYS = {"yes": "yes", "no": "no", "true": "yes", "false": "no"}
_PAIRS = {"yes": ("yes", "no"), "no": ("yes", "no"), "true": ("true", "false")}
_PAIRS["false"] = _PAIRS["true"]
COARSE_YES = 0.9
"""P(yes) of a judge that says yes without probabilities, and one minus that of one that says no.

No judge is sure: read as 1 and 0, one wrong word would outweigh every other probe.
"""


class Answers(NamedTuple):
    """P(yes) by question id, the tokens it took, and whether a bare word stands in for some p.

    `notes` holds what the judge wrote down at each step before it answered.
    """

    p_yes: dict[str, float]
    tokens: int
    coarse: bool = False
    notes: Mapping[str, tuple[str, ...]] = {}


class NoAnswers(NamedTuple):
    """Why a judge gave none; `unreadable` where it answered and no sense could be made of it."""

    why: str
    unreadable: bool = False
    failure: CandorError | None = None


def read_answers(reply: Completion, rubric: Rubric) -> Answers | NoAnswers:
    """The answers of a reply: JSON, fenced or after reasoning, or where a server put it as reasoning."""
    names = [question.id for question in rubric.questions]
    said = last_object(split_reasoning(reply.text)[1], names) or last_object(reply.reasoning, names)
    if said is None:
        return NoAnswers(why_unreadable(reply), unreadable=True)
    literals = {name: str(said[name]).strip(" .!'\"\n").lower() for name in names}
    if not set(literals.values()) <= _SAYS.keys():
        return NoAnswers("the judge's JSON says neither yes nor no", unreadable=True)
    spans = _spans(reply.choices)
    found = {name: _p_yes(spans, name, literal) for name, literal in literals.items()}
    word = {"yes": COARSE_YES, "no": 1 - COARSE_YES}
    return Answers(
        {name: word[_SAYS[literals[name]]] if p is None else p for name, p in found.items()},
        reply.prompt_tokens + reply.completion_tokens,
        coarse=None in found.values(),
        notes={step.id: _notes(said.get(step.id), step) for step in rubric.steps},
    )


def _notes(value: object, step: Step) -> tuple[str, ...]:
    """What was written down at a step, as far as it is text, within its bounds."""
    items = value if isinstance(value, list) else [value]
    texts = [item.strip() for item in items if isinstance(item, str)]
    return tuple(text[: step.max_chars] for text in texts if text)[: step.max_items or 1]


def why_unreadable(reply: Completion) -> str:
    """Why no sense can be made of a reply, in words."""
    if reply.finish in _ENDS:
        return _ENDS[reply.finish]
    return f"the judge's reply {'is not the JSON asked for' if reply.text.strip() else 'is empty'}"


def last_object(text: str, names: Sequence[str]) -> dict[str, Any] | None:
    """The last JSON object in a text that has all the names."""
    decoder, found, at = json.JSONDecoder(), None, text.find("{")
    for _ in range(_MAX_OBJECTS):
        if at < 0:
            break
        try:
            value, end = decoder.raw_decode(text, at)
        except (ValueError, RecursionError):
            value, end = None, at + 1
        if isinstance(value, dict) and value.keys() >= set(names):
            found = value
        at = text.find("{", end)
    return found


class _Spans(NamedTuple):
    """The text that tokens make together, and where each begins."""

    text: str
    starts: list[int]
    choices: Sequence[Choice]


def _spans(choices: Sequence[Choice]) -> _Spans:
    starts = list(accumulate((len(choice.token) for choice in choices), initial=0))
    return _Spans("".join(choice.token for choice in choices), starts, choices)


def _p_yes(spans: _Spans, name: str, literal: str) -> float | None:
    """P(yes) at the last value of `name`, from the token where the value begins; None without it."""
    value = re.compile(rf'"{re.escape(name)}"\s*:\s*"?\s*(?={literal})', re.IGNORECASE)
    ends = [match.end() for match in value.finditer(spans.text)]
    if not ends:
        return None
    choice = spans.choices[bisect_right(spans.starts, ends[-1]) - 1]
    if not literal.startswith(bare(choice.token)):
        return None
    return _normalised(choice.alternatives, literal)


def _normalised(alternatives: Mapping[str, float], literal: str) -> float | None:
    """P(yes) of the two answers; where the other is not listed alone, of all that is not this one."""
    yes, no = (candidate_probability(alternatives, answer) for answer in _PAIRS[literal])
    if yes + no <= 0:
        return None
    if len(alternatives) == 1:
        return yes if yes > 0 else 1 - no
    return yes / (yes + no)
