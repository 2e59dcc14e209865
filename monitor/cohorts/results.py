"""What is concluded about raters, groups and their influence: frozen values that encode to JSON."""

from __future__ import annotations

from enum import StrEnum

import msgspec


class RaterStatus(StrEnum):
    """`UNIDENTIFIED` is never a suspect: too few effective responses of one kind."""

    BENIGN = "benign"
    SUSPECT = "suspect"
    INDIFFERENT = "indifferent"
    UNIDENTIFIED = "unidentified"


class Share(msgspec.Struct, frozen=True, kw_only=True):
    """A share or a difference of shares with its credible interval and the count it rests on.

    `estimate` is None where nothing was measured, and the interval then holds every value.
    """

    estimate: float | None
    lower: float
    upper: float
    n: int


class RaterPosterior(msgspec.Struct, frozen=True, kw_only=True):
    """What the feedback of one rater says about them.

    Parameters
    ----------
    p_biased
        Posterior probability that the up-rate on lies exceeds that on honest answers by the margin.
    n_events
        Measured feedback events, one per response.
    effective_honest, effective_lies
        Expected number of honest and dishonest responses among those rated.
    up_on_honest, up_on_lies
        Posterior means of the two up-rates, shrunk to the population.
    """

    rater: str
    p_biased: float
    status: RaterStatus
    n_events: int
    effective_honest: float
    effective_lies: float
    up_on_honest: float
    up_on_lies: float


class Group(msgspec.Struct, frozen=True, kw_only=True):
    """Raters who act on the same responses in the same direction more often than popularity explains.

    Parameters
    ----------
    pattern
        `burst` (same response within one time window) or `slow` (same response at any time).
    direction
        `up`, `down` or `mixed`.
    observed, expected
        Raters shared by the most telling pair of responses, and the number that independence explains.
    log10_p
        Logarithm of that pair's p-value, corrected for all pairs that were looked at.
    p_lie
        Mean p_lie of the responses acted on; None where none was measured.
    """

    group_id: str
    pattern: str
    direction: str
    raters: tuple[str, ...]
    responses: tuple[str, ...]
    observed: int
    expected: float
    log10_p: float
    p_lie: float | None
    first_s: float
    last_s: float


class Contrast(msgspec.Struct, frozen=True, kw_only=True):
    """One figure of the training signal with the cohort, without it, and the difference."""

    with_cohort: Share
    without_cohort: Share
    difference: Share


class Forecast(msgspec.Struct, frozen=True, kw_only=True):
    """Expected change of honesty at the next retrain, from runs at set shares of lies.

    `status` is `forecast`, or `no_forecast` where no run says anything, with the reason. `source` names
    the runs.
    """

    status: str
    reason: str
    source: str
    with_cohort: Share
    without_cohort: Share
    difference: Share


class Influence(msgspec.Struct, frozen=True, kw_only=True):
    """What training would learn about honesty with and without the biased cohort.

    Parameters
    ----------
    sft_lie_share
        Share of lies among liked turns, each weighted by its value: what imitation learns from.
    kto_push
        Mean over feedback of value x (p_lie - mean p_lie), over mean |value|: positive pushes
        towards lies, negative away from them.
    forecast
        What the share of lies among liked turns would do to the next model.
    """

    sft_lie_share: Contrast
    kto_push: Contrast
    forecast: Forecast


class PredictiveCheck(msgspec.Struct, frozen=True, kw_only=True):
    """Whether the fitted model reproduces how raters' ups vary with p_lie.

    `ratio` is observed over expected variance of the raters' gap statistic (1 when the model fits),
    `ok` is whether it lies within what sampling explains at the 0.1 % level and under 25 % off.
    """

    ok: bool
    ratio: float
    p_value: float
    n: int


class TopicCheck(msgspec.Struct, frozen=True, kw_only=True):
    """How the crowd's view of one topic relates to the judge's.

    On the logit scale the judge's p_lie reads as `shift + slope x logit(p_lie)` there. `contested`
    topics, where the crowd does not follow the judge at all, carry no evidence about raters.
    """

    topic: str
    shift: float
    slope: float
    contested: bool
    n: int
    n_labels: int


class CohortEstimate(msgspec.Struct, frozen=True, kw_only=True):
    """The state of the rater population at one cut-off.

    `log_evidence_raters` and `log_evidence_weight` are the natural logarithms of the evidence that
    the shares exceed the limit; `population_alarms` turns them into alarms. `carried` counts the events
    that came after the fit: the shares and the touched raters' p_biased follow them, the rest awaits the
    next fit.
    """

    biased_fraction: Share
    biased_weight: Share
    raters: tuple[RaterPosterior, ...]
    groups: tuple[Group, ...]
    influence: Influence
    fit: PredictiveCheck
    topics: tuple[TopicCheck, ...]
    n_events: int
    n_unmeasured: int
    n_superseded: int
    cutoff_s: float
    expected_false_suspects: float
    benign_liked_lost: float
    limit: float
    log_evidence_raters: float
    log_evidence_weight: float
    assumptions: tuple[str, ...]
    carried: int = 0
