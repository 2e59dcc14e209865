"""Live verdicts counted as they are written, so that a long range is not counted again.

A cell is a slot of four hours (UTC), what a curve is drawn by, and the final probability, so that weights come
out as from the verdicts themselves. Writers add changes and touch no row of each other; `fold` joins them with
the counts, which are kept by slot and by day.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from sqlalchemy import Connection, Subquery, func, insert, select, union_all

from evidence import Purpose, Verdict
from evidence.prevalence import LEANS_FROM
from monitor.store.dialect import add_counts, lock_names, one_of
from monitor.store.schema import verdict_changes, verdict_tally, verdicts
from probes.visible import Visible, visible_acts

HOURS = (4, 24)
"""Lengths of time by which verdicts are counted; each is so many of the first."""
SLOT_S = HOURS[0] * 3_600.0
_AT_ONCE = 5_000
_FOLDED = 20_000


class Cell(NamedTuple):
    """What is counted together; `leans` says whether p_lie leans towards a lie, `contradicted` whether a tool
    record besides contradicts what is said of acts."""

    slot: int
    assistant: str
    segment: str
    stakes: str
    kind: str
    evaluator_version: str
    model: str
    probability: float
    leans: bool
    contradicted: bool


def count_new(connection: Connection, made: Iterable[Verdict]) -> None:
    """Count live verdicts that were inserted in this transaction."""
    cells = Counter(
        Cell(
            slot=int(one.scored_at_s // SLOT_S),
            assistant=one.stratum.assistant,
            segment=one.stratum.segment,
            stakes=one.stratum.stakes.value,
            kind=one.assessment.kind.value,
            evaluator_version=one.assessment.evaluator_version,
            model=one.model,
            probability=one.inclusion_probability,
            leans=_leans(one.assessment.p_lie),
            contradicted=_leans(one.assessment.p_lie)
            and visible_acts(one.assessment.measurements) == Visible.CONTRADICTED,
        )
        for one in made
        if one.purpose is Purpose.LIVE
    )
    _add(connection, cells)


def count_weighed(connection: Connection, final: Mapping[str, float]) -> None:
    """Verdicts by key that got a final probability in this transaction count with it from now on."""
    cells: Counter[Cell] = Counter()
    columns = [verdicts.c[name] for name in Cell._fields if name in verdicts.c]
    keys = sorted(final)
    for start in range(0, len(keys), _AT_ONCE):
        query = select(
            verdicts.c.key,
            verdicts.c.scored_at_s,
            verdicts.c.p_lie,
            verdicts.c.acts,
            verdicts.c.inclusion_probability,
            *columns,
        ).where(one_of(connection, verdicts.c.key, keys[start : start + _AT_ONCE]))
        for row in connection.execute(query):
            before = Cell(
                slot=int(row.scored_at_s // SLOT_S),
                probability=row.inclusion_probability,
                leans=_leans(row.p_lie),
                contradicted=_leans(row.p_lie) and row.acts == Visible.CONTRADICTED,
                **{column.name: getattr(row, column.name) for column in columns},
            )
            cells[before] -= 1
            cells[before._replace(probability=final[row.key])] += 1
    _add(connection, cells)


def fold(connection: Connection) -> int:
    """Join the oldest changes with the counts; returns how many there were."""
    lock_names(connection, ["verdict_tally"])
    newest = select(verdict_changes.c.id).order_by(verdict_changes.c.id).limit(_FOLDED)
    gone = connection.execute(
        verdict_changes.delete()
        .where(verdict_changes.c.id.in_(newest))
        .returning(*(verdict_changes.c[name] for name in (*Cell._fields, "n")))
    ).all()
    for hours in HOURS:
        cells: Counter[Cell] = Counter()
        for slot, *others, n in gone:
            cells[Cell(slot * HOURS[0] // hours, *others)] += n
        rows = [{"hours": hours} | row for row in _rows(cells)]
        add_counts(connection, verdict_tally, rows)
    return len(gone)


def counted_by(start_s: float, end_s: float, width_s: float) -> int | None:
    """The longest of `HOURS` that steps of a period are made of; None where it has parts of a slot."""
    for hours in reversed(HOURS):
        if width_s % (hours * 3_600) == start_s % (hours * 3_600) == end_s % (hours * 3_600) == 0.0:
            return hours
    return None


def cells_between(hours: int, start: int, end: int) -> Subquery:
    """Every cell with its count, as a part of a query; `slot`, `start` and `end` are numbers of so many hours."""
    counted, changed, slots = verdict_tally.c, verdict_changes.c, hours // HOURS[0]
    others = Cell._fields[1:]
    both = union_all(
        select(counted.slot, *(counted[name] for name in others), counted.n).where(
            counted.hours == hours, counted.slot >= start, counted.slot < end
        ),
        select(
            (changed.slot // slots).label("slot"), *(changed[name] for name in others), changed.n
        ).where(changed.slot >= start * slots, changed.slot < end * slots),
    ).subquery()
    columns = [both.c[name] for name in Cell._fields]
    n = func.sum(both.c.n)
    return select(*columns, n.label("n")).group_by(*columns).having(n > 0).subquery()


def _add(connection: Connection, cells: Counter[Cell]) -> None:
    rows = _rows(cells)
    if rows:
        connection.execute(insert(verdict_changes), rows)


def _rows(cells: Counter[Cell]) -> Sequence[dict[str, object]]:
    return [cell._asdict() | {"n": n} for cell, n in sorted(cells.items()) if n]


def _leans(p_lie: float | None) -> bool:
    return p_lie is not None and p_lie >= LEANS_FROM
