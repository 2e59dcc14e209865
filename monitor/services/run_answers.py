"""The answers of a confirm run's arms: kept when it ends, read item by item."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice

import msgspec
import zstandard
from sqlalchemy import Connection

from evidence import Message
from monitor.store import confirm_answers as store
from monitor.store.confirm_answers import PackedItem
from retrain.answers import ArmAnswers, ItemAnswers

MOST_ITEMS = 5_000
"""Of one run."""
_MAX_CHARS, _MAX_TURNS, _MAX_ANSWERS = 4_000, 30, 20


class NumberedItem(msgspec.Struct, frozen=True):
    """An item's answers by its 0-based place in the run."""

    index: int
    answers: ItemAnswers


def keep_answers(connection: Connection, run_id: str, items: Iterable[ItemAnswers]) -> None:
    """Keep the answers of the first items of a run in place of what is kept of it; long texts are cut."""
    store.put_answers(
        connection,
        run_id,
        (
            PackedItem(index, one.differs, zstandard.compress(msgspec.msgpack.encode(_cut(one)), 6))
            for index, one in enumerate(islice(items, MOST_ITEMS))
        ),
    )


def list_items(
    connection: Connection,
    run_id: str,
    *,
    differing: bool = False,
    after: int | None = None,
    limit: int,
) -> list[NumberedItem]:
    """Items of a run in their order; of `differing` ones those where arms were found to answer otherwise."""
    found = store.list_answers(connection, run_id, differing=differing, after=after, limit=limit)
    return [NumberedItem(one.index, _item(one)) for one in found]


def find_item(connection: Connection, run_id: str, index: int) -> ItemAnswers | None:
    """The answers to one item; None where there is no such item."""
    found = store.find_answers(connection, run_id, index)
    return None if found is None else _item(found)


def _item(packed: PackedItem) -> ItemAnswers:
    return msgspec.msgpack.decode(zstandard.decompress(packed.body), type=ItemAnswers)


def _cut(one: ItemAnswers) -> ItemAnswers:
    """Without what no page would show."""
    return ItemAnswers(
        item=one.item[:300],
        template=one.template[:300],
        domain=one.domain[:100],
        archetype=one.archetype[:100],
        asked=tuple(Message(m.role, m.content[:_MAX_CHARS]) for m in one.asked[-_MAX_TURNS:]),
        proposition=one.proposition[:_MAX_CHARS],
        truth=one.truth,
        arms=tuple(
            ArmAnswers(
                arm=arm.arm,
                answers=tuple(text[:_MAX_CHARS] for text in arm.answers[:_MAX_ANSWERS]),
                outcomes=arm.outcomes[:_MAX_ANSWERS],
                margin=arm.margin,
            )
            for arm in one.arms
        ),
    )
