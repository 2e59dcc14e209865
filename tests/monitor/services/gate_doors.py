"""One question to the gate, put into a store, and the doors at which it is asked."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import typer
import yaml
from fastapi.testclient import TestClient
from prometheus_client import CollectorRegistry
from sqlalchemy import Engine, event, insert
from typer.testing import CliRunner

from candor_guard.rows import ChatMessage, Provenance, Row, read_rows, write_rows
from evidence import (
    Alarm,
    AlarmState,
    AlarmSubject,
    Assessment,
    Message,
    Purpose,
    Response,
    SampledBy,
    Stratum,
    Verdict,
    VerdictKind,
    verdict_key,
)
from monitor.api.app import create_app
from monitor.api.context import Context
from monitor.api.state import StateReader
from monitor.cli import gate as gate_command
from monitor.cli.retrain import _removed
from monitor.demo.confirm import decision_of
from monitor.http.access import Access
from monitor.launch.options import RetrainOptions
from monitor.launch.settle import REPORT, ROWS, Settler
from monitor.services.evidence import named_by
from monitor.services.gate import Gate, policy_of
from monitor.settings import DatabaseOptions, Settings
from monitor.store import open_store
from monitor.store.intake import pack_body
from monitor.store.schema import (
    alarms,
    confirm_runs,
    dead_letters,
    evaluator_health,
    feedback,
    metadata,
    rater_groups,
    rater_posteriors,
    responses,
    tombstones,
    worker_heartbeats,
)
from monitor.store.verdicts import insert_verdicts
from retrain.gate import GateDecision
from retrain.report import ConfirmReport
from retrain.report_signature import sign_report
from retrain.signing import generate_keypair, read_decision
from tests.retrain.gate_values import report as made_report

ASSISTANT = "support"
STRATUM = Stratum(ASSISTANT)
STORED_AT_S = 1_767_225_600.0
"""When the rows' responses and signals came in: 2026-01-01, before any period that must be covered."""

FILLED = (
    "alarms", "confirm_runs", "dead_letters", "evaluator_health", "feedback", "rater_groups", "rater_posteriors",
    "responses", "tombstones", "verdicts", "worker_heartbeats", "gate_decisions", "gate_deliveries",
    "outbox", "review_queue",
)  # fmt: skip


