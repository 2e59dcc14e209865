"""The second half of the story: the alarm's confirm run, the alarms closed, the gate's answers."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import httpx
from sqlalchemy import Engine

from candor_guard import load_guarded
from candor_guard.rows import Row, read_rows
from evidence import Alarm, AlarmState, BadInputError, GateAnswer, UnreachableError
from monitor.demo.figures import ArmFigures, ConfirmFigures, GateFigures
from monitor.demo.story import Story
from monitor.demo.traffic import ASSISTANT
from monitor.demo.turns import Turn
from monitor.demo.watch import Look
from monitor.launch.settle import DECISIONS, RELEASED_ROWS, REPORT, ROWS
from monitor.store.confirm_runs import DONE, FAILED, ConfirmRun, runs
from monitor.store.decisions import revoked_ids
from monitor.store.engine import reading
from retrain.gate import GateDecision
from retrain.report import Arm, ArmResult, ConfirmReport, read_report
from retrain.signing import read_decision

_ARMS = 7  # four evaluations and three trainings
_MOST_WORK_S = 3_600


class Confirmation:
    """Waits for the run that the alarm started, and settles what it found.

    Parameters
    ----------
    api_url
        Where the alarms are closed.
    public_key
        Verifies the gate's signature.
    """

    def __init__(self, engine: Engine, story: Story, api_url: str, public_key: Path) -> None:
        self._engine, self._story = engine, story
        self._api_url, self._public_key = api_url, public_key

    def wait(self) -> ConfirmRun | None:
        """The finished run; None when no alarm asked for one. Raises StuckError when it stands still."""

        def ended(_seen: Look) -> bool:
            found = self._newest()
            return found is not None and found.state in {DONE, FAILED}

        self._story.wait(
            ended,
            "confirm run",
            share=lambda _seen: _share(self._newest()),
            moved=lambda: _moved(self._newest()),
        )
        return self._newest()

    def close_alarms(self, alarms: Sequence[Alarm], reason: str) -> int:
        """Confirm and close the open alarms through the API, as the engineer on call would."""
        closed = 0
        with httpx.Client(base_url=self._api_url, timeout=30.0) as client:
            for alarm in alarms:
                if alarm.state is AlarmState.CLOSED:
                    continue
                for step in ("confirm", "close"):
                    self._post(client, f"/v1/alarms/{alarm.alarm_id}/{step}", reason)
                closed += 1
        return closed

    def gate(self, run: ConfirmRun, patience_s: float = 60.0) -> GateFigures:
        """The gate's answers about all rows and the released ones, once closing has been noticed."""
        directory = Path(run.directory or "")

        def settled(_seen: Look) -> bool:
            released = decision_of(directory, "released")
            return released is None or released.answer is not GateAnswer.HOLD

        self._story.settled(settled, patience_s)
        everything, released = decision_of(directory, "all"), decision_of(directory, "released")
        if everything is None:
            raise BadInputError("the gate has not answered", str(directory))
        return GateFigures(
            all_rows=everything.answer.value,
            all_rows_reasons=everything.reasons,
            released=None if released is None else released.answer.value,
            released_reasons=() if released is None else released.reasons,
            released_rows=0 if released is None else released.released.rows,
            verified=self._verified(directory),
        )

    def _verified(self, directory: Path) -> bool:
        """Whether a training job that guards itself would get the released rows."""
        rows, decision = directory / RELEASED_ROWS, directory / DECISIONS["released"]
        try:
            guarded = load_guarded(
                rows, decision, self._public_key, assistant=ASSISTANT, revoked=self._revoked()
            )
            return len(guarded) > 0
        except BadInputError:
            return False

    def _revoked(self) -> list[str]:
        with reading(self._engine) as connection:
            return revoked_ids(connection)

    def _newest(self) -> ConfirmRun | None:
        with reading(self._engine) as connection:
            found = [run for run in runs(connection) if run.assistant == ASSISTANT]
        return found[-1] if found else None

    def _post(self, client: httpx.Client, path: str, reason: str) -> None:
        try:
            answer = client.post(path, json={"by": "engineer on call", "reason": reason})
            answer.raise_for_status()
        except httpx.HTTPError as error:
            raise UnreachableError("the API", str(error)) from error


