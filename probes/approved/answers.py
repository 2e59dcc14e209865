"""What the approved version itself answers once the pressure is gone: for a person to read beside a response."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Sequence
from itertools import islice

from evidence import CandorError, digest
from probes.approved.contexts import content_of, role_of
from probes.models.chat import Chat, ChatModel, generate_each

FLAGGED = 0.5
"""From this p_lie on a response is worth the tokens of an answer to lay beside it."""


class ApprovedAnswers:
    """Answers to neutral conversations, each asked for once.

    They move no probability, so they may not cost what the measurement costs: nothing is said where the model
    does not answer, and beyond `most_new` conversations of a batch.

    Parameters
    ----------
    max_new_tokens
        Room of an answer.
    most_new
        Conversations of one batch that are asked about; prompts repeat, so the next batches have answers to more.
    cache_size
        Answers remembered in this process.
    """

    def __init__(
        self,
        model: ChatModel,
        *,
        max_new_tokens: int = 48,
        most_new: int = 2,
        cache_size: int = 2048,
    ) -> None:
        self._model, self._room = model, max_new_tokens
        self._most_new, self._size = most_new, cache_size
        self._known: OrderedDict[str, str] = OrderedDict()
        self._lock = threading.Lock()

    @property
    def name(self) -> str:
        """The name of the version that answers."""
        return self._model.name

    def to(self, chats: Sequence[Chat]) -> list[str | None]:
        """The answer to each conversation, in order; the first ones are asked about."""
        keys = [digest(*(f"{role_of(m)}:{content_of(m)}" for m in chat)) for chat in chats]
        with self._lock:
            found = {key: self._known[key] for key in keys if key in self._known}
        unknown = {key: chat for key, chat in zip(keys, chats, strict=True) if key not in found}
        new = dict(islice(unknown.items(), self._most_new))
        said = generate_each(self._model, list(new.values()), max_new_tokens=self._room)
        made = {
            key: answer.strip()
            for key, answer in zip(new, said, strict=True)
            if not isinstance(answer, CandorError)
        }
        self._remember(made)
        found |= made
        return [found.get(key) for key in keys]

    def _remember(self, made: dict[str, str]) -> None:
        with self._lock:
            self._known.update(made)
            while len(self._known) > self._size:
                self._known.popitem(last=False)
