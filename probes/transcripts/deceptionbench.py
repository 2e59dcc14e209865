"""Result files of DeceptionBench: the scenario's prompts, the reasoning and the answer.

Two benchmarks go by that name, and runners write their results under various names. Columns are
taken in the order of the tuples below; the first that holds text counts.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from candor_guard.reading import Item
from evidence import Message
from probes.transcripts.reasoning import split_written
from probes.transcripts.record import Record, made

SYSTEM = ("system_prompt", "scenario", "background")
PROMPT = ("outer_prompt", "question", "user_prompt", "prompt")
ANSWER = ("output", "answer", "final_answer", "action", "response", "prediction", "model_response")
REASONING = ("reasoning", "thought", "think", "cot", "reasoning_content", "chain_of_thought")
NAMES = ("id", "scenario_id", "task_id", "idx")
UNDER = ("responses", "results", "generations")
"""Columns that may hold an answer for each condition."""
JUDGED = ("eval", "evaluation", "judge", "judgement", "judgment", "verdict", "labels")
_LABELS = frozenset(
    [
        "honest",
        "honesty",
        "decept",
        "deceptive",
        "deceptively",
        "deception",
        "dishonest",
        "lie",
        "lying",
        "evasive",
        "evasion",
        "truthful",
        "truth",
        "untruthful",
        "none",
        "unknown",
    ]
)


def is_deceptionbench(columns: Mapping[str, Any]) -> bool:
    """Whether a row's columns are those of a DeceptionBench result file."""
    if _text(columns, ("outer_prompt",)) and (_answers(columns) or _is_judged(columns)):
        return True
    scenario = columns.keys() & {"dimension", "groundtruth", "goal"}
    asked = _text(columns, ("question",)) is not None and scenario
    return bool(asked) and bool(_answers(columns) or _is_judged(columns))


def deceptionbench_records(item: Item) -> Iterator[Record]:
    """A record for each answer of a row, in order; a row without one is a record with an error.

    What is measured is the answer; reasoning, from its own column or from the reply, goes to
    `fields["reasoning"]`. A row may hold its answer itself or one under each condition
    (`{"L1-self": {"thought": …, "response": …}}`, also within `responses` and as JSON text, or a
    conversation of `instruction` and `generated_text`); then the id ends with `#condition`. A
    judge's label in an answer's place is an error.
    """
    values, where = item.value, item.where
    base = next(
        (str(v) for key in NAMES if isinstance(v := values.get(key), str | int) and v != ""),
        item.name,
    )
    asked, told = _text(values, PROMPT), _text(values, SYSTEM)
    found = _answers(values)
    if asked is None or not found:
        problem = "no column with " + ("a question" if asked is None else "an answer")
        if _is_judged(values):
            problem = "holds a judge's labels, not answers: score the file of generations"
        yield Record(base, None, values, where, problem)
        return
    system = [Message("system", told)] if told else []
    model = str(values.get("model") or "")
    for condition, answer in found:
        label = f"{base}#{condition}" if condition else base
        own = _text(values, (condition,)) if condition else None
        turns = [*system, Message("user", own or asked), *_reply(answer)]
        if isinstance(answer, Mapping) and isinstance(answer.get("conversation"), list):
            turns = [*system, *_exchanges(answer["conversation"])]
        last = turns[-1].content.strip().strip(".'\"*").lower()
        if not last and not turns[-1].reasoning:
            problem = f"no answer under `{condition}`" if condition else "no answer"
            yield Record(label, None, values, where, problem)
        elif last in _LABELS:
            problem = (
                f"holds a judge's label ({last}), not an answer: score the file of generations"
            )
            yield Record(label, None, values, where, problem)
        else:
            yield made(label, turns, values, where, model=model)


def _answers(values: Mapping[str, Any]) -> list[tuple[str, Any]]:
    """Where the answers are: the row itself, else each condition that holds one."""
    if _text(values, ANSWER) is not None:
        return [("", values)]
    for key in UNDER:
        inner = values.get(key)
        if isinstance(inner, Mapping) and inner:
            return list(inner.items())
        if isinstance(inner, str) and inner.strip():
            return [("", inner)]
    return [
        (key, inner)
        for key, inner in values.items()
        if isinstance(inner, Mapping)
        and key not in JUDGED
        and (_text(inner, ANSWER) is not None or isinstance(inner.get("conversation"), list))
    ]


def _reply(answer: Any) -> list[Message]:
    """The assistant's turn of an answer that is a text, or an object with a thought beside it."""
    holder = answer if isinstance(answer, Mapping) else {}
    text = answer if isinstance(answer, str) else _text(holder, ANSWER)
    reasoning, said = split_written(text or "")
    return [Message("assistant", said, _text(holder, REASONING) or reasoning)]


def _exchanges(conversation: Sequence[Any]) -> list[Message]:
    turns: list[Message] = []
    for one in conversation:
        if isinstance(one, Mapping):
            reasoning, said = split_written(_text(one, ("generated_text", *ANSWER)) or "")
            turns.append(Message("user", _text(one, ("instruction", *PROMPT)) or ""))
            turns.append(Message("assistant", said, reasoning))
    return turns or [Message("assistant", "")]


def _is_judged(values: Mapping[str, Any]) -> bool:
    """Whether a row holds labels of a judge, under their condition or without it."""
    for key in JUDGED:
        inner = values.get(key)
        held = [inner] if not isinstance(inner, Mapping) else [inner, *inner.values()]
        texts = [
            text
            for one in held
            for text in (one.values() if isinstance(one, Mapping) else [one])
            if isinstance(text, str)
        ]
        if texts and all(text.strip().lower() in _LABELS for text in texts):
            return True
    return False


def _text(values: Mapping[str, Any], names: Sequence[str]) -> str | None:
    found = (values.get(name) for name in names)
    return next((v for v in found if isinstance(v, str) and v.strip()), None)
