"""Where neutral texts are kept, so that a person can read and replace them."""

from __future__ import annotations

import threading
from collections.abc import Collection, Mapping, Sequence
from typing import Protocol

from probes.neutral.text import NeutralText


class NeutralStore(Protocol):
    """Keeps neutral texts by assistant and key (`NeutralText.key`)."""

    def get(self, assistant: str, keys: Collection[str]) -> Mapping[str, NeutralText]:
        """The kept texts among these keys. Raises CandorError where the store does not answer."""
        ...

    def put(self, assistant: str, texts: Sequence[NeutralText]) -> None:
        """Keep what was rewritten; a reviewed text is never replaced by one that is not.

        Raises CandorError where the store does not answer.
        """
        ...


class MemoryStore:
    """Neutral texts in this process: for a scorer without a database.

    Parameters
    ----------
    most
        Texts kept for each assistant; the oldest unreviewed ones go.
    """

    def __init__(self, most: int = 1000) -> None:
        self._most, self._lock = most, threading.Lock()
        self._texts: dict[str, dict[str, NeutralText]] = {}

    def get(self, assistant: str, keys: Collection[str]) -> Mapping[str, NeutralText]:
        with self._lock:
            mine = self._texts.get(assistant, {})
            return {key: mine[key] for key in keys if key in mine}

    def put(self, assistant: str, texts: Sequence[NeutralText]) -> None:
        with self._lock:
            mine = self._texts.setdefault(assistant, {})
            for text in texts:
                old = mine.get(text.key)
                if old is None or old.state != "reviewed" or text.state == "reviewed":
                    mine.pop(text.key, None)
                    mine[text.key] = text
            rest = [key for key, text in mine.items() if text.state != "reviewed"]
            for key in rest[: max(0, len(rest) - self._most)]:
                del mine[key]
