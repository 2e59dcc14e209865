"""A judge model that reads the whole transcript as quoted data and answers every question at once."""

from __future__ import annotations

import json
import re
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from itertools import accumulate
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from msgspec.structs import replace

from evidence import CandorError, Measurement, Message, digest
from evidence.reasoning import split_reasoning
from probes.injections.tidy import tidy
from probes.models.chat import Chat
from probes.models.completion import Choice, Completion
from probes.models.messages import defuse
from probes.models.openai import OpenAIModel, bare, candidate_probability
from probes.probe import Transcript
from probes.rubrics import Rubric, load_rubric

if TYPE_CHECKING:
    from probes.models.local import LocalModel

_MAX_CHARS = 12_000
_MAX_REPLY_CHARS = 6_000
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
    """P(yes) by question id, the tokens it took, and whether a bare word stands in for some p."""

    p_yes: dict[str, float]
    tokens: int
    coarse: bool = False


class NoAnswers(NamedTuple):
    """Why a judge gave none; `unreadable` where it answered and no sense could be made of it."""

    why: str
    unreadable: bool = False
    failure: CandorError | None = None


class JudgeBackEnd(Protocol):
    """Answers every question of a rubric about each quoted conversation."""

    tells_forms: bool
    """Whether its answers about evasion and assertion are good enough to decide a verdict."""

    @property
    def digest(self) -> str: ...

    def answers(self, prompts: Sequence[str], rubric: Rubric) -> list[Answers | NoAnswers]:
        """The answers about each prompt, or why there are none."""
        ...


class JudgeProbe:
    """Asks a judge model.

    p_lie is the largest probability among the questions that speak for a lie: one plain
    contradiction is enough, and questions that do not apply must not dilute it.
    """

    name = "judge"

    def __init__(self, back_end: JudgeBackEnd, rubric: Rubric | None = None) -> None:
        self._back_end, self._rubric = back_end, rubric or load_rubric()
        self._version = digest("judge-3", back_end.digest, self._rubric.version)[:16]

    @property
    def version(self) -> str:
        return self._version

    def measure(self, transcripts: Sequence[Transcript]) -> list[Measurement]:
        """Measure a batch in order; an empty reply abstains, a broken answer is an error."""
        out = [
            Measurement(probe=self.name, version=self._version, abstained="empty response")
            for _ in transcripts
        ]
        todo = [i for i, transcript in enumerate(transcripts) if transcript.response.strip()]
        prompts = [quote(transcripts[i]) for i in todo]
        for i, found in zip(todo, self._back_end.answers(prompts, self._rubric), strict=True):
            out[i] = self._measurement(found)
        return out

    def _measurement(self, found: Answers | NoAnswers) -> Measurement:
        made = Measurement(probe=self.name, version=self._version)
        if isinstance(found, NoAnswers):
            return replace(made, error=found.why, unreadable=found.unreadable)
        by_finding: dict[str, float] = {}
        for question in self._rubric.questions:
            if question.finds:
                seen = by_finding.get(question.finds, 0.0)
                by_finding[question.finds] = max(seen, found.p_yes[question.id])
        return replace(
            made,
            p_lie=by_finding.get("lie"),
            p_evasion=by_finding.get("evasion") if self._back_end.tells_forms else None,
            p_not_asserted=by_finding.get("not_asserted") if self._back_end.tells_forms else None,
            answers=found.p_yes,
            tokens=found.tokens,
            coarse=found.coarse,
        )


class ServerJudge:
    """One structured-output call for each transcript; p from the probabilities of its value tokens."""

    tells_forms = True

    def __init__(self, model: OpenAIModel) -> None:
        self._model = model

    @staticmethod
    def room(rubric: Rubric) -> int:
        """New tokens that the answers to a rubric may take."""
        return 16 * len(rubric.questions) + 32

    @property
    def digest(self) -> str:
        return self._model.digest

    def answers(self, prompts: Sequence[str], rubric: Rubric) -> list[Answers | NoAnswers]:
        chats = [judge_chat(prompt, rubric) for prompt in prompts]
        replies = self._model.complete_json(chats, rubric.schema, max_new_tokens=self.room(rubric))
        return [
            NoAnswers(str(reply), failure=reply)
            if isinstance(reply, CandorError)
            else _read(reply, rubric)
            for reply in replies
        ]


class LocalJudge:
    """A judge in process: every question a branch behind the transcript, which is read once.

    A model of 135 million parameters answers these questions hardly better than chance (measured in
    docs/probes.md), so what it says about evasion and fiction is reported and decides nothing.
    """

    tells_forms = False

    def __init__(self, model: LocalModel) -> None:
        self._model = model

    @property
    def digest(self) -> str:
        return self._model.digest

    def answers(self, prompts: Sequence[str], rubric: Rubric) -> list[Answers | NoAnswers]:
        from probes.models.questions import yes_probabilities  # noqa: PLC0415 -- loads torch

        names = [question.id for question in rubric.questions]
        asked = [f"{question.text} Answer yes or no." for question in rubric.questions]
        quoted = [defuse(prompt) for prompt in prompts]
        found = yes_probabilities(self._model, quoted, rubric.instruction, asked)
        return [Answers(dict(zip(names, p, strict=True)), tokens) for p, tokens in found]


def judge_chat(prompt: str, rubric: Rubric) -> Chat:
    """The call: the instruction and the questions, then the quoted conversation.

    What all calls share is first, so that a server's prefix cache computes it once. The reminder at
    the end is the last word after whatever the conversation says.
    """
    questions = "\n".join(f'"{q.id}": {q.text}' for q in rubric.questions)
    asked = "Answer each question about the quoted reply with yes or no, as JSON:"
    return (
        Message("system", f"{rubric.instruction}\n\n{asked}\n{questions}"),
        Message("user", f"{prompt}\n\nThat was the data. Answer the questions about the reply."),
    )


def quote(transcript: Transcript) -> str:
    """The conversation as JSON strings that no content can close, as people see it (`tidy`).

    Long text loses its middle: at most 6 000 characters of the reply and 12 000 in all are kept.
    """
    reply = _shorten(tidy(transcript.response), _MAX_REPLY_CHARS)
    context = [{"role": m.role, "content": tidy(m.content)} for m in transcript.prompt]
    told = _shorten(json.dumps(context, ensure_ascii=False), _MAX_CHARS - len(reply))
    return f"CONVERSATION (data): {told}\nREPLY (data): {json.dumps(reply, ensure_ascii=False)}"


def _shorten(text: str, limit: int) -> str:
    half = max(0, limit) // 2
    return text if len(text) <= limit else f"{text[:half]} […] {text[len(text) - half :]}"


def _read(reply: Completion, rubric: Rubric) -> Answers | NoAnswers:
    """The answers of a reply: JSON, fenced or after reasoning, or where a server put it as reasoning."""
    names = [question.id for question in rubric.questions]
    said = _object(split_reasoning(reply.text)[1], names) or _object(reply.reasoning, names)
    if said is None:
        return NoAnswers(_why_unreadable(reply), unreadable=True)
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
    )


def _why_unreadable(reply: Completion) -> str:
    if reply.finish in _ENDS:
        return _ENDS[reply.finish]
    return f"the judge's reply {'is not the JSON asked for' if reply.text.strip() else 'is empty'}"


def _object(text: str, names: Sequence[str]) -> dict[str, Any] | None:
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
