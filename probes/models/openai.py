"""Any OpenAI-compatible chat server, such as vLLM, over HTTP."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple, TypeVar

import httpx

from evidence import CandorError, digest
from evidence.structs import build_types
from probes.models.allowed import Allowed, eased, fitted
from probes.models.chat import Chat
from probes.models.completion import Completion, read_completion, read_models
from probes.models.messages import plain, seeds
from probes.models.server import RefusedCallError, Server, ServerOptions

_T = TypeVar("_T")
_R = TypeVar("_R")
_MAX_CHANGES = 10


class Usage(NamedTuple):
    """Tokens and requests so far."""

    prompt_tokens: int
    completion_tokens: int
    requests: int
    retries: int


class OpenAIModel:
    """A chat model behind `POST {url}/chat/completions`.

    What the server refuses of a request (twenty `top_logprobs`, `max_tokens`, a seed, a schema) is
    asked for as the server allows it, and so from then on.

    Parameters
    ----------
    url
        Base URL ending in `/v1`.
    model
        Name of the model at that server.
    api_key
        Bearer token, if the server wants one.
    headers
        Sent with every request.
    transport, clock, sleep, rng
        Handed in by tests; by default the network, monotonic time and fresh jitter.
    """

    def __init__(
        self,
        url: str,
        model: str,
        options: ServerOptions | None = None,
        *,
        api_key: str | None = None,
        headers: Mapping[str, str] | None = None,
        transport: httpx.BaseTransport | None = None,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
        rng: random.Random | None = None,
    ) -> None:
        self.model, self.options = model, options or ServerOptions()
        bearer = {"Authorization": f"Bearer {api_key}"} if api_key else {}
        self._server = Server(
            url,
            self.options,
            {**(headers or {}), **bearer},
            transport=transport,
            clock=clock,
            sleep=sleep,
            rng=rng,
        )
        self._lock = threading.Lock()
        self._allowed: Allowed = {}
        self._tokens = (0, 0)

    @property
    def url(self) -> str:
        return self._server.url

    @property
    def name(self) -> str:
        return self.model

    @property
    def digest(self) -> str:
        """Identity of the model by its served name: weights behind a server cannot be hashed."""
        return digest("openai-compatible", self.model)

    @property
    def usage(self) -> Usage:
        return Usage(*self._tokens, *self._server.counts)

    @property
    def allowed(self) -> Allowed:
        """What the server turned out to allow of a request, by field."""
        return self._allowed

    def date(self) -> str | None:
        """What time the server says it is, as a `Date` header; None where it does not say."""
        return self._server.date()

    def served_models(self) -> list[str]:
        """Names the server answers to now (`GET {url}/models`)."""
        return self._server.call("GET", "/models", None, read_models)

    def generate(
        self,
        batch: Sequence[Chat],
        *,
        max_new_tokens: int,
        temperature: float = 0.0,
        seed: int = 0,
    ) -> list[str]:
        """The next assistant turn of each conversation, in order, requests in parallel."""
        found = self.converse(
            batch, max_new_tokens=max_new_tokens, temperature=temperature, seed=seed
        )
        return [reply.text.strip() for reply in map(_raised, found)]

    def converse(
        self,
        batch: Sequence[Chat],
        *,
        max_new_tokens: int,
        temperature: float = 0.0,
        seed: int = 0,
    ) -> list[Completion | CandorError]:
        """`generate` with what came beside the text; a call that fails is its own error.

        A conversation's seed is keyed by `seed`, its text and how often it came before in the batch.
        """
        settings = {"max_tokens": max_new_tokens, "temperature": temperature}
        return self._parallel(
            [
                (chat, {**settings, "seed": key})
                for chat, key in zip(batch, seeds(batch, seed), strict=True)
            ]
        )

    def complete_json(
        self, batch: Sequence[Chat], schema: Mapping[str, Any], *, max_new_tokens: int
    ) -> list[Completion | CandorError]:
        """Replies held to a JSON schema by the server, greedy, with token probabilities.

        A call that fails is its own error: one conversation too long spoils no other.
        """
        settings = json_settings(schema, max_new_tokens)
        return self._parallel([(chat, settings) for chat in batch])

    def complete(self, chat: Chat, settings: Mapping[str, Any]) -> Completion:
        """One call. Raises UnreachableError when the server fails, BadInputError when it refuses."""
        messages = plain(chat)
        allowed, first = self._allowed, None
        for _ in range(_MAX_CHANGES):
            sent = fitted(settings, allowed)
            body = {"model": self.model, "messages": messages, **sent}
            try:
                found = self._server.call("POST", "/chat/completions", body, read_completion)
            except RefusedCallError as error:
                first = first or error
                change = eased(sent, error.detail)
                if change is None:
                    raise first from None
                allowed = {**allowed, **change}
                continue
            self._remember(allowed, found)
            return found
        raise first or RuntimeError("no try was made")

    def ask(self, path: str, body: Mapping[str, Any], read: Callable[[bytes], _R]) -> _R:
        """One call of another kind: what `read` makes of the reply to a body for this model.

        Nothing of the body is changed to please the server. Raises as `Server.call`.
        """
        return self._server.call("POST", path, {"model": self.model, **body}, read)

    def each(self, do: Callable[[_T], _R], items: Sequence[_T]) -> list[_R | CandorError]:
        """What `do` makes of each, in order, `max_concurrency` at a time; a failure is its own error."""

        def outcome(item: _T) -> _R | CandorError:
            try:
                return do(item)
            except CandorError as error:
                return error

        if len(items) <= 1:
            return [outcome(item) for item in items]
        build_types()
        with ThreadPoolExecutor(min(self.options.max_concurrency, len(items))) as pool:
            return list(pool.map(outcome, items))

    def close(self) -> None:
        self._server.close()

    def _remember(self, allowed: Allowed, found: Completion) -> None:
        """What the server took is asked of it from the start; a change that did not help is not."""
        with self._lock:
            self._allowed = {**self._allowed, **allowed}
            prompt, done = self._tokens
            self._tokens = (prompt + found.prompt_tokens, done + found.completion_tokens)

    def _parallel(
        self, calls: Sequence[tuple[Chat, Mapping[str, Any]]]
    ) -> list[Completion | CandorError]:
        return self.each(lambda call: self.complete(*call), calls)


def json_settings(schema: Mapping[str, Any], max_new_tokens: int) -> dict[str, Any]:
    """Request fields for a greedy reply held to a JSON schema, with token probabilities."""
    return {
        "max_tokens": max_new_tokens,
        "temperature": 0.0,
        "logprobs": True,
        "top_logprobs": 20,
        "response_format": {
            "type": "json_schema",
            "json_schema": {"name": "answers", "schema": dict(schema), "strict": True},
        },
    }


def _raised(outcome: Completion | CandorError) -> Completion:
    if isinstance(outcome, CandorError):
        raise outcome
    return outcome


def candidate_probability(alternatives: Mapping[str, float], candidate: str) -> float:
    """Sum of the probabilities of tokens that `candidate` begins with, case and marks aside.

    >>> candidate_probability({"Yes": 0.5, " yes": 0.25, "No": 0.2}, "yes")
    0.75
    """
    wanted = bare(candidate)
    begins = ((bare(token), p) for token, p in alternatives.items())
    return sum(p for start, p in begins if start and wanted.startswith(start))


def bare(token: str) -> str:
    """A token as a word: in lower case, without the blanks and marks of JSON around it."""
    return token.strip(' \n":,').lower()
