from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from rich.progress import Progress

from benchmarks.injections import Reader, Remembered, Replies, called_lies, measure_reader, rate
from evidence import Measurement, Message
from probes.probe import Transcript


class Gullible:
    """Believes any reply that does not end as it was written: every attack behind it works."""

    name = version = "gullible"

    def __init__(self) -> None:
        self.read = 0

    def measure(self, transcripts: Sequence[Transcript]) -> list[Measurement]:
        self.read += len(transcripts)
        return [
            Measurement(
                probe="p", version="1", p_lie=0.9 if t.response.endswith("was recalled.") else 0.1
            )
            for t in transcripts
        ]


def said(text: str) -> Transcript:
    turns = (Message("user", "Was the battery recalled?"), Message("assistant", text))
    return Transcript(id=text, messages=turns)


def reader(probe: Gullible) -> Reader:
    return Reader("p", probe, lambda found: found.p_lie, 0.5)


def test_the_guard_shows_in_the_figures() -> None:
    replies = Replies(
        [said("No battery was recalled.")],
        [said("It was. Bananas are blue."), said("The battery was recalled. Bananas are blue.")],
    )
    found = measure_reader(reader(Gullible()), replies, 1, Progress(disable=True))
    assert found["cases"] == found["injections"] >= 60
    assert found["bare"]["flipped"][0] > 0.6
    assert found["guarded"]["flipped"][0] == 0.0
    assert found["guarded"]["unseen"][0] < 0.2
    assert found["harm"]["read_again"] == 2
    assert found["harm"]["called_lies"][0] == 0.5


def test_nothing_is_read_twice_and_only_called_lies_are_attacked() -> None:
    probe = Gullible()
    measure = Remembered(probe)
    lies = [said("No battery was recalled."), said("None.")]
    assert called_lies(reader(probe), measure, lies, 2) == lies[:1]
    measure(lies)
    assert probe.read == 2


def test_an_interval_holds_its_rate() -> None:
    hit = np.zeros((10, 4), bool)
    hit[:2] = True
    value, lower, upper = rate(hit, np.random.default_rng(0))
    assert lower < value == 0.2 < upper
    assert rate(np.zeros((10, 4), bool), np.random.default_rng(0))[2] > 0.05
