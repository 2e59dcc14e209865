"""The end of a confirm run: decisions for all rows and for the released ones, signed and recorded."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import msgspec

from candor_guard.rows import Row, kept_rows, read_rows, write_rows
from evidence import BadInputError, UnreachableError, digest
from monitor.services.evidence import alarm_evidence
from monitor.services.gate import Answer, Gate
from monitor.store.engine import reading
from retrain.answers import ANSWERS
from retrain.context import GateContext
from retrain.files import write_durably
from retrain.gate import GateDecision
from retrain.measure import read_measured, with_measured
from retrain.policy import Policy
from retrain.report import ConfirmReport, read_report
from retrain.report_signature import sign_report

ROWS, RELEASED_ROWS, REPORT = "rows.jsonl", "released.jsonl", "run/report.json"
RUN_ANSWERS = f"run/{ANSWERS}"
DECISIONS = {"all": "decision-all.json", "released": "decision-released.json"}
_SEEN = "settled.json"
_LOOK_S = 15.0
"""Everything that may hold is looked at this often; alarms always are."""


class _Seen(msgspec.Struct, frozen=True):
    """What the last decisions rested on."""

    alarms: str
    holds: tuple[str, ...]


class Settled(msgspec.Struct, frozen=True, kw_only=True):
    """Both decisions of a run. `released` is None when no row was quarantined, and `all_rows` is it, or
    when every row was."""

    all_rows: GateDecision
    released: GateDecision | None


class Settler:
    """Asks the gate about finished runs, and keeps its answers beside the report."""

    def __init__(self, gate: Gate) -> None:
        self._gate = gate
        self._looked_s: dict[Path, float] = {}

    def settle(self, directory: Path, assistant: str) -> Settled:
        """Decide about all rows and the kept ones; write rows and envelopes beside the report.

        Raises BadInputError when the report is missing, cut short or another assistant's, and
        UnreachableError while the store cannot be read.
        """
        report = self._report(directory, assistant)
        seen = _Seen(self._alarms(assistant), self._holds(assistant))
        if self._gate.options.signing_key_file is not None:
            # The job has no key: who started it vouches for what it wrote.
            sign_report(directory / REPORT, self._gate.options.signing_key_file)
        rows = read_rows(directory / ROWS, keep_unreadable=True)
        everything = self._ask(directory, "all", rows, report)
        left = list(kept_rows(rows, everything.removed_bitmap()))
        released = None
        if everything.removed and left:
            write_rows(directory / RELEASED_ROWS, left)
            released = self._ask(directory, "released", left, report)
        else:
            for name in (RELEASED_ROWS, DECISIONS["released"]):
                (directory / name).unlink(missing_ok=True)
        write_durably(directory / _SEEN, msgspec.json.encode(seen))
        return Settled(all_rows=everything, released=released)

    def is_stale(self, directory: Path, assistant: str) -> bool:
        """Whether what makes the gate wait is not what it was at the last decisions."""
        try:
            seen = msgspec.json.decode((directory / _SEEN).read_bytes(), type=_Seen)
        except (FileNotFoundError, msgspec.DecodeError):
            return True
        if seen.alarms != self._alarms(assistant):
            return True
        now_s = self._gate.clock()
        if 0 <= now_s - self._looked_s.get(directory, -_LOOK_S) < _LOOK_S:
            return False
        self._looked_s[directory] = now_s
        return seen.holds != self._holds(assistant)

    def _alarms(self, assistant: str) -> str:
        with reading(self._gate.engine) as connection:
            return digest(msgspec.json.encode(alarm_evidence(connection, assistant)))

    def _holds(self, assistant: str) -> tuple[str, ...]:
        """Without the report, which is the run's own, and without amounts that change by themselves."""
        found = self._gate.holds(assistant)
        return tuple("lag" if h.startswith("lag:") else h for h in found if "confirm" not in h)

    def _ask(
        self, directory: Path, name: str, rows: list[Row], report: ConfirmReport
    ) -> GateDecision:
        answer: Answer = self._gate.ask(
            lambda: rows,
            report.assistant,
            confirm=report,
            measure=partial(_with_measured, (directory / REPORT).parent),
        )
        if not answer.recorded:
            raise UnreachableError("the store", ", ".join(answer.decision.reasons))
        write_durably(directory / DECISIONS[name], answer.envelope.encode())
        return answer.decision

    @staticmethod
    def _report(directory: Path, assistant: str) -> ConfirmReport:
        report = read_report(directory / REPORT)
        if report.run_id != directory.name or report.assistant != assistant:
            raise BadInputError("the report is of another run", str(directory / REPORT))
        return report


def _with_measured(folder: Path, context: GateContext, _policy: Policy) -> GateContext:
    """With the verdicts that the run itself had to make."""
    return with_measured(context, read_measured(folder))
