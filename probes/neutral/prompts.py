"""The neutral conversations of a transcript: one rewritten without pressure, or three frames."""

from __future__ import annotations

import logging
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import NamedTuple, Protocol

from msgspec.structs import replace

from evidence import CandorError, Message, digest
from probes.models.chat import Chat
from probes.neutral.frames import FRAMES, neutral_contexts
from probes.neutral.rewrite import Rewriter
from probes.neutral.store import NeutralStore
from probes.neutral.text import NeutralText, Role, key_of
from probes.probe import Transcript

log = logging.getLogger(__name__)
_ROLES: Mapping[str, Role] = {"system": "system", "developer": "system", "user": "user"}
_Place = tuple[str, str]


class NeutralPrompts(Protocol):
    """Takes the pressure out of the conversations before responses."""

    @property
    def digest(self) -> str:
        """Identity of how it is done; 64 hex digits."""
        ...

    def contexts(self, transcripts: Sequence[Transcript]) -> list[list[Chat]]:
        """For each transcript the neutral conversations before its response, at least one."""
        ...


class FrameNeutral:
    """Leaves the text alone and puts it into three neutral frames: needs no model."""

    digest = digest("frames-1", *(frame("") for frame in FRAMES))

    def contexts(self, transcripts: Sequence[Transcript]) -> list[list[Chat]]:
        return [list(neutral_contexts(transcript)) for transcript in transcripts]


class RewrittenNeutral:
    """One rewritten conversation; the frames where a text of it has no accepted rewrite.

    System and developer messages, which are few and configuration, are kept in the store, where a
    person may replace them. What users wrote is theirs: it is rewritten in memory alone. Messages of
    the assistant and of tools stay as they are.

    Parameters
    ----------
    cache_size
        Texts remembered in this process.
    cache_age_s
        A text that a person replaced serves after this time at the latest.
    clock
        Monotonic seconds.
    """

    def __init__(
        self,
        rewriter: Rewriter,
        store: NeutralStore,
        *,
        cache_size: int = 4096,
        cache_age_s: float = 60.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._rewriter, self._store, self._clock = rewriter, store, clock
        self._cache = _Cache(cache_size)
        self._age_s = cache_age_s
        self.digest = digest("rewritten-1", rewriter.digest, FrameNeutral.digest)

    def contexts(self, transcripts: Sequence[Transcript]) -> list[list[Chat]]:
        wanted: dict[_Place, tuple[Role, str]] = {}
        for transcript in transcripts:
            for message in transcript.prompt:
                role = _ROLES.get(message.role)
                if role is not None and message.content.strip():
                    place = (transcript.assistant, key_of(role, message.content))
                    wanted[place] = (role, message.content)
        found = self._found(wanted)
        return [self._context(transcript, found) for transcript in transcripts]

    def _context(self, transcript: Transcript, found: Mapping[_Place, NeutralText]) -> list[Chat]:
        out = []
        for message in transcript.prompt:
            role = _ROLES.get(message.role)
            if role is None or not message.content.strip():
                out.append(message)
                continue
            text = found.get((transcript.assistant, key_of(role, message.content)))
            if text is None or text.state == "refused":
                return list(neutral_contexts(transcript))
            out.append(_with(message, text.neutral))
        return [tuple(out)]

    def _found(self, wanted: Mapping[_Place, tuple[Role, str]]) -> dict[_Place, NeutralText]:
        now = self._clock()
        found = self._cache.fresh(wanted, now - self._age_s)
        kept = self._stored({place for place in wanted if place not in found}, wanted)
        found |= kept
        new = [place for place in wanted if place not in found]
        made = self._rewriter.rewrite([wanted[place] for place in new]) if new else []
        for place, text in zip(new, made, strict=True):
            if isinstance(text, CandorError):
                log.warning("a prompt is not rewritten, its frames serve: %s", text)
            else:
                found[place] = text
        self._keep({place: found[place] for place in new if place in found})
        self._cache.put(found, now, set(kept) | set(new))
        return found

    def _stored(
        self, places: Collection[_Place], wanted: Mapping[_Place, tuple[Role, str]]
    ) -> dict[_Place, NeutralText]:
        """What the store has and this rewriter, or a person, made."""
        by_assistant: dict[str, list[str]] = {}
        for assistant, key in places:
            if wanted[assistant, key][0] == "system":
                by_assistant.setdefault(assistant, []).append(key)
        out = {}
        for assistant, keys in by_assistant.items():
            try:
                kept = self._store.get(assistant, keys)
            except CandorError as error:
                log.warning("kept neutral prompts cannot be read: %s", error)
                continue
            for key, text in kept.items():
                if text.state == "reviewed" or text.made_by == self._rewriter.digest:
                    out[assistant, key] = text
        return out

    def _keep(self, made: Mapping[_Place, NeutralText]) -> None:
        by_assistant: dict[str, list[NeutralText]] = {}
        for (assistant, _), text in made.items():
            if text.role == "system":
                by_assistant.setdefault(assistant, []).append(text)
        for assistant, texts in by_assistant.items():
            try:
                self._store.put(assistant, texts)
            except CandorError as error:
                log.warning("neutral prompts are not kept: %s", error)


class _Entry(NamedTuple):
    text: NeutralText
    at_s: float


class _Cache:
    """The newest texts, with when they were looked up."""

    def __init__(self, size: int) -> None:
        self._size, self._lock = size, threading.Lock()
        self._entries: OrderedDict[_Place, _Entry] = OrderedDict()

    def fresh(self, places: Collection[_Place], since_s: float) -> dict[_Place, NeutralText]:
        """Those looked up since; a user's text is nobody's to replace, so it does not age."""
        with self._lock:
            known = {p: self._entries[p] for p in places if p in self._entries}
        return {
            place: entry.text
            for place, entry in known.items()
            if entry.at_s >= since_s or entry.text.role == "user"
        }

    def put(
        self, texts: Mapping[_Place, NeutralText], now_s: float, looked_up: Collection[_Place]
    ) -> None:
        with self._lock:
            for place, text in texts.items():
                if place in looked_up:
                    self._entries[place] = _Entry(text, now_s)
                if place in self._entries:
                    self._entries.move_to_end(place)
            while len(self._entries) > self._size:
                self._entries.popitem(last=False)


def _with(message: Message, text: str) -> Message:
    return message if text == message.content else replace(message, content=text)