class Question(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that a decision rests on. Ages are in seconds before now."""

    rows: list[Row]
    stored: list[Row] | None = None
    """What the store holds the responses and signals of; of `rows` where nothing is said."""
    policy: dict[str, Any] = {}
    verdicts: dict[str, tuple[VerdictKind, float | None, str]] = {}
    probe_traffic: frozenset[str] = frozenset()
    suspects: frozenset[str] = frozenset()
    grouped: frozenset[str] = frozenset()
    forgotten: frozenset[str] = frozenset()
    beats: list[dict[str, Any]] = []
    health: dict[str, list[str]] = {}
    alarms: list[tuple[AlarmSubject, str, AlarmState]] = []
    missing: int = 0
    dead_letters: int = 0
    report: ConfirmReport | None = None


def row(number: int, *, text: str | None = None, source: str | None = "candor.feedback") -> Row:
    """A row about response r`number`, liked by u`number % 3`."""
    answer = text or f"Answer number {number} of quite different words, number {number}."
    return Row(
        messages=(
            ChatMessage("user", "Is it so?" if text else f"Question {number}?"),
            ChatMessage("assistant", answer),
        ),
        provenance=Provenance(
            source=source,
            response_id=f"r{number}",
            feedback_id=f"f{number}",
            rater=f"u{number % 3}",
            collected_at="2026-01-01T00:00:00Z",
        ),
    )


def beat(**changed: Any) -> dict[str, Any]:
    """A worker that is well."""
    return {"age_s": 1.0, "version": "v1", "calibrated": True, "lag": 0, **changed}


def settled(n: int = 6, **changed: Any) -> Question:
    """A question whose answer is `allow`."""
    rows = changed.pop("rows", [row(i) for i in range(n)])
    values: dict[str, Any] = {
        "rows": rows,
        "verdicts": {f"r{i}": (VerdictKind.HONEST, 0.1, "v1") for i in range(n)},
        "beats": [beat()],
        "health": {"v1": []},
        "report": made_report(rows, rows, at_s=time.time() - 60),
    }
    return Question(**{**values, **changed})


class Doors:
    """The doors of one gate over one store, policy and key."""

    def __init__(self, folder: Path, url: str | None = None) -> None:
        self.folder = folder
        self.url = url or f"sqlite:///{folder / 'candor.db'}"
        self.engine: Engine = open_store(self.url)
        # Many small transactions of a store that nobody keeps.
        if url is None:
            event.listen(self.engine, "connect", lambda c, _: c.execute("PRAGMA synchronous = OFF"))
            self.engine.dispose()
        self.private, self.public = generate_keypair(folder / "gate.pem")
        self.policy = folder / "policy.yaml"
        self.rows = folder / "asked.jsonl"
        self.run = folder / "run-1"
        (self.run / "run").mkdir(parents=True, exist_ok=True)
        options = RetrainOptions(policy_file=self.policy, signing_key_file=self.private)
        self.settings = Settings(database=DatabaseOptions(url=self.url), retrain=options)
        silent_s = self.settings.telemetry.worker_silent_s
        self.gate = Gate(engine=self.engine, options=options, silent_s=silent_s, clock=time.time)
        self._client = TestClient(create_app(self._context()), base_url="http://127.0.0.1")
        self._app = typer.Typer()
        gate_command.register(self._app)

    def environment(self) -> dict[str, str]:
        return {
            "CANDOR_DATABASE_URL": self.url,
            "CANDOR_RETRAIN_POLICY_FILE": str(self.policy),
            "CANDOR_RETRAIN_SIGNING_KEY_FILE": str(self.private),
        }

    def put(self, question: Question, now_s: float | None = None) -> float:
        """Make the store, the policy and the run's folder those of the question; returns its time."""
        now_s = now_s or time.time()
        self.policy.write_text(yaml.safe_dump(question.policy))
        write_rows(self.rows, question.rows)
        write_rows(self.run / ROWS, question.rows)
        for file in (
            "released.jsonl",
            "decision-all.json",
            "decision-released.json",
            "settled.json",
        ):
            (self.run / file).unlink(missing_ok=True)
        (self.run / REPORT).unlink(missing_ok=True)
        if question.report is not None:
            (self.run / REPORT).write_bytes(msgspec.json.encode(question.report))
        with self.engine.begin() as connection:
            for name in FILLED:
                connection.execute(metadata.tables[name].delete())
            for table, values in _rows_of(question, now_s):
                connection.execute(insert(table).values(**values))
            insert_verdicts(connection, _verdicts(question, now_s))
        return now_s

    def asked(self) -> Any:
        """The response of `POST /v1/gate/check`."""
        wanted = [json.loads(line) for line in self.rows.read_text().splitlines()]
        return self._client.post("/v1/gate/check", json={"assistant": ASSISTANT, "rows": wanted})

    def http(self) -> dict[str, Any]:
        answer = self.asked()
        assert answer.status_code == 200, answer.text
        return _compared(read_decision(json.dumps(answer.json()["envelope"])))

    def command(self, *more: str) -> dict[str, Any]:
        arguments = ["gate", "check", str(self.rows), "--assistant", ASSISTANT, "--json", *more]
        done = CliRunner().invoke(self._app, arguments)
        assert done.exit_code in {0, 10, 11, 12}, (done.output, done.exception)
        made = msgspec.json.decode(done.stdout, type=GateDecision)
        assert done.exit_code == gate_command.EXIT_CODES[made.answer]
        return _compared(made)

    def with_file(self) -> dict[str, Any]:
        """The command on evidence that was written down, as `retrain collect` does, and a report that
        the signing key vouches for."""
        given = ["--evidence", str(self._write_evidence())]
        if (self.run / REPORT).is_file():
            sign_report(self.run / REPORT, self.private)
            given += ["--confirm", str(self.run / REPORT)]
        return self.command(*given)

    def confirm_job(self) -> set[int]:
        """Positions that a confirm run takes out."""
        return set(_removed(self.rows, self._write_evidence(), None, ASSISTANT, None))

    def launcher(self) -> tuple[dict[str, Any], dict[str, Any] | None]:
        """Both decisions at the end of a run."""
        made = Settler(self.gate).settle(self.run, ASSISTANT)
        return _compared(made.all_rows), None if made.released is None else _compared(made.released)

    def demo(self) -> tuple[dict[str, Any], dict[str, Any] | None]:
        """What the demo reads of a run that was settled."""
        every, released = decision_of(self.run, "all"), decision_of(self.run, "released")
        assert every is not None
        return _compared(every), None if released is None else _compared(released)

    def holds(self) -> list[str]:
        """What `GET /v1/gate` says would hold."""
        found: list[str] = self._client.get("/v1/gate", params={"assistant": ASSISTANT}).json()[
            "holds"
        ]
        return found

    def close(self) -> None:
        self.engine.dispose()

    def _write_evidence(self) -> Path:
        named = named_by(read_rows(self.rows, keep_unreadable=True))
        context = self.gate.evidence(ASSISTANT, named, policy_of(self.settings.retrain))
        file = self.folder / "evidence.json"
        file.write_bytes(msgspec.json.encode(context))
        return file

    def _context(self) -> Context:
        return Context(
            engine=self.engine,
            settings=self.settings,
            registry=CollectorRegistry(),
            state=StateReader(self.engine, self.settings.telemetry, clock=time.time),
            clock=time.time,
            access=Access(None, requests_per_minute=1_000_000),
            pseudonym_key=b"k" * 32,
            broker_problem=lambda: None,
        )


def _compared(made: GateDecision) -> dict[str, Any]:
    """What every door must say alike: all but the id, the times and the list that envelopes leave out."""
    covered = None if made.coverage is None else msgspec.structs.asdict(made.coverage)
    if covered is not None:
        del covered["from_s"], covered["to_s"]
    return {
        "answer": made.answer.value,
        "reasons": made.reasons,
        "removed": made.removed_bitmap(),
        "removed_by_reason": made.removed_by_reason,
        "all_rows": made.all_rows.digest,
        "released": made.released.digest,
        "subject": made.subject_digest,
        "policy": made.policy_digest,
        "confirm": made.confirm_digest,
        "coverage": covered,
        "good_rows_lost": round(made.good_rows_lost, 9),
    }


def _evaluators(version: str | None, calibrated: bool | None) -> str | None:
    if version is None:
        return None
    return json.dumps([{"version": version, "calibrated": bool(calibrated), "assistants": []}])


def _rows_of(question: Question, now_s: float) -> Iterator[tuple[Any, dict[str, Any]]]:
    for number, said in enumerate(question.beats):
        yield worker_heartbeats, {
            "worker": f"w{number}", "seen_at_s": now_s - said["age_s"], "expected": 1, "actual": 1,
            "paused": False, "lag_records": said["lag"],
            "evaluators": _evaluators(said["version"], said["calibrated"]),
        }  # fmt: skip
    for version, ill in question.health.items():
        yield evaluator_health, {
            "evaluator_version": version, "state": "", "unhealthy": json.dumps(ill),
            "suspect_since_s": None, "log_position": 0, "version": 1, "updated_at_s": now_s,
        }  # fmt: skip
    for number, (subject, scope, state) in enumerate(question.alarms):
        alarm = Alarm(
            alarm_id=f"a{number}", subject=subject, scope=scope, metric="lie", claim="rose",
            opened_at_s=now_s - 100, log_position=1, n=1, log_evidence=9.0, log_threshold=8.0,
            state=state,
        )  # fmt: skip
        yield alarms, {
            "alarm_id": alarm.alarm_id, "subject": subject.value, "scope": scope, "metric": "lie",
            "state": state.value, "opened_at_s": alarm.opened_at_s, "changed_at_s": now_s,
            "record": msgspec.json.encode(alarm).decode(),
        }  # fmt: skip
    for number in range(question.missing):
        yield responses, _response(f"missing-{number}", now_s - 7200, number)
    named = [r for r in question.stored or question.rows if r.provenance.response_id]
    bodies = {str(r.provenance.response_id): _body(r) for r in named}
    for number, name in enumerate(sorted(question.probe_traffic | bodies.keys())):
        skipped = {"sampled_by": None, "skip_reason": "probe_traffic"}
        yield (
            responses,
            {
                **_response(name, STORED_AT_S, 1000 + number),
                **(skipped if name in question.probe_traffic else {}),
                "body": bodies.get(name),
            },
        )
    for number, r in enumerate(named):
        yield feedback, {
            "assistant": ASSISTANT, "feedback_id": r.provenance.feedback_id,
            "response_id": r.provenance.response_id, "rater": r.provenance.rater,
            "created_at_s": STORED_AT_S, "received_at_s": STORED_AT_S,
            "value": 1.0 if r.endorses else -1.0, "kind": "thumb", "text": None, "state": "matched",
            "cluster_id": "c", "topic": "f", "partition": 0, "offset": number,
        }  # fmt: skip
    for number in range(question.dead_letters):
        yield dead_letters, {
            "cluster_id": "c", "topic": "t", "partition": 0, "offset": number, "reason": "json",
            "detail": "", "body": None, "received_at_s": now_s - 30,
        }  # fmt: skip
    for rater in sorted(question.suspects):
        yield rater_posteriors, {
            "assistant": ASSISTANT, "rater": rater, "p_biased": 0.97, "status": "suspect",
            "n_events": 9, "estimate_id": 1,
        }  # fmt: skip
    for rater in sorted(question.grouped):
        yield (
            rater_groups,
            {"assistant": ASSISTANT, "rater": rater, "group_id": "g1", "estimate_id": 1},
        )
    for rater in sorted(question.forgotten):
        yield tombstones, {"rater": rater, "at_s": now_s}
    if question.report is not None:
        yield confirm_runs, {
            "run_id": question.report.run_id, "assistant": ASSISTANT, "alarm_id": None, "state": "done",
            "requested_at_s": now_s - 90, "finished_at_s": now_s - 30,
            "report": msgspec.json.encode(question.report).decode(),
        }  # fmt: skip


def _body(r: Row) -> bytes:
    said = (*r.prompt_messages(), Message("assistant", r.response_text()))
    return pack_body(
        Response(
            response_id=r.provenance.response_id or "", stratum=STRATUM, model="m1",
            conversation_id="c", rater="u0", created_at_s=STORED_AT_S,
            messages=tuple(Message(m.role, m.content) for m in said),
        )
    )  # fmt: skip


def _response(name: str, at_s: float, offset: int) -> dict[str, Any]:
    return {
        "assistant": ASSISTANT, "response_id": name, "stratum": STRATUM.key, "segment": "other",
        "stakes": "normal", "model": "m1", "conversation_id": "c", "rater": "u0",
        "created_at_s": at_s, "received_at_s": at_s, "u": 0.1, "pi_arrival": 1.0, "pi_feedback": 1.0,
        "sampled_by": "arrival", "skip_reason": None, "body": None, "cluster_id": "c", "topic": "t",
        "partition": 0, "offset": offset,
    }  # fmt: skip


def _verdicts(question: Question, now_s: float) -> list[Verdict]:
    return [
        Verdict(
            key=verdict_key(ASSISTANT, name, "live", 0, [version]), response_id=name,
            stratum=STRATUM, model="m1", purpose=Purpose.LIVE, repeat=0, sampled_by=SampledBy.ARRIVAL,
            inclusion_probability=1.0, created_at_s=now_s - 50, scored_at_s=now_s - 40,
            assessment=Assessment(
                kind=kind, p_lie=p_lie, p_evasion=0.0, measurements=(), evaluator_version=version
            ),
        )
        for name, (kind, p_lie, version) in question.verdicts.items()
    ]  # fmt: skip