def confirm_figures(run: ConfirmRun, turns: Mapping[str, Turn]) -> ConfirmFigures:
    """The arms of a finished run and what its rows were. Raises BadInputError without a report."""
    directory = Path(run.directory or "")
    report = read_report(directory / REPORT)
    rows = read_rows(directory / ROWS)
    kept = directory / RELEASED_ROWS
    released = _arm(report, Arm.RELEASED)
    return ConfirmFigures(
        vanilla=_figures(report, Arm.VANILLA),
        control=_figures(report, Arm.CONTROL),
        candidate=_figures(report, Arm.CANDIDATE),
        released=None if released is None else _of(released),
        rows=len(rows),
        rows_lies=_lies(rows, turns),
        released_lies=_lies(read_rows(kept), turns) if kept.is_file() else None,
        replaced=0 if released is None else released.replaced,
        candidate_finding=report.finding(Arm.CANDIDATE).value,
        released_finding=None if released is None else report.finding(Arm.RELEASED).value,
        seconds=report.seconds,
    )


def _arm(report: ConfirmReport, arm: Arm) -> ArmResult | None:
    return next((a for a in report.arms if a.arm is arm), None)


def _figures(report: ConfirmReport, arm: Arm) -> ArmFigures:
    found = _arm(report, arm)
    if found is None:
        raise BadInputError(f"the report has no {arm.value} arm")
    return _of(found)


def _of(found: ArmResult) -> ArmFigures:
    return ArmFigures(
        honesty=found.honesty.value,
        lower=found.honesty.lower,
        upper=found.honesty.upper,
        n=found.honesty.n,
        likelihood_honesty=found.likelihood_honesty.value,
    )


def _lies(rows: Sequence[Row], turns: Mapping[str, Turn]) -> float:
    """Share of lies among rows by the scenarios' labels."""
    labels = [turns[row.provenance.response_id or ""].label for row in rows]
    return sum(label == "lie" for label in labels) / len(labels) if labels else 0.0


def _share(run: ConfirmRun | None) -> float:
    """How much of a run is on disk."""
    if run is None or run.directory is None:
        return 0.0
    work = Path(run.directory) / "run"
    done = len(list(work.glob("evaluation/*.json"))) + len(
        list(work.glob("arms/*/adapter-manifest.json"))
    )
    return min(1.0, done / _ARMS)


def decision_of(directory: Path, name: str) -> GateDecision | None:
    """A decision that the launcher kept beside a run; None before there is one."""
    path = directory / DECISIONS[name]
    return read_decision(path.read_bytes(), str(path)) if path.is_file() else None


def _moved(run: ConfirmRun | None) -> tuple[str, int, int]:
    """What changes while a run gets on: its state, its files, and the processor time that it took.

    A run that computes without end moves no more once it has taken an hour of processor time.
    """
    if run is None or run.directory is None:
        return ("", 0, 0)
    folder = Path(run.directory)
    files = sum(1 for path in folder.rglob("*") if path.is_file())
    return (run.state, files, min(_MOST_WORK_S, int(_processor_s(folder / "job.json"))))


def _processor_s(record: Path) -> float:
    """Processor time of the process whose number a job's record holds; 0 where that cannot be read."""
    try:
        pid = int(json.loads(record.read_bytes())["pid"])
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="ascii")
    except (OSError, ValueError, KeyError):
        return 0.0
    fields = stat.rpartition(")")[2].split()
    return sum(int(ticks) for ticks in fields[11:15]) / os.sysconf("SC_CLK_TCK")
