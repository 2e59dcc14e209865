"""What verdicts rest on, in words of their conversation: kept apart from them, as long as the text is."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import msgspec
import zstandard
from sqlalchemy import Connection, Select, and_, delete, select, tuple_

from evidence import Message, Verdict
from evidence.records import Finding
from monitor.store.dialect import insert_new, key_rows
from monitor.store.schema import findings, responses

_MAX_TOKENS, _MAX_CHARS, _MAX_BYTES = 4_096, 4_000, 64 * 1024
_MAX_TURNS, _MAX_ANSWERS = 40, 8


class Explanation(msgspec.Struct, frozen=True, omit_defaults=True):
    """The finding that carries a verdict, and what each probe found."""

    finding: Finding | None = None
    probes: dict[str, Finding] = {}


def put_explanations(connection: Connection, made: Sequence[tuple[Verdict, Explanation]]) -> None:
    """Store the findings of verdicts whose response has its text: of one that was forgotten meanwhile none."""
    if not made:
        return
    keys = {(v.stratum.assistant, v.response_id) for v, _ in made}
    wanted = key_rows(connection, sorted(keys))
    here = and_(responses.c.assistant == wanted.c.first, responses.c.response_id == wanted.c.second)
    query = select(responses.c.assistant, responses.c.response_id)
    with_text = {
        (row.assistant, row.response_id)
        for row in connection.execute(
            query.select_from(wanted.join(responses, here)).where(responses.c.body.is_not(None))
        )
    }
    rows = [
        {
            "verdict_key": verdict.key,
            "assistant": verdict.stratum.assistant,
            "response_id": verdict.response_id,
            "body": pack_explanation(found),
        }
        for verdict, found in made
        if (verdict.stratum.assistant, verdict.response_id) in with_text
    ]
    insert_new(connection, findings, rows, [findings.c.verdict_key])


def read_explanations(connection: Connection, keys: Collection[str]) -> dict[str, Explanation]:
    """The findings of verdicts by their keys, where the text is kept."""
    if not keys:
        return {}
    same = (responses.c.assistant == findings.c.assistant) & (
        responses.c.response_id == findings.c.response_id
    )
    query = (
        select(findings.c.verdict_key, findings.c.body)
        .select_from(findings.join(responses, same))
        .where(findings.c.verdict_key.in_(list(keys)), responses.c.body.is_not(None))
    )
    return {row.verdict_key: unpack_explanation(row.body) for row in connection.execute(query)}


def drop_explanations(connection: Connection, of_responses: Select[tuple[str, str]]) -> int:
    """Delete the findings of responses, given as (assistant, response_id); returns how many."""
    pair = tuple_(findings.c.assistant, findings.c.response_id)
    return connection.execute(delete(findings).where(pair.in_(of_responses))).rowcount


def pack_explanation(found: Explanation) -> bytes:
    """The stored form, 64 KiB at most: long tails of tokens are cut; tokens, then neutral conversations are left
    out where that is not enough."""
    for tokens, turns in (
        (_MAX_TOKENS, _MAX_TURNS),
        (_MAX_TOKENS // 8, _MAX_TURNS),
        (0, 2),
        (0, 0),
    ):
        packed = zstandard.compress(msgspec.msgpack.encode(_cut(found, tokens, turns)), 6)
        if len(packed) <= _MAX_BYTES:
            break
    return packed


def unpack_explanation(body: bytes) -> Explanation:
    """The findings in a stored body."""
    return msgspec.msgpack.decode(zstandard.decompress(body), type=Explanation)


def _cut(found: Explanation, tokens: int, turns: int) -> Explanation:
    whole = None if found.finding is None else _cut_one(found.finding, tokens, 0)
    return Explanation(
        whole, {name: _cut_one(one, tokens, turns) for name, one in found.probes.items()}
    )


def _cut_one(finding: Finding, tokens: int, turns: int) -> Finding:
    """The verdict's own finding is that of a probe: neutral conversations are kept once, with the probe's."""
    return Finding(
        claim=finding.claim[:_MAX_CHARS],
        contradicts=finding.contradicts[:_MAX_CHARS],
        tokens=finding.tokens[:tokens],
        nats=tuple(round(nats, 3) for nats in finding.nats[:tokens]),
        archetype=finding.archetype,
        # The last turns: there the question is. What was told stands first, and is kept with them.
        neutral=tuple(
            Message(turn.role, turn.content[:_MAX_CHARS]) for turn in _ends(finding.neutral, turns)
        ),
        answers=tuple(text[:_MAX_CHARS] for text in finding.answers[:_MAX_ANSWERS] if turns),
        answered_by=finding.answered_by[:_MAX_CHARS] if turns else "",
    )


def _ends(turns: Sequence[Message], most: int) -> Sequence[Message]:
    if len(turns) <= most:
        return turns
    return (*turns[:1], *turns[len(turns) - most + 1 :]) if most > 1 else ()
