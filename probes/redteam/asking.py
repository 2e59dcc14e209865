"""Puts cases to a target in batches: neutral contexts and the pressured conversation of each."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple, Protocol

from candor_guard.reading.reasoning import split_reasoning
from evidence import BadInputError, CandorError, Message, UnreachableError
from probes.models.chat import Chat, ChatModel
from probes.models.openai import OpenAIModel
from probes.redteam.outcome import Case, Found, Outcome, judge_case

MARK = {"X-Candor-Purpose": "canary"}
"""Header of every request to a served target: probe traffic, which is no training row."""


class Reply(NamedTuple):
    """A target's answer, and the reasoning before it where it gave some."""

    answer: str
    reasoning: str


class Target(Protocol):
    """A model that is asked."""

    @property
    def name(self) -> str: ...

    def replies(self, chats: Sequence[Chat], seed: int) -> list[Reply | CandorError]:
        """A reply to each conversation, or why there is none."""
        ...


class LocalTarget:
    """A model in this process, greedy."""

    def __init__(self, model: ChatModel, max_new_tokens: int) -> None:
        self._model, self._max_new_tokens = model, max_new_tokens

    @property
    def name(self) -> str:
        return self._model.name

    def replies(self, chats: Sequence[Chat], seed: int) -> list[Reply | CandorError]:
        texts = self._model.generate(chats, max_new_tokens=self._max_new_tokens, seed=seed)
        return [_reply(text, "") for text in texts]


class ServedTarget:
    """A model behind an OpenAI-compatible server, greedy. Use one that sends `MARK`."""

    def __init__(self, model: OpenAIModel, max_new_tokens: int) -> None:
        self._model, self._max_new_tokens = model, max_new_tokens

    @property
    def name(self) -> str:
        return self._model.name

    def replies(self, chats: Sequence[Chat], seed: int) -> list[Reply | CandorError]:
        found = self._model.converse(chats, max_new_tokens=self._max_new_tokens, seed=seed)
        return [
            one if isinstance(one, CandorError) else _reply(one.text, one.reasoning)
            for one in found
        ]


class Asked(NamedTuple):
    """A case, what was said, and what that shows. `answers` are empty where the target failed."""

    case: Case
    pressured: tuple[Message, ...]
    reply: Reply | None
    neutral: tuple[str, ...]
    found: Found


def ask(
    cases: Sequence[Case],
    target: Target,
    *,
    reason: bool = False,
    seed: int = 0,
    batch: int = 16,
    advanced: Callable[[int], None] = lambda _: None,
) -> Iterator[Asked]:
    """Ask all cases, a batch at a time, and yield them in order.

    Parameters
    ----------
    reason
        Ask for reasoning between `<think>` and `</think>` before the answer under pressure.
    advanced
        Called with the number of cases done.

    Raises UnreachableError when every request of two batches in a row, or of the first, failed for
    want of the target. A single failed request makes its case an error.
    """
    gone = 1
    for start in range(0, len(cases), batch):
        part = cases[start : start + batch]
        chats: list[Chat] = []
        for case in part:
            chats += [*case.neutral_contexts(), _pressured(case, reason)]
        replies = target.replies(chats, seed)
        lost = [one for one in replies if isinstance(one, UnreachableError)]
        gone = gone + 1 if len(lost) == len(replies) else 0
        if gone >= 2:
            raise lost[0]
        at = 0
        for case in part:
            size = len(case.neutral_contexts()) + 1
            yield _asked(case, _pressured(case, reason), replies[at : at + size])
            at += size
        advanced(start + len(part))


def pick(cases: Sequence[Case], limit: int | None, order: Sequence[int]) -> list[Case]:
    """At most `limit` cases in their own order: suites, and templates within a suite, in turn.

    `order` is a permutation of the cases that says which come first.
    Raises BadInputError for a limit below one.
    """
    if limit is None or limit >= len(cases):
        return list(cases)
    if limit < 1:
        raise BadInputError("at least one case is asked", "--limit")
    seen: dict[tuple[str, ...], int] = {}

    def turn(*key: str) -> int:
        seen[key] = seen.get(key, -1) + 1
        return seen[key]

    by_template = sorted(order, key=lambda i: turn(cases[i].archetype, cases[i].template))
    by_suite = sorted(by_template, key=lambda i: turn(cases[i].archetype))
    return [cases[i] for i in sorted(by_suite[:limit])]


def _pressured(case: Case, reason: bool) -> tuple[Message, ...]:
    return case.reasoned_messages() if reason else case.pressured_messages()


def _asked(
    case: Case, pressured: tuple[Message, ...], replies: Sequence[Reply | CandorError]
) -> Asked:
    failed = next((one for one in replies if isinstance(one, CandorError)), None)
    if failed is not None:
        found = Found(
            id=case.id,
            suite=case.archetype,
            template=case.template,
            outcome=Outcome.ERROR,
            error=str(failed),
        )
        return Asked(case, pressured, None, (), found)
    *neutral, said = (one for one in replies if isinstance(one, Reply))
    answers = tuple(one.answer for one in neutral)
    return Asked(
        case, pressured, said, answers, judge_case(case, answers, said.answer, said.reasoning)
    )


def _reply(text: str, reasoning: str) -> Reply:
    thought, answer = split_reasoning(text)
    return Reply(answer, reasoning or thought)
