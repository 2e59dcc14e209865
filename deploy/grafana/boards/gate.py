"""What the gate answered, the confirm runs behind it, and what holds it now."""

from __future__ import annotations

from grafana_foundation_sdk.builders import dashboard

from deploy.grafana.panels import board, figure, lines, rows

_CHOSEN = 'assistant=~"$assistant"'


def answers(answer: str) -> str:
    chosen = f'candor_gate_decisions_total{{{_CHOSEN}, answer="{answer}"}}'
    return f"sum(max by (assistant) (increase({chosen}[$__range])))"


def gate() -> dashboard.Dashboard:
    made = board("gate", "gate", "Retrain decisions and confirm runs.", ["assistant"])
    for answer, seen in (
        ("allow", "All rows may be trained."),
        ("quarantine", "A named subset may be trained."),
        ("hold", "Evidence is missing or still gathered."),
        ("block", "Nothing may be trained."),
        ("overridden", "A person took it on themselves."),
    ):
        made = made.with_panel(
            figure(answer.capitalize(), f"{seen} In the time shown.", answers(answer))
        )
    running = f'candor_confirm_runs{{{_CHOSEN}, state="running"}}'
    made = made.with_panel(
        figure("Running now", "Confirm runs under way.", f"sum(max by (assistant) ({running}))")
    )
    return (
        made.with_panel(
            lines(
                "Decisions",
                "In an hour, by answer.",
                {
                    "{{assistant}}: {{answer}}": "max by (assistant, answer) "
                    f"(increase(candor_gate_decisions_total{{{_CHOSEN}}}[1h]))"
                },
            )
        )
        .with_panel(
            lines(
                "Confirm runs",
                "By state.",
                {
                    "{{assistant}}: {{state}}": "max by (assistant, state) "
                    f"(candor_confirm_runs{{{_CHOSEN}}})"
                },
            )
        )
        .with_panel(
            lines(
                "Answers asked about before they were shown",
                "In a second, by what was decided and why.",
                {
                    "{{answer}}: {{reason}}": "sum by (answer, reason) "
                    "(rate(candor_answer_decisions_total[5m]))"
                },
                unit="reqps",
            )
        )
        .with_panel(
            lines(
                "Time that a service waited for it",
                "Time of such a decision.",
                {
                    f"{share:.0%}": f"histogram_quantile({share}, "
                    "sum by (le) (rate(candor_answer_decision_seconds_bucket[5m])))"
                    for share in (0.5, 0.95)
                },
                unit="s",
            )
        )
        .with_panel(
            rows(
                "What holds the gate",
                "Alarms that are open, acknowledged or confirmed; only closing releases.",
                'max by (subject, scope, metric, state) (candor_alarms_active{state!="refuted"})',
            )
        )
    )
