"""LiteLLM: a callback that sends what the SDK or the proxy answers.

litellm.callbacks = [CandorLogger(Turns(recorder, assistant="helpdesk"))]
"""

from __future__ import annotations

import collections
import logging
import threading
from collections.abc import Mapping
from typing import Any

from litellm.integrations.custom_logger import CustomLogger

from candor_client.adapters.turns import Turns, plain

log = logging.getLogger(__name__)

_REMEMBERED = 10_000


class CandorLogger(CustomLogger):
    """Sends each chat completion once, streams when they are whole.

    The response id is the completion's `id`. The user is `user`, else `user_id` of the `metadata`; the
    conversation is its `conversation_id` or `session_id`.
    """

    def __init__(self, turns: Turns) -> None:
        super().__init__()
        self._turns = turns
        self._lock = threading.Lock()
        self._sent: collections.OrderedDict[str, None] = collections.OrderedDict()

    def log_success_event(
        self, kwargs: Mapping[str, Any], response_obj: Any, start_time: Any, end_time: Any
    ) -> None:
        """Called by LiteLLM in a thread of its own."""
        del start_time, end_time
        try:
            self._put(kwargs, response_obj)
        except Exception:
            log.exception("an answer could not be sent")

    async def async_log_success_event(
        self, kwargs: Mapping[str, Any], response_obj: Any, start_time: Any, end_time: Any
    ) -> None:
        """The same for `acompletion`."""
        self.log_success_event(kwargs, response_obj, start_time, end_time)

    def _put(self, asked: Mapping[str, Any], answer: Any) -> None:
        if asked.get("stream"):
            answer = asked.get("complete_streaming_response") or asked.get(
                "async_complete_streaming_response"
            )
        choices = getattr(answer, "choices", None)
        messages = asked.get("messages")
        if not choices or not isinstance(messages, list) or not self._is_new(answer.id):
            return
        metadata = (asked.get("litellm_params") or {}).get("metadata") or {}
        optional = asked.get("optional_params") or {}
        for number, choice in enumerate(choices):
            self._turns.put(
                f"{answer.id}#{number}" if number else answer.id,
                answer.model,
                [*map(plain, messages), plain(choice.message)],
                user_id=asked.get("user") or optional.get("user") or metadata.get("user_id"),
                conversation_id=metadata.get("conversation_id") or metadata.get("session_id"),
            )

    def _is_new(self, completion_id: str) -> bool:
        """LiteLLM may call for one completion more than once."""
        with self._lock:
            if completion_id in self._sent:
                return False
            self._sent[completion_id] = None
            if len(self._sent) > _REMEMBERED:
                self._sent.popitem(last=False)
            return True
