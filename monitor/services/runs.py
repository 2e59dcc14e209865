"""Confirm runs as people move them: asked for, approved, cancelled; each step named and audited."""

from __future__ import annotations

import uuid

from sqlalchemy import Connection

from evidence import BadInputError, digest
from evidence.person import Person
from monitor.services.person import Sees, sees_all
from monitor.store import audit, confirm_runs
from monitor.store.confirm_runs import (
    CANCELLED,
    CANCELLING,
    PROPOSED,
    RUNNING,
    WAITING,
    ConfirmRun,
)
from monitor.store.status import is_known_assistant


class UnknownRunError(BadInputError):
    """No confirm run has this id."""


class RunStateError(BadInputError):
    """The run's state does not allow this step."""


def run_id_of(assistant: str, cause: str) -> str:
    """The id of the run that a cause leads to: the same cause leads to one run."""
    return f"run-{digest(assistant, cause)[:16]}"


def request(
    connection: Connection, assistant: str, by: Person, *, reason: str, now_s: float
) -> ConfirmRun:
    """Ask for a run without an alarm, within the same daily budget.

    Raises BadInputError for an assistant of which nothing is stored.
    """
    if not is_known_assistant(connection, assistant):
        raise BadInputError(f"nothing of an assistant {assistant!r} is stored", "assistant")
    run_id = run_id_of(assistant, uuid.uuid4().hex)
    confirm_runs.add_run(connection, run_id, assistant, alarm_id=None, state=WAITING, now_s=now_s)
    _audit(connection, "run.requested", run_id, by, reason=reason, now_s=now_s)
    return find_run(connection, run_id)


def approve(
    connection: Connection,
    run_id: str,
    by: Person,
    *,
    reason: str,
    now_s: float,
    sees: Sees = sees_all,
) -> ConfirmRun:
    """Let a proposed run start. Raises UnknownRunError, or RunStateError when it is not proposed."""
    run = find_run(connection, run_id, sees=sees)
    if not confirm_runs.move(connection, run_id, (PROPOSED,), WAITING):
        raise RunStateError(f"the run is {run.state}, only a proposed one is approved", "run_id")
    _audit(connection, "run.approved", run_id, by, reason=reason, now_s=now_s)
    return find_run(connection, run_id)


def cancel(
    connection: Connection,
    run_id: str,
    by: Person,
    *,
    reason: str,
    now_s: float,
    sees: Sees = sees_all,
) -> ConfirmRun:
    """End a run that is not done; the launcher stops the job of one that is under way.

    Raises UnknownRunError, or RunStateError when it has ended.
    """
    run = find_run(connection, run_id, sees=sees)
    if not (
        confirm_runs.move(connection, run_id, (PROPOSED, WAITING), CANCELLED, finished_at_s=now_s)
        or confirm_runs.move(connection, run_id, (RUNNING,), CANCELLING)
    ):
        raise RunStateError(f"the run is {run.state}: there is nothing to cancel", "run_id")
    _audit(connection, "run.cancelled", run_id, by, reason=reason, now_s=now_s)
    return find_run(connection, run_id)


def find_run(connection: Connection, run_id: str, *, sees: Sees = sees_all) -> ConfirmRun:
    """A run by its id. Raises UnknownRunError, also for one of an assistant that is not to be seen."""
    run = confirm_runs.get_run(connection, run_id)
    if run is None or not sees(run.assistant):
        raise UnknownRunError(f"no confirm run has the id {run_id!r}", "run_id")
    return run


def _audit(
    connection: Connection, action: str, run_id: str, by: Person, *, reason: str, now_s: float
) -> None:
    audit.append(
        connection,
        by=by.signed,
        action=action,
        subject=run_id,
        details={"reason": reason},
        at_s=now_s,
    )
