"""What follows when feedback gets its response, or its response gets its verdict.

The response enters the feedback sample, the weight of its verdict changes, and the counts of rated events
that the cohorts are estimated from move along, so that nothing counts all feedback again.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence

from sqlalchemy import ColumnElement, Connection, and_, bindparam, case, func, select, update

from evidence import Purpose, SampledBy, Verdict
from evidence.records import ASSERTED
from monitor.store import tally
from monitor.store.dialect import insert_new, key_rows, lock_names
from monitor.store.intake import MATCHED, Key
from monitor.store.schema import feedback, is_live, rated_counts, responses, verdicts

_PROBE_TRAFFIC = "probe_traffic"


def lock_rated(connection: Connection, assistants: Iterable[str]) -> None:
    """Let no other transaction match or measure feedback of these assistants until this one ends.

    Taken before it is read which responses are known: on PostgreSQL two transactions would else miss
    each other's half.
    """
    lock_names(connection, (f"rated/{assistant}" for assistant in assistants))


def on_matched(connection: Connection, keys: Sequence[Key], *, since_s: float) -> int:
    """Feedback on these responses, one entry for each, was matched; returns how many were sampled by it.

    Parameters
    ----------
    since_s
        The feedback horizon: a response received before it is no longer sampled, as its body goes.
    """
    return _changed(connection, keys, +1, since_s=since_s)


def on_unmatched(connection: Connection, keys: Sequence[Key]) -> None:
    """Matched feedback was taken from these responses, one entry for each."""
    _changed(connection, keys, -1, since_s=None)


def on_measured(connection: Connection, made: Iterable[Verdict]) -> None:
    """Responses that already have feedback got their verdicts."""
    measured = [
        (verdict.stratum.assistant, verdict.response_id)
        for verdict in made
        if verdict.purpose is Purpose.LIVE
        and verdict.assessment.kind in ASSERTED
        and verdict.assessment.p_lie is not None
    ]
    if not measured:
        return
    lock_rated(connection, {assistant for assistant, _ in measured})
    wanted = key_rows(connection, measured)
    here = and_(
        feedback.c.assistant == wanted.c.first,
        feedback.c.response_id == wanted.c.second,
        feedback.c.state == MATCHED,
    )
    query = (
        select(feedback.c.assistant, func.count())
        .select_from(wanted.join(feedback, here))
        .group_by(feedback.c.assistant)
    )
    _add(connection, {assistant: (0, n) for assistant, n in connection.execute(query)})


def recount(connection: Connection, assistants: Collection[str]) -> None:
    """Count the rated events of these assistants from all their feedback."""
    lock_rated(connection, assistants)
    for assistant in sorted(assistants):
        query = (
            select(func.count(), func.count(_p_lie()))
            .select_from(feedback.join(responses, _response()).outerjoin(verdicts, _verdict()))
            .where(
                feedback.c.assistant == assistant,
                feedback.c.state == MATCHED,
                func.coalesce(responses.c.skip_reason, "") != _PROBE_TRAFFIC,
            )
        )
        n, measured = connection.execute(query).one()
        connection.execute(rated_counts.delete().where(rated_counts.c.assistant == assistant))
        _add(connection, {assistant: (n, measured)})


def _changed(
    connection: Connection, keys: Sequence[Key], sign: int, *, since_s: float | None
) -> int:
    """Count events that came or went; with a horizon, sample and weigh what came."""
    if not keys:
        return 0
    events = Counter(keys)
    wanted = key_rows(connection, sorted(events))
    here = and_(responses.c.assistant == wanted.c.first, responses.c.response_id == wanted.c.second)
    table = responses.c
    fresh = table.received_at_s >= (since_s if since_s is not None else 0.0)
    query = (
        select(
            table.assistant,
            table.response_id,
            table.pi_feedback,
            and_(
                fresh,
                table.sampled_by.is_(None),
                table.u <= table.pi_feedback,
                table.body.is_not(None),
            ).label("to_sample"),
            and_(
                fresh,
                verdicts.c.final_probability.is_(None),
                verdicts.c.inclusion_probability != table.pi_feedback,
            ).label("to_weigh"),
            verdicts.c.key,
            _p_lie().label("p_lie"),
        )
        .select_from(
            wanted.join(responses, here).outerjoin(
                verdicts,
                and_(
                    verdicts.c.assistant == table.assistant,
                    verdicts.c.response_id == table.response_id,
                    is_live,
                ),
            )
        )
        .where(func.coalesce(table.skip_reason, "") != _PROBE_TRAFFIC)
    )
    rows = connection.execute(query).all()
    moved: dict[str, tuple[int, int]] = {}
    for row in rows:
        n = sign * events[row.assistant, row.response_id]
        before, measured = moved.get(row.assistant, (0, 0))
        moved[row.assistant] = (before + n, measured + (n if row.p_lie is not None else 0))
    _add(connection, moved)
    if since_s is None:
        return 0
    _weigh(connection, {row.key: row.pi_feedback for row in rows if row.to_weigh})
    return _sample(connection, [(r.assistant, r.response_id) for r in rows if r.to_sample])


def _sample(connection: Connection, keys: Sequence[Key]) -> int:
    if not keys:
        return 0
    table = responses.c
    return connection.execute(
        update(responses)
        .where(
            table.assistant == bindparam("a"),
            table.response_id == bindparam("r"),
            table.sampled_by.is_(None),
        )
        .values(sampled_by=SampledBy.FEEDBACK.value, skip_reason=None, awaits_verdict=True),
        [{"a": assistant, "r": response_id} for assistant, response_id in sorted(keys)],
    ).rowcount


def _weigh(connection: Connection, probabilities: Mapping[str, float]) -> None:
    """A rated response was certain to be taken with the feedback sample's probability."""
    if probabilities:
        connection.execute(
            update(verdicts)
            .where(verdicts.c.key == bindparam("verdict"))
            .values(final_probability=bindparam("final")),
            [{"verdict": key, "final": pi} for key, pi in sorted(probabilities.items())],
        )
        tally.count_weighed(connection, probabilities)


def _add(connection: Connection, moved: Mapping[str, tuple[int, int]]) -> None:
    table = rated_counts.c
    for assistant, (n, measured) in sorted(moved.items()):
        row = {"assistant": assistant, "n_events": n, "n_measured": measured}
        if insert_new(connection, rated_counts, [row], [table.assistant]):
            continue
        connection.execute(
            update(rated_counts)
            .where(table.assistant == assistant)
            .values(n_events=table.n_events + n, n_measured=table.n_measured + measured)
        )


def _p_lie() -> ColumnElement[float | None]:
    """p_lie of an asserted verdict, else null."""
    return case((verdicts.c.kind.in_([kind.value for kind in ASSERTED]), verdicts.c.p_lie))


def _response() -> ColumnElement[bool]:
    return and_(
        responses.c.assistant == feedback.c.assistant,
        responses.c.response_id == feedback.c.response_id,
    )


def _verdict() -> ColumnElement[bool]:
    return and_(
        verdicts.c.assistant == feedback.c.assistant,
        verdicts.c.response_id == feedback.c.response_id,
        is_live,
    )
