"""Whether a confirm run measured enough for its findings to count, within the policy's bounds. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from retrain.arms import APPROVED_MODEL
from retrain.policy import Policy
from retrain.report import Arm, ArmResult, ConfirmReport, Rate

UNKNOWN = "unknown"
"""Stands for the name of a source, or a figure, that is not there."""


def unmeasured(
    report: ConfirmReport, arm: ArmResult, policy: Policy, in_doubt: Collection[str | None]
) -> tuple[str, ...]:
    """Why what the report finds about an arm is not to be believed; empty where it is.

    `in_doubt` are the sources of the rows that were quarantined for what they may teach.
    """
    return (
        *_answers(report, arm, policy),
        *_belief(report, policy),
        *_firmness(report, arm, policy),
        *_learning(arm, policy),
        *_design(report, arm, policy),
        *_model(report, policy),
        *_control(report, policy, in_doubt),
    )


def read_in_both(report: ConfirmReport, arm: ArmResult) -> str:
    """Share of the items that were read in the arm and in control alike, the smallest of all scorers."""
    pairs = [c for c in report.comparisons if c.arm is arm.arm and c.baseline is Arm.CONTROL]
    return _figure(min((c.read / c.items for c in pairs if c.items), default=None))


def _of(report: ConfirmReport, name: Arm) -> ArmResult | None:
    return next((one for one in report.arms if one.arm is name), None)


def _answers(report: ConfirmReport, arm: ArmResult, policy: Policy) -> Iterator[str]:
    for name in (Arm.VANILLA, Arm.CONTROL, arm.arm):
        found = _of(report, name)
        share = None if found is None else _value(found.readable)
        if share is None or not share >= policy.min_readable_share:
            yield f"unmeasured_answers:{name.value}:{_figure(share)}"


def _belief(report: ConfirmReport, policy: Policy) -> Iterator[str]:
    """The approved model must be shown to hold what the items say more often than the least share: one
    that guesses cannot lie about it."""
    vanilla = _of(report, Arm.VANILLA)
    if vanilla is None or not vanilla.belief_accuracy.lower > policy.min_belief_share:
        yield f"no_belief:{_figure(None if vanilla is None else vanilla.belief_accuracy.value)}"


def _firmness(report: ConfirmReport, arm: ArmResult, policy: Policy) -> Iterator[str]:
    for found in report.firmness:
        limit = found.kept_upper
        if found.arm is arm.arm and limit is not None and not limit >= policy.min_firmness:
            yield f"less_firm:{arm.arm.value}:{_figure(found.kept)}"


def _learning(arm: ArmResult, policy: Policy) -> Iterator[str]:
    """A loss that fell on the arm's own rows, by weights that moved."""
    fall = arm.loss_fall
    moved = arm.adapter_norm is not None and arm.adapter_norm > 0
    if fall is None or not moved or not fall >= policy.min_loss_fall:
        yield f"no_learning:{arm.arm.value}:{_figure(fall, 4)}"


def _design(report: ConfirmReport, arm: ArmResult, policy: Policy) -> Iterator[str]:
    pairs = [c for c in report.comparisons if c.arm is arm.arm and c.baseline is Arm.CONTROL]
    margin = report.margin(arm.arm)
    if margin is not None and margin > policy.max_margin:
        yield f"margin_too_wide:{margin:.2f}"
    items = min((c.items for c in pairs), default=0)
    if items < policy.min_items:
        yield f"too_few_items:{items}"
    templates = min((c.clusters for c in pairs), default=0)
    if templates < policy.min_templates:
        yield f"too_few_templates:{templates}"
    # A spread that is known is taken off the margin, so every comparison shows it.
    known = bool(pairs) and all(c.seed_allowance > 0.0 for c in pairs)
    if len(set(report.seeds)) < policy.min_seeds and not known:
        yield f"too_few_seeds:{len(set(report.seeds))}"
    lost = (arm.dropped + arm.cut) / arm.rows if arm.rows else 1.0
    if lost > policy.max_rows_dropped_share:
        yield f"rows_not_trained:{arm.arm.value}:{lost:.2f}"


def _model(report: ConfirmReport, policy: Policy) -> Iterator[str]:
    if policy.models and not {report.model, report.model_digest} & set(policy.models):
        yield f"model_not_allowed:{report.model or report.model_digest}"


def _control(
    report: ConfirmReport, policy: Policy, in_doubt: Collection[str | None]
) -> Iterator[str]:
    """Control must rest on rows that share nothing with what is in doubt."""
    if report.control == APPROVED_MODEL:
        # The run made these rows itself: the candidate's prompts with the model's own answers.
        if policy.control_sources and APPROVED_MODEL not in policy.control_sources:
            yield f"control_source_not_allowed:{APPROVED_MODEL}"
        return
    rows = report.control_rows
    if rows is None:
        yield "control_rows_unknown"
        return
    doubted = {source or UNKNOWN for source in in_doubt}
    for source in sorted(rows.sources):
        if not _may_control(source, policy) or _name(source) in doubted:
            yield f"control_source_not_allowed:{source}"
    shared = sum(n for s, n in rows.shared.items() if not _is_in(s, policy.trusted_sources))
    if shared:
        yield f"control_shares_rows:{shared}"
    if rows.shared_raters:
        yield f"control_shares_raters:{rows.shared_raters}"


def _may_control(source: str, policy: Policy) -> bool:
    if policy.control_sources:
        return _is_in(source, policy.control_sources)
    return not _is_in(source, (UNKNOWN, *policy.measured_sources, *policy.blocked_sources))


def _is_in(source: str, named: Collection[str]) -> bool:
    """Whether `name@version` or its name is named."""
    return source in named or _name(source) in named


def _name(source: str) -> str:
    return source.partition("@")[0]


def _value(rate: Rate | None) -> float | None:
    return None if rate is None else rate.value


def _figure(value: float | None, digits: int = 2) -> str:
    return UNKNOWN if value is None else f"{value:.{digits}f}"
