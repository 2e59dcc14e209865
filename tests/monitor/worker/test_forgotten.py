"""What a forgotten user sent is accounted for and not kept: on replay, and when caught in work."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import select

from evidence import pseudonym
from monitor.store import reading
from monitor.store.forget import forget
from monitor.store.schema import dead_letters, feedback, responses, verdicts

House = Any


def forget_user(house: House, user: str) -> None:
    with house.engine.begin() as connection:
        forget(
            connection,
            rater=pseudonym(user, house.keys.pseudonym),
            user_id=user,
            decrypt=house.keys.dead_letters.decrypt,
            input_topics=("assistant.responses", "assistant.feedback"),
            by="ada",
            at_s=house.now_s,
        )


@pytest.mark.parametrize("caught", ["before", "in work"])
def test_nothing_of_a_forgotten_user_is_taken_in(house: House, kit: Any, caught: str) -> None:
    if caught == "before":
        forget_user(house, "user3")
    for i in range(14):
        house.broker.produce(kit.RESPONSES, kit.response(i), f"c{i}")
        house.broker.produce(kit.FEEDBACK, kit.feedback(i), f"c{i}")
    worker = house.worker()
    if caught == "in work":
        house.scorer.gate.clear()
        for _ in range(5):
            worker.step()
        forget_user(house, "user3")
        house.scorer.gate.set()
    house.settle_without_parked(worker)
    with reading(house.engine) as connection:
        letters = connection.execute(
            select(dead_letters.c.reason, dead_letters.c.body).where(
                dead_letters.c.reason == "forgotten"
            )
        ).all()
        raters = set(connection.execute(select(responses.c.rater)).scalars())
        raters |= set(connection.execute(select(feedback.c.rater)).scalars())
    assert pseudonym("user3", house.keys.pseudonym) not in raters
    assert pseudonym("user2", house.keys.pseudonym) in raters
    assert house.count(responses) == 12
    assert house.count(verdicts) == 12
    assert {row.body for row in letters} == {None}
    if caught == "before":
        assert len(letters) == 4
        house.check_invariants()
