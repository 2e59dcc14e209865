"""The end of a confirm run: decisions for all rows and for the released ones, signed and recorded."""

from __future__ import annotations

from pathlib import Path

import msgspec
from sqlalchemy import Engine

from evidence import BadInputError, digest
from monitor.launch.options import RetrainOptions
from monitor.store import decisions
from monitor.store.engine import reading
from monitor.store.rows import alarm_evidence, gate_context
from retrain.context import AlarmEvidence
from retrain.duplicates import surplus_rows
from retrain.files import write_durably
from retrain.gate import GateDecision, decide
from retrain.measure import read_measured, with_measured
from retrain.policy import Policy, read_policy
from retrain.report import ConfirmReport, read_report
from retrain.rows import Row, read_rows, write_rows
from retrain.signing import sign, unsigned

ROWS, RELEASED_ROWS, REPORT = "rows.jsonl", "released.jsonl", "run/report.json"
_DECISIONS = {"all": "decision-all.json", "released": "decision-released.json"}
_SEEN = "settled.json"


class _Seen(msgspec.Struct, frozen=True):
    alarms: str


def _alarms_digest(alarms: tuple[AlarmEvidence, ...]) -> str:
    return digest(msgspec.json.encode(alarms))


class Settled(msgspec.Struct, frozen=True, kw_only=True):
    """Both decisions of a run. `released` is None when no row was quarantined: `all_rows` is it."""

    all_rows: GateDecision
    released: GateDecision | None


class Settler:
    """Decides about finished runs from the store's evidence at that moment."""

    def __init__(self, engine: Engine, options: RetrainOptions) -> None:
        self._engine, self._options = engine, options

    @property
    def policy(self) -> Policy:
        file = self._options.policy_file
        return Policy() if file is None else read_policy(file)

    def settle(self, directory: Path, assistant: str, *, now_s: float) -> Settled:
        """Decide, write the rows and envelopes beside the report, record both decisions.

        Raises BadInputError when the report is missing, cut short or another assistant's.
        """
        report = self._report(directory, assistant)
        rows = read_rows(directory / ROWS)
        with reading(self._engine) as connection:
            context = gate_context(connection, assistant, now_s=now_s)
        measured = read_measured((directory / REPORT).parent)
        context = msgspec.structs.replace(with_measured(context, measured), confirm=report)
        policy = self.policy
        surplus = surplus_rows(rows, policy.max_near_duplicates)
        everything = decide(rows, context, policy, now_s=now_s, surplus=surplus)
        kept = _kept(rows, everything)
        released = None
        if everything.removed:
            write_rows(directory / RELEASED_ROWS, kept)
            released = decide(kept, context, policy, now_s=now_s)
        settled = Settled(all_rows=everything, released=released)
        self._record(directory, settled, kept)
        seen = _Seen(_alarms_digest(context.alarms))
        write_durably(directory / _SEEN, msgspec.json.encode(seen))
        return settled

    def is_stale(self, directory: Path, assistant: str) -> bool:
        """Whether the assistant's open alarms are not those that the last decisions rested on."""
        with reading(self._engine) as connection:
            now = _alarms_digest(alarm_evidence(connection, assistant))
        try:
            seen = msgspec.json.decode((directory / _SEEN).read_bytes(), type=_Seen)
        except (FileNotFoundError, msgspec.DecodeError):
            return True
        return seen.alarms != now

    @staticmethod
    def _report(directory: Path, assistant: str) -> ConfirmReport:
        report = read_report(directory / REPORT)
        if report.run_id != directory.name or report.assistant != assistant:
            raise BadInputError("the report is of another run", str(directory / REPORT))
        return report

    def _record(self, directory: Path, settled: Settled, kept: list[Row]) -> None:
        key = self._options.signing_key_file
        pairs = {"all": settled.all_rows, "released": settled.released}
        for name, decision in pairs.items():
            if decision is None:
                continue
            envelope = unsigned(decision) if key is None else sign(decision, key)
            (directory / _DECISIONS[name]).write_text(envelope, encoding="utf-8")
            with self._engine.begin() as connection:
                decisions.record(connection, decision, envelope, released=kept)


def _kept(rows: list[Row], decision: GateDecision) -> list[Row]:
    gone = {removed.index for removed in decision.removed}
    return [row for index, row in enumerate(rows) if index not in gone]
