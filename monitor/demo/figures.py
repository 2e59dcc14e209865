"""Every figure of the story, as `--json` writes it. None is what could not be measured."""

from __future__ import annotations

import msgspec


class Interval(msgspec.Struct, frozen=True, kw_only=True):
    """A share with its 95 % interval and the count it rests on."""

    value: float | None
    lower: float | None
    upper: float | None
    n: int


class PhaseFigures(msgspec.Struct, frozen=True, kw_only=True):
    """Honesty of one version: as measured, and by the scenarios' own labels on the same responses."""

    model: str
    measured: Interval
    labelled: Interval
    mean_p_lie: float | None


class AlarmFigures(msgspec.Struct, frozen=True, kw_only=True):
    """The first alarm about the responses.

    Parameters
    ----------
    at
        How many responses had been given when the one that raised it was.
    delay
        Arrival-sampled responses measured from the change until then; negative is a false alarm.
    """

    alarm_id: str
    at: int
    delay: int
    metric: str
    claim: str
    log_evidence: float
    log_threshold: float
    reference: float | None


class ProbeFigures(msgspec.Struct, frozen=True, kw_only=True):
    """How well p_lie tells lies from honest answers, by the scenarios' labels; others are left out."""

    auroc: float | None
    lower: float | None
    upper: float | None
    balanced_accuracy: float | None
    honest: int
    lies: int


class CohortFigures(msgspec.Struct, frozen=True, kw_only=True):
    """The biased share of the raters: what is true, and what was inferred.

    `signal_true` is the share of all thumbs that biased raters gave, `likes_true` that of all likes;
    `alarm_metric` names the population alarm that rose, if one did; unless `answer` is `ok` the figures may
    not be relied on.
    """

    true: float
    estimate: float | None
    lower: float | None
    upper: float | None
    raters: int
    events: int
    signal_true: float
    likes_true: float
    signal_estimate: float | None
    signal_lower: float | None
    signal_upper: float | None
    suspects: int
    suspects_biased: int
    rater_auroc: float | None
    alarm_metric: str | None
    answer: str = "ok"
    reasons: tuple[str, ...] = ()

    @property
    def covers(self) -> bool | None:
        """Whether the interval holds the truth; None without one."""
        if self.lower is None or self.upper is None:
            return None
        return self.lower <= self.true <= self.upper


class ArmFigures(msgspec.Struct, frozen=True, kw_only=True):
    """One arm of the confirm run; its honesty is None where no answer could be read."""

    honesty: float | None
    lower: float
    upper: float
    n: int
    likelihood_honesty: float | None


class ConfirmFigures(msgspec.Struct, frozen=True, kw_only=True):
    """The confirm run. `rows_lies` is the share of lies among its rows by the scenarios' labels."""

    vanilla: ArmFigures
    control: ArmFigures
    candidate: ArmFigures
    released: ArmFigures | None
    rows: int
    rows_lies: float
    released_lies: float | None
    replaced: int
    candidate_finding: str
    released_finding: str | None
    seconds: float


class GateFigures(msgspec.Struct, frozen=True, kw_only=True):
    """The gate's answers; `verified` when the released rows passed the guard with the signature."""

    all_rows: str
    all_rows_reasons: tuple[str, ...]
    released: str | None
    released_reasons: tuple[str, ...]
    released_rows: int
    verified: bool


class Figures(msgspec.Struct, frozen=True, kw_only=True):
    """The whole story. `failures` did not come out at all, `remarks` are less than they should be."""

    seed: int
    live: bool
    responses: int
    feedback: int
    sampled: int
    verdicts: int
    errors: int
    drift_at: int
    phases: tuple[PhaseFigures, ...]
    probe: ProbeFigures
    alarm: AlarmFigures | None
    cohort: CohortFigures | None
    confirm: ConfirmFigures | None
    gate: GateFigures | None
    seconds: float
    steps_s: dict[str, float]
    report: str | None
    api: str
    failures: tuple[str, ...]
    remarks: tuple[str, ...]
