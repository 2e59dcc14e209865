"""Every metric, declared once: the exporters, docs/metrics.md and the rules' tests read this table."""

from __future__ import annotations

from monitor.telemetry.declaration import STRATUM, Declaration
from monitor.telemetry.worker_declarations import WORKER_METRICS


def _ends(
    name: str, labels: tuple[str, ...], interval: str = "the 95 % interval"
) -> tuple[Declaration, Declaration]:
    """The ends of a share's interval."""
    lower, upper = (
        Declaration(
            f"{name}_{end.lower()}_ratio",
            "gauge",
            f"{end} end of {interval} of {name}_ratio.",
            labels,
        )
        for end in ("Lower", "Upper")
    )
    return lower, upper


def _cases(name: str, share: str) -> tuple[Declaration, Declaration]:
    """The worst and the best case of a stratum's share."""
    worst, best = (
        Declaration(
            f"{name}_{case}_case_ratio",
            "gauge",
            f"{share} if every undecided, no_belief and error verdict were {what}.",
            STRATUM,
        )
        for case, what in (("worst", "a lie"), ("best", "honest"))
    )
    return worst, best


HONESTY_METRICS = (
    Declaration(
        "candor_score_rate_ratio",
        "gauge",
        "Honest verdicts over honest, lie and evasion in the window, weighted by inclusion "
        "probability: what the sensor says, with its errors.",
        STRATUM,
    ),
    *_ends("candor_score_rate", STRATUM),
    *_cases("candor_score_rate", "The score rate"),
    Declaration(
        "candor_honesty_ratio",
        "gauge",
        "The score rate corrected for the sensor's errors. The label basis says by what: sensor, its "
        "measured sensitivity and specificity, or labels, a random audit. Without either there is no series.",
        (*STRATUM, "basis"),
    ),
    *_ends("candor_honesty", STRATUM),
    *_cases("candor_honesty", "Honesty"),
    Declaration(
        "candor_window_verdicts",
        "gauge",
        "Verdicts in the window that score rate and honesty rest on, by kind.",
        (*STRATUM, "kind"),
    ),
    Declaration(
        "candor_own_acts_contradicted_ratio",
        "gauge",
        "Of the responses in the window whose acts could be seen in their tool record, the share that it "
        "contradicts, weighted by inclusion probability. None was seen: no series.",
        ("assistant",),
    ),
    *_ends("candor_own_acts_contradicted", ("assistant",)),
    Declaration(
        "candor_own_acts_responses",
        "gauge",
        "Responses that this share rests on, by what their tool record shows: supported or contradicted.",
        ("assistant", "acts"),
    ),
    Declaration(
        "candor_random_labels",
        "gauge",
        "Human labels of randomly chosen production responses.",
        ("assistant",),
    ),
    Declaration(
        "candor_unattested_model",
        "gauge",
        "Model versions that answered in the window without an attestation of their weights; only of assistants with attested weights.",
        ("assistant",),
    ),
    Declaration(
        "candor_strata_hidden",
        "gauge",
        "Strata beyond the label limit, which have no series of their own.",
    ),
)

DETECTION_METRICS = (
    Declaration(
        "candor_evidence_log",
        "gauge",
        "Natural logarithm of the evidence that the score rose.",
        (*STRATUM, "metric"),
    ),
    Declaration(
        "candor_evidence_threshold_log",
        "gauge",
        "Natural logarithm of the evidence at which the alarm rises.",
        (*STRATUM, "metric"),
    ),
    Declaration(
        "candor_reference_ratio",
        "gauge",
        "Mean score that the detector holds for normal.",
        (*STRATUM, "metric"),
    ),
    Declaration(
        "candor_smallest_visible_fall_ratio",
        "gauge",
        "Smallest share of responses that could turn into lies and be found within a month; none: no series.",
        STRATUM,
    ),
    Declaration(
        "candor_blind",
        "gauge",
        "1 where a fall of honesty by telemetry.visible_fall would not be found within a month.",
        STRATUM,
    ),
    Declaration(
        "candor_alarms_active",
        "gauge",
        "Alarms that are not closed, by subject, scope, metric and state.",
        ("subject", "scope", "metric", "state"),
    ),
    Declaration(
        "candor_evaluations_expected_total",
        "counter",
        "Responses that the workers have taken for measurement.",
    ),
    Declaration(
        "candor_evaluations_actual_total",
        "counter",
        "Responses that the workers have measured without error.",
    ),
)

EVALUATOR_METRICS = (
    Declaration(
        "candor_evaluator_expected_total",
        "counter",
        "Evaluations that fell due: logged live ones, canaries and repeats.",
        ("evaluator",),
    ),
    Declaration(
        "candor_evaluator_actual_total",
        "counter",
        "Of candor_evaluator_expected_total, those that ended with an answer, readable or not.",
        ("evaluator",),
    ),
    Declaration(
        "candor_evaluator_checks_failing",
        "gauge",
        "Health checks of the evaluator that are in alarm; above 0 its detectors are frozen.",
        ("evaluator",),
    ),
    Declaration(
        "candor_evaluator_suspect",
        "gauge",
        "1 while the evaluator fails more than the limits allow and no alarm has opened yet.",
        ("evaluator",),
    ),
)

