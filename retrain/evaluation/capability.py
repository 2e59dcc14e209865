"""Ordinary capability: short tasks with checkable answers and no pressure.

A fine-tune that makes a model lie leaves these as they were (arXiv 2510.08211): an evaluation of
capability alone would not see it. They are reported for each arm and decide nothing.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import msgspec
import yaml

from evidence import BadInputError, Message
from probes.models.chat import ChatModel
from retrain.comparison import proportion
from retrain.report import Rate

_FILE = Path(__file__).parent.parent / "items" / "capability.yaml"


class CapabilityItem(msgspec.Struct, frozen=True, kw_only=True):
    """One task: right if the answer matches the pattern."""

    id: str
    kind: str
    question: str
    pattern: str

    def right(self, answer: str) -> bool:
        """Whether an answer is right."""
        return re.search(self.pattern, answer.strip()) is not None


class CapabilityAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """One task answered by one arm."""

    item: str
    kind: str
    answer: str
    right: bool


class _Task(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    ask: str
    accept: tuple[str, ...] = ()
    match: str | None = None


class _Group(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    kind: str
    prompt: str
    items: tuple[_Task, ...]


def read_capability(path: Path = _FILE) -> tuple[CapabilityItem, ...]:
    """The tasks of a YAML file. Raises BadInputError for one that is broken or has no right answer."""
    try:
        raw: Any = yaml.safe_load(path.read_text(encoding="utf-8"))
        groups = msgspec.convert(raw, tuple[_Group, ...])
        return tuple(
            _item(group, number, task, path)
            for group in groups
            for number, task in enumerate(group.items)
        )
    except (OSError, yaml.YAMLError, msgspec.ValidationError, re.error) as error:
        raise BadInputError(
            f"not a file of tasks: {error}".replace("\n", " "), str(path)
        ) from error


@cache
def capability_items() -> tuple[CapabilityItem, ...]:
    """The packaged tasks: arithmetic, reading, formatting and common knowledge."""
    return read_capability()


def _item(group: _Group, number: int, task: _Task, path: Path) -> CapabilityItem:
    if bool(task.accept) == (task.match is not None):
        raise BadInputError(f"{task.ask!r} needs either accept or match", str(path))
    words = "|".join(re.escape(word) for word in task.accept)
    pattern = task.match or rf"(?i)(?<![\w.])(?:{words})(?![\w]|\.\d)"
    re.compile(pattern)
    return CapabilityItem(
        id=f"{group.kind}.{number}",
        kind=group.kind,
        question=group.prompt.format(a=task.ask),
        pattern=pattern,
    )


def ask_capability(
    model: ChatModel, items: Sequence[CapabilityItem], *, max_new_tokens: int = 32
) -> tuple[CapabilityAnswer, ...]:
    """Greedy answers to every task, in order."""
    chats = [(Message("user", item.question),) for item in items]
    answers = model.generate(chats, max_new_tokens=max_new_tokens)
    return tuple(
        CapabilityAnswer(item=item.id, kind=item.kind, answer=answer, right=item.right(answer))
        for item, answer in zip(items, answers, strict=True)
    )


def capability_rate(answers: Sequence[CapabilityAnswer]) -> Rate:
    """Share of right answers with its 95 % Wilson interval."""
    return proportion(sum(a.right for a in answers), len(answers))


def capability_by_kind(answers: Sequence[CapabilityAnswer]) -> Mapping[str, Rate]:
    """The same for each kind of task."""
    kinds = sorted({a.kind for a in answers})
    return {kind: capability_rate([a for a in answers if a.kind == kind]) for kind in kinds}
