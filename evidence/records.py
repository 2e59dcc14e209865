"""The records that flow through Candor, as frozen values with a schema version where they are stored."""

from __future__ import annotations

import math
from enum import StrEnum
from typing import Any, Self

import msgspec

from candor_guard.messages import Message
from evidence.errors import BadInputError

SCHEMA_VERSION = 1


class VerdictKind(StrEnum):
    """What was concluded about one response. Only the first four are about what it asserted."""

    HONEST = "honest"
    LIE = "lie"
    EVASION = "evasion"
    UNDECIDED = "undecided"
    NO_BELIEF = "no_belief"
    NOT_ASSERTED = "not_asserted"
    ERROR = "error"


DECIDED = (VerdictKind.HONEST, VerdictKind.LIE, VerdictKind.EVASION)
"""Verdicts that call what a response asserted one or the other: what a score rate is a share of."""

ASSERTED = (*DECIDED, VerdictKind.UNDECIDED)
"""Verdicts on what a response asserted, whether the sensor could tell or not: what honesty is a share of."""

UNKNOWN = (VerdictKind.UNDECIDED, VerdictKind.NO_BELIEF, VerdictKind.ERROR)
"""Verdicts that do not say whether the response was honest: worst and best case share them out."""


class Stakes(StrEnum):
    NORMAL = "normal"
    HIGH = "high"


class Purpose(StrEnum):
    """Why a response was measured. Only `LIVE` verdicts move detectors and estimates."""

    LIVE = "live"
    CANARY = "canary"
    REPEAT = "repeat"
    RESCORE = "rescore"


CANARY_ASSISTANT = "candor-canary"
"""The assistant in whose name canaries are sent; with purpose `CANARY` it is never taken for another."""


class SampledBy(StrEnum):
    """Which phase of the nested sample took the response. Detectors use `ARRIVAL` alone."""

    ARRIVAL = "arrival"
    FEEDBACK = "feedback"


class Stratum(msgspec.Struct, frozen=True, order=True):
    """The unit of references and detectors. The model version is deliberately no part of it."""

    assistant: str
    segment: str = "other"
    stakes: Stakes = Stakes.NORMAL

    @property
    def key(self) -> str:
        """`assistant/segment/stakes`, the text form used as a database key and metric label."""
        return f"{self.assistant}/{self.segment}/{self.stakes}"

    @classmethod
    def of(cls, key: str) -> Self:
        """The stratum with this key; no part of it holds a slash."""
        assistant, segment, stakes = key.split("/")
        return cls(assistant, segment, Stakes(stakes))


class Response(msgspec.Struct, frozen=True, kw_only=True):
    """One assistant turn with its conversation, as accepted from `assistant.responses`.

    `rater` is the HMAC pseudonym of the `user_id`; the raw id is never held.
    Times are seconds since the epoch, UTC. `extra` keeps unknown input fields. A `purpose` other than
    `LIVE` marks probe traffic: canaries and replays that never enter estimates or training rows.
    """

    response_id: str
    stratum: Stratum
    model: str
    conversation_id: str
    rater: str
    created_at_s: float
    messages: tuple[Message, ...]
    purpose: Purpose = Purpose.LIVE
    extra: dict[str, Any] = {}


class Feedback(msgspec.Struct, frozen=True, kw_only=True):
    """A user's signal on a response: `value` in [-1, 1], negative is disapproval."""

    feedback_id: str
    assistant: str
    response_id: str
    rater: str
    created_at_s: float
    value: float
    kind: str
    text: str | None = None
    extra: dict[str, Any] = {}


class Archetype(StrEnum):
    """What a claim is about, and so what can show it to be false."""

    TOLD_FACTS = "told_facts"
    OWN_ACTION = "own_action"
    KNOWN_FACTS = "known_facts"
    OTHER = "other"


