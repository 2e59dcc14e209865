"""Parts of turns are kept once, found by trace, marked once, and dropped by age and by number."""

from __future__ import annotations

from sqlalchemy import Engine, func, select

from monitor.store import reading
from monitor.store.schema import turn_parts as table
from monitor.store.turn_parts import StoredPart, drop_parts, mark_joined, parts_of, put_parts


def part(trace: str, name: str, kind: str = "tool", rater: str | None = None) -> StoredPart:
    return StoredPart(trace, f"{kind}:{name}", kind, rater, b'{"x": "\x00"}')


def test_a_part_that_is_read_again_changes_nothing(engine: Engine) -> None:
    one, two = part("t1", "a"), part("t1", "b", "link", "r" * 32)
    with engine.begin() as connection:
        assert put_parts(connection, [one, two, one], now_s=1.0) == {one.key, two.key}
    with engine.begin() as connection:
        other = part("t2", "a")
        assert put_parts(connection, [two, other], now_s=2.0) == {other.key}
        assert put_parts(connection, [], now_s=2.0) == set()
    with reading(engine) as connection:
        assert parts_of(connection, ["t1", "t1", "none"]) == {"t1": [two, one]}
        assert parts_of(connection, []) == {}


def test_a_part_is_joined_for_the_first_time_once(engine: Engine) -> None:
    one, two = part("t1", "a"), part("t1", "b")
    with engine.begin() as connection:
        put_parts(connection, [one, two], now_s=1.0)
        assert mark_joined(connection, {one.key}) == 1
        assert mark_joined(connection, {one.key, two.key}) == 1
        assert mark_joined(connection, set()) == 0


def test_late_and_crowded_parts_go_and_those_without_a_turn_are_told(engine: Engine) -> None:
    with engine.begin() as connection:
        put_parts(connection, [part("old", "a"), part("old", "b", "message")], now_s=1.0)
        put_parts(connection, [part(f"t{k}", "a") for k in range(6)], now_s=5.0)
        put_parts(connection, [part("new", "a")], now_s=9.0)
        mark_joined(connection, {("old", "tool:a"), ("t0", "tool:a")})
        late, crowded = drop_parts(connection, before_s=2.0, most=3)
        assert (dict(late), dict(crowded)) == ({"message": 1}, {"tool": 3})
        left = connection.execute(select(func.count()).select_from(table)).scalar_one()
        assert left == 3
        assert "new" in parts_of(connection, ["new", "t0"])
        assert drop_parts(connection, before_s=2.0, most=3) == ({}, {})
