"""The client that waits for its answers."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from types import TracebackType
from typing import Any, Self, TypeVar

import httpx

from candor_client import calls
from candor_client.calls import Call, Record
from candor_client.errors import ApiError, NoVerdictError, UnreachableError
from candor_client.retry import Retry, may_repeat
from candor_client.values import (
    Alarm,
    AlarmPage,
    Answer,
    Decision,
    DecisionPage,
    Feedback,
    Gate,
    GateAnswer,
    Honesty,
    Source,
    Verdict,
    VerdictPage,
)

T = TypeVar("T")

_FIRST_LOOK_S, _LONGEST_LOOK_S = 0.1, 2.0


class Client:
    """Candor's API. Every method raises ClientError: UnreachableError, or the ApiError of the answer.

    Requests are tried again as `retry` says; one that would do something twice only where the first try
    cannot have done it.

    Parameters
    ----------
    url
        Where the API is, such as `http://127.0.0.1:8321`.
    api_key
        A key of `candor keys create api`.
    timeout_s
        Time for one try.
    transport, sleep, clock, chance
        How requests are sent; how and by which clock (seconds) it waits; a random number in [0, 1).
    """

    def __init__(
        self,
        url: str,
        *,
        api_key: str | None = None,
        timeout_s: float = 30.0,
        retry: Retry | None = None,
        transport: httpx.BaseTransport | None = None,
        sleep: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
        chance: Callable[[], float] = random.random,
    ) -> None:
        headers = calls.key_header(api_key)
        self._http = httpx.Client(
            base_url=url, headers=headers, timeout=timeout_s, transport=transport
        )
        self._retry = retry or Retry()
        self._sleep, self._clock, self._chance = sleep, clock, chance

    def send_responses(self, responses: Iterable[Record]) -> int:
        """Send answers of an assistant; returns how many are durable: all of them.

        In requests of a size that the API takes; of each request all is taken, or none. When one is
        refused, the error's `taken` counts the records of the requests before it.
        """
        return self._send("/v1/responses", responses)

    def send_feedback(self, feedback: Iterable[Feedback | Mapping[str, Any]]) -> int:
        """Send feedback; as `send_responses`."""
        return self._send("/v1/feedback", feedback)

    def decide(
        self,
        assistant: str,
        messages: Sequence[Mapping[str, Any]],
        *,
        model: str = "",
        stakes: str = "high",
        timeout_s: float | None = None,
    ) -> Answer:
        """May this answer, the last message, be shown? Measured while the caller waits."""
        asked = calls.decide(assistant, messages, model=model, stakes=stakes, timeout_s=timeout_s)
        return self._call(asked)

    def verdict(self, key: str) -> Verdict:
        """One verdict, with its conversation for keys that may read it."""
        return self._call(calls.verdict(key))

    def wait_for_verdict(
        self, assistant: str, response_id: str, *, timeout_s: float = 60.0
    ) -> Verdict:
        """The live verdict of a response, once it is there.

        Raises NoVerdictError when it does not come in time: the response may not be in the sample.
        """
        end = self._clock() + timeout_s
        pause_s = _FIRST_LOOK_S
        while True:
            page = self.verdicts(assistant=assistant, response_id=response_id, limit=1)
            if page.verdicts:
                return page.verdicts[0]
            left_s = end - self._clock()
            if left_s <= 0.0:
                raise NoVerdictError(f"no verdict of {response_id!r} in {timeout_s:g} s")
            self._sleep(min(pause_s, left_s))
            pause_s = min(_LONGEST_LOOK_S, pause_s * 1.5)

    def verdicts(
        self,
        *,
        assistant: str | None = None,
        response_id: str | None = None,
        stratum: str | None = None,
        kind: str | None = None,
        purpose: Sequence[str] | None = None,
        least_p_lie: float | None = None,
        most_p_lie: float | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        after: str | None = None,
        limit: int | None = None,
    ) -> VerdictPage:
        """A page of verdicts, newest first; `since` and `until` are about when they were made."""
        return self._call(
            calls.verdicts(
                assistant=assistant,
                response_id=response_id,
                stratum=stratum,
                kind=kind,
                purpose=purpose,
                least_p_lie=least_p_lie,
                most_p_lie=most_p_lie,
                since=since,
                until=until,
                after=after,
                limit=limit,
            )
        )

    def all_verdicts(self, **filters: Any) -> Iterator[Verdict]:
        """Every verdict that `verdicts` would find with these filters, page by page."""
        page = self.verdicts(**filters)
        yield from page.items
        while page.next is not None:
            page = self.verdicts(**{**filters, "after": page.next})
            yield from page.items

    def honesty(self) -> Honesty:
        """Honesty of each stratum, with its interval, worst and best case."""
        return self._call(calls.honesty())

    def alarms(
        self,
        *,
        state: Sequence[str] | str | None = None,
        assistant: str | None = None,
        scope: str | None = None,
        metric: str | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        after: str | None = None,
        limit: int | None = None,
    ) -> AlarmPage:
        """A page of alarms, newest first; `since` and `until` are about when they opened."""
        return self._call(
            calls.alarms(
                state=state,
                assistant=assistant,
                scope=scope,
                metric=metric,
                since=since,
                until=until,
                after=after,
                limit=limit,
            )
        )

    def all_alarms(self, **filters: Any) -> Iterator[Alarm]:
        """Every alarm that `alarms` would find with these filters, page by page."""
        page = self.alarms(**filters)
        yield from page.items
        while page.next is not None:
            page = self.alarms(**{**filters, "after": page.next})
            yield from page.items

    def alarm(self, alarm_id: str) -> Alarm:
        """One alarm with its history."""
        return self._call(calls.alarm(alarm_id))

    def acknowledge(self, alarm_id: str, reason: str, *, by: str | None = None) -> Alarm:
        """Say that somebody looks at it. `by` names the person where the API runs without keys."""
        return self._call(calls.step(alarm_id, "acknowledge", reason, by))

    def confirm(self, alarm_id: str, reason: str, *, by: str | None = None) -> Alarm:
        """Judge it true."""
        return self._call(calls.step(alarm_id, "confirm", reason, by))

    def refute(self, alarm_id: str, reason: str, *, by: str | None = None) -> Alarm:
        """Judge it false."""
        return self._call(calls.step(alarm_id, "refute", reason, by))

    def close_alarm(self, alarm_id: str, reason: str, *, by: str | None = None) -> Alarm:
        """Close an alarm that was judged: its detector may rise again."""
        return self._call(calls.step(alarm_id, "close", reason, by))

    def gate(self, assistant: str) -> Gate:
        """What stands before the next retrain."""
        return self._call(calls.gate(assistant))

    def check_rows(self, assistant: str, rows: Sequence[Mapping[str, Any]]) -> GateAnswer:
        """May these rows be trained? The answer is recorded, announced and signed: read `answer`."""
        return self._call(calls.check_rows(assistant, rows))

    def decisions(
        self,
        *,
        assistant: str | None = None,
        answer: str | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        after: str | None = None,
        limit: int | None = None,
    ) -> DecisionPage:
        """A page of gate decisions, newest first."""
        return self._call(
            calls.decisions(
                assistant=assistant,
                answer=answer,
                since=since,
                until=until,
                after=after,
                limit=limit,
            )
        )

    def all_decisions(self, **filters: Any) -> Iterator[Decision]:
        """Every decision that `decisions` would find with these filters, page by page."""
        page = self.decisions(**filters)
        yield from page.items
        while page.next is not None:
            page = self.decisions(**{**filters, "after": page.next})
            yield from page.items

    def revoked(self) -> list[str]:
        """Ids of revoked decisions, which guards refuse."""
        return self._call(calls.revoked())

    def sources(self) -> list[Source]:
        """Registered training sources."""
        return self._call(calls.sources()).sources

    def add_source(
        self,
        name: str,
        version: str,
        content: bytes,
        *,
        licence: str,
        digest: str | None = None,
        by: str | None = None,
    ) -> Source:
        """Register a training source. `content` is its file as it is; `digest` the SHA-256 that its publisher
        states. `by` names the person where the API runs without keys."""
        told = {"name": name, "version": version, "licence": licence, "digest": digest, "by": by}
        return self._call(calls.add_source(content, **told))

    def remove_source(self, name: str, version: str, reason: str, *, by: str | None = None) -> None:
        """Take a training source out: rows that claim to come from it are quarantined from then on."""
        self._call(calls.remove_source(name=name, version=version, reason=reason, by=by))

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _send(self, path: str, records: Iterable[Record]) -> int:
        taken = 0
        for call in calls.sends(path, records):
            try:
                taken += self._call(call).accepted
            except ApiError as error:
                error.taken = taken
                raise
        return taken

    def _call(self, call: Call[T]) -> T:
        tried = 0
        while True:
            tried += 1
            is_last = tried >= self._retry.tries
            after = None
            try:
                answer = self._http.send(call.request(self._http))
            except httpx.HTTPError as error:
                if is_last or not may_repeat(error, is_idempotent=call.is_idempotent):
                    what = str(error) or type(error).__name__
                    raise UnreachableError(f"{call.method} {call.path}: {what}") from error
            except httpx.InvalidURL as error:
                raise UnreachableError(f"{call.method} {call.path}: {error}") from error
            else:
                status = answer.status_code
                if is_last or not may_repeat(status, is_idempotent=call.is_idempotent):
                    return call.read(answer)
                after = answer.headers.get("retry-after")
            self._sleep(self._retry.pause_s(tried, self._chance(), after))