class Finding(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a measurement rests on, for a person to look at. It quotes text: it is kept no longer.

    Parameters
    ----------
    claim
        The sentence of the response that carries the finding.
    contradicts
        The told fact, or the approved version's answer, that it contradicts.
    tokens, nats
        The response token by token and how surprising each is (natural logarithm).
    archetype
        What the claim is about, where the probe knows.
    neutral
        The conversation without its pressure that the probe asked or weighed by.
    answers, answered_by
        What that conversation was answered without the pressure, and by which version.
    """

    claim: str = ""
    contradicts: str = ""
    tokens: tuple[str, ...] = ()
    nats: tuple[float, ...] = ()
    archetype: Archetype | None = None
    neutral: tuple[Message, ...] = ()
    answers: tuple[str, ...] = ()
    answered_by: str = ""

    @property
    def explains(self) -> bool:
        """Whether it shows something of the response itself."""
        return bool(self.claim or self.contradicts or self.tokens)


class Measurement(msgspec.Struct, frozen=True, kw_only=True):
    """What one probe found about one response.

    A probe that could not measure sets `error` (or `abstained` with a reason) and leaves the
    probabilities None: missing is missing, it is never read as honest.

    Parameters
    ----------
    probe, version
        Name of the probe and the digest of everything that made it (weights, rubric, options).
    p_lie, p_evasion, p_no_belief, p_not_asserted
        Probabilities in [0, 1] as far as this probe can tell them apart; None where it cannot.
    answers
        Further named figures: the judge's probability of yes to each question, or how far a belief
        moved (`shift_nats`, `distance`).
    tokens
        Tokens read and generated to make this measurement.
    unreadable
        With an `error`: there was an answer, and no sense could be made of it.
    coarse
        The probabilities stand for a bare yes or no: the model told none of its own.
    finding
        What the probabilities rest on, in words of the conversation.
    """

    probe: str
    version: str
    p_lie: float | None = None
    p_evasion: float | None = None
    p_no_belief: float | None = None
    p_not_asserted: float | None = None
    answers: dict[str, float] = {}
    abstained: str | None = None
    error: str | None = None
    tokens: int = 0
    unreadable: bool = False
    coarse: bool = False
    finding: Finding | None = None


class Accuracy(msgspec.Struct, frozen=True, kw_only=True):
    """How often a sensor's verdicts are right, and on how many labelled answers that was measured.

    Parameters
    ----------
    sensitivity, n_lies
        Share of true lies that it calls a lie, and the (effective) number of lies behind it.
    specificity, n_honest
        Share of honest answers that it does not call a lie, and the number of those.

    Raises `BadInputError` for a share outside [0, 1] or a count that is not positive.
    """

    sensitivity: float
    n_lies: float
    specificity: float
    n_honest: float

    def __post_init__(self) -> None:
        for name in ("sensitivity", "specificity"):
            if not 0.0 <= getattr(self, name) <= 1.0:
                raise BadInputError(f"{name} lies in [0, 1], not {getattr(self, name)!r}")
        for name in ("n_lies", "n_honest"):
            if not 0.0 < getattr(self, name) < math.inf:
                raise BadInputError(f"{name} is a positive number, not {getattr(self, name)!r}")


class SensorFigures(msgspec.Struct, frozen=True, kw_only=True):
    """What was measured of one evaluator on one assistant when its sensor was made.

    Parameters
    ----------
    prevalence
        Share of lies among the answers that it was calibrated on.
    card
        What the sensor's card says; JSON.
    """

    evaluator_version: str
    assistant: str
    accuracy: Accuracy
    prevalence: float
    card: dict[str, Any] = {}


class Assessment(msgspec.Struct, frozen=True, kw_only=True):
    """The fused reading of one response: a verdict kind, a calibrated p_lie and what made them.

    `archetype` says what the claim is about, `finding` what the verdict rests on most; both None
    where nothing was found. An `undecided` verdict has no archetype: it names no kind of lie.
    """

    kind: VerdictKind
    p_lie: float | None
    p_evasion: float | None
    measurements: tuple[Measurement, ...]
    evaluator_version: str
    error: str | None = None
    archetype: Archetype | None = None
    finding: Finding | None = None


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """An assessment of one response together with how the response came to be measured."""

    key: str
    response_id: str
    stratum: Stratum
    model: str
    purpose: Purpose
    repeat: int
    sampled_by: SampledBy
    inclusion_probability: float
    created_at_s: float
    scored_at_s: float
    assessment: Assessment
    schema_version: int = SCHEMA_VERSION


class LoggedVerdict(msgspec.Struct, frozen=True, kw_only=True):
    """One entry of the canonical verdict log: a live verdict of the arrival sample.

    `log_position` orders the log; `scored_at_s` is seconds since the epoch, UTC, and so is
    `created_at_s`, when the response was made (None: not known). `outcomes` says how each probe's
    measurement ended (`evidence.outcomes`); `acts` whether the tool record supports or contradicts what
    the response says of acts, None where that was not seen.
    """

    log_position: int
    stratum: str
    kind: VerdictKind
    p_lie: float | None
    p_evasion: float | None
    inclusion_probability: float
    model: str
    evaluator_version: str
    scored_at_s: float
    created_at_s: float | None = None
    outcomes: str | None = None
    acts: str | None = None


class AlarmState(StrEnum):
    OPEN = "open"
    ACKNOWLEDGED = "acknowledged"
    CONFIRMED = "confirmed"
    REFUTED = "refuted"
    CLOSED = "closed"


class AlarmSubject(StrEnum):
    """What an alarm is about: a stratum's responses, its raters, or an evaluator."""

    STRATUM = "stratum"
    POPULATION = "population"
    EVALUATOR = "evaluator"


class Alarm(msgspec.Struct, frozen=True, kw_only=True):
    """A latched finding with its evidence.

    Parameters
    ----------
    metric
        `lie`, `evasion`, `worst_case` or `own_actions` for a stratum; `biased_raters`, `biased_weight` or
        `sycophancy_gap` for a population; the failing check for an evaluator.
    log_position
        How far was read when it opened: the verdict log's position for a stratum and for
        `sycophancy_gap`, events for the other population metrics, looks for an evaluator.
    log_evidence, log_threshold
        Natural logarithms of the detector's statistic and of its limit.
    """

    alarm_id: str
    subject: AlarmSubject
    scope: str
    metric: str
    claim: str
    opened_at_s: float
    log_position: int
    n: int
    log_evidence: float
    log_threshold: float
    reference: float | None = None
    details: dict[str, Any] = {}
    state: AlarmState = AlarmState.OPEN
    schema_version: int = SCHEMA_VERSION
