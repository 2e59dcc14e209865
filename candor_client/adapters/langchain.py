"""LangChain: a callback handler that sends what chat models answer.

model.invoke("Is it?", config={"callbacks": [CandorHandler(turns)]})
"""

from __future__ import annotations

import collections
import logging
import threading
from typing import Any
from uuid import UUID

from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.messages import BaseMessage, convert_to_openai_messages
from langchain_core.outputs import ChatGeneration, LLMResult

from candor_client.adapters.turns import Turns

log = logging.getLogger(__name__)

_MOST_OPEN = 10_000


class CandorHandler(BaseCallbackHandler):
    """Sends each answer of a chat model with the messages that it was asked with.

    The response id is the message's `id`. User and conversation are `user_id`, and `conversation_id`,
    `thread_id` or `session_id`, of the run's `metadata`.
    """

    def __init__(self, turns: Turns) -> None:
        super().__init__()
        self._turns = turns
        self._lock = threading.Lock()
        self._open: collections.OrderedDict[UUID, tuple[list[BaseMessage], dict[str, Any]]] = (
            collections.OrderedDict()
        )

    def on_chat_model_start(
        self,
        serialized: dict[str, Any],
        messages: list[list[BaseMessage]],
        *,
        run_id: UUID,
        metadata: dict[str, Any] | None = None,
        **_: Any,
    ) -> None:
        """Remember what is asked."""
        del serialized
        with self._lock:
            self._open[run_id] = (messages[0] if messages else [], dict(metadata or {}))
            if len(self._open) > _MOST_OPEN:
                self._open.popitem(last=False)

    def on_llm_end(self, response: LLMResult, *, run_id: UUID, **_: Any) -> None:
        """Send what was answered."""
        with self._lock:
            asked = self._open.pop(run_id, None)
        if asked is None:
            return
        try:
            self._put(response, run_id, *asked)
        except Exception:
            log.exception("an answer could not be sent")

    def on_llm_error(self, error: BaseException, *, run_id: UUID, **_: Any) -> None:
        """Nothing was answered."""
        del error
        with self._lock:
            self._open.pop(run_id, None)

    def _put(
        self,
        response: LLMResult,
        run_id: UUID,
        prompt: list[BaseMessage],
        metadata: dict[str, Any],
    ) -> None:
        names = ("conversation_id", "thread_id", "session_id")
        conversation = next((metadata[name] for name in names if metadata.get(name)), None)
        for number, generation in enumerate(response.generations[0]):
            if not isinstance(generation, ChatGeneration):
                continue
            message = generation.message
            told = message.response_metadata
            made = message.id or str(run_id)
            self._turns.put(
                f"{made}#{number}" if number else made,
                told.get("model_name") or metadata.get("ls_model_name"),
                convert_to_openai_messages([*prompt, message]),
                user_id=metadata.get("user_id"),
                conversation_id=conversation,
            )
