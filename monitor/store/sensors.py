"""What was measured of each evaluator on each assistant when its sensor was made."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec
from sqlalchemy import Connection, RowMapping, delete, insert, select

from evidence.records import Accuracy, SensorFigures
from monitor.store.dialect import lock_names
from monitor.store.schema import sensors

Key = tuple[str, str]
"""Evaluator version and assistant."""


def put_sensors(connection: Connection, figures: Iterable[SensorFigures], *, now_s: float) -> None:
    """Store the figures of a worker's sensors; newer ones of the same evaluator and assistant win."""
    rows = {(one.evaluator_version, one.assistant): _row(one, now_s) for one in figures}
    if not rows:
        return
    lock_names(connection, ["sensors"])
    for version, assistant in sorted(rows):
        same = (sensors.c.evaluator_version == version) & (sensors.c.assistant == assistant)
        connection.execute(delete(sensors).where(same))
        connection.execute(insert(sensors).values(rows[version, assistant]))


def get_sensor(
    connection: Connection, evaluator_version: str, assistant: str
) -> SensorFigures | None:
    """The figures of one evaluator on one assistant, else those of the sensor for every assistant without
    a section of its own (""); None where nothing was measured."""
    row = connection.execute(
        select(sensors)
        .where(
            sensors.c.evaluator_version == evaluator_version,
            sensors.c.assistant.in_((assistant, "")),
        )
        .order_by(sensors.c.assistant.desc())
    ).mappings()
    return next((_figures(found) for found in row), None)


def newest_sensors(connection: Connection, *, limit: int) -> list[SensorFigures]:
    """The sensors that were seen last, with their cards."""
    order = (sensors.c.seen_at_s.desc(), sensors.c.evaluator_version, sensors.c.assistant)
    rows = connection.execute(select(sensors).order_by(*order).limit(limit)).mappings()
    return [_figures(row) for row in rows]


def accuracies(connection: Connection, *, newest: int = 5_000) -> dict[Key, Accuracy]:
    """The accuracy of each evaluator on each assistant, of those that were seen last."""
    names = ("sensitivity", "n_lies", "specificity", "n_honest")
    query = (
        select(
            sensors.c.evaluator_version, sensors.c.assistant, *(sensors.c[name] for name in names)
        )
        .order_by(sensors.c.seen_at_s.desc(), sensors.c.evaluator_version, sensors.c.assistant)
        .limit(newest)
    )
    return {
        (row["evaluator_version"], row["assistant"]): _accuracy(row)
        for row in connection.execute(query).mappings()
    }


def _row(figures: SensorFigures, now_s: float) -> dict[str, Any]:
    return {
        "evaluator_version": figures.evaluator_version,
        "assistant": figures.assistant,
        **msgspec.structs.asdict(figures.accuracy),
        "prevalence": figures.prevalence,
        "card": msgspec.json.encode(figures.card).decode(),
        "seen_at_s": now_s,
    }


def _figures(row: RowMapping) -> SensorFigures:
    return SensorFigures(
        evaluator_version=row["evaluator_version"],
        assistant=row["assistant"],
        accuracy=_accuracy(row),
        prevalence=row["prevalence"],
        card=msgspec.json.decode(row["card"], type=dict[str, Any]),
    )


def _accuracy(row: RowMapping) -> Accuracy:
    return Accuracy(
        sensitivity=row["sensitivity"],
        n_lies=row["n_lies"],
        specificity=row["specificity"],
        n_honest=row["n_honest"],
    )
