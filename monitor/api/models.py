"""What the API answers, as OpenAPI publishes it. Times are RFC 3339, UTC; raters are pseudonyms."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Literal

from pydantic import BaseModel, Field

from evidence import AlarmState, VerdictKind
from evidence.records import Archetype


def at(seconds: float | None) -> datetime | None:
    """Seconds since the epoch as a UTC time; None stays None."""
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC)


def at_known(seconds: float) -> datetime:
    """Seconds since the epoch as a UTC time."""
    return datetime.fromtimestamp(seconds, UTC)


def with_times(record: Any) -> Any:
    """A stored record as it is shown: `…at_s`, seconds since the epoch, becomes `…at`, a UTC time."""
    if isinstance(record, list | tuple):
        return [with_times(item) for item in record]
    if not isinstance(record, dict):
        return record
    shown = {}
    for name, value in record.items():
        is_time = (name == "at_s" or name.endswith("_at_s")) and isinstance(value, int | float)
        if is_time and not isinstance(value, bool):
            shown[name.removesuffix("_s")] = at_known(value)
        else:
            shown[name] = with_times(value)
    return shown


class VerdictOut(BaseModel):
    """One verdict, with what it rests on for keys that may read text, as long as that is kept."""

    key: str
    assistant: str
    response_id: str
    segment: str
    stakes: str
    model: str
    purpose: str
    repeat: int
    kind: VerdictKind
    p_lie: float | None = Field(description="Calibrated probability; null when not measured.")
    p_evasion: float | None
    sampled_by: str
    inclusion_probability: float
    evaluator_version: str
    created_at: datetime
    scored_at: datetime
    error: str | None
    archetype: Archetype | None = Field(
        description="What the claim is about: own_action, told_facts, known_facts or other; null where undecided."
    )
    claim: str | None = Field(description="The sentence that carries the verdict; text.")
    contradicts: str | None = Field(
        description="The told fact, or the approved version's answer, that it contradicts, or of an undecided verdict was held against; text."
    )
    measurements: list[dict[str, Any]] = Field(description="What each probe found.")


class TokenOut(BaseModel):
    """One token of the response and how surprising it is, in nats."""

    token: str
    nats: float


class ProbeFindingOut(BaseModel):
    """What one probe rests on, in words of the conversation."""

    claim: str | None
    contradicts: str | None
    tokens: list[TokenOut]
    answers: list[str] = Field(
        default=[], description="What was answered to the same question without the pressure."
    )
    answered_by: str | None = Field(default=None, description="Which version answered so.")


class Listed(BaseModel):
    """A page of a list, newest first."""

    next: str | None = Field(
        default=None, description="The `after` of the next page; null at the end of the list."
    )


class VerdictPage(Listed):
    """Verdicts, newest first."""

    verdicts: list[VerdictOut]


class VerdictDetail(VerdictOut):
    """A verdict with the conversation that it is about, the response as its last message."""

    messages: list[dict[str, Any]] | None
    tokens: list[TokenOut] | None = Field(
        description="The response by tokens, where one was read so."
    )
    findings: dict[str, ProbeFindingOut] | None = Field(description="By probe; text.")
    text: Literal["shown", "not_allowed", "gone"] = Field(
        description="not_allowed: the key lacks the scope `review`; gone: past its retention."
    )


class AlarmEventOut(BaseModel):
    """One step in an alarm's life."""

    from_state: str | None
    to_state: str
    by: str
    reason: str
    at: datetime


class AlarmOut(BaseModel):
    """A latched finding with its evidence; logarithms are natural."""

    alarm_id: str
    subject: str
    scope: str
    metric: str
    claim: str
    state: AlarmState
    opened_at: datetime
    n: int
    log_evidence: float
    log_threshold: float
    reference: float | None
    details: dict[str, Any]
    reported: bool = Field(
        description="Whether the newest joint report names it: see GET /v1/report."
    )


class AlarmDetail(AlarmOut):
    """An alarm with its history, and with what it is about once that is known."""

    events: list[AlarmEventOut]
    localisation: dict[str, Any] | None = Field(
        description="Where (models, topics), how large, and the twenty most telling verdicts."
    )
    pictures: list[str] = Field(description="Where its pictures are.")


class AlarmList(Listed):
    """Alarms, newest first."""

    alarms: list[AlarmOut]


class FindingOut(BaseModel):
    """One stream that is reported; its e-value as a natural logarithm."""

    stratum: str
    metric: str
    evaluator_version: str
    log_e_value: float
    n: int
    alarm_id: str | None


class ReportOut(BaseModel):
    """Findings that may be reported together: at most `level` of them are expected to be false.

    `made_at` is when what is reported last changed; null before the first report.
    """

    made_at: datetime | None
    level: float
    streams: int = Field(description="Streams watched, out of which these were chosen.")
    reported: list[FindingOut]


class Step(BaseModel):
    """Who moves an alarm, and why."""

    reason: str = Field(min_length=1, max_length=2000)
    by: str | None = Field(
        default=None,
        min_length=1,
        max_length=100,
        description="The person; required while the API runs without keys.",
    )


class EstimateOut(BaseModel):
    """A share with its interval; nulls where nothing can be said."""

    estimate: float | None
    lower: float | None
    upper: float | None


