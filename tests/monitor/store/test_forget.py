"""Forgetting leaves no trace of a user in any table, and touches nobody else."""

from __future__ import annotations

import json
import zlib
from collections import Counter
from typing import Any

import msgspec
import zstandard
from cryptography.fernet import Fernet, InvalidToken
from sqlalchemy import Engine, insert, select

from evidence import (
    Alarm,
    AlarmSubject,
    Assessment,
    Feedback,
    Measurement,
    Response,
    SampledBy,
    Verdict,
    VerdictKind,
    pseudonym,
)
from evidence.records import Finding
from monitor.ingest.decode import decode_feedback, decode_response
from monitor.ingest.encode import encode_feedback
from monitor.ingest.options import IngestOptions
from monitor.score import make_verdict
from monitor.store import audit, detectors, outbox, reading
from monitor.store.forget import FORGOTTEN, forget, forgotten
from monitor.store.gate_rows import GateRow, put_rows
from monitor.store.intake import (
    NewDeadLetter,
    NewFeedback,
    NewResponse,
    Position,
    insert_dead_letters,
    insert_feedback,
    insert_responses,
)
from monitor.store.schema import (
    cohort_estimates,
    cohort_members,
    dead_letters,
    metadata,
    rater_groups,
    rater_posteriors,
)
from monitor.store.schema import feedback as feedback_table
from monitor.store.schema import responses as responses_table
from monitor.worker.effects import write_verdicts

NOW_S = 1_760_000_000.0
KEY = b"a key of the tests, 32 bytes lng"
USER = 'ali"ce@example.org'
CIPHER = Fernet(Fernet.generate_key())
TOPICS = ("assistant.responses", "assistant.feedback")


def decrypt(body: bytes) -> bytes | None:
    try:
        return CIPHER.decrypt(body)
    except InvalidToken:
        return None


def response_of(user: str, number: int) -> Response:
    raw = {
        "response_id": f"r{number}",
        "assistant": "shop",
        "model": "m",
        "conversation_id": f"conversation-{number}",
        "user_id": user,
        "created_at": "2025-10-09T08:00:00Z",
        "messages": [{"role": "assistant", "content": f"hello, secret {number}"}],
    }
    found = decode_response(json.dumps(raw).encode(), options=IngestOptions(), key=KEY, now_s=NOW_S)
    assert isinstance(found, Response)
    return found


def feedback_of(user: str, number: int) -> Feedback:
    raw = {
        "feedback_id": f"f{number}",
        "assistant": "shop",
        "response_id": f"r{number}",
        "user_id": user,
        "created_at": "2025-10-09T08:00:00Z",
        "value": 1,
        "kind": "thumb",
        "text": f"opinion {number}",
    }
    found = decode_feedback(json.dumps(raw).encode(), options=IngestOptions(), key=KEY, now_s=NOW_S)
    assert isinstance(found, Feedback)
    return found


def verdict_on(response: Response) -> Verdict:
    """One whose finding quotes the response; the key and the copy on a topic name nobody."""
    quoted = Finding(claim=response.messages[-1].content)
    return make_verdict(
        response,
        Assessment(
            kind=VerdictKind.LIE,
            p_lie=0.9,
            p_evasion=None,
            measurements=(Measurement(probe="judge", version="1", p_lie=0.9, finding=quoted),),
            evaluator_version="e",
            finding=quoted,
        ),
        sampled_by=SampledBy.ARRIVAL,
        inclusion_probability=1.0,
        scored_at_s=NOW_S,
    )


