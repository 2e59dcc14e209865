"""The OpenAI SDK: what chat completions and responses answer is sent, streams too.

client = watch(OpenAI(), Turns(recorder, assistant="helpdesk"))
"""

from __future__ import annotations

import functools
import inspect
import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from candor_client.adapters.openai_responses import ResponseEvents, ResponseTurns
from candor_client.adapters.streams import AsyncReadStream, Reader, ReadStream
from candor_client.adapters.turns import Turns, plain

log = logging.getLogger(__name__)

ClientT = TypeVar("ClientT")
Put = Callable[[Any, Mapping[str, Any]], None]
"""Sends a whole answer, given what was asked."""
Read = Callable[[Mapping[str, Any]], Reader]
"""What reads a stream along, given what was asked."""


def watch(client: ClientT, turns: Turns) -> ClientT:
    """The same `OpenAI` or `AsyncOpenAI` client, whose chat completions and responses are sent from now on.

    The response id is the answer's `id`, which feedback then names. The user is `safety_identifier` or
    `user`; the conversation is `metadata["conversation_id"]`, of a response also `conversation`, else that of the
    `previous_response_id`. A stream is sent once it is read to its end.
    What cannot be sent is logged: the assistant's answer is the same in every case.
    """
    completions = client.chat.completions  # type: ignore[attr-defined]
    completions.create = _watched(
        completions.create,
        lambda answer, asked: _put_completion(turns, answer, asked),
        lambda asked: _Chunks(turns, asked),
    )
    responses = getattr(client, "responses", None)
    if responses is not None:  # an SDK of before 1.66 has none
        sent = ResponseTurns(turns)
        for name in ("create", "parse"):
            whole = getattr(responses, name)
            read = functools.partial(ResponseEvents, sent)
            setattr(responses, name, _watched(whole, sent.put, read))
    return client


def _watched(create: Callable[..., Any], put: Put, read: Read) -> Callable[..., Any]:
    """A method of the SDK whose answers are sent."""

    def seen(answer: Any, asked: Mapping[str, Any]) -> Any:
        if hasattr(answer, "__aiter__"):
            return AsyncReadStream(answer, read(asked))
        if hasattr(answer, "__next__"):
            return ReadStream(answer, read(asked))
        try:
            put(answer, asked)
        except Exception:
            log.exception("an answer could not be sent")
        return answer

    async def awaited(answer: Any, asked: Mapping[str, Any]) -> Any:
        return seen(await answer, asked)

    @functools.wraps(create)
    def watched(*given: Any, **asked: Any) -> Any:
        answer = create(*given, **asked)
        return awaited(answer, asked) if inspect.isawaitable(answer) else seen(answer, asked)

    return watched


def _put_completion(turns: Turns, answer: Any, asked: Mapping[str, Any]) -> None:
    if hasattr(answer, "choices"):
        _put(turns, asked, answer.id, answer.model, [plain(c.message) for c in answer.choices])


def _put(
    turns: Turns,
    asked: Mapping[str, Any],
    completion_id: str,
    model: str,
    choices: Sequence[Mapping[str, Any]],
) -> None:
    prompt = [plain(message) for message in asked.get("messages", ())]
    metadata = asked.get("metadata")
    for number, choice in enumerate(choices):
        turns.put(
            f"{completion_id}#{number}" if number else completion_id,
            model,
            [*prompt, choice],
            user_id=asked.get("safety_identifier") or asked.get("user"),
            conversation_id=metadata.get("conversation_id") if metadata else None,
            tools=asked.get("tools"),
        )


class _Chunks:
    """The chunks of a stream, put together."""

    def __init__(self, turns: Turns, asked: Mapping[str, Any]) -> None:
        self._turns, self._asked = turns, asked
        self._id = self._model = ""
        self._choices: dict[int, dict[str, Any]] = {}

    def take(self, chunk: Any) -> None:
        self._id, self._model = chunk.id or self._id, chunk.model or self._model
        for choice in chunk.choices:
            _extend(self._choices.setdefault(choice.index, {"role": "assistant"}), choice.delta)

    def end(self) -> None:
        choices = [self._choices[number] for number in sorted(self._choices)]
        _put(self._turns, self._asked, self._id, self._model, choices)


def _extend(message: dict[str, Any], delta: Any) -> None:
    for name in ("content", "refusal", "reasoning_content"):
        part = getattr(delta, name, None)
        if isinstance(part, str):
            message[name] = message.get(name, "") + part
    for part in getattr(delta, "tool_calls", None) or ():
        calls = message.setdefault("tool_calls", [])
        while len(calls) <= part.index:
            calls.append({"id": "", "type": "function", "function": {"name": "", "arguments": ""}})
        call = calls[part.index]
        call["id"] = part.id or call["id"]
        if part.function is not None:
            call["function"]["name"] += part.function.name or ""
            call["function"]["arguments"] += part.function.arguments or ""
