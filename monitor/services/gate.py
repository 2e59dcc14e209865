"""Asking the gate: one function behind every door."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

import msgspec
from sqlalchemy import Engine
from sqlalchemy.exc import DBAPIError

from candor_guard.rows import Row, kept_rows
from evidence import BadInputError, MisconfiguredError, UnreachableError
from monitor.services.decisions import record
from monitor.services.evidence import Named, gather, named_by
from monitor.store.engine import HEAD_REVISION, current_revision, reading
from monitor.store.faults import is_transient
from retrain.context import GateContext
from retrain.duplicates import surplus_rows
from retrain.gate import GateDecision, decide
from retrain.holds import confirm_missing, holds
from retrain.policy import Policy, read_policy
from retrain.report import ConfirmReport
from retrain.signing import sign, unsigned

log = logging.getLogger(__name__)

Rows = Callable[[], Iterable[Row]]
"""Hands out the rows anew at each call: they are read several times, in constant memory."""

Measure = Callable[[GateContext, Policy], GateContext]
"""Adds verdicts of rows that have none."""


class GateOptions(Protocol):
    """Settings of the gate: `monitor.launch.options.RetrainOptions`."""

    @property
    def policy_file(self) -> Path | None: ...
    @property
    def signing_key_file(self) -> Path | None: ...


class Answer(msgspec.Struct, frozen=True):
    """A decision with its envelope. One that could not be `recorded` never releases."""

    decision: GateDecision
    envelope: str
    recorded: bool = False


@dataclasses.dataclass(frozen=True, kw_only=True)
class Gate:
    """The gate over a store.

    Parameters
    ----------
    options
        Policy and key where a question names none.
    silent_s
        A worker that said nothing for longer does not live.
    clock
        Seconds since the epoch.
    """

    engine: Engine
    options: GateOptions
    silent_s: float
    clock: Callable[[], float]

    def ask(
        self,
        rows: Rows,
        assistant: str,
        *,
        policy_file: Path | None = None,
        key_file: Path | None = None,
        confirm: ConfirmReport | None = None,
        confirm_fault: str | None = None,
        measure: Measure | None = None,
        named: Named | None = None,
    ) -> Answer:
        """May these rows be trained? Decided from one snapshot of the store, signed and recorded.

        Raises BadInputError for rows, a policy or a key that cannot be read, MisconfiguredError where
        the settings name it.

        Parameters
        ----------
        confirm
            The report to rest on, instead of the newest in the store.
        confirm_fault
            Why that report is not to be believed.
        named
            What the rows name, where that was read already.
        """
        policy = policy_of(self.options, policy_file)
        context = self.evidence(assistant, named or named_by(rows()), policy)
        if confirm is not None:
            context = msgspec.structs.replace(context, confirm=confirm, confirm_fault=confirm_fault)
        if measure is not None:
            context = measure(context, policy)
        made = decided(rows, context, policy, now_s=self.clock())
        answer = Answer(made, signed(made, self.options, key_file))
        if not (context.store_reachable and context.schema_current):
            return answer
        with self.engine.begin() as connection:
            bitmap = answer.decision.removed_bitmap()
            record(
                connection,
                answer.decision,
                answer.envelope,
                released=lambda: kept_rows(rows(), bitmap),
            )
        return msgspec.structs.replace(answer, recorded=True)

    def evidence(self, assistant: str, named: Named, policy: Policy) -> GateContext:
        """What the store tells now. Nothing of one that cannot be read, or that another version wrote."""
        try:
            if current_revision(self.engine) != HEAD_REVISION:
                return GateContext(assistant=assistant, schema_current=False)
            with reading(self.engine) as connection:
                return gather(
                    connection,
                    assistant,
                    named,
                    coverage_s=policy.coverage_s,
                    silent_s=self.silent_s,
                    now_s=self.clock(),
                )
        except (DBAPIError, UnreachableError) as error:
            if isinstance(error, DBAPIError) and not is_transient(error):
                raise
            log.warning("the gate cannot read the store: %s", error)
            return GateContext(assistant=assistant, store_reachable=False)

    def holds(self, assistant: str) -> tuple[str, ...]:
        """What would make the gate wait now, whatever the rows are."""
        policy, now_s = policy_of(self.options), self.clock()
        context = self.evidence(assistant, Named(), policy)
        missing = confirm_missing(context, policy, now_s=now_s)
        found = holds(context, policy, now_s=now_s)
        return found if missing is None else (missing, *found)


def policy_of(options: GateOptions, policy_file: Path | None = None) -> Policy:
    """The policy of a question: the given file, else that of the settings, else the defaults."""
    if policy_file is not None:
        return read_policy(policy_file)
    with _of_settings("retrain.policy_file"):
        return Policy() if options.policy_file is None else read_policy(options.policy_file)


def decided(rows: Rows, context: GateContext, policy: Policy, *, now_s: float) -> GateDecision:
    """The decision about rows from evidence that was read before; nothing is written."""
    surplus = surplus_rows(rows(), policy.max_near_duplicates)
    return decide(rows(), context, policy, now_s=now_s, surplus=surplus)


def signed(decision: GateDecision, options: GateOptions, key_file: Path | None = None) -> str:
    """The decision's envelope: signed with the given key, else that of the settings, else unsigned."""
    if key_file is not None:
        return sign(decision, key_file)
    if options.signing_key_file is None:
        return unsigned(decision)
    with _of_settings("retrain.signing_key_file"):
        return sign(decision, options.signing_key_file)


@contextmanager
def _of_settings(name: str) -> Iterator[None]:
    """What is wrong with a file of the settings is the operator's fault, not that of who asks."""
    try:
        yield
    except BadInputError as error:
        raise MisconfiguredError(error.what, f"{name} ({error.where})") from error
