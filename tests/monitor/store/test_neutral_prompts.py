"""Neutral texts in the database: kept, bounded, and a person's never overwritten by a rewriter's."""

from __future__ import annotations

import msgspec
from sqlalchemy import Engine

from monitor.store import reading
from monitor.store.neutral_prompts import SqlNeutralStore, list_neutral
from probes.neutral import NeutralText

AUTO = NeutralText(original="It leaked. Hush.", neutral="It leaked.", made_by="m" * 64)


def test_texts_come_back_by_assistant_and_key(engine: Engine) -> None:
    store = SqlNeutralStore(engine, clock=lambda: 5.0)
    store.put("shop", [AUTO])
    assert store.get("shop", [AUTO.key, "0" * 64]) == {AUTO.key: AUTO}
    assert store.get("other", [AUTO.key]) == store.get("shop", []) == {}


def test_only_a_reviewed_text_replaces_a_reviewed_one(engine: Engine) -> None:
    store = SqlNeutralStore(engine)
    refused = AUTO.refused("it drops a fact")
    reviewed = msgspec.structs.replace(AUTO, neutral="Leaks.", state="reviewed", made_by="ada")
    for text, kept in (
        (AUTO, AUTO),
        (refused, refused),
        (reviewed, reviewed),
        (AUTO, reviewed),
        (msgspec.structs.replace(reviewed, made_by="bo"), None),
    ):
        store.put("shop", [text])
        assert store.get("shop", [AUTO.key]) == {AUTO.key: kept or text}


def test_the_oldest_unreviewed_texts_go(engine: Engine) -> None:
    now = [0.0]
    store = SqlNeutralStore(engine, clock=lambda: now[0], most=2)
    reviewed = msgspec.structs.replace(AUTO, state="reviewed")
    store.put("shop", [reviewed])
    store.put("other", [AUTO])
    for k in range(1, 5):
        now[0] = float(k)
        store.put("shop", [NeutralText(original=f"{k}", neutral="n", made_by="m")])
    with reading(engine) as connection:
        kept = list_neutral(connection, "shop")
        assert [one.text.original for one in kept] == ["4", "3", AUTO.original]
        assert len(list_neutral(connection)) == 4
