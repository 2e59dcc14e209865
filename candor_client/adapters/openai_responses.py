"""The Responses API of the OpenAI SDK: a response with what it answers, as one turn."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any, NamedTuple

from candor_client.adapters.turns import Turns, plain

_KEPT = 256
_ENDS = frozenset({"response.completed", "response.incomplete"})
_ENDED = frozenset({"completed", "incomplete"})


class _Earlier(NamedTuple):
    conversation_id: str
    items: list[dict[str, Any]]


class ResponseTurns:
    """Sends responses of the API, each with the turns that it goes on from.

    A request that names a `previous_response_id` says nothing of what was said before, which the server has. The last 256
    responses of this process are remembered for it, so that a tool's result meets its call and turns of one conversation share
    their id. What was asked elsewhere is not known here: the turn is sent without it.
    """

    def __init__(self, turns: Turns) -> None:
        self._turns = turns
        self._lock = threading.Lock()
        self._earlier: OrderedDict[str, _Earlier] = OrderedDict()

    def put(self, answer: Any, asked: Mapping[str, Any]) -> None:
        """Send what was answered; a response that is not there yet, or failed, is none."""
        if getattr(answer, "status", None) not in _ENDED or not answer.output:
            return
        earlier = self._before(asked.get("previous_response_id"))
        items = [*earlier.items, *_given(asked.get("input")), *map(plain, answer.output)]
        conversation = _conversation(asked) or earlier.conversation_id or answer.id
        with self._lock:
            self._earlier[answer.id] = _Earlier(conversation, items)
            while len(self._earlier) > _KEPT:
                self._earlier.popitem(last=False)
        # Instructions are those of this request alone: the API carries none over.
        told = asked.get("instructions")
        self._turns.put(
            answer.id,
            answer.model,
            [*([{"role": "system", "content": told}] if told else []), *items],
            user_id=asked.get("safety_identifier") or asked.get("user"),
            conversation_id=conversation,
            tools=asked.get("tools"),
        )

    def _before(self, response_id: Any) -> _Earlier:
        with self._lock:
            return self._earlier.get(response_id, _Earlier("", []))


class ResponseEvents:
    """Reads a stream of the API along: its last event holds the whole response."""

    def __init__(self, responses: ResponseTurns, asked: Mapping[str, Any]) -> None:
        self._responses, self._asked = responses, asked

    def take(self, event: Any) -> None:
        if event.type in _ENDS:
            self._responses.put(event.response, self._asked)

    def end(self) -> None:
        """All was said by the last event."""


def _given(given: Any) -> list[dict[str, Any]]:
    if isinstance(given, str):
        return [{"role": "user", "content": given}]
    return [plain(item) for item in given or ()]


def _conversation(asked: Mapping[str, Any]) -> str:
    named = asked.get("conversation")
    if named and not isinstance(named, str):
        named = plain(named).get("id")
    metadata = asked.get("metadata")
    return str(named or (metadata.get("conversation_id") if metadata else None) or "")
