"""Rotation of the pseudonym key: the store and the key file change so that either shows what is missing."""

from __future__ import annotations

import getpass
from pathlib import Path
from typing import Any

from evidence import BadInputError
from evidence.identity import key_chain, next_pseudonym
from monitor.ingest.keys import (
    finish_rotation,
    key_path,
    load_key,
    prepare_rotation,
    unfinished_rotation,
)
from monitor.store import open_store, reading
from monitor.store.rekey import rekey, was_rekeyed
from monitor.store.status import heartbeats

_ALIVE_S = 60.0


def rotate_pseudonyms(url: str, key_file: Path | None, *, now_s: float) -> dict[str, Any]:
    """Rename all raters under a new link of the key; returns what was done.

    Raises BadInputError while a worker was seen in the last minute: it would go on under the old key.
    """
    engine = open_store(url, create=False)
    key = load_key(key_file, name="pseudonym", database_url=url)
    path = key_path(key_file, name="pseudonym", database_url=url)
    with reading(engine) as connection:
        alive = [b.worker for b in heartbeats(connection) if b.is_alive(now_s, _ALIVE_S)]
        left = unfinished_rotation(path)
        renamed_already = left is not None and was_rekeyed(connection, left)
    if alive:
        raise BadInputError(f"stop the workers first: {', '.join(alive)}", "keys rotate")
    raters = 0
    if left is not None and renamed_already:
        longer = left
    else:
        try:
            _, longer = prepare_rotation(path, key)
        except OSError as error:
            raise BadInputError(
                f"cannot write beside the key: {error.strerror}", str(path)
            ) from error
        link = key_chain(longer)[-1]
        with engine.begin() as connection:
            raters = rekey(
                connection,
                lambda name: next_pseudonym(name, link),
                key=longer,
                by=getpass.getuser(),
                at_s=now_s,
            )
    finish_rotation(path)
    engine.dispose()
    return {"raters": raters, "file": str(path), "links": len(key_chain(longer))}
