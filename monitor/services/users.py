"""Forgetting a user: out of every table, with a tombstone, and the files that still name them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import msgspec
from cryptography.fernet import InvalidToken
from sqlalchemy import Connection, Engine

from evidence import pseudonym
from monitor.ingest.keys import dead_letter_cipher
from monitor.store import forget as store
from monitor.store.confirm_runs import runs


class Forgotten(msgspec.Struct, frozen=True):
    """What was done: the pseudonym, changed rows by table, and files of confirm runs that name it.

    `erased` is False where another process kept the database from overwriting what was deleted.
    """

    rater: str
    rows: dict[str, int]
    files: tuple[str, ...]
    erased: bool


def forget_user(
    engine: Engine, user: str, *, key: bytes, input_topics: Sequence[str], by: str, now_s: float
) -> Forgotten:
    """Remove a user from every table, so that a replay brings nothing back.

    Parameters
    ----------
    user
        The user id, as the assistant sends it.
    key
        The key of pseudonyms.
    """
    cipher = dead_letter_cipher(key)

    def decrypt(body: bytes) -> bytes | None:
        try:
            return cipher.decrypt(body)
        except InvalidToken:
            return None

    rater = pseudonym(user, key)
    with engine.begin() as connection:
        changed = store.forget(
            connection,
            rater=rater,
            user_id=user,
            decrypt=decrypt,
            input_topics=input_topics,
            by=by,
            at_s=now_s,
        )
        files = tuple(_files_naming(connection, rater))
    return Forgotten(rater, changed, files, store.erase(engine))


def _files_naming(connection: Connection, rater: str) -> list[str]:
    """Files of confirm runs, on this machine, that hold the pseudonym."""
    folders = {Path(run.directory) for run in runs(connection) if run.directory}
    found = (path for folder in sorted(folders) for path in sorted(folder.rglob("*.json*")))
    return [str(path) for path in found if rater.encode() in path.read_bytes()]
