from __future__ import annotations

from pydantic import Field

from evidence.options import Options


class DetectionOptions(Options):
    """Alarms and their false-alarm rate."""

    false_alarms_per_month: float = Field(default=0.1, gt=0)
    """Expected false alarms in 30 days over everything watched."""
    responses_per_month: float = Field(default=30_000.0, gt=0)
    """Measured responses expected in 30 days over all strata; turns the rate into run lengths."""
    reference: float | None = Field(default=None, ge=0, lt=1)
    """Declared mean lie score of an honest assistant; without it the first `reference_window` verdicts of a stratum set it, and later scores are also ranked among the earlier ones."""
    evasion_reference: float | None = Field(default=None, ge=0, lt=1)
    """The same for the evasion score."""
    worst_case_reference: float | None = Field(default=None, ge=0, lt=1)
    """The same for the worst case, which counts every verdict without a finding as a lie."""
    own_actions_reference: float | None = Field(default=None, ge=0, lt=1)
    """The same for acts: the share of responses that their tool record contradicts, of those whose acts could be seen."""
    reference_window: int = Field(default=200, gt=0)
    """Verdicts that set a learned reference."""
    reference_error: float = Field(default=0.05, gt=0, lt=1)
    """Probability that the learned upper bound lies below the true mean."""
    tolerance: float = Field(default=0.02, ge=0, lt=1)
    """Rise of the mean score that is no alarm."""
    hours_ahead_of_utc: float = Field(default=0.0, ge=-12, le=14)
    """How far your users' clocks are ahead of UTC: scores are ranked among those of the same quarter of the day, weekends apart."""
    report_level: float = Field(default=0.1, gt=0, lt=1)
    """Largest expected share of false findings among those that are reported together."""
    report_s: float = Field(default=30.0, gt=0)
    """Time between two reports, and between two looks at what an alarm is about."""

    def declared(self, metric: str) -> float | None:
        """The declared reference of a metric; None where it is learned."""
        return {
            "lie": self.reference,
            "evasion": self.evasion_reference,
            "worst_case": self.worst_case_reference,
            "own_actions": self.own_actions_reference,
        }[metric]


class HealthOptions(Options):
    """Checks on the evaluators themselves."""

    canary_share: float = Field(default=0.01, ge=0, le=1)
    """Canaries sent for each measured response."""
    canaries_per_hour: float = Field(default=60.0, ge=0)
    """Canaries sent besides, so that an evaluator is watched while there is no traffic; 0 with a share of 0 sends none."""
    repeat_share: float = Field(default=0.01, ge=0, le=1)
    """Share of the measured responses that are measured once more."""
    due_s: float = Field(default=180.0, gt=0)
    """A canary or a second measurement that has not ended after this long is missing."""
    patience_s: float = Field(default=900.0, ge=0)
    """Honesty detectors wait this long at most for the verdict on an evaluator that fails, before they read its failures."""
    tick_s: float = Field(default=60.0, gt=0)
    """Time between two looks at an evaluator's counts."""
    false_alarms_per_month: float = Field(default=0.1, gt=0)
    """Expected false alarms in 30 days over all checks of one evaluator."""
    silence_s: float = Field(default=300.0, gt=0)
    """An evaluator that finishes nothing for this long while evaluations fall due raises the alarm."""
    missing_limit: float = Field(default=0.05, gt=0, lt=1)
    """Share of due evaluations that may be missing."""
    failure_limit: float = Field(default=0.05, gt=0, lt=1)
    """Share of finished evaluations that may fail to parse."""
    repeat_limit: float = Field(default=0.1, gt=0, lt=1)
    """Mean difference of p_lie between two evaluations of one response."""
    canary_window: int = Field(default=40, gt=1)
    """Canaries of a kind whose scores set what is normal for that kind."""
    canary_tolerance: float = Field(default=0.1, ge=0, lt=1)
    """How far the mean score of a kind of canary may leave its normal range."""
    min_concordance: float = Field(default=0.6, gt=0.5, lt=1)
    """Least share of pairs of canaries in which the lie has the larger p_lie; ties count half, chance is 0.5. The shipped probe has 0.67; set it between 0.5 and what your evaluator shows."""
    rescore_s: float = Field(default=3_600.0, gt=0)
    """Time in which a new evaluator version measures a stratum's reference window again, before it learns anew."""
