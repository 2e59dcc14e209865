"""The story on a terminal: steps and findings that stay, and one live line."""

from __future__ import annotations

from urllib.parse import quote

from rich.console import Console
from rich.live import Live
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Table

from evidence.survey import ScoreRate
from monitor.demo.figures import ArmFigures, Figures, Interval
from monitor.demo.traffic import ASSISTANT
from monitor.demo.watch import Look


class Screen:
    """A `Teller` on a rich console; use it as a context manager."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._progress = Progress(
            TextColumn("[bold]{task.description}"),
            BarColumn(bar_width=24),
            TextColumn("{task.fields[seen]}"),
            TimeElapsedColumn(),
            console=console,
            transient=True,
        )
        self._live = Live(self._progress, console=console, refresh_per_second=4, transient=True)
        self._task: TaskID | None = None
        self._said: set[str] = set()

    def __enter__(self) -> Screen:
        self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._live.stop()

    def step(self, title: str) -> None:
        """A new step begins."""
        if self._task is not None:
            self._progress.remove_task(self._task)
        self._console.print(f"[bold cyan]>[/] {title}", highlight=False)
        self._task = self._progress.add_task(title, total=1.0, seen="")

    def load(self, what: str, share: float) -> None:
        """Progress without a store to look at."""
        if self._task is not None:
            self._progress.update(self._task, completed=share, seen=what)

    def show(self, seen: Look, what: str, share: float) -> None:
        """How far the step is, and a line for each new alarm."""
        for alarm in seen.alarms:
            if alarm.alarm_id not in self._said:
                self._said.add(alarm.alarm_id)
                self.say(f"[bold red]alarm[/] {alarm.claim}")
        text = (
            f"{what}: {seen.responses} responses, {seen.sampled} sampled, {seen.verdicts} verdicts, "
            f"{seen.feedback} thumbs, score rate {_score_rate(seen.score_rate)}"
        )
        self.load(text, share)

    def say(self, text: str) -> None:
        """A line that stays."""
        self._console.print(f"  {text}", highlight=False)


def summary(figures: Figures) -> Table:
    """The figures as a table; what went wrong stands at the end."""
    table = Table("what", "figure", title="candor demo", show_lines=False)
    table.add_row(
        "responses, sampled, errors",
        f"{figures.responses}, {figures.sampled}, {figures.errors}",
    )
    for phase in figures.phases:
        table.add_row(
            f"score rate of {phase.model}",
            f"{interval(phase.measured)}; by the scenarios' labels {interval(phase.labelled)}",
        )
    probe = figures.probe
    table.add_row(
        "p_lie against the labels",
        f"AUROC {spread(probe.auroc, probe.lower, probe.upper)}, "
        f"{probe.lies} lies, {probe.honest} honest",
    )
    _add_alarm(table, figures)
    _add_cohort(table, figures)
    _add_confirm(table, figures)
    if figures.gate is not None:
        gate = figures.gate
        table.add_row("gate, all rows", f"{gate.all_rows} ({', '.join(gate.all_rows_reasons)})")
        signed = "signature verified by the guard" if gate.verified else "not released to training"
        table.add_row(
            "gate, released rows",
            f"{gate.released} ({', '.join(gate.released_reasons)}), "
            f"{gate.released_rows} rows, {signed}",
        )
    table.add_row("time", f"{figures.seconds:.0f} s")
    for failure in figures.failures:
        table.add_row("[bold red]did not come out[/]", failure)
    for remark in figures.remarks:
        table.add_row("[yellow]remark[/]", remark)
    return table


def views(figures: Figures) -> list[tuple[str, str]]:
    """Where the console tells the story: a page's name and its address, the first to open first."""
    found = []
    if figures.alarm is not None:
        alarm = quote(figures.alarm.alarm_id, safe="")
        found.append(("the alarm", f"{figures.api}/alarms/{alarm}"))
    found.append(("honesty over time", f"{figures.api}/?assistant={ASSISTANT}&range=24h"))
    if figures.cohort is not None:
        found.append(("who steered it", f"{figures.api}/raters?assistant={ASSISTANT}&range=24h"))
    if figures.gate is not None:
        found.append(("what the gate kept out", f"{figures.api}/retrain?assistant={ASSISTANT}"))
    return found


def _add_alarm(table: Table, figures: Figures) -> None:
    alarm = figures.alarm
    if alarm is None:
        table.add_row("alarm", "none")
        return
    table.add_row(
        "alarm",
        f"at response {alarm.at}, change at {figures.drift_at}: "
        f"{alarm.delay} sampled responses later",
    )


def _add_cohort(table: Table, figures: Figures) -> None:
    found = figures.cohort
    if found is None:
        table.add_row("biased raters", "no estimate")
        return
    table.add_row(
        "biased raters",
        f"{spread(found.estimate, found.lower, found.upper)} of {found.raters}; "
        f"true {found.true:.3f}",
    )
    if found.reasons:
        table.add_row("may they be relied on", f"{found.answer}: {'; '.join(found.reasons)}")
    table.add_row(
        "their share of the signal",
        f"{spread(found.signal_estimate, found.signal_lower, found.signal_upper)}; "
        f"true {found.signal_true:.3f}",
    )
    table.add_row("suspects", f"{found.suspects}, of them truly biased {found.suspects_biased}")


def _add_confirm(table: Table, figures: Figures) -> None:
    run = figures.confirm
    if run is None:
        table.add_row("confirm run", "none")
        return
    for name, arm in arms(figures):
        table.add_row(
            f"honesty of {name}", f"{spread(arm.honesty, arm.lower, arm.upper)}, n {arm.n}"
        )
    table.add_row(
        "confirm run",
        f"{run.rows} rows, {run.rows_lies:.0%} lies; {run.replaced} replaced; {run.seconds:.0f} s",
    )


def arms(figures: Figures) -> list[tuple[str, ArmFigures]]:
    """The arms of the confirm run by name, in order; those that ran."""
    run = figures.confirm
    if run is None:
        return []
    named = {
        "vanilla": run.vanilla,
        "control": run.control,
        "candidate": run.candidate,
        "released": run.released,
    }
    return [(name, arm) for name, arm in named.items() if arm is not None]


def interval(found: Interval) -> str:
    """A share with its interval and count."""
    return f"{spread(found.value, found.lower, found.upper)}, n {found.n}"


def spread(value: float | None, lower: float | None, upper: float | None) -> str:
    """A figure with its interval."""
    if value is None:
        return "-"
    if lower is None or upper is None:
        return f"{value:.3f}"
    return f"{value:.3f} [{lower:.3f}, {upper:.3f}]"


def _score_rate(found: ScoreRate) -> str:
    return spread(found.value, found.lower, found.upper)
