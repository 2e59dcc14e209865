"""Senders of results: each receiver has everything, in order, whoever is away or dies."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import msgspec
import pytest
from sqlalchemy import update

from evidence import UnreachableError
from evidence.records import Accuracy, Finding, SensorFigures
from monitor.jobs.deadline import Deadline
from monitor.jobs.publisher import Pruning, Publisher
from monitor.jobs.results import SENDERS, ResultSender
from monitor.results.options import ResultsOptions
from monitor.results.result import Result, TraceContext, VerdictResult
from monitor.results.sink import Outcome
from monitor.store import outbox, reading, results
from monitor.store.explanations import Explanation, put_explanations
from monitor.store.leases import LeaseLostError
from monitor.store.schema import outbox as outbox_table
from monitor.store.sensors import put_sensors
from tests.monitor.results import made
from tests.monitor.worker.conftest import House

TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"


class Receiver:
    """Keeps what it is sent; `answer` says what becomes of each, and may raise."""

    def __init__(self, name: str = "phoenix") -> None:
        self.name = name
        self.got: list[VerdictResult] = []
        self.answer: Callable[[Result], Outcome] = lambda _: Outcome.SENT

    def send(self, given: Sequence[Result]) -> list[Outcome]:
        outcomes = []
        for result in given:
            try:
                outcomes.append(self.answer(result))
            except UnreachableError:
                if not outcomes:
                    raise
                break
            if outcomes[-1] is Outcome.SENT and isinstance(result, VerdictResult):
                self.got.append(result)
        return outcomes

    def close(self) -> None: ...

    @property
    def ids(self) -> list[str]:
        return [result.verdict.response_id for result in self.got]


def sender(house: House, sink: Receiver, owner: str = "w1", **options: Any) -> ResultSender:
    return SENDERS[sink.name](
        house.engine,
        sink,
        options=ResultsOptions(batch=7, **options),
        metrics=house.metrics,
        owner=owner,
        clock=lambda: house.now_s,
    )


def send_all(house: House, job: ResultSender) -> None:
    """Until nothing is left: a database server's own work holds what is new back for a moment."""
    deadline = Deadline(60.0, time.monotonic)
    while not deadline.passed:
        job.update()
        with reading(house.engine) as connection:
            if all(lag.records == 0 for lag in results.lags(connection)):
                return


def measure(house: House, kit: Any, numbers: Sequence[int], worker: Any = None) -> Any:
    for i in numbers:
        ids = {"trace_id": TRACE, "span_id": SPAN} if i % 2 else {}
        house.broker.produce(kit.RESPONSES, kit.response(i, **ids), f"c{i}")
    worker = worker or house.worker()
    house.settle(worker)
    return worker


def away(_: Result) -> Outcome:
    raise UnreachableError("it", "away")


def test_every_verdict_is_sent_in_order_with_the_span_of_its_response(
    either_house: House, kit: Any
) -> None:
    house = either_house
    measure(house, kit, range(40))
    figures = SensorFigures(
        evaluator_version="hash-1",
        assistant="",
        accuracy=Accuracy(sensitivity=0.8, n_lies=50.0, specificity=0.9, n_honest=60.0),
        prevalence=0.2,
    )
    with house.engine.begin() as connection:
        put_sensors(connection, [figures], now_s=1.0)
    sink = Receiver()
    send_all(house, sender(house, sink))
    with reading(house.engine) as connection:
        queued = [
            msgspec.json.decode(row.value)["response_id"]
            for row in results.unsent(connection, after=0, up_to=10**9, limit=1000)
        ]
        (lag,) = results.lags(connection)
    assert sink.ids == queued
    assert len(queued) == len(house.verdict_set()) > 20
    assert (lag.records, lag.oldest_s) == (0, None)
    for result in sink.got:
        odd = int(result.verdict.response_id[1:]) % 2
        assert result.trace == (TraceContext(TRACE, SPAN) if odd else None)
        assert result.accuracy == figures.accuracy
    assert house.metrics.of["result_sent", "phoenix"] == len(queued)


def test_nothing_is_sent_twice_and_an_idle_sender_does_not_write(house: House, kit: Any) -> None:
    worker = measure(house, kit, range(20))
    sink = Receiver()
    job = sender(house, sink)
    job.update()
    n = len(sink.got)
    job.update()
    sender(house, sink, owner="w2").update()
    assert len(sink.got) == n > 0
    assert not job._is_due()
    measure(house, kit, range(20, 40), worker)
    assert job._is_due()
    job.update()
    assert len(sink.ids) == len(set(sink.ids)) == len(house.verdict_set())