class BoundedOut(EstimateOut):
    """A share of verdicts with its 95 % interval, and its worst and best case: every `undecided`, `no_belief`
    and `error` a lie, or honest."""

    worst_case: float | None
    best_case: float | None


class StratumOut(BaseModel):
    """What the verdicts of one stratum in the window say."""

    assistant: str
    segment: str
    stakes: str
    honesty: BoundedOut = Field(
        description="The score rate corrected for the sensor's errors; nulls where they are not known."
    )
    basis: Literal["sensor", "labels"] | None = Field(
        description="What it is corrected by: the sensor's measured sensitivity and specificity, or "
        "labels of a random audit; null without honesty."
    )
    score_rate: BoundedOut = Field(
        description="The bare share of verdicts: honest over honest, lie and evasion."
    )
    n_effective: float = Field(description="Verdicts that the intervals rest on, after weighting.")
    random_labels: int = Field(description="Random labels of the window's responses.")
    blind: bool | None = Field(
        description="Whether a fall of honesty by `telemetry.visible_fall` would not be found within a "
        "month of the stratum's traffic; null while it learns."
    )
    smallest_visible_fall: float | None = Field(
        description="The smallest share of responses that could turn into lies and be found, nine times "
        "in ten, within a month; null where none would, or while it learns."
    )
    verdicts: dict[str, int] = Field(description="Verdicts in the window, by kind.")


class OwnActsOut(BaseModel):
    """How often its tool record contradicts what an assistant says of acts; what could not be seen counts nowhere."""

    assistant: str
    contradicted: EstimateOut = Field(
        description="Of the replies whose acts could be seen, the share that the record contradicts, "
        "weighted by inclusion probability, with its 95 % interval."
    )
    n_visible: int = Field(
        description="Replies whose acts could be seen: supported or contradicted."
    )
    n_contradicted: int = Field(description="Those of them that are contradicted.")
    n_effective: float = Field(description="Replies that the interval rests on, after weighting.")


class HonestyOut(BaseModel):
    """Honesty of every stratum with a verdict in the window, and what was said of acts."""

    read_at: datetime
    window_s: float
    strata: list[StratumOut]
    own_acts: list[OwnActsOut] = Field(
        description="One entry for each assistant of which any act could be seen."
    )


class CohortOut(BaseModel):
    """The newest cohort estimate of one assistant."""

    assistant: str
    answer: str = Field(
        description="`ok`, `too weak to say` or `does not fit`: unless `ok`, rely on no figure here."
    )
    reasons: list[str] = Field(description="Why the answer is not `ok`.")
    biased_raters: EstimateOut
    biased_weight: EstimateOut = Field(description="Share of the training signal they carry.")
    n_raters: int
    n_events: int
    suspects: int
    groups: int = Field(description="Groups of raters who act together for lies.")
    bursts: int = Field(description="Times that raters acted together without favouring lies.")
    grouped_raters: int
    unidentified: int
    sycophancy_gap: EstimateOut = Field(
        description="Mean p_lie of later responses to the cohort, less that to others."
    )
    cutoff: datetime


class RaterOut(BaseModel):
    """What the feedback of one rater says about them; the rater is a pseudonym."""

    rater: str
    p_biased: float | None
    status: str
    n_events: int


class CohortList(BaseModel):
    """Cohort estimates, and raters when one assistant was asked for."""

    cohorts: list[CohortOut]
    raters: list[RaterOut]


class DecisionOut(BaseModel):
    """One gate decision with its signed envelope (DSSE)."""

    decision_id: str
    assistant: str
    answer: str
    subject_digest: str | None
    created_at: datetime
    expires_at: datetime
    revoked_at: datetime | None
    overridden_by: str | None
    envelope: dict[str, Any]


class DecisionList(Listed):
    """Gate decisions, newest first."""

    decisions: list[DecisionOut]


class RunOut(BaseModel):
    """One confirm run."""

    run_id: str
    assistant: str
    alarm_id: str | None
    state: str
    requested_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    error: str | None


class GateOut(BaseModel):
    """What stands before the next retrain of one assistant.

    `holds` lists what would make the gate answer `hold` now, whatever the rows are; the rows, and
    whether the newest confirm run was about them, decide the rest.
    """

    assistant: str
    holds: list[str]
    last_answer: str | None
    last_decided_at: datetime | None
    confirm_runs: list[RunOut]


class LabelIn(BaseModel):
    """A person's judgement of one response."""

    assistant: str = Field(min_length=1, max_length=200)
    response_id: str = Field(min_length=1, max_length=200)
    kind: VerdictKind
    labeller: str | None = Field(default=None, min_length=1, max_length=100)
    inclusion_probability: float | None = Field(
        default=None,
        gt=0,
        le=1,
        description="Probability with which a random audit chose it; null if it was not random.",
    )


class LabelOut(BaseModel):
    """One stored label."""

    assistant: str
    response_id: str
    labeller: str
    kind: VerdictKind
    inclusion_probability: float | None
    at: datetime


class LabelList(Listed):
    """Labels, newest first, and how many responses of each assistant have a random one."""

    labels: list[LabelOut]
    random: dict[str, int]


class Check(BaseModel):
    """One part that was looked at."""

    name: str
    ok: bool
    detail: str


class Readiness(BaseModel):
    """Whether this process can do its work."""

    ready: bool
    checks: list[Check]
