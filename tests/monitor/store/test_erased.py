"""A forgotten user leaves no byte in SQLite's files, however SQLite was compiled."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from cryptography.fernet import Fernet
from sqlalchemy import Engine, event

from evidence import Response, SampledBy, pseudonym
from monitor.ingest.decode import decode_feedback, decode_response
from monitor.ingest.options import IngestOptions
from monitor.store import intake, open_store, reading
from monitor.store.forget import erase, forget
from monitor.store.intake import NewDeadLetter, NewFeedback, NewResponse, Position

KEY = b"a key of pseudonyms that is long"
NOW_S = 1_790_000_000.0
USER = "alice.smith@example.org"
CIPHER = Fernet(Fernet.generate_key())
OPTIONS = IngestOptions()


def add(engine: Engine, number: int, user: str) -> None:
    raw = {
        "response_id": f"r{number}",
        "assistant": "a",
        "model": "m",
        "conversation_id": f"chat-{user.upper()}-{number}",
        "user_id": user,
        "created_at": "2026-09-21T14:13:20Z",
        "messages": [
            {"role": "user", "content": f"I am {user}, secret {number} " * (1 + number % 60)},
            {"role": "assistant", "content": "Hello."},
        ],
        "notes": f"asked by {user}",
    }
    response = decode_response(json.dumps(raw).encode(), options=OPTIONS, key=KEY, now_s=NOW_S)
    assert isinstance(response, Response), response
    given = {
        "feedback_id": f"f{number}",
        "assistant": "a",
        "response_id": f"r{number}",
        "user_id": user,
        "created_at": "2026-09-21T14:13:20Z",
        "value": 1,
        "kind": "thumb",
        "text": f"the opinion of {user} {number}",
    }
    feedback: Any = decode_feedback(
        json.dumps(given).encode(), options=OPTIONS, key=KEY, now_s=NOW_S
    )
    at = Position("c", "t", 0, number)
    with engine.begin() as connection:
        row = NewResponse(response, at, 0.5, 1.0, 1.0, SampledBy.ARRIVAL, None)
        intake.insert_responses(connection, [row], now_s=NOW_S)
        intake.insert_feedback(connection, [NewFeedback(feedback, at)], [row.key], now_s=NOW_S)
        letter = NewDeadLetter(at, "x", "x", CIPHER.encrypt(f"broken {user}".encode()))
        intake.insert_dead_letters(connection, [letter], now_s=NOW_S)


def bytes_of(path: Path) -> bytes:
    return b"".join(p.read_bytes() for p in sorted(path.parent.glob(f"{path.name}*")))


def forget_user(engine: Engine) -> None:
    with engine.begin() as connection:
        forget(
            connection,
            rater=pseudonym(USER, KEY),
            user_id=USER,
            decrypt=CIPHER.decrypt,
            input_topics=("r", "f"),
            by="ada",
            at_s=NOW_S,
        )


@pytest.mark.parametrize("secure_delete", ["as opened", "OFF", "FAST"])
def test_the_files_hold_nothing_of_a_forgotten_user(tmp_path: Path, secure_delete: str) -> None:
    path = tmp_path / "candor.db"
    engine = open_store(f"sqlite:///{path}")
    if secure_delete != "as opened":
        engine.dispose()
        event.listen(
            engine, "connect", lambda raw, _: raw.execute(f"PRAGMA secure_delete = {secure_delete}")
        )
    for number in range(600):
        add(engine, number, USER if number % 20 == 0 else f"user{number}@example.org")
    before = bytes_of(path)
    with reading(engine) as connection:
        bodies = connection.exec_driver_sql(
            "SELECT body FROM responses WHERE rater = ?", (pseudonym(USER, KEY),)
        ).scalars()
        compressed = [body[-64:] for body in bodies if not body.startswith(b"{")]
    assert compressed
    marks = [USER.encode(), USER.upper().encode(), b"secret 60 ", pseudonym(USER, KEY).encode()]
    assert marks[2] in before
    assert marks[3] in before
    forget_user(engine)
    assert erase(engine)
    after = bytes_of(path)
    assert [mark for mark in marks[:3] if mark in after] == []
    assert not any(body in after for body in compressed)
    assert after.count(marks[3]) <= 3, "the tombstone, its index, and the audit log"
    assert path.with_name("candor.db-wal").stat().st_size == 0
    engine.dispose()
    assert [mark for mark in marks[:3] if mark in bytes_of(path)] == []


def test_while_somebody_reads_it_says_so_and_is_done_the_next_time(tmp_path: Path) -> None:
    path = tmp_path / "candor.db"
    engine = open_store(f"sqlite:///{path}")
    add(engine, 1, USER)
    other = open_store(f"sqlite:///{path}")
    event.listen(engine, "connect", lambda raw, _: raw.execute("PRAGMA busy_timeout = 50"))
    engine.dispose()
    with reading(other) as connection:
        connection.exec_driver_sql("SELECT count(*) FROM responses")
        forget_user(engine)
        assert not erase(engine)
    assert erase(engine)
    assert b"secret 1 " not in bytes_of(path)
    engine.dispose()
    other.dispose()


def test_a_conversation_id_with_the_users_id_is_a_pseudonym_and_stays_one(tmp_path: Path) -> None:
    engine = open_store(f"sqlite:///{tmp_path}/candor.db")
    add(engine, 1, USER)
    assert USER.upper().encode() not in bytes_of(tmp_path / "candor.db")
    with reading(engine) as connection:
        name = connection.exec_driver_sql("SELECT conversation_id FROM responses").scalar()
    assert name == pseudonym(f"chat-{USER.upper()}-1", KEY)
    engine.dispose()