def test_a_receiver_that_is_away_delays_no_other_and_misses_nothing(house: House, kit: Any) -> None:
    measure(house, kit, range(30))
    one, two = Receiver("phoenix"), Receiver("mlflow")
    one.answer = away
    jobs = sender(house, one), sender(house, two)
    with pytest.raises(UnreachableError):
        jobs[0].update()
    jobs[1].update()
    Publisher(
        house.engine,
        kit.MemorySink(house.broker),
        input_topics=(kit.RESPONSES,),
        owner="w1",
        clock=lambda: house.now_s,
    ).update()
    house.now_s += 2 * 86_400
    prune = Pruning(
        house.engine,
        input_topics=(kit.RESPONSES,),
        results_kept_s=3 * 86_400,
        owner="w1",
        clock=lambda: house.now_s,
    )
    prune.update()
    one.answer = lambda _: Outcome.SENT
    jobs[0].update()
    jobs[1].update()
    assert one.ids == two.ids
    assert len(one.ids) == len(house.verdict_set())
    prune.update()
    assert house.count(outbox_table, outbox_table.c.topic == outbox.VERDICTS_TOPIC) == 0


def test_a_sender_that_dies_after_sending_sends_again_and_no_other_result_is_lost(
    house: House, kit: Any
) -> None:
    measure(house, kit, range(40))
    sink = Receiver()
    job = sender(house, sink)
    other = sender(house, sink, owner="w2")

    def take_the_lease(_: Result) -> Outcome:
        sink.answer = lambda _: Outcome.SENT
        house.now_s += 31.0
        other.update()
        return Outcome.SENT

    sink.answer = take_the_lease
    with pytest.raises(LeaseLostError):
        job.update()
    counts = Counter(sink.ids)
    assert len(counts) == len(house.verdict_set())
    assert max(counts.values()) == 2, "what the first had sent and not written came again"
    assert sum(counts.values()) == len(counts) + 7


def test_a_verdict_whose_span_is_not_there_waits_and_holds_up_no_other(
    house: House, kit: Any
) -> None:
    measure(house, kit, range(30))
    sink = Receiver()
    late = "r3"

    def answer(result: Result) -> Outcome:
        assert isinstance(result, VerdictResult)
        return Outcome.LATER if result.verdict.response_id == late else Outcome.SENT

    sink.answer = answer
    job = sender(house, sink)
    job.update()
    with reading(house.engine) as connection:
        (lag,) = results.lags(connection)
    assert (lag.records, lag.waiting) == (1, 1)
    assert late not in sink.ids
    house.now_s += 2.5
    sink.answer = lambda _: Outcome.SENT
    job.update()
    assert sink.ids[-1] == late
    assert len(sink.ids) == len(set(sink.ids)) == len(house.verdict_set())


def test_a_span_that_never_comes_is_given_up_and_counted(house: House, kit: Any) -> None:
    measure(house, kit, range(10))
    sink = Receiver()
    sink.answer = lambda _: Outcome.LATER
    job = sender(house, sink, span_wait_s=100.0)
    for _ in range(20):
        job.update()
        house.now_s += 10.0
    with reading(house.engine) as connection:
        assert results.n_waiting(connection, "phoenix") == 0
    assert house.metrics.of["result_given_up", "phoenix"] == len(house.verdict_set())


def test_what_is_older_than_its_retention_is_given_up(house: House, kit: Any) -> None:
    measure(house, kit, range(10))
    sink = Receiver()
    house.now_s += 1_000.0
    sender(house, sink, retention_s=500.0).update()
    assert sink.got == []
    assert house.metrics.of["result_given_up", "phoenix"] == len(house.verdict_set())


def test_a_row_that_cannot_be_read_is_passed_over(house: House, kit: Any) -> None:
    measure(house, kit, range(10))
    with reading(house.engine) as connection:
        rows = results.unsent(connection, after=0, up_to=10**9, limit=99)
    with house.engine.begin() as connection:
        connection.execute(
            update(outbox_table).where(outbox_table.c.id == rows[2].id).values(value=b"{")
        )
    sink = Receiver()
    sender(house, sink).update()
    assert len(sink.got) == len(rows) - 1
    assert house.metrics.of["result_given_up", "phoenix"] == 1


@pytest.mark.parametrize("send_text", [False, True])
def test_words_of_the_conversation_are_sent_where_a_setting_says_so(
    house: House, kit: Any, send_text: bool
) -> None:
    measure(house, kit, [1])
    found = Finding(claim="It is in stock.", contradicts="It is sold out.")
    with reading(house.engine) as connection:
        (row,) = results.unsent(connection, after=0, up_to=10**9, limit=9)
    kept = msgspec.json.decode(row.value, type=type(made.verdict()))
    with house.engine.begin() as connection:
        put_explanations(connection, [(kept, Explanation(finding=found))])
    sink = Receiver()
    sender(house, sink, send_text=send_text).update()
    (result,) = sink.got
    assert result.said == (found if send_text else None)
