"""Measuring while somebody waits: never longer than they may, never more than fit, never an exception."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from evidence import Assessment, Message, VerdictKind
from monitor.abstain.asking import Asker, Failure, OneAtATime
from probes.cascade import goes_on
from probes.probe import Transcript
from probes.scorer import OneEvaluator

TURN = Transcript(id="t", messages=(Message("assistant", "Yes."),))
FINE = Assessment(
    kind=VerdictKind.HONEST, p_lie=0.1, p_evasion=0.0, measurements=(), evaluator_version="v"
)


def test_an_answer_in_time() -> None:
    asker = Asker(lambda _transcript: FINE, max_waiting=2)
    assert asker.ask(TURN, 5.0) is FINE
    asker.close()


def test_whoever_waits_too_long_is_told_in_time() -> None:
    go = threading.Event()

    def slow(_transcript: Transcript) -> Assessment:
        go.wait(10)
        return FINE

    asker = Asker(slow, max_waiting=2)
    started = time.monotonic()
    assert asker.ask(TURN, 0.1) is Failure.TIMEOUT
    assert time.monotonic() - started < 2.0
    # The measurement in progress keeps its place; one more may wait, a third is refused at once.
    with ThreadPoolExecutor(1) as other:
        waiting = other.submit(asker.ask, TURN, 5.0)
        end = time.monotonic() + 5
        while asker.ask(TURN, 0.01) is not Failure.OVERLOADED:
            assert time.monotonic() < end
        go.set()
        assert waiting.result(5) is FINE
    assert asker.ask(TURN, 5.0) is FINE, "the places are free again"
    asker.close()


def test_each_answer_has_a_name_of_its_own_for_the_cascade() -> None:
    names: list[str] = []

    def score(transcript: Transcript) -> Assessment:
        names.append(transcript.id)
        return FINE

    asker = Asker(score, max_waiting=2)
    for k in [*range(400), 0]:
        said = Message("assistant", f"It is {k}.")
        asker.ask(Transcript(id="decision", messages=(said,)), 5.0)
    asker.close()
    assert len(set(names)) == 400
    assert names[0] == names[-1]
    taken = [goes_on(Transcript(id=name, messages=()), 0.05, "v") for name in names]
    assert 8 <= sum(taken) <= 36


class Busy(OneEvaluator):
    """Tells when two call it at once, as a model with hooks in place would."""

    version = "busy"
    calibrated = True
    figures = ()

    def __init__(self) -> None:
        self.inside = 0
        self.most = 0

    def score(self, transcripts: Sequence[Transcript]) -> list[Assessment]:
        self.inside += 1
        self.most = max(self.most, self.inside)
        time.sleep(0.005)
        self.inside -= 1
        return [FINE for _ in transcripts]


def test_a_shared_scorer_is_called_by_one_at_a_time() -> None:
    busy = Busy()
    shared = OneAtATime(busy)
    with ThreadPoolExecutor(6) as callers:
        found = list(callers.map(lambda _: shared.score([TURN]), range(24)))
    assert (busy.most, len(found), shared.version_of("shop")) == (1, 24, "busy")


def test_a_scorer_that_breaks_is_a_failure_and_not_an_exception() -> None:
    def broken(_transcript: Transcript) -> Assessment:
        raise RuntimeError("out of memory")

    asker = Asker(broken, max_waiting=1)
    for _ in range(3):
        assert asker.ask(TURN, 1.0) is Failure.SCORER
    asker.close()
