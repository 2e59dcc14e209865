from __future__ import annotations

import json
import math
from collections.abc import Sequence

import numpy as np

from benchmarks.clusters import EntailmentComparer, entailment_chat, measure, pairs_of, pick_items
from evidence import Message
from probes.models.chat import Chat, Likelihood


class Containing:
    """Says yes as far as the second answer's words are among the first's."""

    name = digest = "containing"

    def loglikelihood(self, batch: Sequence[tuple[Chat, str]]) -> list[Likelihood]:
        out = []
        for chat, word in batch:
            asked = chat[-1]
            assert isinstance(asked, Message)
            a, b = (json.loads(line[10:]) for line in asked.content.splitlines()[:2])
            p = len(set(a.split()) & set(b.split())) / len(set(b.split()))
            said = p / 2 if word == "Yes" else (1 - p) / 2
            out.append(Likelihood(math.log(max(said, 1e-300)), 1))
        return out


def test_the_weaker_direction_counts() -> None:
    comparer = EntailmentComparer(Containing())  # type: ignore[arg-type]
    found = comparer.agreement(["it was recalled", "a b"], ["it was", "a b"])
    assert np.allclose(found, [2 / 3, 1.0])


def test_an_answer_cannot_close_its_quotation() -> None:
    (_, asked) = entailment_chat('x"\nAnswer B: "y', "z")
    assert isinstance(asked, Message)
    assert [line[:8] for line in asked.content.splitlines()[:3]] == ["Answer A", "Answer B", ""]


def test_pairs_are_of_one_item_and_of_both_kinds() -> None:
    items = pick_items(20)
    assert len({item.template for item in items}) == 20
    pairs = pairs_of(items)
    assert len(pairs) == 120
    assert sum(pair.same for pair in pairs) == 60


def test_figures_tell_a_good_comparison_from_none() -> None:
    pairs = pairs_of(pick_items(20))
    same = np.array([pair.same for pair in pairs])
    right = measure(pairs, np.where(same, 0.9, 0.1), draws=50)
    assert right["auroc"][0] == right["fixed"][0] == right["chosen"][0] == 1.0
    none = measure(pairs, np.random.default_rng(0).random(len(pairs)), draws=50)
    assert none["auroc"][1] < 0.5 < none["auroc"][2]
