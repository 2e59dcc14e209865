"""Whether all is well: findings, flow from topic to verdict, and the service itself."""

from __future__ import annotations

from grafana_foundation_sdk.builders import dashboard

from deploy.grafana.panels import board, figure, lines, rows

_OPEN = 'candor_alarms_active{state=~"open|acknowledged"}'


def overview() -> dashboard.Dashboard:
    """State gauges are joined by max: every replica of the API exports the same."""
    made = board("overview", "overview", "Findings, flow and service at a glance.", ["assistant"])
    return _service(_flow(_acts(_findings(made))))


def _by_stratum(share: str) -> str:
    return f'max by (assistant, segment, stakes) (candor_{share}_ratio{{assistant=~"$assistant"}})'


def _own_acts(series: str) -> str:
    return f'max by (assistant) (candor_own_acts_{series}{{assistant=~"$assistant"}})'


def _acts(made: dashboard.Dashboard) -> dashboard.Dashboard:
    """What is said of acts, beside what it rests on: a share of few responses is no finding."""
    seen = 'max by (assistant, acts) (candor_own_acts_responses{assistant=~"$assistant"})'
    return made.with_panel(
        lines(
            "Acts that the tool record contradicts",
            "Of the responses in the window whose acts could be seen, the share that claims something else than "
            "was done, with its 95 % interval. It is what the probe says, not corrected for its errors.",
            {
                "{{assistant}}": _own_acts("contradicted_ratio"),
                "lower {{assistant}}": _own_acts("contradicted_lower_ratio"),
                "upper {{assistant}}": _own_acts("contradicted_upper_ratio"),
            },
            unit="percentunit",
            top=1,
        )
    ).with_panel(
        lines(
            "Responses whose acts could be seen",
            "What this share rests on; nothing where no tools are recorded.",
            {"{{acts}}: {{assistant}}": seen},
        )
    )


def _findings(made: dashboard.Dashboard) -> dashboard.Dashboard:
    honesty, rate = _by_stratum("honesty"), _by_stratum("score_rate")
    return (
        made.with_row(dashboard.Row("Findings"))
        .with_panel(
            figure(
                "Alarms to judge",
                "Open and acknowledged alarms about strata, raters and evaluators.",
                f"count(max by (subject, scope, metric) ({_OPEN}) > 0) or vector(0)",
                bad_from=1,
            )
        )
        .with_panel(
            figure(
                "Lowest score rate",
                "The stratum that does worst by its bare verdicts.",
                f"min({rate})",
                unit="percentunit",
            )
        )
        .with_panel(
            figure(
                "Evaluations made",
                "Of the evaluations expected in 30 minutes, those made without error.",
                "candor:evaluations:covered_ratio30m",
                unit="percentunit",
                bad_below=0.9,
            )
        )
        .with_panel(
            figure(
                "Workers alive",
                "Workers heard of within telemetry.worker_silent_s.",
                'max(candor_workers{state="alive"})',
                bad_below=1,
            )
        )
        .with_panel(
            figure(
                "Newest response",
                "Time since a response was accepted.",
                "time() - max(candor_last_response_timestamp_seconds)",
                unit="s",
                bad_from=900,
            )
        )
        .with_panel(figure("Database", "1 while it answers.", "min(candor_store_up)", bad_below=1))
        .with_panel(
            lines(
                "Honesty by stratum",
                "The score rate is the share of honest verdicts among honest, lie and evasion in the "
                "window; honesty is that share corrected for the sensor's measured errors.",
                {
                    "honesty {{assistant}} / {{segment}} / {{stakes}}": honesty,
                    "score rate {{assistant}} / {{segment}} / {{stakes}}": rate,
                },
                unit="percentunit",
                top=1,
            )
        )
        .with_panel(
            rows(
                "Alarms",
                "Every alarm that is not closed, by what it is about.",
                "max by (subject, scope, metric, state) (candor_alarms_active)",
                width=12,
            )
        )
    )


def _flow(made: dashboard.Dashboard) -> dashboard.Dashboard:
    return (
        made.with_row(dashboard.Row("Flow"))
        .with_panel(
            lines(
                "Records read",
                "Read and accounted for, by topic.",
                {"{{topic}}": "sum by (topic) (rate(candor_records_seen_total[5m]))"},
                unit="reqps",
                width=8,
            )
        )
        .with_panel(
            lines(
                "Sampled and skipped",
                "Responses taken for measurement by phase, and not taken by reason.",
                {
                    "sampled: {{sampled_by}}": "sum by (sampled_by) (rate(candor_responses_sampled_total[5m]))",
                    "skipped: {{reason}}": "sum by (reason) (rate(candor_responses_skipped_total[5m]))",
                },
                unit="reqps",
                width=8,
            )
        )
        .with_panel(
            lines(
                "Verdicts",
                "Verdicts by kind.",
                {"{{kind}}": "sum by (kind) (rate(candor_verdicts_total[5m]))"},
                unit="reqps",
                width=8,
            )
        )
        .with_panel(
            lines(
                "Waiting",
                "Records not yet read, by topic, and responses in the workers' queues.",
                {
                    "lag: {{topic}}": "sum by (topic) (candor_consumer_lag_records)",
                    "queue": "sum(candor_queue_depth)",
                },
                width=8,
            )
        )
        .with_panel(
            lines(
                "Not accepted",
                "Dead letters by reason, and records accepted before.",
                {
                    "{{reason}}": "sum by (reason) (rate(candor_dead_letters_total[5m]))",
                    "duplicate: {{topic}}": "sum by (topic) (rate(candor_duplicates_total[5m]))",
                },
                unit="reqps",
                width=8,
            )
        )
        .with_panel(
            lines(
                "Feedback",
                "Feedback that found its response, waits for it, or was given up.",
                {
                    "{{state}}": "sum by (state) (rate(candor_feedback_total[5m]))",
                },
                unit="reqps",
                width=8,
            )
        )
    )


def _service(made: dashboard.Dashboard) -> dashboard.Dashboard:
    return (
        made.with_row(dashboard.Row("Service"))
        .with_panel(
            lines(
                "Workers",
                "By state, and how many the backlog asks for while the judge has headroom.",
                {
                    "{{state}}": "max by (state) (candor_workers)",
                    "wanted": "candor:workers:wanted",
                    "paused now": "sum(candor_worker_paused)",
                },
                width=8,
            )
        )
        .with_panel(
            lines(
                "Waiting in the store",
                "Records for the broker, and feedback for its response.",
                {
                    "outbox": "max(candor_outbox_pending_records)",
                    "feedback parked": "max(candor_feedback_parked_records)",
                },
                width=8,
            )
        )
        .with_panel(
            lines(
                "Failures",
                "Background jobs that failed, and writes given up because a partition moved.",
                {
                    "{{task}}": "sum by (task) (increase(candor_job_failures_total[15m]))",
                    "fenced writes": "sum(increase(candor_fenced_writes_total[15m]))",
                },
                width=8,
            )
        )
    )
