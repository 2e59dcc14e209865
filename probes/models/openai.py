"""Any OpenAI-compatible chat server, such as vLLM, over HTTP."""

from __future__ import annotations

import json
import math
import random
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Annotated, Any, NamedTuple, TypeVar
from urllib.parse import urlsplit

import httpx
import msgspec

from evidence import BadInputError, CandorError, UnreachableError, digest
from evidence.options import Options
from probes.models.breaker import CircuitBreaker
from probes.models.chat import Chat
from probes.models.messages import plain, seeds


class ServerOptions(Options):
    """How to call a model server."""

    timeout_s: float = 30.0
    """Time for one request."""
    max_retries: int = 3
    """Further tries after a time-out, a dropped connection, 429 or 5xx."""
    backoff_s: float = 0.5
    """Mean wait before the first retry; it doubles, with full jitter, up to `max_backoff_s`."""
    max_backoff_s: float = 8.0
    """Longest wait between tries, also against a server's Retry-After."""
    max_concurrency: int = 16
    """Requests in flight."""
    max_failures: int = 5
    """Consecutive failed calls that open the circuit."""
    pause_s: float = 15.0
    """Seconds an open circuit waits before a trial."""


class Choice(NamedTuple):
    """One generated token and the probabilities of the likeliest tokens in its place."""

    token: str
    alternatives: Mapping[str, float]


class Completion(NamedTuple):
    """A reply with its tokens, as far as the server reports them, and the tokens it took.

    `reasoning` is what a server's reasoning parser took out of the text.
    """

    text: str
    choices: tuple[Choice, ...]
    prompt_tokens: int
    completion_tokens: int
    reasoning: str = ""


class Usage(NamedTuple):
    """Tokens and requests so far."""

    prompt_tokens: int
    completion_tokens: int
    requests: int
    retries: int


class _Message(msgspec.Struct):
    content: str | None = None
    reasoning: str | None = None
    reasoning_content: str | None = None


class _Top(msgspec.Struct):
    token: str
    logprob: float


class _TokenInfo(msgspec.Struct):
    token: str
    logprob: float
    top_logprobs: list[_Top] = []


class _Logprobs(msgspec.Struct):
    content: list[_TokenInfo] | None = None


class _Choice(msgspec.Struct):
    message: _Message
    logprobs: _Logprobs | None = None


class _Usage(msgspec.Struct):
    prompt_tokens: int = 0
    completion_tokens: int | None = 0


class _Reply(msgspec.Struct):
    choices: Annotated[list[_Choice], msgspec.Meta(min_length=1)]
    usage: _Usage | None = None


class _Served(msgspec.Struct):
    id: str


class _Models(msgspec.Struct):
    data: list[_Served] = []


_T = TypeVar("_T", _Reply, _Models)


