"""A store as it is after months of traffic, for `benchmarks.console`: written in bulk, with the product's own rows."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from typing import Any

import msgspec
from sqlalchemy import Engine, Table, select, text

from benchmarks.console_rest import (
    ASSISTANTS,
    EVALUATOR,
    RATERS,
    SEGMENTS,
    fill_the_rest,
    rater_name,
)
from evidence import (
    Assessment,
    Measurement,
    Message,
    Purpose,
    SampledBy,
    Stratum,
    Verdict,
    VerdictKind,
)
from evidence.outcomes import encode_outcomes, outcomes
from evidence.records import Finding, Response
from monitor.store import tally
from monitor.store.explanations import Explanation, pack_explanation
from monitor.store.intake import MATCHED, pack_body
from monitor.store.schema import (
    feedback,
    findings,
    responses,
    verdict_log,
    verdicts,
)
from monitor.store.verdicts import live_slot

DAYS = 90
DAY_S = 86_400.0
_BATCH = 20_000
_KINDS = (
    (VerdictKind.HONEST, 0.82, 0.08),
    (VerdictKind.LIE, 0.06, 0.91),
    (VerdictKind.EVASION, 0.02, 0.4),
    (VerdictKind.UNDECIDED, 0.05, 0.5),
    (VerdictKind.NO_BELIEF, 0.03, 0.3),
    (VerdictKind.NOT_ASSERTED, 0.015, 0.1),
    (VerdictKind.ERROR, 0.005, None),
)
_WORDS = [
    "the",
    "order",
    "was",
    "sent",
    "on",
    "Monday",
    "and",
    "arrives",
    "within",
    "three",
    "days",
    "unless",
    "the",
    "carrier",
    "is",
    "late",
    "which",
    "happens",
    "in",
    "winter",
    "a",
    "refund",
    "takes",
    "five",
    "days",
    "article",
    "stock",
    "price",
    "colour",
    "size",
    "shelf",
    "store",
    "manager",
    "return",
    "label",
]


class Made(msgspec.Struct, frozen=True):
    """One response with its verdict."""

    number: int
    response: Response
    verdict: Verdict


def fill(engine: Engine, count: int, now_s: float, say: Callable[[str], None]) -> None:
    """Write `count` verdicts of 90 days up to `now_s` with their responses, a fifth of them rated, and
    everything else that the console shows."""
    for start in range(0, count, _BATCH):
        numbers = range(start, min(count, start + _BATCH))
        made = [_made(number, count, now_s) for number in numbers]
        load(engine, responses, (_response(one) for one in made))
        load(engine, verdicts, (_verdict(one.verdict) for one in made))
        load(engine, verdict_log, (_logged(one.verdict) for one in made))
        load(engine, findings, (_finding(one.verdict) for one in made if one.number % 16 == 0))
        with engine.begin() as connection:
            tally.count_new(connection, (one.verdict for one in made))
            tally.fold(connection)
        load(engine, feedback, (_rated(one) for one in made if one.number % 5 == 0))
        say(f"{numbers.stop} of {count} verdicts")
    fill_the_rest(engine, load, now_s)
    with engine.begin() as connection:
        connection.execute(text("ANALYZE"))


def load(engine: Engine, table: Table, rows: Iterable[dict[str, Any]]) -> None:
    """Write rows by the driver's fastest way; every row has the columns of the first."""
    ready = iter(rows)
    first = next(ready, None)
    if first is None:
        return
    names = list(first)
    values = (tuple(row[name] for name in names) for row in _after(first, ready))
    columns = ", ".join(f'"{name}"' for name in names)
    raw = engine.raw_connection()
    try:
        driver: Any = raw.driver_connection
        if engine.dialect.name == "postgresql":
            with (
                driver.cursor() as cursor,
                cursor.copy(f'COPY "{table.name}" ({columns}) FROM STDIN') as copy,
            ):
                for row in values:
                    copy.write_row(row)
            driver.commit()
            return
        marks = ", ".join("?" * len(names))
        driver.execute("BEGIN")
        driver.executemany(f'INSERT INTO "{table.name}" ({columns}) VALUES ({marks})', values)  # noqa: S608
        driver.execute("COMMIT")
    finally:
        raw.close()


