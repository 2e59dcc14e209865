from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from probes.compare import LIKENESS, EmbeddingComparer, likeness, same_meaning
from probes.consistency import clusters


class Alike:
    """All texts point the same way but those about bananas."""

    digest = "alike"

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        return np.array([[0, 1] if "banana" in text else [1, 0] for text in texts], np.float32)


def test_half_at_the_likeness_that_counts_and_rising() -> None:
    assert same_meaning(LIKENESS) == 0.5
    assert same_meaning(0.2) < same_meaning(0.6) < same_meaning(1.0)


def test_yes_and_no_to_one_question_never_agree() -> None:
    comparer = EmbeddingComparer(Alike())
    answers = ["Yes, it was.", "Yes, it was.", "“No”, it said.", "Yes.", "Nobody knows.", "Yes."]
    responses = ["No, it was not.", "It was.", "YES!", "yes, so it was", "Yes.", "A banana."]
    found = comparer.agreement(answers, responses)
    assert [round(p) for p in found] == [0, 1, 0, 1, 1, 0]


def test_opposed_answers_are_not_one_cluster() -> None:
    found = likeness(Alike(), ["Yes.", "No.", "Yes, really.", "A banana."])
    assert found[0, 1] == found[1, 0] == -1.0
    assert clusters(found, LIKENESS) == [0, 1, 0, 2]
