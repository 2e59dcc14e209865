"""Versions that answer without an attestation: only of assistants that attest, and since they do."""

from __future__ import annotations

import logging

import pytest
from sqlalchemy import Engine

from evidence import Message, Response, SampledBy, Stratum
from monitor.services.evidence import Named, gather
from monitor.store import approved, reading
from monitor.store.approved import ApprovedVersion
from monitor.store.attested import (
    AttestedVersion,
    UnattestedVersion,
    attesting_assistants,
    record,
    unattested,
)
from monitor.store.intake import NewResponse, Position, insert_responses
from monitor.worker.unattested import UnattestedVersions

NOW_S = 1_760_000_000.0
HOUR_S = 3600.0


def answered(
    engine: Engine, assistant: str, model: str, *, at_s: float, sampled: bool = True
) -> None:
    made = Response(
        response_id=f"{assistant}-{model}-{at_s}", stratum=Stratum(assistant), model=model,
        conversation_id="c", rater="u", created_at_s=at_s, messages=(Message("assistant", "a"),),
    )  # fmt: skip
    how = SampledBy.ARRIVAL if sampled else None
    at = Position("k", f"{assistant}{model}", 0, int(at_s))
    new = NewResponse(made, at, 0.5, 1.0, 1.0, how, None if sampled else "not_sampled")
    with engine.begin() as connection:
        insert_responses(connection, [new], now_s=at_s)


def attest(engine: Engine, assistant: str, version: str, *, at_s: float = NOW_S) -> None:
    made = AttestedVersion(
        assistant=assistant, version=version, decision_id="d", weights_digest="0" * 64,
        attested_by="ana", created_at_s=at_s,
    )  # fmt: skip
    with engine.begin() as connection:
        record(connection, made)


def found(engine: Engine, since_s: float = 0.0) -> list[UnattestedVersion]:
    with reading(engine) as connection:
        return unattested(connection, since_s=since_s)


def test_an_assistant_that_never_attested_is_not_asked_to(engine: Engine) -> None:
    answered(engine, "shop", "m1", at_s=NOW_S)
    assert found(engine) == []
    with reading(engine) as connection:
        assert attesting_assistants(connection) == []


def test_versions_that_answer_since_are_attested_approved_or_named(engine: Engine) -> None:
    attest(engine, "shop", "m2")
    with engine.begin() as connection:
        approved.record(
            connection,
            ApprovedVersion(
                assistant="shop", version="m3", reason="r", approved_by="ana", decision_id=None,
                created_at_s=NOW_S,
            ),
        )  # fmt: skip
    answered(engine, "shop", "m1", at_s=NOW_S - 1)  # was gone before anything was attested
    for model in ("m2", "m3", "m4", "m5"):
        answered(engine, "shop", model, at_s=NOW_S + 1)
    answered(engine, "shop", "m4", at_s=NOW_S + HOUR_S)
    answered(engine, "shop", "m6", at_s=NOW_S + 2, sampled=False)
    answered(engine, "bank", "m9", at_s=NOW_S + 2)
    assert found(engine) == [UnattestedVersion("shop", "m4", 2), UnattestedVersion("shop", "m5", 1)]
    assert found(engine, NOW_S + 10) == [UnattestedVersion("shop", "m4", 1)]
    with reading(engine) as connection:
        assert [one.version for one in unattested(connection, since_s=NOW_S + 10)]
        assert attesting_assistants(connection) == ["shop"]
        evidence = gather(
            connection, "shop", Named(), coverage_s=2 * HOUR_S, silent_s=60.0, now_s=NOW_S + HOUR_S
        )
        other = gather(
            connection, "bank", Named(), coverage_s=2 * HOUR_S, silent_s=60.0, now_s=NOW_S + HOUR_S
        )
    assert (evidence.unattested, other.unattested) == (("m4", "m5"), ())
    attest(engine, "shop", "m4", at_s=NOW_S + HOUR_S)
    assert found(engine, NOW_S + 10) == []


def test_a_worker_says_so_once(engine: Engine, caplog: pytest.LogCaptureFixture) -> None:
    attest(engine, "shop", "m2")
    answered(engine, "shop", "m4", at_s=NOW_S + 1)
    looking = UnattestedVersions()
    with caplog.at_level(logging.WARNING), reading(engine) as connection:
        looking.look(connection, NOW_S + 2)
        looking.look(connection, NOW_S + 7)
        UnattestedVersions().look(connection, NOW_S + HOUR_S)
    assert [record.message for record in caplog.records] == [
        "shop answers with m4, of which no weights were attested"
    ]
