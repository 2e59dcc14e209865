"""The fence: the newest claim writes, an older one loses."""

from __future__ import annotations

import pytest
from sqlalchemy import Engine

from monitor.store import reading
from monitor.store.offsets import Claim, FencedError, advance, claim, next_offset

T = {"now_s": 1.0}


def take(engine: Engine, cluster: str = "k") -> Claim:
    with engine.begin() as connection:
        return claim(connection, cluster, "t", 0, **T)


def test_a_claim_moves_on_and_a_new_one_starts_where_it_ended(engine: Engine) -> None:
    held = take(engine)
    assert (held.fence, held.next_offset) == (1, 0)
    with engine.begin() as connection:
        held = advance(connection, held, 5, **T)
        held = advance(connection, held, 9, **T)
    again = take(engine)
    assert (again.fence, again.next_offset) == (2, 9)
    with reading(engine) as connection:
        assert next_offset(connection, "k", "t", 0) == 9
        assert next_offset(connection, "other", "t", 0) is None


def test_an_older_claim_loses_its_write(engine: Engine) -> None:
    old, new = take(engine), take(engine)
    with pytest.raises(FencedError), engine.begin() as connection:
        advance(connection, old, 5, **T)
    with engine.begin() as connection:
        assert advance(connection, new, 5, **T).next_offset == 5


def test_a_write_from_another_offset_loses(engine: Engine) -> None:
    held = take(engine)
    with engine.begin() as connection:
        advance(connection, held, 5, **T)
    with pytest.raises(FencedError), engine.begin() as connection:
        advance(connection, held, 7, **T)


def test_another_cluster_starts_anew(engine: Engine) -> None:
    held = take(engine)
    with engine.begin() as connection:
        advance(connection, held, 5, **T)
    assert take(engine, "k2").next_offset == 0