def fill(engine: Engine) -> None:
    users = [USER, "bob", USER, "carol"]
    with engine.begin() as connection:
        for number, user in enumerate(users):
            response, given = response_of(user, number), feedback_of(user, number)
            at = Position("c", "t", 0, number)
            item = NewResponse(response, at, 0.5, 1.0, 1.0, SampledBy.ARRIVAL, None)
            insert_responses(connection, [item], now_s=NOW_S)
            insert_feedback(connection, [NewFeedback(given, at)], set(), now_s=NOW_S)
            write_verdicts(connection, [verdict_on(response)], Counter(), now_s=NOW_S)
            queued = [(b"k", encode_feedback(given))]
            outbox.add(connection, "assistant.feedback", queued, now_s=NOW_S)
            letter = f'{{"user_id": {json.dumps(user)}, broken'.encode()
            insert_dead_letters(
                connection,
                [NewDeadLetter(at, "not_json", "not UTF-8 JSON", CIPHER.encrypt(letter))],
                now_s=NOW_S,
            )
        chosen = [
            GateRow(index=n, row_digest=f"{n}", response_id=f"r{n}", feedback_id=f"f{n}")
            for n in range(len(users))
        ]
        put_rows(connection, "d1", "shop", removed=chosen[:1], kept=chosen[1:])
        strange = NewDeadLetter(Position("c", "t", 0, 99), "x", "x", b"of another key")
        insert_dead_letters(connection, [strange], now_s=NOW_S)
        for user in {*users}:
            connection.execute(
                insert(rater_posteriors).values(
                    assistant="shop",
                    rater=pseudonym(user, KEY),
                    status="benign",
                    n_events=1,
                    estimate_id=1,
                )
            )
        group = [pseudonym(user, KEY) for user in (USER, "bob")]
        for rater in group:
            at = {"assistant": "shop", "rater": rater}
            connection.execute(insert(rater_groups).values(**at, group_id="g", estimate_id=1))
            connection.execute(insert(cohort_members).values(**at, in_cohort=True))
        connection.execute(
            insert(cohort_estimates).values(
                assistant="shop",
                cutoff_s=NOW_S,
                n_raters=3,
                n_events=4,
                record=json.dumps({"groups": [group]}),
                alarm_state="",
                created_at_s=NOW_S,
            )
        )
        alarm = Alarm(
            alarm_id="a1",
            subject=AlarmSubject.POPULATION,
            scope="shop",
            metric="biased_raters",
            claim="too many",
            opened_at_s=NOW_S,
            log_position=1,
            n=4,
            log_evidence=9.0,
            log_threshold=8.0,
            details={"suspects": group},
        )
        detectors.latch(connection, [alarm], by="cohorts", topic="honesty.alarms", now_s=NOW_S)


def everything(engine: Engine) -> dict[str, bytes]:
    """Every cell of every table, decrypted and decompressed where it can be."""
    held: dict[str, bytes] = {}
    with reading(engine) as connection:
        for table in metadata.sorted_tables:
            cells = bytearray()
            for row in connection.execute(select(table)):
                for cell in row:
                    if table.name == "findings" and isinstance(cell, bytes):
                        cells += zstandard.decompress(cell)
                    elif isinstance(cell, bytes) and cell.startswith(b"\x78"):
                        cells += zlib.decompress(cell)
                    elif isinstance(cell, bytes) and table.name == "dead_letters":
                        cells += decrypt(cell) or cell
                    else:
                        cells += cell if isinstance(cell, bytes) else str(cell).encode()
            held[table.name] = bytes(cells)
    return held


def do_forget(engine: Engine) -> dict[str, int]:
    with engine.begin() as connection:
        return forget(
            connection,
            rater=pseudonym(USER, KEY),
            user_id=USER,
            decrypt=decrypt,
            input_topics=TOPICS,
            by="ada",
            at_s=NOW_S,
        )


