"""Who steers the feedback: raters that reward lies, and what they carry of the training signal."""

from __future__ import annotations

from grafana_foundation_sdk.builders import dashboard

from deploy.grafana.panels import board, lines, rows


def of(metric: str) -> str:
    return f'max by (assistant) ({metric}{{assistant=~"$assistant"}})'


def interval(metric: str) -> dict[str, str]:
    return {
        "{{assistant}}": of(f"{metric}_ratio"),
        "lower {{assistant}}": of(f"{metric}_lower_ratio"),
        "upper {{assistant}}": of(f"{metric}_upper_ratio"),
    }


def cohorts() -> dashboard.Dashboard:
    made = board("cohorts", "cohorts", "Raters and the feedback they give.", ["assistant"])
    return _feedback(
        made.with_panel(
            lines(
                "Biased raters",
                "Estimated share of raters who reward lies, with its interval.",
                interval("candor_biased_raters"),
                unit="percentunit",
            )
        )
        .with_panel(
            lines(
                "Their training weight",
                "Share of the positive training signal that they carry, with its interval.",
                interval("candor_biased_weight"),
                unit="percentunit",
            )
        )
        .with_panel(
            lines(
                "What the estimate rests on",
                "Raters and feedback events behind it.",
                {
                    "raters of {{assistant}}": of("candor_cohort_raters"),
                    "events of {{assistant}}": of("candor_cohort_events"),
                },
                width=8,
            )
        )
        .with_panel(
            lines(
                "Suspects and groups",
                "Raters on the suspect list, whose false share is bounded, and groups that act together.",
                {
                    "suspects of {{assistant}}": of("candor_suspect_raters"),
                    "groups of {{assistant}}": of("candor_coordination_groups"),
                },
                width=8,
            )
        )
        .with_panel(
            lines(
                "Lies told to the cohort",
                "Mean p_lie of later responses to the frozen cohort, less that of responses to others.",
                {
                    "{{assistant}}": of("candor_sycophancy_gap_ratio"),
                    "lower {{assistant}}": of("candor_sycophancy_gap_lower_ratio"),
                    "upper {{assistant}}": of("candor_sycophancy_gap_upper_ratio"),
                },
                width=8,
                bottom=None,
            )
        )
    )


def _feedback(made: dashboard.Dashboard) -> dashboard.Dashboard:
    return made.with_panel(
        lines(
            "Feedback without its response",
            "Share given up because the response did not come within the horizon, and feedback that "
            "waits.",
            {"orphans": "candor:feedback:orphan_ratio1h"},
            unit="percentunit",
            width=12,
        )
    ).with_panel(
        rows(
            "Population alarms",
            "Not closed.",
            'max by (scope, metric, state) (candor_alarms_active{subject="population", scope=~"$assistant"})',
            width=12,
        )
    )