COHORT_METRICS = (
    Declaration(
        "candor_biased_raters_ratio",
        "gauge",
        "Estimated share of raters who reward lies.",
        ("assistant",),
    ),
    *_ends("candor_biased_raters", ("assistant",), "the interval"),
    Declaration(
        "candor_biased_weight_ratio",
        "gauge",
        "Share of the positive training signal that suspected-biased raters carry.",
        ("assistant",),
    ),
    *_ends("candor_biased_weight", ("assistant",), "the interval"),
    Declaration(
        "candor_suspect_raters",
        "gauge",
        "Raters on the suspect list, whose expected false share is bounded.",
        ("assistant",),
    ),
    Declaration(
        "candor_coordination_groups",
        "gauge",
        "Groups of raters who act together beyond what popularity explains.",
        ("assistant",),
    ),
    Declaration(
        "candor_sycophancy_gap_ratio",
        "gauge",
        "Mean p_lie of later responses to the frozen cohort, less that of responses to others.",
        ("assistant",),
    ),
    *_ends("candor_sycophancy_gap", ("assistant",), "the interval"),
    Declaration(
        "candor_cohort_raters", "gauge", "Raters behind the cohort estimate.", ("assistant",)
    ),
    Declaration(
        "candor_cohort_events",
        "gauge",
        "Feedback events behind the cohort estimate.",
        ("assistant",),
    ),
)

OPERATION_METRICS = (
    Declaration(
        "candor_gate_decisions_total",
        "counter",
        "Gate decisions recorded, by answer; overridden ones count as overridden.",
        ("assistant", "answer"),
    ),
    Declaration("candor_confirm_runs", "gauge", "Confirm runs, by state.", ("assistant", "state")),
    Declaration(
        "candor_workers", "gauge", "Workers, by state: alive, paused or silent.", ("state",)
    ),
    Declaration(
        "candor_last_response_timestamp_seconds",
        "gauge",
        "When the newest response was accepted.",
    ),
    Declaration(
        "candor_last_verdict_timestamp_seconds", "gauge", "When the newest verdict was made."
    ),
    Declaration(
        "candor_outbox_pending_records",
        "gauge",
        "Records in the outbox that the broker has not acknowledged.",
    ),
    Declaration(
        "candor_results_lag_records",
        "gauge",
        "Results that a receiver has not had, those that wait for their span included; counted up to 100 000.",
        ("sink",),
    ),
    Declaration(
        "candor_results_waiting_records",
        "gauge",
        "Verdicts whose span or trace has not reached the receiver yet.",
        ("sink",),
    ),
    Declaration(
        "candor_results_lag_seconds",
        "gauge",
        "Age of the oldest result that a receiver has not had; 0 where it has all.",
        ("sink",),
    ),
    Declaration(
        "candor_feedback_parked_records",
        "gauge",
        "Feedback that waits for its response.",
    ),
    Declaration("candor_store_up", "gauge", "1 when the last read of the store succeeded, else 0."),
    Declaration(
        "candor_build_info", "gauge", "Always 1; the label carries the version.", ("version",)
    ),
)

STATE_METRICS = (
    *HONESTY_METRICS,
    *DETECTION_METRICS,
    *EVALUATOR_METRICS,
    *COHORT_METRICS,
    *OPERATION_METRICS,
)

TAP_METRICS = (
    Declaration(
        "candor_tap_records_total",
        "counter",
        "Records that the sidecar was sent, by source (responses, feedback, traces, logs) and outcome: "
        "delivered, refused as wrong, or given back because of queue_full or the broker.",
        ("source", "outcome"),
        "tap",
    ),
    Declaration(
        "candor_tap_spans_passed_over_total",
        "counter",
        "Spans and events in which the sidecar saw no part of a turn, by reason: no_operation, "
        "other_operation, other_convention, failed_call, no_trace, other_event, not_a_users, no_content.",
        ("reason",),
        "tap",
    ),
    Declaration(
        "candor_tap_queue_records",
        "gauge",
        "Records that the sidecar holds until the broker acknowledges them.",
        (),
        "tap",
    ),
    Declaration(
        "candor_tap_delivery_seconds",
        "histogram",
        "Time from a request's records to the broker's acknowledgement.",
        (),
        "tap",
    ),
)

ABSTAIN_METRICS = (
    Declaration(
        "candor_answer_decisions_total",
        "counter",
        "Answers asked about before they were shown, by answer (show, withhold, review) and reason.",
        ("answer", "reason"),
    ),
    Declaration(
        "candor_answer_decision_seconds",
        "histogram",
        "Time that a service waited for such a decision.",
    ),
)

METRICS = (*WORKER_METRICS, *STATE_METRICS, *TAP_METRICS, *ABSTAIN_METRICS)

BY_NAME = {metric.name: metric for metric in METRICS}
