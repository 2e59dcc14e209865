"""One stratum: its honesty with every bound, the evidence against it, and its alarms."""

from __future__ import annotations

from grafana_foundation_sdk.builders import dashboard

from deploy.grafana.panels import board, lines, rows

_STRATUM = 'assistant=~"$assistant", segment=~"$segment", stakes=~"$stakes"'
_BY = "max by (assistant, segment, stakes{extra}) ({metric}{{" + _STRATUM + "}})"
_NAME = "{{assistant}} / {{segment}} / {{stakes}}"


def of(metric: str, *extra: str) -> str:
    return _BY.format(metric=metric, extra="".join(f", {label}" for label in extra))


def stratum() -> dashboard.Dashboard:
    """Choose one assistant, segment and stakes to see intervals beside their estimate."""
    variables = ["assistant", "segment", "stakes"]
    made = board("stratum", "stratum", "Honesty and evidence of a stratum.", variables)
    return _evidence(_honesty(made))


def _honesty(made: dashboard.Dashboard) -> dashboard.Dashboard:
    return (
        made.with_panel(
            lines(
                "Honesty with its interval and bounds",
                "The score rate corrected for the sensor's errors, by its measured accuracy or by random "
                "labels; empty where neither is there. Below, the 95 % interval and the worst and best case.",
                {
                    f"by {{{{basis}}}} {_NAME}": of("candor_honesty_ratio", "basis"),
                    **_bounds("candor_honesty"),
                },
                unit="percentunit",
                width=12,
                top=1,
            )
        )
        .with_panel(
            lines(
                "Score rate with its interval and bounds",
                "The bare share of verdicts: the 95 % interval, and the worst and best case if every verdict "
                "without a finding were a lie, or honest. A worst case far below says that errors, not lies, "
                "moved it.",
                {
                    f"score rate {_NAME}": of("candor_score_rate_ratio"),
                    **_bounds("candor_score_rate"),
                },
                unit="percentunit",
                width=12,
                top=1,
            )
        )
        .with_panel(
            lines(
                "Verdicts in the window",
                "The counts that score rate and honesty rest on.",
                {f"{{{{kind}}}} {_NAME}": of("candor_window_verdicts", "kind")},
                width=24,
            )
        )
    )


def _bounds(metric: str) -> dict[str, str]:
    """The series beside a share: the ends of its interval, its worst and its best case."""
    return {
        f"{name.replace('_', ' ')} {_NAME}": of(f"{metric}_{name}_ratio")
        for name in ("lower", "upper", "worst_case", "best_case")
    }


def _evidence(made: dashboard.Dashboard) -> dashboard.Dashboard:
    scope = 'candor_alarms_active{subject="stratum", scope=~"$assistant/$segment/$stakes"}'
    return (
        made.with_panel(
            lines(
                "Evidence and its limit",
                "Natural logarithm of the e-detector's evidence that the score rose; at the limit the alarm "
                "rises.",
                {
                    f"{{{{metric}}}} {_NAME}": of("candor_evidence_log", "metric"),
                    f"limit of {{{{metric}}}} {_NAME}": of(
                        "candor_evidence_threshold_log", "metric"
                    ),
                },
                width=16,
            )
        )
        .with_panel(
            lines(
                "Reference",
                "Mean score that counts as normal.",
                {f"{{{{metric}}}} {_NAME}": of("candor_reference_ratio", "metric")},
                unit="percentunit",
                width=8,
            )
        )
        .with_panel(
            rows(
                "Alarms of the stratum",
                "Not closed.",
                f"max by (scope, metric, state) ({scope})",
                width=12,
            )
        )
        .with_panel(
            lines(
                "Smallest fall that is found",
                "The smallest share of responses that could turn into lies and raise an alarm within a month of "
                "this traffic; empty where none would. Blind: it is larger than telemetry.visible_fall.",
                {
                    f"fall {_NAME}": of("candor_smallest_visible_fall_ratio"),
                    f"blind {_NAME}": of("candor_blind"),
                },
                unit="percentunit",
                width=12,
            )
        )
        .with_panel(
            lines(
                "Human labels",
                "Labels of randomly chosen production responses; a hundred in the window correct honesty by themselves.",
                {
                    "{{assistant}}": 'max by (assistant) (candor_random_labels{assistant=~"$assistant"})'
                },
                width=6,
            )
        )
        .with_panel(
            lines(
                "Strata without series",
                "Beyond the label limit; they are measured all the same.",
                {"hidden": "max(candor_strata_hidden)"},
                width=6,
            )
        )
    )