def _after(first: dict[str, Any], rest: Iterator[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    yield first
    yield from rest


def _made(number: int, count: int, now_s: float) -> Made:
    rng = random.Random(number)
    assistant = ASSISTANTS[min(2, int(rng.random() * rng.random() * 4))]
    stratum = Stratum(assistant, SEGMENTS[rng.random() < 0.3])
    at_s = now_s - DAYS * DAY_S * (1.0 - (number + 1) / count)
    model = f"{assistant}-{1 + 3 * number // count}"
    said = " ".join(rng.choices(_WORDS, k=60))
    response = Response(
        response_id=f"r{number}", stratum=stratum, model=model, conversation_id=f"c{number}",
        rater=rater_name(rng.randrange(RATERS)), created_at_s=at_s - 30.0,
        messages=(
            Message("system", "You are the assistant of a company. " + " ".join(rng.choices(_WORDS, k=30))),
            Message("user", f"Question {number}: " + " ".join(rng.choices(_WORDS, k=12)) + "?"),
            Message("assistant", said),
        ),
    )  # fmt: skip
    kind, _, p_lie = rng.choices(_KINDS, weights=[share for _, share, _ in _KINDS])[0]
    drifted = 2.0 if number > 0.97 * count and assistant == "shop" else 1.0
    if drifted > 1.0 and rng.random() < 0.1:
        kind, p_lie = VerdictKind.LIE, 0.9
    measured = tuple(
        Measurement(probe=name, version="v", p_lie=p_lie, answers={"shift_nats": 0.3})
        for name in ("approved", "judge", "actions")
    )
    verdict = Verdict(
        key=hashlib.sha256(str(number).encode()).hexdigest(), response_id=response.response_id,
        stratum=stratum, model=model, purpose=Purpose.LIVE, repeat=0, sampled_by=SampledBy.ARRIVAL,
        inclusion_probability=0.2, created_at_s=at_s - 30.0, scored_at_s=at_s,
        assessment=Assessment(
            kind=kind, p_lie=p_lie, p_evasion=0.1, measurements=measured, evaluator_version=EVALUATOR,
            error="timeout" if kind is VerdictKind.ERROR else None,
        ),
    )  # fmt: skip
    return Made(number, response, verdict)


def _response(made: Made) -> dict[str, Any]:
    one, at_s = made.response, made.verdict.scored_at_s
    return {
        "assistant": one.stratum.assistant, "response_id": one.response_id, "stratum": one.stratum.key,
        "segment": one.stratum.segment, "stakes": one.stratum.stakes.value, "model": one.model,
        "conversation_id": one.conversation_id, "rater": one.rater, "created_at_s": one.created_at_s,
        "received_at_s": at_s - 20.0, "u": 0.1, "pi_arrival": 0.2, "pi_feedback": 1.0,
        "sampled_by": "arrival", "skip_reason": None, "awaits_verdict": False,
        "body": pack_body(one), "content_digest": b"0" * 32, "shares_id": False, "cluster_id": "c",
        "topic": "t", "partition": 0, "offset": made.number,
    }  # fmt: skip


def _verdict(one: Verdict) -> dict[str, Any]:
    stratum, assessment = one.stratum, one.assessment
    return {
        "key": one.key, "assistant": stratum.assistant, "response_id": one.response_id,
        "purpose": one.purpose.value, "repeat": 0,
        "live_slot": live_slot(stratum.assistant, one.response_id), "stratum": stratum.key,
        "segment": stratum.segment, "stakes": stratum.stakes.value, "model": one.model,
        "kind": assessment.kind.value, "p_lie": assessment.p_lie, "p_evasion": assessment.p_evasion,
        "sampled_by": one.sampled_by.value, "inclusion_probability": one.inclusion_probability,
        "evaluator_version": assessment.evaluator_version, "record": msgspec.json.encode(one).decode(),
        "created_at_s": one.created_at_s, "scored_at_s": one.scored_at_s,
        "outcomes": encode_outcomes(outcomes(assessment)),
    }  # fmt: skip


def _logged(one: Verdict) -> dict[str, Any]:
    return {"stratum": one.stratum.key, "verdict_key": one.key}


def _finding(one: Verdict) -> dict[str, Any]:
    told = Finding(claim="The order was sent on Monday.", contradicts="It was not sent.")
    return {
        "verdict_key": one.key, "assistant": one.stratum.assistant, "response_id": one.response_id,
        "body": pack_explanation(Explanation(told, {"judge": told})),
    }  # fmt: skip


def _rated(made: Made) -> dict[str, Any]:
    at_s = made.verdict.scored_at_s + 60.0
    return {
        "assistant": made.response.stratum.assistant, "feedback_id": f"f{made.number}",
        "response_id": made.response.response_id, "rater": rater_name(made.number * 7919 % RATERS),
        "created_at_s": at_s, "received_at_s": at_s, "value": 1.0 if made.number % 10 else -1.0,
        "kind": "thumb", "text": None, "state": MATCHED, "content_digest": None, "cluster_id": "c",
        "topic": "f", "partition": 0, "offset": made.number,
    }  # fmt: skip


def newest_keys(engine: Engine, limit: int) -> Sequence[tuple[str, str, str]]:
    """Key, assistant and response of the newest lies."""
    query = (
        select(verdicts.c.key, verdicts.c.assistant, verdicts.c.response_id)
        .where(verdicts.c.kind == VerdictKind.LIE.value)
        .order_by(verdicts.c.scored_at_s.desc())
    )
    with engine.connect() as connection:
        return [tuple(row) for row in islice(connection.execute(query.limit(limit)), limit)]
