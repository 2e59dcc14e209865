"""The OpenAI SDK: what `client.chat.completions.create` answers is sent, streams too.

client = watch(OpenAI(), Turns(recorder, assistant="helpdesk"))
"""

from __future__ import annotations

import functools
import inspect
import logging
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from typing import Any, TypeVar

from candor_client.adapters.turns import Turns, plain

log = logging.getLogger(__name__)

ClientT = TypeVar("ClientT")


def watch(client: ClientT, turns: Turns) -> ClientT:
    """The same `OpenAI` or `AsyncOpenAI` client, whose chat completions are sent from now on.

    The response id is the completion's `id`, which feedback then names. The user is `safety_identifier` or
    `user`; the conversation is `metadata["conversation_id"]`. A stream is sent once it is read to its end.
    What cannot be sent is logged: the assistant's answer is the same in every case.
    """
    completions = client.chat.completions  # type: ignore[attr-defined]
    create = completions.create

    @functools.wraps(create)
    def watched(*given: Any, **asked: Any) -> Any:
        answer = create(*given, **asked)
        if inspect.isawaitable(answer):
            return _awaited(answer, asked, turns)
        return _seen(answer, asked, turns)

    completions.create = watched
    return client


async def _awaited(answer: Any, asked: Mapping[str, Any], turns: Turns) -> Any:
    return _seen(await answer, asked, turns)


def _seen(answer: Any, asked: Mapping[str, Any], turns: Turns) -> Any:
    if hasattr(answer, "__aiter__"):
        return _AsyncStream(answer, asked, turns)
    if hasattr(answer, "__next__"):
        return _Stream(answer, asked, turns)
    if hasattr(answer, "choices"):
        try:
            _put(turns, asked, answer.id, answer.model, [plain(c.message) for c in answer.choices])
        except Exception:
            log.exception("an answer could not be sent")
    return answer


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
        )


class _Collected:
    """The chunks of a stream, put together."""

    def __init__(self, stream: Any, asked: Mapping[str, Any], turns: Turns) -> None:
        self._stream, self._asked, self._turns = stream, asked, turns
        self._id = self._model = ""
        self._choices: dict[int, dict[str, Any]] = {}

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def _take(self, chunk: Any) -> None:
        try:
            self._id, self._model = chunk.id or self._id, chunk.model or self._model
            for choice in chunk.choices:
                _extend(self._choices.setdefault(choice.index, {"role": "assistant"}), choice.delta)
        except Exception:
            log.exception("a part of an answer could not be read")

    def _end(self) -> None:
        try:
            choices = [self._choices[number] for number in sorted(self._choices)]
            _put(self._turns, self._asked, self._id, self._model, choices)
        except Exception:
            log.exception("an answer could not be sent")


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


class _Stream(_Collected):
    """A stream that is the SDK's own for who reads it."""

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        try:
            chunk = next(self._stream)
        except StopIteration:
            self._end()
            raise
        self._take(chunk)
        return chunk

    def __enter__(self) -> _Stream:
        self._stream.__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        self._stream.__exit__(*error)


class _AsyncStream(_Collected):
    """The same for asyncio."""

    def __aiter__(self) -> AsyncIterator[Any]:
        return self

    async def __anext__(self) -> Any:
        try:
            chunk = await self._stream.__anext__()
        except StopAsyncIteration:
            self._end()
            raise
        self._take(chunk)
        return chunk

    async def __aenter__(self) -> _AsyncStream:
        await self._stream.__aenter__()
        return self

    async def __aexit__(self, *error: Any) -> None:
        await self._stream.__aexit__(*error)
