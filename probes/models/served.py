"""The versions of an assistant that one server serves, each by its name there."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence

import httpx

from evidence import CandorError, digest
from evidence.outcomes import MODEL_GONE
from probes.models.chat import Chat, ChatModel, generate_each
from probes.models.openai import OpenAIModel
from probes.models.server import ServerOptions

_SHOWN = 8


class ModelGoneError(CandorError):
    """A version that its server does not serve now, such as an adapter that was unloaded."""


class Served:
    """Finds the model of a version at one server, and says so when it is gone.

    Parameters
    ----------
    url
        Base URL ending in `/v1`.
    versions
        From a version in the records to its name at the server; one that is not listed goes by its
        own name.
    api_key
        Bearer token, if the server wants one.
    refresh_s
        The list of served models is asked for at most so often: so long may an adapter that came or
        went stay unnoticed.
    transport, clock
        Handed in by tests; by default the network and monotonic time.
    """

    def __init__(
        self,
        url: str,
        versions: Mapping[str, str] | None = None,
        options: ServerOptions | None = None,
        *,
        api_key: str | None = None,
        refresh_s: float = 30.0,
        transport: httpx.BaseTransport | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._versions = dict(versions or {})
        self._url, self._options, self._api_key = url, options, api_key
        self._transport = transport
        self._refresh_s, self._clock = refresh_s, clock
        self._list = self._new("")
        self._models: dict[str, OpenAIModel] = {}
        self._names: tuple[str, ...] = ()
        self._looked_s: float | None = None
        self._lock = threading.Lock()

    @property
    def url(self) -> str:
        return self._list.url

    @property
    def digest(self) -> str:
        """The same for all versions: a further adapter makes no other evaluator."""
        return digest("openai-compatible", "each version by its own model")

    def names(self) -> tuple[str, ...]:
        """What the server serves. Raises UnreachableError when it does not answer."""
        with self._lock:
            now_s = self._clock()
            if self._looked_s is None or now_s - self._looked_s >= self._refresh_s:
                self._names = tuple(self._list.served_models())
                self._looked_s = now_s
            return self._names

    def model_of(self, version: str) -> OpenAIModel:
        """The model of a version. Raises ModelGoneError, and UnreachableError without an answer."""
        if not version:
            raise ModelGoneError(f"{MODEL_GONE}: the record names no model version")
        name = self._versions.get(version, version)
        served = self.names()
        if name not in served:
            known = ", ".join(served[:_SHOWN]) or "nothing"
            asked = repr(name) if name == version else f"{name!r} (version {version!r})"
            raise ModelGoneError(f"{MODEL_GONE}: {self.url} serves no {asked} but {known}")
        with self._lock:
            if name not in self._models:
                self._models[name] = self._new(name)
            return self._models[name]

    def _new(self, name: str) -> OpenAIModel:
        return OpenAIModel(
            self._url,
            name,
            self._options,
            api_key=self._api_key,
            transport=self._transport,
            clock=self._clock,
        )


def models_for(asked: ChatModel | Served, versions: Sequence[str]) -> list[ChatModel | CandorError]:
    """Whom to ask about a response of each version, or why nobody; a model at hand speaks for all."""
    if not isinstance(asked, Served):
        return [asked] * len(versions)
    found: dict[str, ChatModel | CandorError] = {}
    for version in versions:
        if version not in found:
            try:
                found[version] = asked.model_of(version)
            except CandorError as error:
                found[version] = error
    return [found[version] for version in versions]


def generate_from(
    asked: Sequence[tuple[ChatModel, Chat]],
    *,
    max_new_tokens: int,
    temperature: float = 0.0,
    seed: int = 0,
) -> list[str | CandorError]:
    """`generate_each` for conversations with several models, in order; each model has one batch."""
    places: dict[int, list[int]] = {}
    for place, (model, _) in enumerate(asked):
        places.setdefault(id(model), []).append(place)
    found: dict[int, str | CandorError] = {}
    for own in places.values():
        said = generate_each(
            asked[own[0]][0],
            [asked[place][1] for place in own],
            max_new_tokens=max_new_tokens,
            temperature=temperature,
            seed=seed,
        )
        found.update(zip(own, said, strict=True))
    return [found[place] for place in range(len(asked))]


def whole(answers: Sequence[str | CandorError]) -> list[str] | CandorError:
    """The answers to one prompt, or the first error: answers of which some are missing say too little."""
    failed = next((one for one in answers if isinstance(one, CandorError)), None)
    return failed or [one for one in answers if isinstance(one, str)]
