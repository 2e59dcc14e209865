"""A reply of an OpenAI-compatible chat server, read in all the shapes that servers write it."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import msgspec

from probes.models.server import AnsweredError

_UNKNOWN_STATUS = 502


class Choice(NamedTuple):
    """One generated token and the probabilities of the likeliest tokens in its place."""

    token: str
    alternatives: Mapping[str, float]


class Completion(NamedTuple):
    """A reply with its tokens, as far as the server reports them, and the tokens it took.

    `reasoning` is what a server's reasoning parser took out of the text; `finish` why it ended
    (`stop`, `length`, `content_filter`), empty where the server does not say.
    """

    text: str
    choices: tuple[Choice, ...]
    prompt_tokens: int
    completion_tokens: int
    reasoning: str = ""
    finish: str = ""


class _Message(msgspec.Struct):
    content: str | list[Any] | None = None
    reasoning: Any = None
    reasoning_content: Any = None
    refusal: str | None = None


class _Top(msgspec.Struct):
    token: str
    logprob: float | None = None


class _TokenInfo(msgspec.Struct):
    token: str
    logprob: float | None = None
    top_logprobs: list[_Top] | None = None


class _Logprobs(msgspec.Struct):
    content: list[_TokenInfo] | None = None


class _Choice(msgspec.Struct):
    message: _Message | None = None
    logprobs: _Logprobs | None = None
    finish_reason: str | None = None
    error: Any = None


class _Usage(msgspec.Struct):
    prompt_tokens: int | None = None
    completion_tokens: int | None = None


class _Reply(msgspec.Struct):
    choices: list[_Choice] | None = None
    usage: _Usage | None = None
    error: Any = None


class _Served(msgspec.Struct):
    id: str


class _Models(msgspec.Struct):
    data: list[_Served]


def read_completion(data: bytes) -> Completion:
    """The first choice of a reply.

    Raises ValueError when it is no completion, AnsweredError when it is an error with status 200.
    """
    reply = msgspec.convert(_loaded(data), _Reply)
    choice = reply.choices[0] if reply.choices else _Choice()
    error = reply.error or choice.error
    if error and choice.message is None:
        raise answered(error)
    if choice.message is None:
        raise ValueError("no choice with a message")
    if error and not choice.message.content:
        raise answered(error)
    message, usage = choice.message, reply.usage or _Usage()
    said, thought = _parts(message.content)
    infos = (choice.logprobs.content if choice.logprobs else None) or []
    return Completion(
        said or message.refusal or "",
        tuple(map(_choice, infos)),
        usage.prompt_tokens or 0,
        usage.completion_tokens or 0,
        _text(message.reasoning) or _text(message.reasoning_content) or thought,
        choice.finish_reason or "",
    )


def read_models(data: bytes) -> list[str]:
    """The names of a list of models. Raises ValueError when it is none."""
    value = _loaded(data)
    error = value.get("error") if isinstance(value, dict) else None
    if error:
        raise answered(error)
    return [served.id for served in msgspec.convert(value, _Models).data]


def _loaded(data: bytes) -> Any:
    """JSON as servers write it: with -Infinity and half a surrogate pair, which msgspec refuses."""
    try:
        return msgspec.json.decode(data)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return json.loads(data)


def answered(error: Any) -> AnsweredError:
    """What a reply with status 200 says is wrong."""
    given = error if isinstance(error, dict) else {"message": error}
    code = str(given.get("code") or given.get("status") or "")
    status = int(code) if code.isdecimal() and 400 <= int(code) < 600 else _UNKNOWN_STATUS
    words = str(given.get("message") or given)[:200]
    return AnsweredError(f"{code} {words}".strip(), status)


def _parts(content: str | Sequence[Any] | None) -> tuple[str, str]:
    """What a content says and what it thinks: text, or a list of typed parts."""
    if content is None or isinstance(content, str):
        return content or "", ""
    said: list[str] = []
    thought: list[str] = []
    for part in content:
        kind = part.get("type") if isinstance(part, dict) else ""
        (thought if kind in {"thinking", "reasoning"} else said).append(_text(part))
    return "".join(said), "".join(thought)


def _text(part: Any) -> str:
    if isinstance(part, str):
        return part
    if isinstance(part, list):
        return "".join(map(_text, part))
    if not isinstance(part, dict):
        return ""
    return next((_text(part[key]) for key in ("text", "thinking", "reasoning") if key in part), "")


def _choice(info: _TokenInfo) -> Choice:
    tops = [(top.token, top.logprob) for top in info.top_logprobs or ()]
    pairs = tops or [(info.token, info.logprob)]
    known = ((token, p) for token, p in pairs if p is not None and not math.isnan(p))
    return Choice(info.token, {token: math.exp(min(p, 0.0)) for token, p in known})
