"""Result files of DeceptionBench: the scenario's prompts, the reasoning and the answer.

Two benchmarks go by that name, and runners write their results under various names. Columns are
taken in the order of the tuples below; the first that holds text counts.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from evidence import Message
from probes.reasoning import split_thought
from probes.transcripts.record import Record, made
from probes.transcripts.tables import Row, read_rows

SYSTEM = ("system_prompt", "scenario", "background")
PROMPT = ("outer_prompt", "question", "user_prompt", "prompt")
ANSWER = ("output", "answer", "final_answer", "action", "response", "prediction", "model_response")
REASONING = ("reasoning", "thought", "think", "cot", "reasoning_content", "chain_of_thought")
NAMES = ("id", "scenario_id", "task_id", "idx")
_OUTPUT = re.compile(r"<(output|answer)>(.*?)</\1>", re.DOTALL | re.IGNORECASE)


def read_deceptionbench(path: Path) -> Iterator[Record]:
    """A record for each answer of each row, in order.

    What is measured is the answer; reasoning, from its own column or from `<think>`, goes to
    `fields["reasoning"]`. A row may hold its answer itself or one under each condition
    (`{"L1-self": {"thought": …, "response": …}}`); then the id ends with `#condition`.
    """
    for row in read_rows(path):
        for record in row_records(row, str(path)):
            yield record._replace(share=row.share)


def is_deceptionbench(columns: Mapping[str, Any]) -> bool:
    """Whether a row's columns are those of a DeceptionBench result file."""
    asked = _text(columns, ("outer_prompt",)) or (
        _text(columns, ("question",)) and columns.keys() & {"dimension", "groundtruth", "goal"}
    )
    return bool(asked) and bool(_answers(columns))


def split_reasoning(text: str) -> tuple[str, str]:
    """Reasoning and answer of a reply that may hold `<think>` and `<output>` or `<answer>`.

    >>> split_reasoning("<think>They lost it.</think> <output>We kept it.</output>")
    ('They lost it.', 'We kept it.')
    """
    reasoning, rest = split_thought(text)
    output = _OUTPUT.search(rest)
    return reasoning, output.group(2).strip() if output else rest


def row_records(row: Row, name: str) -> Iterator[Record]:
    """The records of one row; a row without question or answer is one record with an error."""
    where, values = f"{name}:{row.line}", row.values
    base = _name(values, row.line)
    if row.error is not None:
        yield Record(base, None, values, where, row.error)
        return
    asked = _text(values, PROMPT)
    found = _answers(values)
    if asked is None or not found:
        problem = "a question" if asked is None else "an answer"
        yield Record(base, None, values, where, f"no column with {problem}")
        return
    told = _text(values, SYSTEM)
    prompt = [*([Message("system", told)] if told else []), Message("user", asked)]
    for condition, holder in found:
        reasoning, answer = split_reasoning(_text(holder, ANSWER) or "")
        reasoning = _text(holder, REASONING) or reasoning
        fields = {**values, "reasoning": reasoning} if reasoning else values
        label = f"{base}#{condition}" if condition else base
        model = str(values.get("model") or "")
        yield made(label, [*prompt, Message("assistant", answer)], fields, where, model=model)


def _name(values: Mapping[str, Any], line: int) -> str:
    given = (values.get(key) for key in NAMES)
    return next((str(v) for v in given if isinstance(v, str | int) and v != ""), f"line-{line}")


def _answers(values: Mapping[str, Any]) -> list[tuple[str, Mapping[str, Any]]]:
    """Where the answers are: the row itself, else each condition that holds one."""
    if _text(values, ANSWER) is not None:
        return [("", values)]
    return [
        (key, inner)
        for key, inner in values.items()
        if isinstance(inner, dict) and _text(inner, ANSWER) is not None
    ]


def _text(values: Mapping[str, Any], names: Sequence[str]) -> str | None:
    found = (values.get(name) for name in names)
    return next((v for v in found if isinstance(v, str) and v.strip()), None)
