"""A judge model that reads the whole transcript as quoted data and answers every question at once."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Protocol

from evidence import CandorError, Measurement, Message, digest
from probes.injections.tidy import tidy
from probes.models.chat import Chat
from probes.models.messages import defuse
from probes.models.openai import Choice, Completion, OpenAIModel, candidate_probability
from probes.probe import Transcript
from probes.rubrics import Rubric, load_rubric

if TYPE_CHECKING:
    from probes.models.local import LocalModel

_MAX_CHARS = 12_000
_MAX_REPLY_CHARS = 6_000
_UNREADABLE = "the judge's reply is not the JSON asked for"


class JudgeBackEnd(Protocol):
    """Answers every question of a rubric about each quoted conversation."""

    tells_forms: bool
    """Whether its answers about evasion and assertion are good enough to decide a verdict."""

    @property
    def digest(self) -> str: ...

    def answers(
        self, prompts: Sequence[str], rubric: Rubric
    ) -> list[tuple[dict[str, float], int] | str]:
        """P(yes) by question id and tokens used, or the reason why there is none, for each prompt."""
        ...


class JudgeProbe:
    """Asks a judge model.

    p_lie is the largest probability among the questions that speak for a lie: one plain
    contradiction is enough, and questions that do not apply must not dilute it.
    """

    name = "judge"

    def __init__(self, back_end: JudgeBackEnd, rubric: Rubric | None = None) -> None:
        self._back_end, self._rubric = back_end, rubric or load_rubric()
        self._version = digest("judge-2", back_end.digest, self._rubric.version)[:16]

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

    def _measurement(self, found: tuple[dict[str, float], int] | str) -> Measurement:
        if isinstance(found, str):
            unreadable = found.startswith(_UNREADABLE)
            return Measurement(
                probe=self.name, version=self._version, error=found, unreadable=unreadable
            )
        answers, tokens = found
        by_finding: dict[str, float] = {}
        for question in self._rubric.questions:
            if question.finds:
                seen = by_finding.get(question.finds, 0.0)
                by_finding[question.finds] = max(seen, answers[question.id])
        return Measurement(
            probe=self.name,
            version=self._version,
            p_lie=by_finding.get("lie"),
            p_evasion=by_finding.get("evasion") if self._back_end.tells_forms else None,
            p_not_asserted=by_finding.get("not_asserted") if self._back_end.tells_forms else None,
            answers=answers,
            tokens=tokens,
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

    def answers(
        self, prompts: Sequence[str], rubric: Rubric
    ) -> list[tuple[dict[str, float], int] | str]:
        chats = [judge_chat(prompt, rubric) for prompt in prompts]
        replies = self._model.complete_json(chats, rubric.schema, max_new_tokens=self.room(rubric))
        return [
            str(reply) if isinstance(reply, CandorError) else _read(reply, rubric)
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

    def answers(
        self, prompts: Sequence[str], rubric: Rubric
    ) -> list[tuple[dict[str, float], int] | str]:
        from probes.models.questions import yes_probabilities  # noqa: PLC0415 -- loads torch

        names = [question.id for question in rubric.questions]
        asked = [f"{question.text} Answer yes or no." for question in rubric.questions]
        quoted = [defuse(prompt) for prompt in prompts]
        found = yes_probabilities(self._model, quoted, rubric.instruction, asked)
        return [(dict(zip(names, p, strict=True)), tokens) for p, tokens in found]


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


def _read(reply: Completion, rubric: Rubric) -> tuple[dict[str, float], int] | str:
    try:
        values = json.loads(reply.text)
        said = {question.id: str(values[question.id]).lower() for question in rubric.questions}
    except (ValueError, KeyError, TypeError) as error:
        return f"{_UNREADABLE}: {type(error).__name__}"
    if not set(said.values()) <= {"yes", "no"}:
        return f"{_UNREADABLE}: neither yes nor no"
    tokens = reply.prompt_tokens + reply.completion_tokens
    return {name: _p_yes(reply.choices, name, value) for name, value in said.items()}, tokens


def _p_yes(choices: Sequence[Choice], name: str, said: str) -> float:
    """P(yes) at the value of `name`, from the token where the value begins; 0 or 1 without tokens."""
    text, found = "", None
    for choice in choices:
        key = text.rfind(f'"{name}"')
        value = choice.token.strip(' \n"').lower()
        if key >= 0 and ":" in text[key + len(name) :] and value and said.startswith(value):
            found = choice.alternatives
            break
        text += choice.token
    return _normalised(found, said) if found else float(said == "yes")


def _normalised(alternatives: Mapping[str, float], said: str) -> float:
    yes, no = (candidate_probability(alternatives, answer) for answer in ("yes", "no"))
    return yes / (yes + no) if yes + no > 0 else float(said == "yes")
