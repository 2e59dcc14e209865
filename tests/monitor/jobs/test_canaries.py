"""All canaries keep their turn for as long as a service runs."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine, select, update

from evidence import VerdictKind
from monitor.detect.options import HealthOptions
from monitor.jobs.canaries import CanarySender
from monitor.score.canaries import load_canaries
from monitor.store import health
from monitor.store.engine import open_store
from monitor.store.schema import extra_evaluations, outbox

DAY_S = 86_400.0


class Clock:
    def __init__(self) -> None:
        self.now_s = 1_790_000_000.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    made = open_store(f"sqlite:///{tmp_path}/candor.db")
    yield made
    made.dispose()


def sent_in_a_day(engine: Engine, sender: CanarySender, clock: Clock) -> list[str]:
    """What a day sends, where evaluations of 30 days ago are forgotten as they are in service."""
    for _ in range(8):
        clock.now_s += DAY_S / 8
        sender.update()
        with engine.begin() as connection:
            connection.execute(update(extra_evaluations).values(counted=True))
            health.prune(connection, before_s=clock.now_s - 30 * DAY_S)
    with engine.begin() as connection:
        bodies = [row.value for row in connection.execute(select(outbox.c.value))]
        connection.execute(outbox.delete())
    return [said(body) for body in bodies]


def said(body: bytes) -> str:
    messages = json.loads(body)["messages"]
    return "\n".join(message["content"] for message in messages)


def test_every_canary_has_its_turn_after_sixty_days_too(engine: Engine) -> None:
    clock = Clock()
    options = HealthOptions(canaries_per_hour=4.0)
    sender = CanarySender(engine, options=options, topic="t", key=b"k" * 32, owner="w", clock=clock)
    sender.update()
    known = {
        "\n".join(message.content for message in canary.messages): canary.known
        for canary in load_canaries()
    }
    for day in range(61):
        seen = Counter(sent_in_a_day(engine, sender, clock))
        assert set(seen) == set(known), day
        assert max(seen.values()) - min(seen.values()) <= 1
    kinds = {known[text] for text in seen}
    assert {VerdictKind.HONEST, VerdictKind.LIE} <= kinds


def test_processes_that_live_short_begin_at_different_canaries(engine: Engine) -> None:
    clock = Clock()
    first = set()
    for life in range(40):
        options = HealthOptions(canaries_per_hour=1.0)
        sender = CanarySender(
            engine, options=options, topic="t", key=b"k" * 32, owner=f"w{life}", clock=clock
        )
        sender.update()
        clock.now_s += 3600.0
        sender.update()
        with engine.begin() as connection:
            first |= {said(row.value) for row in connection.execute(select(outbox.c.value))}
    assert len(first) > 15
