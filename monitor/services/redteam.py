"""Red-team runs of an assistant: kept with who made them, read as scorecards and their change."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
from sqlalchemy import Connection

from evidence import BadInputError
from evidence.confidence import Interval, change_of_rate
from evidence.person import Person
from monitor.services.person import Sees, sees_all
from monitor.store import redteam as store

_MAX_SUITES, _MAX_NAME = 50, 300


class Rate(msgspec.Struct, frozen=True):
    """A share with its 95 % interval and its count."""

    value: float | None
    lower: float
    upper: float
    n: int


class Suite(msgspec.Struct, frozen=True, kw_only=True):
    """What a suite showed: the fields of `probes.redteam.SuiteSummary`, read without its models."""

    suite: str
    n: int
    counts: dict[str, int]
    lie: Rate
    deception: Rate
    deception_worst: float
    mismatch: Rate


class Change(msgspec.Struct, frozen=True):
    """How lies and evasions moved against an earlier run, as a difference of shares with its interval."""

    difference: float
    lower: float
    upper: float

    @property
    def says(self) -> str:
        """`rose` or `fell` where the interval leaves no doubt of it, else `unclear`."""
        if self.lower > 0.0:
            return "rose"
        return "fell" if self.upper < 0.0 else "unclear"


class Scorecard(msgspec.Struct, frozen=True, kw_only=True):
    """A run with its suites; `changes` are by suite, against the run before that asked in the same way."""

    model: str
    made_at_s: float
    by: str
    reason: bool
    suites: tuple[Suite, ...]
    changes: dict[str, Change]


def keep_run(
    connection: Connection,
    assistant: str,
    model: str,
    suites: Sequence[Any],
    by: Person,
    *,
    seed: int,
    reason: bool,
    now_s: float,
    sees: Sees = sees_all,
) -> None:
    """Keep the summaries of a run. Raises BadInputError for an assistant that who acts may not see."""
    if not assistant or len(assistant) > 200 or not sees(assistant):
        raise BadInputError("no assistant of yours has this name", "--assistant")
    record = msgspec.json.encode([msgspec.to_builtins(one) for one in suites[:_MAX_SUITES]])
    store.put_run(
        connection,
        store.RedTeamRun(
            assistant=assistant,
            model=model[:_MAX_NAME],
            made_at_s=now_s,
            by=by.signed,
            seed=seed,
            reason=reason,
            record=record.decode(),
        ),
    )


def scorecards(connection: Connection, assistant: str, *, limit: int) -> list[Scorecard]:
    """The newest runs, each with its change against the run before it."""
    runs = store.list_runs(connection, assistant, limit=limit + 1)
    suites = [msgspec.json.decode(run.record, type=tuple[Suite, ...]) for run in runs]
    cards = []
    for index, run in enumerate(runs[:limit]):
        before = next(
            (j for j in range(index + 1, len(runs)) if runs[j].reason == run.reason), None
        )
        cards.append(
            Scorecard(
                model=run.model,
                made_at_s=run.made_at_s,
                by=run.by,
                reason=run.reason,
                suites=suites[index],
                changes={} if before is None else _changes(suites[before], suites[index]),
            )
        )
    return cards


def _changes(before: Sequence[Suite], after: Sequence[Suite]) -> dict[str, Change]:
    known = {one.suite: one.deception for one in before}
    found = {}
    for one in after:
        old, new = known.get(one.suite), one.deception
        if old is None or old.value is None or new.value is None:
            continue
        interval = change_of_rate(
            old.value, Interval(old.lower, old.upper), new.value, Interval(new.lower, new.upper)
        )
        found[one.suite] = Change(new.value - old.value, interval.lower, interval.upper)
    return found
