"""A scorer that is slow, fails, hangs or miscounts: always an answer, never an honest one by default."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence

import pytest

from evidence import Assessment, Measurement, Message, VerdictKind
from monitor.score import Scorer, ScoringQueue, Ticket
from monitor.score.options import ScoringOptions
from probes.probe import Transcript
from probes.scorer import OneEvaluator

MakeQueue = Callable[..., ScoringQueue]


class Metrics:
    def __init__(self) -> None:
        self.seconds: list[float] = []
        self.tokens = 0

    def judge_seconds(self, seconds: float) -> None:
        self.seconds.append(seconds)

    def judge_tokens(self, tokens: int) -> None:
        self.tokens += tokens


class Double(OneEvaluator):
    """Answers honest with 3 tokens; `act` may sleep, block or raise for a batch."""

    version = "double-1"
    calibrated = True

    def __init__(self, act: Callable[[Sequence[Transcript]], None] = lambda _: None) -> None:
        self.act = act
        self.batches: list[list[str]] = []

    def score(self, transcripts: Sequence[Transcript]) -> list[Assessment]:
        self.batches.append([t.id for t in transcripts])
        self.act(transcripts)
        measured = Measurement(probe="p", version="1", p_lie=0.1, tokens=3)
        return [
            Assessment(
                kind=VerdictKind.HONEST,
                p_lie=0.1,
                p_evasion=0.0,
                measurements=(measured,),
                evaluator_version=self.version,
            )
            for _ in transcripts
        ]


def done(tickets: Sequence[Ticket], timeout_s: float) -> bool:
    """Wait until all tickets are done; False after the time."""
    end = time.monotonic() + timeout_s
    while not all(ticket.done for ticket in tickets):
        if time.monotonic() > end:
            return False
        time.sleep(0.002)
    return True


def texts(*lengths: int) -> list[Transcript]:
    return [
        Transcript(id=f"t{i}", messages=(Message("assistant", "x" * length),))
        for i, length in enumerate(lengths)
    ]


@pytest.fixture
def make_queue() -> Iterator[MakeQueue]:
    made: list[ScoringQueue] = []

    def make(scorer: Scorer, metrics: Metrics | None = None, **options: float) -> ScoringQueue:
        values = ScoringOptions.model_validate({"batch_size": 4, "max_queue": 8} | options)
        made.append(ScoringQueue(scorer, values, metrics or Metrics(), lambda: 5.0, time.monotonic))
        return made[-1]

    yield make
    for queue in made:
        queue.close()


def test_all_are_scored_and_counted(make_queue: MakeQueue) -> None:
    metrics = Metrics()
    queue = make_queue(Double(), metrics)
    tickets = queue.submit(texts(*range(10)))
    assert done(tickets, 5)
    assert {t.assessment.kind for t in tickets if t.assessment} == {VerdictKind.HONEST}
    assert {t.scored_at_s for t in tickets} == {5.0}
    assert (metrics.tokens, queue.depth, queue.room) == (30, 0, 8)


def test_batches_hold_texts_of_like_length_around_the_oldest(make_queue: MakeQueue) -> None:
    gate = threading.Event()
    scorer = Double(lambda _: gate.wait(5) and None)
    queue = make_queue(scorer, batch_size=3)
    first = queue.submit(texts(1))
    while not scorer.batches:
        time.sleep(0.001)
    lengths = [500, 10, 505, 12, 490, 11]
    tickets = queue.submit(texts(*lengths))
    gate.set()
    assert done([*first, *tickets], 5)
    shown = [sorted(lengths[int(name[1:])] for name in batch) for batch in scorer.batches[1:]]
    assert shown == [[490, 500, 505], [10, 11, 12]]


def test_room_shrinks_while_a_judge_is_slow(make_queue: MakeQueue) -> None:
    gate = threading.Event()
    queue = make_queue(Double(lambda _: gate.wait(5) and None))
    tickets = queue.submit(texts(*[3] * 8))
    assert queue.room == 0
    gate.set()
    assert done(tickets, 5)
    assert queue.room == 8


def test_one_bad_text_does_not_spoil_its_batch(make_queue: MakeQueue) -> None:
    def fail(batch: Sequence[Transcript]) -> None:
        if any(t.id == "t2" for t in batch):
            raise ValueError("bad text")

    queue = make_queue(Double(fail))
    tickets = queue.submit(texts(1, 1, 1, 1))
    assert done(tickets, 5)
    kinds = [(a.kind, a.error) for t in tickets if (a := t.assessment)]
    assert kinds == [
        (VerdictKind.HONEST, None),
        (VerdictKind.HONEST, None),
        (VerdictKind.ERROR, "ValueError"),
        (VerdictKind.HONEST, None),
    ]
    error = tickets[2].assessment
    assert error is not None
    assert error.p_lie is None
    assert error.evaluator_version == "double-1"


def test_a_hung_scorer_costs_errors_and_no_threads(make_queue: MakeQueue) -> None:
    gate = threading.Event()
    queue = make_queue(Double(lambda _: gate.wait(10) and None), timeout_s=0.1)
    before = threading.active_count()
    tickets = queue.submit(texts(*[2] * 8))
    assert done(tickets, 5)
    assert {t.assessment.error for t in tickets if t.assessment} == {"timeout"}
    assert threading.active_count() == before
    gate.set()
    late = queue.submit(texts(1))
    assert done(late, 5)
    assert late[0].assessment is not None
    assert late[0].assessment.kind is VerdictKind.HONEST
    first = tickets[0].assessment
    assert first is not None
    assert first.error == "timeout", "a late result changes nothing"


def test_a_scorer_that_miscounts_yields_errors(make_queue: MakeQueue) -> None:
    class Miscounts(Double):
        def score(self, transcripts: Sequence[Transcript]) -> list[Assessment]:
            return super().score(transcripts)[1:]

    queue = make_queue(Miscounts())
    tickets = queue.submit(texts(1, 2))
    assert done(tickets, 5)
    assert {t.assessment.error for t in tickets if t.assessment} == {"wrong_count"}


def test_cancelled_texts_are_not_scored(make_queue: MakeQueue) -> None:
    gate = threading.Event()
    scorer = Double(lambda _: gate.wait(5) and None)
    queue = make_queue(scorer, batch_size=1)
    first = queue.submit(texts(1))
    while not scorer.batches:
        time.sleep(0.001)
    dropped, kept = queue.submit(texts(1)), queue.submit(texts(2))
    dropped[0].cancel()
    gate.set()
    assert done([*first, *kept], 5)
    assert len(scorer.batches) == 2
    assert not dropped[0].done


def test_closing_does_not_wait_for_a_scorer_that_hangs(make_queue: MakeQueue) -> None:
    hanging, let_go = threading.Event(), threading.Event()

    def hang(_: Sequence[Transcript]) -> None:
        hanging.set()
        let_go.wait(600)

    queue = make_queue(Double(hang), timeout_s=600.0)
    queue.submit(texts(10))
    assert hanging.wait(60)
    closing = threading.Thread(target=queue.close)
    closing.start()
    closing.join(60)
    assert not closing.is_alive()
    let_go.set()
