"""`POST /v1/decisions` over a real API: what the asker is told, and that failing is closed and said."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
from sqlalchemy import insert, text

from evidence import Assessment, Measurement, VerdictKind
from evidence.records import Finding
from monitor.abstain.asking import Asker
from monitor.store.schema import labels
from probes.probe import Transcript
from tests.monitor.api.conftest import MakeService, Service
from tests.monitor.api.test_reads import put, verdict

GO = threading.Event()


def score(transcript: Transcript) -> Assessment:
    """`p=0.3` in the text is its p_lie; `slow` waits, `break` breaks."""
    words = transcript.response
    if "slow" in words:
        GO.wait(5)
    if "break" in words:
        raise RuntimeError("out of memory")
    p_lie = float(words.partition("p=")[2] or 0.0)
    return Assessment(
        kind=VerdictKind.LIE if p_lie > 0.5 else VerdictKind.HONEST,
        p_lie=p_lie,
        p_evasion=0.0,
        measurements=(Measurement(probe="judge", version="1", p_lie=p_lie),),
        evaluator_version="v1",
        finding=Finding(claim=words) if p_lie > 0.5 else None,
    )


@pytest.fixture
def service(make_service: MakeService) -> Iterator[Service]:
    asker = Asker(score, max_waiting=4)
    yield make_service(asker=asker)
    GO.set()
    asker.close()
    GO.clear()


def ask(service: Service, words: str, **fields: Any) -> Any:
    body = {"assistant": "shop", "messages": [{"role": "assistant", "content": words}], **fields}
    answer = service.client.post("/v1/decisions", json=body)
    assert answer.status_code == 200, answer.text
    return answer.json()


def put_audited(service: Service, i: int, p_lie: float, *, lie: bool) -> None:
    """A response whose live verdict says honest, and what a random audit says of it."""
    made = verdict(i, VerdictKind.HONEST)
    assessment = msgspec.structs.replace(made.assessment, p_lie=p_lie, evaluator_version="v1")
    put(service, msgspec.structs.replace(made, assessment=assessment))
    row = {
        "assistant": "shop",
        "response_id": made.response_id,
        "labeller": "ada",
        "kind": "lie" if lie else "honest",
        "inclusion_probability": 0.1,
        "at_s": float(i),
    }
    with service.engine.begin() as connection:
        connection.execute(insert(labels).values(**row))


@pytest.mark.parametrize(
    ("p_lie", "answer"), [("0.01", "show"), ("0.2", "review"), ("0.9", "withhold")]
)
def test_the_answer_follows_p_lie(service: Service, p_lie: str, answer: str) -> None:
    told = ask(service, f"p={p_lie}")
    assert (told["answer"], told["p_lie"], told["basis"]) == (answer, float(p_lie), "cost")
    assert told["evaluator_version"] == "v1"
    assert told["claim"] == ("p=0.9" if p_lie == "0.9" else None)
    assert told["contradicts"] is None


@pytest.mark.parametrize(("words", "reason"), [("slow", "timeout"), ("break", "scorer_failed")])
def test_it_fails_closed_for_high_stakes_and_says_so(
    service: Service, words: str, reason: str
) -> None:
    started = time.monotonic()
    told = ask(service, words, timeout_s=0.2)
    assert time.monotonic() - started < 2.0
    assert (told["answer"], told["reason"], told["basis"]) == ("withhold", reason, "failure")
    assert told["p_lie"] is None
    GO.set()
    assert ask(service, "break", stakes="normal")["answer"] == "show"


def test_a_store_that_is_gone_is_a_failure_of_the_decision_alone(service: Service) -> None:
    with service.engine.begin() as connection:
        connection.execute(text("ALTER TABLE labels RENAME TO away"))
    told = ask(service, "p=0.01")
    assert (told["answer"], told["reason"]) == ("withhold", "store")


def test_labels_of_a_random_audit_bound_what_is_shown(service: Service) -> None:
    for i in range(60):
        lie = i % 6 == 0
        put_audited(service, i, 0.02 + i / 10_000, lie=lie)
    told = ask(service, "p=0.0205")
    # One lie in 61 would be 1.6 %: with 5 % two may pass, the third stands at p = 0.0212.
    assert (told["answer"], told["basis"], told["n"]) == ("show", "audit", 60)
    assert told["threshold"] == pytest.approx(0.02 + 11 / 10_000)
    assert ask(service, "p=0.0212")["answer"] == "review"


def test_what_is_wrong_is_said(service: Service, make_service: MakeService) -> None:
    user = {"assistant": "shop", "messages": [{"role": "user", "content": "Hello?"}]}
    assert service.client.post("/v1/decisions", json=user).status_code == 422
    assert service.client.post("/v1/decisions", json={"assistant": "shop"}).status_code == 422
    off = make_service().client.post(
        "/v1/decisions",
        json={"assistant": "shop", "messages": [{"role": "assistant", "content": "p=0"}]},
    )
    assert off.status_code == 503
    assert "abstain.enabled" in off.json()["detail"]


def test_decisions_are_counted_by_answer_and_reason(service: Service) -> None:
    ask(service, "p=0.9")
    shown = service.client.get("/metrics").text
    line = 'candor_answer_decisions_total{answer="withhold",reason="p_lie_high"} 1.0'
    assert line in shown
    assert "candor_answer_decision_seconds_count 1.0" in shown
