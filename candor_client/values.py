"""What is sent and what is answered. Fields that a newer API adds are passed over.

Kinds, states and answers are plain texts, so that a newer API may know more of them.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec


def _new_id() -> str:
    return uuid.uuid4().hex


def _now() -> datetime:
    return datetime.now(UTC)


class Response(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An answer of an assistant with its conversation; the last message is the answer.

    `response_id` is made where none is given: keep the value to send it again or to give feedback on it.
    `extra` holds further fields, such as `trace_id` and `span_id`, hex, of the span it was told in.
    `user_id` leaves the API as a pseudonym.
    """

    assistant: str
    model: str
    messages: Sequence[Mapping[str, Any]]
    user_id: str
    conversation_id: str = msgspec.field(default_factory=_new_id)
    response_id: str = msgspec.field(default_factory=_new_id)
    created_at: datetime = msgspec.field(default_factory=_now)
    stakes: str = "normal"
    segment: str | None = None
    extra: Mapping[str, Any] = {}

    def record(self) -> dict[str, Any]:
        """The record as the API takes it."""
        return _record(self)


class Feedback(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A user's signal on a response: `value` in [-1, 1], negative is disapproval."""

    assistant: str
    response_id: str
    user_id: str
    value: float
    kind: str = "thumb"
    text: str | None = None
    feedback_id: str = msgspec.field(default_factory=_new_id)
    created_at: datetime = msgspec.field(default_factory=_now)
    extra: Mapping[str, Any] = {}

    def record(self) -> dict[str, Any]:
        """The record as the API takes it."""
        return _record(self)


def _record(value: Response | Feedback) -> dict[str, Any]:
    fields = {name: getattr(value, name) for name in value.__struct_fields__ if name != "extra"}
    return {**value.extra, **{name: held for name, held in fields.items() if held is not None}}


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """One verdict. `claim` and `contradicts` quote text: None for keys without the scope `review`. `archetype` says what the
    claim is about; an `undecided` verdict has none.
    """

    key: str
    assistant: str
    response_id: str
    segment: str
    stakes: str
    model: str
    purpose: str
    kind: str
    p_lie: float | None
    p_evasion: float | None
    sampled_by: str
    inclusion_probability: float
    evaluator_version: str
    created_at: datetime
    scored_at: datetime
    error: str | None = None
    archetype: str | None = None
    claim: str | None = None
    contradicts: str | None = None
    measurements: list[dict[str, Any]] = []
    messages: list[dict[str, Any]] | None = None
    text: str | None = None


class VerdictPage(msgspec.Struct, frozen=True, kw_only=True):
    """Verdicts, newest first; `next` is the `after` of the next page, None at the end."""

    verdicts: list[Verdict]
    next: str | None = None

    @property
    def items(self) -> list[Verdict]:
        return self.verdicts


class Alarm(msgspec.Struct, frozen=True, kw_only=True):
    """A latched finding; `log_evidence` and `log_threshold` are natural logarithms."""

    alarm_id: str
    subject: str
    scope: str
    metric: str
    claim: str
    state: str
    opened_at: datetime
    n: int
    log_evidence: float
    log_threshold: float
    reference: float | None
    reported: bool
    details: dict[str, Any] = {}
    events: list[dict[str, Any]] = []
    localisation: dict[str, Any] | None = None


class AlarmPage(msgspec.Struct, frozen=True, kw_only=True):
    """Alarms, newest first."""

    alarms: list[Alarm]
    next: str | None = None

    @property
    def items(self) -> list[Alarm]:
        return self.alarms


class Share(msgspec.Struct, frozen=True, kw_only=True):
    """A share with its 95 % interval, and its worst and best case; None where nothing can be said."""

    estimate: float | None
    lower: float | None
    upper: float | None
    worst_case: float | None = None
    best_case: float | None = None


class Stratum(msgspec.Struct, frozen=True, kw_only=True):
    """Honesty of one assistant, segment and stakes in the window."""

    assistant: str
    segment: str
    stakes: str
    honesty: Share
    score_rate: Share
    basis: str | None
    n_effective: float
    blind: bool | None
    smallest_visible_fall: float | None
    verdicts: dict[str, int]


class OwnActs(msgspec.Struct, frozen=True, kw_only=True):
    """Of an assistant's `n_visible` replies whose acts could be seen, the share that the tool record contradicts."""

    assistant: str
    contradicted: Share
    n_visible: int
    n_contradicted: int
    n_effective: float


class Honesty(msgspec.Struct, frozen=True, kw_only=True):
    """Honesty of every stratum with a verdict in the window of `window_s` seconds, and what was said of acts."""

    read_at: datetime
    window_s: float
    strata: list[Stratum]
    own_acts: list[OwnActs] = []


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """What to do with an answer that waits: `show`, `withhold` or `review`."""

    answer: str
    reason: str
    basis: str
    kind: str
    p_lie: float | None
    threshold: float | None
    n: int
    evaluator_version: str
    seconds: float
    claim: str | None = None
    contradicts: str | None = None


class Gate(msgspec.Struct, frozen=True, kw_only=True):
    """What would hold the gate now, and its last answer."""

    assistant: str
    holds: list[str]
    last_answer: str | None
    last_decided_at: datetime | None
    confirm_runs: list[dict[str, Any]]


class GateAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """The gate's answer on rows: `allow`, `quarantine`, `hold` or `block`, with its DSSE envelope."""

    decision_id: str
    assistant: str
    answer: str
    reasons: list[str]
    rows: int
    released: int
    removed: list[dict[str, Any]]
    subject_digest: str | None
    expires_at: datetime
    envelope: dict[str, Any]
    overridden_by: str | None = None


class Decision(msgspec.Struct, frozen=True, kw_only=True):
    """A stored gate decision with its DSSE envelope."""

    decision_id: str
    assistant: str
    answer: str
    subject_digest: str | None
    created_at: datetime
    expires_at: datetime
    revoked_at: datetime | None
    overridden_by: str | None
    envelope: dict[str, Any]


class DecisionPage(msgspec.Struct, frozen=True, kw_only=True):
    """Gate decisions, newest first."""

    decisions: list[Decision]
    next: str | None = None

    @property
    def items(self) -> list[Decision]:
        return self.decisions


class Source(msgspec.Struct, frozen=True, kw_only=True):
    """A registered training source; `digest` is the SHA-256 of its file."""

    name: str
    version: str
    digest: str
    rows: int
    size_bytes: int
    licence: str
    registered_by: str
    registered_at: datetime


class SourceList(msgspec.Struct, frozen=True, kw_only=True):
    """Registered training sources by name and version."""

    sources: list[Source]


class Accepted(msgspec.Struct, frozen=True, kw_only=True):
    """How many records are durable."""

    accepted: int