def test_no_table_holds_the_user_afterwards(engine: Engine) -> None:
    fill(engine)
    mark = pseudonym(USER, KEY).encode()
    named = {name for name, cells in everything(engine).items() if mark in cells}
    assert named == {
        "alarms",
        "cohort_estimates",
        "cohort_members",
        "feedback",
        "outbox",
        "rater_groups",
        "rater_posteriors",
        "responses",
    }
    changed = do_forget(engine)
    held = everything(engine)
    # The tombstone keeps the pseudonym, so that a replay can be refused, and the audit says so.
    assert {name for name, cells in held.items() if mark in cells} == {"tombstones", "audit_log"}
    whole = b"".join(held.values())
    for gone in (
        USER,
        json.dumps(USER)[1:-1],
        "secret 0",
        "secret 2",
        "conversation-0",
        "opinion 0",
        "opinion 2",
    ):
        assert gone.encode() not in whole, gone
    for kept in ("secret 1", "secret 3", "opinion 1", "bob", "carol"):
        assert kept.encode() in whole, kept
    assert changed == {
        "gate_rows": 2,
        "findings": 2,
        "responses": 2,
        "feedback": 2,
        "rater_posteriors": 1,
        "rater_groups": 1,
        "cohort_members": 1,
        "turn_parts": 0,
        "outbox": 3,
        "dead_letters": 3,
        "alarms": 1,
        "alarm_events": 0,
        "cohort_estimates": 1,
        "confirm_runs": 0,
        "labels": 0,
        "localisations": 0,
        "verdicts": 0,
    }


CLEAN = {
    "approved_versions": "names of versions, and who approved them",
    "attested_versions": "names of versions, and who attested them",
    "confirm_answers": "answers of models to items of an evaluation, which are no users'",
    "console_sessions": "digests of tokens, and who signed in",
    "detectors": "sums of scores",
    "duplicates": "positions in topics",
    "evaluator_health": "counts and sums of scores",
    "extra_evaluations": "ids of responses, as responses keep them",
    "gap_watches": "sums of scores",
    "gate_decisions": "signed, so it cannot change: digests and positions of rows",
    "gate_deliveries": "notices of those",
    "input_offsets": "positions in topics",
    "joint_reports": "strata and evidence",
    "leases": "names of processes",
    "result_positions": "names of receivers",
    "result_waits": "names of receivers",
    "training_sources": "digests of data sets from outside, and who registered them",
    "neutral_prompts": "system prompts, which are configuration: no text of users is kept there",
    "rate_epochs": "rates",
    "redteam_runs": "shares of models' answers to packaged cases",
    "sensors": "figures of evaluators",
    "rated_counts": "counts",
    "references": "mean scores, and who approved them",
    "review_queue": "digests of rows, and ids of responses, as responses keep them",
    "verdict_changes": "counts",
    "verdict_tally": "counts",
    "verdict_log": "keys of verdicts",
    "worker_heartbeats": "counts",
}
"""Tables that hold nothing of a user, and what they hold."""


def test_every_table_is_forgotten_from_or_known_to_hold_nothing_of_a_user(engine: Engine) -> None:
    """A new table is to be thought of before it is shipped."""
    changed = set(do_forget(engine))
    assert changed | set(CLEAN) | {"tombstones", "audit_log"} == set(metadata.tables)
    assert not changed & set(CLEAN)


def test_responses_stay_counted_and_findings_stay(engine: Engine) -> None:
    fill(engine)
    do_forget(engine)
    with reading(engine) as connection:
        raters = list(connection.execute(select(responses_table.c.rater)).scalars())
        assert raters.count(FORGOTTEN) == 2
        assert len(raters) == 4
        assert len(connection.execute(select(feedback_table)).all()) == 2
        (record,) = connection.execute(select(cohort_estimates.c.record)).scalars()
        assert json.loads(record)["groups"] == [[FORGOTTEN, pseudonym("bob", KEY)]]
        letters = connection.execute(select(dead_letters.c.offset, dead_letters.c.body)).all()
        assert {row.offset for row in letters if row.body is not None} == {1, 3}
        assert audit.verify(connection).ok
        copies: list[Any] = [row.value for row in outbox.unpublished(connection, 10)]
    copies = [copy for copy in copies if b"p_lie" not in copy]
    assert len(copies) == 3, "bob's, carol's and the alarm, beside the verdicts"
    assert msgspec.json.decode(copies[-1], type=Alarm).details["suspects"][0] == FORGOTTEN


def test_a_tombstone_tells_of_the_forgotten(engine: Engine) -> None:
    do_forget(engine)
    do_forget(engine)
    rater = pseudonym(USER, KEY)
    with reading(engine) as connection:
        assert forgotten(connection, [rater, pseudonym("bob", KEY)]) == {rater}
        assert forgotten(connection, []) == set()
