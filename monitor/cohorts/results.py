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


class Answer(StrEnum):
    """Whether the figures of an estimate may be relied on."""

    SAID = "ok"
    TOO_WEAK = "too weak to say"
    DOES_NOT_FIT = "does not fit"


class Share(msgspec.Struct, frozen=True, kw_only=True):
    """A share or a difference of shares with its credible interval and the count it rests on.

    `estimate` is None where nothing was measured, and the interval then holds every value.
    """

    estimate: float | None
    lower: float
    upper: float
    n: int

    def reaching(self, further: float) -> Share:
        """The same with an interval that goes up by so much more, at most to 1."""
        return msgspec.structs.replace(self, upper=min(1.0, self.upper + further))


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
    """Raters who act on the same responses in the same direction beyond what popularity explains, for lies.

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
    odds_of_harm
        How many times likelier what they liked is a campaign's for lies than anybody's, by the judge
        and all others' votes.
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
    odds_of_harm: float = 0.0


class Burst(msgspec.Struct, frozen=True, kw_only=True):
    """Raters who act together without favouring lies: an event to know of, and nobody to name.

    The fields are those of a `Group`.
    """

    pattern: str
    direction: str
    n_raters: int
    responses: tuple[str, ...]
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
    """Whether the raters behave as the model says.

    Parameters
    ----------
    ok
        Whether all of the following holds.
    ratio, p_value, n
        Observed over expected variance of the raters' gap statistic, how their ups vary with p_lie (1
        when the model fits), its p-value, and the raters behind it.
    varies_as_modelled
        Whether the ratio lies within what sampling explains at the 0.1 % level, or under 25 % off.
    turned_share, turned
        Share of raters who seem to have been biased in one half of the period and benign in the other,
        and whether some surely were.
    """

    ok: bool
    ratio: float
    p_value: float
    n: int
    varies_as_modelled: bool = True
    turned_share: float = 0.0
    turned: bool = False


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


class PlaneCell(msgspec.Struct, frozen=True, kw_only=True):
    """Raters of like behaviour: those whose up-rates on honest answers and on lies lie in one cell.

    `across` and `up` count cells from 0, on honest answers and on lies; `p_biased` is the raters' mean.
    """

    across: int
    up: int
    n: int
    p_biased: float


class Plane(msgspec.Struct, frozen=True, kw_only=True):
    """The raters on the plane of their two up-rates, by cells.

    Parameters
    ----------
    side
        Cells along each axis, from 0 to 1.
    cells
        Those with as many raters as a group needs.
    hidden
        Raters in smaller cells, who are not shown.
    unidentified
        Raters of whom too little is known for a place.
    margin
        Above the diagonal by this much somebody favours lies.
    """

    side: int
    cells: tuple[PlaneCell, ...]
    hidden: int
    unidentified: int
    margin: float


class CohortEstimate(msgspec.Struct, frozen=True, kw_only=True):
    """The state of the rater population at one cut-off.

    `log_evidence_raters` and `log_evidence_weight` are the natural logarithms of the evidence that
    the shares exceed the limit; `population_alarms` turns them into alarms. `carried` counts the events
    that came after the fit: the shares and the touched raters' p_biased follow them, the rest awaits the
    next fit. `plane` stands in for the raters where they are left out. Unless `answer` is `ok` no figure here may be relied on; `reasons` say why.
    """

    biased_fraction: Share
    biased_weight: Share
    raters: tuple[RaterPosterior, ...]
    groups: tuple[Group, ...]
    bursts: tuple[Burst, ...]
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
    plane: Plane | None = None
    answer: Answer = Answer.SAID
    reasons: tuple[str, ...] = ()
