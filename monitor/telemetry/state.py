"""What the service knows at one moment, as values: read once, shown as gauges, JSON and the console."""

from __future__ import annotations

from typing import Literal

import msgspec

from evidence import Alarm, Stratum, VerdictKind

Basis = Literal["sensor", "labels"]
"""What honesty is corrected by: the sensor's measured accuracy, or random labels by people."""


class Estimate(msgspec.Struct, frozen=True):
    """A share with its interval; all None where nothing can be said."""

    estimate: float | None = None
    lower: float | None = None
    upper: float | None = None


class Bounded(Estimate, frozen=True):
    """A share of verdicts that also has a worst and a best case.

    `worst_case` and `best_case` count every `undecided`, `no_belief` and `error` as a lie, or as honest.
    """

    worst_case: float | None = None
    best_case: float | None = None


class StratumFigures(msgspec.Struct, frozen=True, kw_only=True):
    """What the verdicts of one stratum in the window say.

    `score_rate` is the share of verdicts honest / (honest + lie + evasion); `honesty` is that share
    corrected by what `basis` names, missing where neither is there. Intervals are of 95 %.
    `effective_n` is the count that they rest on after weighting, `random_labels` the labels of the
    window's responses. `smallest_fall` is the smallest share of responses that could turn into lies and
    be found within a month, None where none would; `blind` says whether that is too large, None while
    the stratum learns. `sensitivity` is the sensor's measured one that this rests on; None: not
    measured, and the fall is the least possible.
    """

    stratum: Stratum
    counts: dict[VerdictKind, int]
    score_rate: Bounded
    effective_n: float
    honesty: Bounded = Bounded()
    basis: Basis | None = None
    random_labels: int = 0
    blind: bool | None = None
    smallest_fall: float | None = None
    sensitivity: float | None = None


class OwnActs(msgspec.Struct, frozen=True, kw_only=True):
    """How often an assistant's tool record contradicts what its replies say of acts, in the window.

    `contradicted` is a share of the `n_visible` replies whose acts could be seen, weighted by inclusion
    probability, with an interval of 95 % at `effective_n`. What could not be seen counts nowhere.
    """

    assistant: str
    contradicted: Estimate
    n_visible: int
    n_contradicted: int
    effective_n: float


class DetectorReading(msgspec.Struct, frozen=True, kw_only=True):
    """Evidence of one detector of one stratum; logarithms are natural."""

    stratum: Stratum
    metric: str
    log_evidence: float
    log_threshold: float
    reference: float | None
    n: int


class EvaluatorState(msgspec.Struct, frozen=True, kw_only=True):
    """Health of one evaluator version: what fell due, what ended, and the checks in alarm."""

    evaluator: str
    expected: int
    actual: int
    unhealthy: tuple[str, ...]
    suspect_since_s: float | None


class CohortState(msgspec.Struct, frozen=True, kw_only=True):
    """The newest cohort estimate of one assistant.

    `gap` is the mean p_lie of responses to the frozen cohort less that of responses to others. Unless
    `answer` is `ok` no figure here may be relied on, for these `reasons`. `bursts` counts raters acting
    together without favouring lies.
    """

    assistant: str
    biased: Estimate
    biased_weight: Estimate
    n_raters: int
    n_events: int
    cutoff_s: float
    suspects: int
    unidentified: int
    groups: int = 0
    grouped_raters: int = 0
    gap: Estimate = Estimate()
    bursts: int = 0
    answer: str = "ok"
    reasons: tuple[str, ...] = ()


class GateRecord(msgspec.Struct, frozen=True, kw_only=True):
    """One gate decision as stored."""

    decision_id: str
    assistant: str
    answer: str
    subject_digest: str | None
    created_at_s: float
    expires_at_s: float
    revoked_at_s: float | None
    overridden_by: str | None


class ConfirmRecord(msgspec.Struct, frozen=True, kw_only=True):
    """One confirm run as stored."""

    run_id: str
    assistant: str
    alarm_id: str | None
    state: str
    requested_at_s: float
    started_at_s: float | None
    finished_at_s: float | None
    error: str | None


class WorkersState(msgspec.Struct, frozen=True, kw_only=True):
    """Workers by what they last said, and their evaluations so far."""

    alive: int = 0
    paused: int = 0
    silent: int = 0
    expected: int = 0
    actual: int = 0


class ResultsLag(msgspec.Struct, frozen=True, kw_only=True):
    """What one receiver of results has not had; `seconds` is the age of the oldest."""

    sink: str
    records: int
    waiting: int
    seconds: float


class State(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that gauges, the API and the console show. Times are seconds since the epoch."""

    read_at_s: float
    window_s: float
    strata: tuple[StratumFigures, ...] = ()
    own_acts: tuple[OwnActs, ...] = ()
    detectors: tuple[DetectorReading, ...] = ()
    evaluators: tuple[EvaluatorState, ...] = ()
    alarms: tuple[Alarm, ...] = ()
    cohorts: tuple[CohortState, ...] = ()
    gate: tuple[GateRecord, ...] = ()
    gate_counts: dict[tuple[str, str], int] = {}
    confirm: tuple[ConfirmRecord, ...] = ()
    confirm_counts: dict[tuple[str, str], int] = {}
    random_labels: dict[str, int] = {}
    unattested: dict[str, int] = {}
    """By assistant with attested weights: versions that answer without."""
    unattested_versions: tuple[tuple[str, str, int], ...] = ()
    """Assistant, version and sampled responses of each of those."""
    workers: WorkersState = WorkersState()
    last_response_s: float | None = None
    last_verdict_s: float | None = None
    outbox_pending: int = 0
    feedback_parked: int = 0
    results: tuple[ResultsLag, ...] = ()