class OpenAIModel:
    """A chat model behind `POST {url}/chat/completions`.

    A redirect is an error, never followed: a transcript goes to the configured host or nowhere.
    A 4xx other than 408, 425 and 429 is not tried again.

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
        if urlsplit(url).scheme not in {"http", "https"}:
            raise BadInputError("a model server's URL starts with http:// or https://", url)
        self.url, self.model = url.rstrip("/"), model
        self.options = options or ServerOptions()
        self._client = httpx.Client(
            timeout=self.options.timeout_s,
            follow_redirects=False,
            transport=transport,
            headers={
                **(headers or {}),
                **({"Authorization": f"Bearer {api_key}"} if api_key else {}),
            },
        )
        self._sleep, self._rng = sleep, rng or random.Random()  # noqa: S311 (jitter)
        self._breaker = CircuitBreaker(self.options.max_failures, self.options.pause_s, clock)
        self._lock = threading.Lock()
        self._usage = Usage(0, 0, 0, 0)

    @property
    def name(self) -> str:
        return self.model

    @property
    def digest(self) -> str:
        """Identity of the model by its served name: weights behind a server cannot be hashed."""
        return digest("openai-compatible", self.model)

    @property
    def usage(self) -> Usage:
        return self._usage

    def served_models(self) -> list[str]:
        """Names the server answers to now (`GET {url}/models`)."""
        found = _decoded(self._request("GET", "/models", None), _Models, self.url)
        return [served.id for served in found.data]

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

    def next_token_probabilities(
        self, batch: Sequence[Chat], candidates: Sequence[str]
    ) -> list[dict[str, float]]:
        """Probability that the next assistant turn starts with each candidate.

        Read from the server's 20 likeliest tokens: a candidate gets the sum of those it begins
        with, and 0 when none is among them.
        """
        settings = {"max_tokens": 1, "temperature": 0.0, "logprobs": True, "top_logprobs": 20}
        replies = map(_raised, self._parallel([(chat, settings) for chat in batch]))
        return [
            {
                text: candidate_probability(reply.choices[0].alternatives, text)
                if reply.choices
                else 0.0
                for text in candidates
            }
            for reply in replies
        ]

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
        body = {"model": self.model, "messages": plain(chat), **settings}
        reply = _decoded(self._request("POST", "/chat/completions", body), _Reply, self.url)
        choice = reply.choices[0]
        usage = reply.usage or _Usage()
        infos = (choice.logprobs.content if choice.logprobs else None) or []
        done = usage.completion_tokens or 0
        with self._lock:
            old = self._usage
            self._usage = old._replace(
                prompt_tokens=old.prompt_tokens + usage.prompt_tokens,
                completion_tokens=old.completion_tokens + done,
            )
        return Completion(
            choice.message.content or "",
            tuple(_choice(info) for info in infos),
            usage.prompt_tokens,
            done,
            choice.message.reasoning or choice.message.reasoning_content or "",
        )

    def close(self) -> None:
        self._client.close()

    def _parallel(
        self, calls: Sequence[tuple[Chat, Mapping[str, Any]]]
    ) -> list[Completion | CandorError]:
        def outcome(call: tuple[Chat, Mapping[str, Any]]) -> Completion | CandorError:
            try:
                return self.complete(*call)
            except CandorError as error:
                return error

        if len(calls) <= 1:
            return [outcome(call) for call in calls]
        with ThreadPoolExecutor(min(self.options.max_concurrency, len(calls))) as pool:
            return list(pool.map(outcome, calls))

    def _request(self, method: str, path: str, body: Mapping[str, Any] | None) -> bytes:
        """The body of a reply, tried again with full jitter; the breaker counts calls, not tries."""
        if not self._breaker.allows():
            raise UnreachableError(self.url, "it kept failing, so it is left alone for a while")
        failure = ""
        for attempt in range(self.options.max_retries + 1):
            try:
                reply = self._client.request(method, self.url + path, json=body)
            except (httpx.TransportError, httpx.TimeoutException) as error:
                failure, wait = f"{type(error).__name__} {error}".strip(), 0.0
            else:
                if reply.status_code == httpx.codes.OK:
                    self._breaker.succeeded()
                    self._count(attempt)
                    return reply.content
                failure = f"HTTP {reply.status_code} {reply.text[:200]}".strip()
                if not _passing(reply.status_code):
                    self._count(attempt)
                    self._refuse(reply.status_code, failure)
                wait = _retry_after(reply)
            if attempt < self.options.max_retries:
                self._sleep(self._backoff(attempt, wait))
        self._breaker.failed()
        self._count(self.options.max_retries)
        raise UnreachableError(self.url, failure)

    def _refuse(self, status: int, failure: str) -> None:
        if status in {400, 413, 422}:
            self._breaker.succeeded()
            raise BadInputError(failure, self.url)
        self._breaker.failed()
        raise UnreachableError(self.url, failure)

    def _backoff(self, attempt: int, wait_s: float) -> float:
        ceiling = min(self.options.max_backoff_s, 2 * self.options.backoff_s * 2**attempt)
        return min(self.options.max_backoff_s, max(wait_s, self._rng.uniform(0, ceiling)))

    def _count(self, retries: int) -> None:
        with self._lock:
            old = self._usage
            self._usage = old._replace(requests=old.requests + 1, retries=old.retries + retries)


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
    """Sum of the probabilities of tokens that `candidate` begins with, case and spaces aside.

    >>> candidate_probability({"Yes": 0.5, " yes": 0.25, "No": 0.2}, "yes")
    0.75
    """
    wanted = candidate.strip().lower()
    return sum(
        p
        for token, p in alternatives.items()
        if token.strip(' "').lower() and wanted.startswith(token.strip(' "').lower())
    )


def _choice(info: _TokenInfo) -> Choice:
    found = {top.token: math.exp(top.logprob) for top in info.top_logprobs}
    return Choice(info.token, found or {info.token: math.exp(info.logprob)})


def _passing(status: int) -> bool:
    return status in {408, 425, 429} or status >= 500


def _retry_after(reply: httpx.Response) -> float:
    value = reply.headers.get("retry-after", "")
    return float(value) if value.isdecimal() else 0.0


def _decoded(data: bytes, kind: type[_T], url: str) -> _T:
    """A reply read as what it should be. Raises UnreachableError when it is something else."""
    try:
        return msgspec.json.decode(data, type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        pass  # some servers write -Infinity or half a surrogate pair, which Python's reader takes
    try:
        return msgspec.convert(json.loads(data), kind)
    except (msgspec.ValidationError, ValueError) as error:
        raise UnreachableError(url, f"its reply is not the JSON asked for: {error}") from error
