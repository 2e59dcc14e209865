from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from numpy.typing import NDArray

from probes.compare import PremiseComparer, agreements
from probes.consistency import clusters
from probes.premise import PremiseReader


class ByLength:
    """A text bears out any shorter one and contradicts any longer one; of bananas it knows nothing."""

    digest = "length"

    def __init__(self) -> None:
        self.asked: list[tuple[str, str]] = []

    def read(self, pairs: Sequence[tuple[str, str]]) -> NDArray[np.float64]:
        self.asked += pairs
        rows = [
            (0, 1, 0) if "banana" in a + b else (0.9, 0.1, 0) if len(a) > len(b) else (0, 0.2, 0.8)
            for a, b in pairs
        ]
        return np.array(rows, float).reshape(len(pairs), 3)


def test_both_ways_count_and_what_says_nothing_is_one_half() -> None:
    found = PremiseComparer(ByLength()).agreement(
        ["It was so.", "A banana."], ["It was.", "It was."]
    )
    assert found == [pytest.approx(0.95 / 1.8), 0.5]


def test_yes_and_no_to_one_question_never_agree() -> None:
    reader = ByLength()
    answers = ["Yes, it was.", "“No”, it said.", "Yes.", "So it  was."]
    responses = ["No, it was not.", "YES!", "Yes.", "So it was."]
    assert PremiseComparer(reader).agreement(answers, responses) == [0.0, 0.0, 1.0, 1.0]
    assert reader.asked == []


def test_a_pair_is_read_once() -> None:
    reader = ByLength()
    found = PremiseComparer(reader).agreement(["It was so."] * 3, ["It was."] * 3)
    assert len(set(found)) == 1
    assert len(reader.asked) == 2


def test_opposed_answers_are_not_one_cluster() -> None:
    found = agreements(PremiseComparer(ByLength()), ["Yes.", "No.", "Yes, really."])
    assert found[0, 1] == found[1, 0] == 0.0
    assert np.diag(found).tolist() == [1.0, 1.0, 1.0]
    assert clusters(found) == [0, 1, 0]


@pytest.mark.model
def test_the_packaged_reader_sees_what_likeness_of_words_does_not() -> None:
    comparer = PremiseComparer(PremiseReader.packaged())
    stated = "The pump failed its pressure test in March."
    answers = [
        "The pressure test in March went badly: the pump failed.",
        "The pump passed its pressure test in March.",
    ]
    same, turned = comparer.agreement(answers, [stated, stated])
    assert same > 0.5 > turned
