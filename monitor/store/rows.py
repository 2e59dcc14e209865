"""Turns with a signal on them, of which training rows are made."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec
from sqlalchemy import Connection, and_, func, select

from evidence import Response
from monitor.store.intake import unpack_body
from monitor.store.schema import feedback, responses, tombstones


class RatedTurn(msgspec.Struct, frozen=True, kw_only=True):
    """A response with one signal on it."""

    response: Response
    feedback_id: str
    rater: str
    value: float
    created_at_s: float


def rated_turns(
    connection: Connection, assistant: str, *, liked_only: bool, limit: int
) -> Iterator[RatedTurn]:
    """The newest signals of an assistant with their responses, oldest of them first.

    Probe traffic, erased raters and responses whose body is past its retention are left out, and of
    several likes of one response by one rater the newest counts.
    """
    table = feedback.c
    same = and_(
        responses.c.assistant == table.assistant, responses.c.response_id == table.response_id
    )
    wanted = table.value > 0 if liked_only else table.value != 0
    query = (
        select(table.feedback_id, table.rater, table.value, table.created_at_s, responses.c.body)
        .select_from(feedback.join(responses, same))
        .where(
            table.assistant == assistant,
            table.state == "matched",
            wanted,
            responses.c.body.is_not(None),
            func.coalesce(responses.c.skip_reason, "") != "probe_traffic",
            table.rater.not_in(select(tombstones.c.rater)),
        )
        .order_by(table.created_at_s.desc(), table.feedback_id.desc())
    )
    seen: set[tuple[str, str]] = set()
    turns: list[RatedTurn] = []
    for row in connection.execute(query):
        response = unpack_body(row.body)
        key = (response.response_id, row.rater)
        if key in seen:
            continue
        seen.add(key)
        turns.append(
            RatedTurn(
                response=response,
                feedback_id=row.feedback_id,
                rater=row.rater,
                value=row.value,
                created_at_s=row.created_at_s,
            )
        )
        if len(turns) == limit:
            break
    yield from reversed(turns)
