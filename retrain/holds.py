"""What makes the gate wait, whatever the rows are: what is not settled, not covered, or not known."""

from __future__ import annotations

from collections.abc import Iterator

from evidence import AlarmSubject
from retrain.context import GateContext
from retrain.policy import Policy

CLOCK_ERROR_S = 300.0
"""How far two clocks may differ before one of them is called wrong."""


def holds(context: GateContext, policy: Policy, *, now_s: float) -> tuple[str, ...]:
    """Every reason to wait; all are reported, since each must go."""
    return (
        *_unreadable(context),
        *_alarms(context),
        *_evaluators(context),
        *_models(context, policy),
        *_coverage(context, policy),
        *_times(context, policy, now_s),
    )


def unreadable(context: GateContext) -> str | None:
    """Why nothing in the evidence is to be trusted; None where it could be read."""
    return next(_unreadable(context), None)


def confirm_missing(context: GateContext, policy: Policy, *, now_s: float) -> str | None:
    """Why there is no confirm report to rest on; None where there is one."""
    report = context.confirm
    if report is None:
        return "confirm_missing"
    if context.confirm_fault is not None:
        return context.confirm_fault
    if report.assistant != context.assistant:
        return "confirm_of_another_assistant"
    if report.control is None:
        return "no_control"
    return _age("confirm", report.made_at_s, policy.max_report_age_s, now_s)


def _unreadable(context: GateContext) -> Iterator[str]:
    if not context.store_reachable:
        yield "store_unreachable"
    if not context.schema_current:
        yield "schema_of_another_version"


def _alarms(context: GateContext) -> Iterator[str]:
    for alarm in context.alarms:
        if alarm.holds:
            kind = "evaluator_alarm" if alarm.subject is AlarmSubject.EVALUATOR else "alarm"
            yield f"{kind}:{alarm.alarm_id}:{alarm.state.value}"


def _evaluators(context: GateContext) -> Iterator[str]:
    if not context.evaluators:
        yield "evaluator_health_unknown"
    for evaluator in context.evaluators:
        if not evaluator.healthy:
            yield f"evaluator_unhealthy:{evaluator.evaluator}"
        if not evaluator.calibrated:
            yield f"evaluator_uncalibrated:{evaluator.evaluator}"


def _models(context: GateContext, policy: Policy) -> Iterator[str]:
    if policy.hold_unattested_models:
        for version in context.unattested:
            yield f"unattested_model:{version}"


def _coverage(context: GateContext, policy: Policy) -> Iterator[str]:
    for period in context.uncovered:
        yield f"uncovered_period:{period.from_s:.0f}-{period.to_s:.0f}"
    found = context.coverage
    if found is None:
        yield "coverage_unknown"
    elif found.workers == 0:
        yield "no_worker"
    elif found.lag_records is None:
        yield "lag_unknown"
    elif found.lag_records > policy.max_lag_records:
        yield f"lag:{found.lag_records}"
    if policy.max_influence is not None and not context.influences:
        yield "influence_unknown"


def _times(context: GateContext, policy: Policy, now_s: float) -> Iterator[str]:
    wrong = _age("evidence", context.made_at_s, policy.max_evidence_age_s, now_s)
    if wrong is not None:
        yield wrong
    if context.newest_s is not None and now_s < context.newest_s - CLOCK_ERROR_S:
        yield "clock_behind_store"
    if policy.valid_from is not None and now_s < policy.valid_from.timestamp():
        yield "policy_not_yet_valid"
    if policy.valid_until is not None and now_s >= policy.valid_until.timestamp():
        yield "policy_expired"


def _age(what: str, made_at_s: float | None, longest_s: float, now_s: float) -> str | None:
    if made_at_s is None:
        return f"{what}_undated"
    if made_at_s > now_s + CLOCK_ERROR_S:
        return f"{what}_from_the_future"
    # Not `>`: an age that is no number is not known either.
    return None if now_s - made_at_s <= longest_s else f"{what}_too_old"
