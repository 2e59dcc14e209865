"""From alarms to confirm runs to gate decisions, one step at a tick."""

from __future__ import annotations

import logging
import os
import shutil
import uuid
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import ClassVar

import msgspec
from sqlalchemy import Connection, Engine

from candor_guard.rows import write_rows
from evidence import Alarm, BadInputError, UnreachableError
from monitor.jobs.job import LeasedJob
from monitor.launch.job import Job, LocalJob, confirm_command
from monitor.launch.options import RetrainOptions
from monitor.launch.ray_job import RayJob
from monitor.launch.settle import REPORT, ROWS, RUN_ANSWERS, Settler
from monitor.launch.webhook import Webhook
from monitor.services.collect import collect_rows
from monitor.services.evidence import named_by
from monitor.services.gate import Gate, policy_of
from monitor.services.run_answers import keep_answers
from monitor.services.runs import run_id_of
from monitor.store import confirm_runs as store
from monitor.store.engine import reading
from retrain.answers import ItemAnswers, read_answers
from retrain.seeds import SPREADS
from retrain.trainer_config import read_trainer_config

_LOG = logging.getLogger(__name__)
_DAY_S = 86_400.0
_ATTEMPTS = 3
_RUN = Path(REPORT).parent
_TRAINER = "trainer"
"""Name, without the suffix, of a run's copy of the trainer's settings."""

CommandFor = Callable[[Path, str, Path, Mapping[str, str]], list[str]]
"""Makes a job's command from the run's directory, the assistant, the model and further options."""


