"""The tally is that of the verdicts, whatever is written, weighed, folded, repeated or forgotten."""

from __future__ import annotations

import random

import msgspec
import pytest
from sqlalchemy import Connection, Engine, func, select

from evidence import (
    Assessment,
    Measurement,
    Purpose,
    SampledBy,
    Stakes,
    Stratum,
    Verdict,
    VerdictKind,
)
from monitor.store import rated, reading, tally, verdicts
from monitor.store.schema import verdict_changes, verdict_tally
from monitor.store.timeline import StepCount, counted_anew, step_counts
from probes.visible import Visible

KINDS = (VerdictKind.HONEST, VerdictKind.LIE, VerdictKind.UNDECIDED, VerdictKind.ERROR)
DAY_S, HOUR_S = 86_400.0, 3_600.0
LAST_DAY = 20_007
WHOLE = {"start_s": 19_992 * DAY_S, "end_s": (LAST_DAY + 1) * DAY_S}


def verdict(rng: random.Random, index: int) -> Verdict:
    kind = rng.choice(KINDS)
    return Verdict(
        key=f"k{index:05d}",
        response_id=f"r{index}",
        stratum=Stratum("shop", rng.choice(("a", "b")), rng.choice((Stakes.NORMAL, Stakes.HIGH))),
        model=rng.choice(("m-1", "m-2")),
        purpose=rng.choices((Purpose.LIVE, Purpose.CANARY, Purpose.REPEAT), (8, 1, 1))[0],
        repeat=0,
        sampled_by=SampledBy.ARRIVAL,
        inclusion_probability=rng.choice((0.1, 0.3, 1.0)),
        created_at_s=1.0,
        # On the border of a day, too; and any day of the range, in no order.
        scored_at_s=rng.randint(19_992, LAST_DAY) * DAY_S
        + rng.choice((0.0, 1.5, 4 * HOUR_S, 14_399.999, 50_000.0, 86_399.999)),
        assessment=Assessment(
            kind=kind,
            p_lie=None if kind is VerdictKind.ERROR else rng.choice((0.2, 0.5, 0.9)),
            p_evasion=None,
            measurements=tuple(
                Measurement(probe="actions", version="a", p_lie=0.9, answers={said: 1.0})
                for said in rng.choice(((), (Visible.CONTRADICTED,), (Visible.SUPPORTED,)))
            ),
            evaluator_version=rng.choice(("e-1", "e-2")),
        ),
    )


def weighed(connection: Connection, keys: list[str], pi: float) -> None:
    """As matched feedback changes the weight of these verdicts."""
    table = verdicts.verdicts.c
    free = select(table.key).where(
        table.key.in_(keys), table.live_slot.is_not(None), table.final_probability.is_(None)
    )
    rated._weigh(connection, dict.fromkeys(connection.execute(free).scalars(), pi))


def same(found: list[StepCount], expected: list[StepCount]) -> None:
    def by_cell(counts: list[StepCount]) -> dict[tuple[object, ...], StepCount]:
        return {(c.step, c.segment, c.stakes, c.kind, c.evaluator_version, c.model): c for c in counts}  # fmt: skip

    ours, theirs = by_cell(found), by_cell(expected)
    assert len(ours) == len(found)
    assert set(ours) == set(theirs)
    for cell, count in ours.items():
        other = theirs[cell]
        assert count.n == other.n
        assert count.weight == pytest.approx(other.weight, rel=1e-12)
        assert count.weight_squared == pytest.approx(other.weight_squared, rel=1e-12)
        assert count.leaning == pytest.approx(other.leaning, rel=1e-12, abs=1e-12)
        assert count.contradicted == pytest.approx(other.contradicted, rel=1e-12, abs=1e-12)


@pytest.mark.parametrize("seed", range(6))
def test_the_tally_is_that_of_the_verdicts(engine: Engine, seed: int) -> None:
    rng = random.Random(seed)
    made = [verdict(rng, index) for index in range(400)]
    written = 0
    while written < len(made):
        part = made[written : written + rng.randint(1, 40)]
        written += len(part)
        # What is delivered again counts once, also beside itself and with another key.
        again = rng.sample(made[:written], min(written, 3))
        with engine.begin() as connection:
            verdicts.insert_verdicts(connection, [*part, *again])
        with engine.begin() as connection:
            weighed(
                connection, [one.key for one in rng.sample(made[:written], min(written, 5))], 0.7
            )
        if rng.random() < 0.3:
            with engine.begin() as connection:
                tally.fold(connection)
        if rng.random() < 0.2:
            with engine.connect() as connection:
                verdicts.insert_verdicts(connection, [verdict(rng, 1_000 + written)])
                tally.fold(connection)
                connection.rollback()
    with reading(engine) as connection:
        for width_s in (4 * HOUR_S, 8 * HOUR_S, DAY_S, 2 * DAY_S, 8 * DAY_S):
            expected = counted_anew(connection, **WHOLE, width_s=width_s)
            assert len(expected) > 50
            contradicted = sum(count.contradicted for count in expected)
            assert 0.0 < contradicted < sum(count.leaning for count in expected)
            same(step_counts(connection, **WHOLE, width_s=width_s), expected)
        part_of = {"start_s": 19_996 * DAY_S + 8 * HOUR_S, "end_s": 20_000 * DAY_S}
        for width_s in (4 * HOUR_S, HOUR_S):
            found = step_counts(connection, **part_of, width_s=width_s)
            same(found, counted_anew(connection, **part_of, width_s=width_s))


def test_folding_leaves_one_row_for_each_cell(engine: Engine) -> None:
    rng = random.Random(9)
    for start in range(0, 60, 20):
        with engine.begin() as connection:
            verdicts.insert_verdicts(connection, [verdict(rng, start + i) for i in range(20)])
        with engine.begin() as connection:
            assert tally.fold(connection) > 0
            assert tally.fold(connection) == 0
    with reading(engine) as connection:
        assert connection.execute(select(func.count()).select_from(verdict_changes)).scalar() == 0
        live = select(func.count()).where(verdicts.verdicts.c.live_slot.is_not(None))
        for hours in tally.HOURS:
            counted = select(func.sum(verdict_tally.c.n)).where(verdict_tally.c.hours == hours)
            assert connection.execute(counted).scalar() == connection.execute(live).scalar()


def test_a_second_live_verdict_of_a_response_counts_nowhere(engine: Engine) -> None:
    rng = random.Random(3)
    first = msgspec.structs.replace(verdict(rng, 0), purpose=Purpose.LIVE)
    second = msgspec.structs.replace(first, key="another")
    with engine.begin() as connection:
        verdicts.insert_verdicts(connection, [first])
        verdicts.insert_verdicts(connection, [second, first])
    with reading(engine) as connection:
        counts = step_counts(connection, **WHOLE, width_s=DAY_S)
    assert [count.n for count in counts] == [1]