class Launcher(LeasedJob):
    """Turns alarms into confirm runs within the policy of `options`. State is in the store.

    Call `update` in a loop; of several launchers on one store the holder of the lease works. A job
    outlives its launcher: the next one finds it, or starts it again where it was killed.

    Parameters
    ----------
    clock
        Seconds since the epoch.
    environment
        What jobs may inherit from, reduced to an allow-list.
    command
        Makes a job's command line.
    silent_s
        A worker that said nothing for longer does not live.
    """

    name: ClassVar[str] = "launch"
    lease_s: ClassVar[float] = 60.0

    def __init__(
        self,
        engine: Engine,
        options: RetrainOptions,
        clock: Callable[[], float],
        *,
        environment: Mapping[str, str] | None = None,
        command: CommandFor = confirm_command,
        owner: str | None = None,
        silent_s: float = 60.0,
    ) -> None:
        super().__init__(engine, owner=owner or f"launch-{uuid.uuid4().hex[:12]}", clock=clock)
        self._options = options
        self._environment = dict(os.environ if environment is None else environment)
        self._command = command
        self._gate = Gate(engine=engine, options=options, silent_s=silent_s, clock=clock)
        self._settler = Settler(self._gate)
        self._webhook = Webhook(engine, options)
        self._jobs: dict[str, Job] = {}
        self._attempts: dict[str, int] = {}
        self._failures: dict[str, str] = {}

    def _work(self) -> list[Alarm]:
        """One step. A run's failure is recorded or logged, and holds up no other run and no notice."""
        now_s = self._clock()
        with self._lease.writing() as connection:
            self._request_runs(connection, now_s)
        for run in self._runs(store.RUNNING):
            self._guarded("followed", run, self._follow)
        for run in self._runs(store.CANCELLING):
            self._guarded("cancelled", run, self._end)
        if not self._runs(store.RUNNING, store.CANCELLING):
            self._start_next(now_s)
        for run in self._newest_done():
            self._guarded("decided again", run, self._settle_again)
        self._webhook.deliver(now_s)
        return []

    def _guarded(
        self, what: str, run: store.ConfirmRun, act: Callable[[store.ConfirmRun], None]
    ) -> None:
        """Keep any failure of one run from the others; the same one is told once."""
        try:
            act(run)
        except Exception as error:
            said = f"{type(error).__name__}: {error}"
            if self._failures.get(run.run_id) != said:
                self._failures[run.run_id] = said
                _LOG.exception("run %s cannot be %s", run.run_id, what)
        else:
            self._failures.pop(run.run_id, None)

    def close(self) -> None:
        """Let another launcher take over at once; jobs go on."""
        self._webhook.close()
        self._lease.release()

    def _runs(self, *states: str) -> list[store.ConfirmRun]:
        with self._engine.begin() as connection:
            return store.runs(connection, states=states)

    def _request_runs(self, connection: Connection, now_s: float) -> None:
        if self._options.trigger == "off":
            return
        known = store.runs(connection)
        state = store.WAITING if self._options.trigger == "auto" else store.PROPOSED
        for alarm in store.open_alarms(connection):
            assistant = alarm.scope.split("/", 1)[0]
            if any(_covers(run, assistant, alarm) for run in known):
                continue
            run_id = run_id_of(assistant, alarm.alarm_id)
            store.add_run(
                connection, run_id, assistant, alarm_id=alarm.alarm_id, state=state, now_s=now_s
            )
            known = store.runs(connection)
            _LOG.info("run %s of %s is %s", run_id, assistant, state)

    def _start_next(self, now_s: float) -> None:
        with self._engine.begin() as connection:
            spent = store.started_since(connection, now_s - _DAY_S)
        for run in self._runs(store.WAITING):
            # A person who asks has no other alarms to wait for.
            asked_by_alarm = run.alarm_id is not None
            if asked_by_alarm and now_s - run.requested_at_s < self._options.debounce_s:
                continue
            if spent >= self._options.daily_budget:
                return
            self._guarded("started", run, self._start)
            return

    def _start(self, run: store.ConfirmRun) -> None:
        directory = (self._options.work_dir / run.run_id).resolve()
        try:
            model = self._prepare(directory, run.assistant)
        except BadInputError as error:
            self._fail(run, str(error))
            return
        with self._engine.begin() as connection:
            moved = store.move(
                connection,
                run.run_id,
                (store.WAITING,),
                store.RUNNING,
                started_at_s=self._clock(),
                directory=str(directory),
            )
        if moved:
            self._launch(run.run_id, run.assistant, directory, model)

    def _prepare(self, directory: Path, assistant: str) -> Path:
        """Rows and evidence as files: all that the job gets. Returns the model it may train."""
        options = self._options
        if not options.models:
            raise BadInputError("no model is allow-listed", "retrain.models")
        with reading(self._engine) as connection:
            rows = collect_rows(connection, assistant, limit=options.max_rows)
        context = self._gate.evidence(assistant, named_by(rows), policy_of(options))
        if not (context.store_reachable and context.schema_current):
            raise UnreachableError("the store", "its evidence cannot be read")
        if len(rows) < options.min_rows:
            raise BadInputError(f"{len(rows)} liked turns, at least {options.min_rows} are needed")
        if options.trainer_config is not None:
            # What arms cannot follow is told before anything is computed.
            read_trainer_config(options.trainer_config, rows[0].kind)
        directory.mkdir(parents=True, exist_ok=True)
        if options.trainer_config is not None:
            suffix = options.trainer_config.suffix or ".yaml"
            shutil.copyfile(options.trainer_config, directory / f"{_TRAINER}{suffix}")
        write_rows(directory / ROWS, rows)
        context = msgspec.structs.replace(context, confirm=None)
        (directory / "evidence.json").write_bytes(msgspec.json.encode(context))
        self._keep_spreads(directory)
        return options.models[0].resolve()

    def _keep_spreads(self, directory: Path) -> None:
        """What the newest finished run knew of the models' spread between seeds, pooled over all before it."""
        earlier = self._options.work_dir.resolve().glob(f"*/{_RUN}/{SPREADS}")
        newest = max(earlier, key=lambda path: path.stat().st_mtime, default=None)
        if newest is not None:
            shutil.copyfile(newest, directory / SPREADS)

    def _launch(self, run_id: str, assistant: str, directory: Path, model: Path) -> None:
        self._attempts[run_id] = self._attempts.get(run_id, 0) + 1
        job = self._jobs[run_id] = self._job(directory)
        command = self._command(directory, assistant, model, self._job_options(directory))
        try:
            job.start(command, self._environment)
        except UnreachableError as error:
            self._attempts[run_id] -= 1  # nothing was tried: the next tick does
            _LOG.warning("run %s could not be started: %s", run_id, error)
            return
        _LOG.info("run %s started", run_id)

    def _job(self, directory: Path) -> Job:
        if self._options.runner == "ray":
            return RayJob(directory, self._options.ray_address)
        return LocalJob(directory)

    def _job_options(self, directory: Path) -> dict[str, str]:
        options = self._options
        trainer, known = next(directory.glob(f"{_TRAINER}.*"), None), directory / SPREADS
        chosen: dict[str, object] = {
            "--policy": options.policy_file and options.policy_file.resolve(),
            "--control": options.control_file and options.control_file.resolve(),
            "--seeds": ",".join(map(str, options.seeds)),
            "--seed-spreads": known if known.is_file() else None,
            "--trainer-config": trainer,
            "--epochs": None if trainer else options.epochs,
            "--learning-rate": None if trainer else options.learning_rate,
            "--layer-share": options.layer_share,
            "--paraphrases": options.paraphrases,
            "--items-per-template": options.items_per_template,
            "--margin": options.margin,
            "--device": options.device,
        }
        return {name: str(value) for name, value in chosen.items() if value is not None}

    def _follow(self, run: store.ConfirmRun) -> None:
        """See what became of a running job, one of an earlier launcher too."""
        directory = Path(run.directory or "")
        job = self._jobs.setdefault(run.run_id, self._job(directory))
        try:
            if job.alive():
                return
        except UnreachableError as error:
            _LOG.warning("run %s cannot be followed: %s", run.run_id, error)
            return
        if not (directory / REPORT).is_file():
            if self._attempts.get(run.run_id, 0) >= _ATTEMPTS:
                self._fail(run, f"the job ended without a report: {job.log_tail()}")
            elif not self._options.models:
                self._fail(run, "retrain.models: no model is allow-listed")
            else:
                self._launch(
                    run.run_id, run.assistant, directory, self._options.models[0].resolve()
                )
            return
        try:
            settled = self._settler.settle(directory, run.assistant)
            report = (directory / REPORT).read_text(encoding="utf-8")
        except (BadInputError, OSError) as error:
            self._fail(run, str(error))
            return
        answers = _answers(directory)
        with self._engine.begin() as connection:
            moved = store.move(
                connection,
                run.run_id,
                (store.RUNNING,),
                store.DONE,
                finished_at_s=self._clock(),
                report=report,
            )
            if moved:
                keep_answers(connection, run.run_id, answers)
        self._attempts.pop(run.run_id, None)
        _LOG.info("run %s is done: %s", run.run_id, settled.all_rows.answer.value)

    def _end(self, run: store.ConfirmRun) -> None:
        """Stop the job of a cancelled run; it is cancelled once the job has ended."""
        job = self._jobs.setdefault(run.run_id, self._job(Path(run.directory or "")))
        if job.alive():
            job.stop()
            return
        with self._engine.begin() as connection:
            now_s = self._clock()
            store.move(
                connection, run.run_id, (store.CANCELLING,), store.CANCELLED, finished_at_s=now_s
            )

    def _newest_done(self) -> Iterable[store.ConfirmRun]:
        """The newest finished run of each assistant."""
        return {run.assistant: run for run in self._runs(store.DONE)}.values()

    def _settle_again(self, run: store.ConfirmRun) -> None:
        """Decide again about a finished run when what makes the gate wait has changed."""
        directory = Path(run.directory or "")
        if self._settler.is_stale(directory, run.assistant):
            self._settler.settle(directory, run.assistant)

    def _fail(self, run: store.ConfirmRun, error: str) -> None:
        _LOG.error("run %s failed: %s", run.run_id, error)
        with self._engine.begin() as connection:
            store.move(
                connection,
                run.run_id,
                (store.WAITING, store.RUNNING),
                store.FAILED,
                finished_at_s=self._clock(),
                error=error,
            )


def _answers(directory: Path) -> tuple[ItemAnswers, ...]:
    """What the arms answered; the run's finding does not rest on it, so none where it cannot be read."""
    try:
        return read_answers(directory / RUN_ANSWERS)
    except BadInputError as error:
        _LOG.warning("the answers of a run are not kept: %s", error)
        return ()


def _covers(run: store.ConfirmRun, assistant: str, alarm: store.OpenAlarm) -> bool:
    """Whether a run was, or will be, made with the alarm's rows: one that has not started yet, one
    requested after the alarm, or one for this very alarm."""
    if run.alarm_id == alarm.alarm_id:
        return True
    if run.assistant != assistant or run.state in {store.CANCELLING, store.CANCELLED}:
        return False
    return run.state in {store.PROPOSED, store.WAITING} or run.requested_at_s >= alarm.opened_at_s
