"""Training pairs of the reader of premises: a fact turned round changes the label and nothing else."""

from __future__ import annotations

import json
import random
import re
from pathlib import Path

import pytest
import torch

from benchmarks.premise_training.__main__ import loss_of
from benchmarks.premise_training.pairs import Pair, held_out, read_pairs, sentences_of
from benchmarks.premise_training.statements import load_statements, of_scenarios, told
from benchmarks.premise_training.turning import negated, swapped, turned_rows, turned_sentence
from evidence import BadInputError
from probes.scenarios import load_scenarios

POOL = ("The pump was sold in May.", "She has 12 cats.", "It is not open on Monday.")


def test_a_negation_goes_in_and_out() -> None:
    rng = random.Random(0)
    assert negated("It is not open.", rng) == "It is open."
    assert negated("It wasn't open.", rng) == "It was open."
    assert negated("It was open.", rng) in {"It was not open.", "It wasn't open."}
    assert negated("They opened it.", rng) is None
    assert negated("They have cats.", rng) is None


def test_one_number_or_opposite_is_exchanged() -> None:
    rng = random.Random(0)
    for _ in range(20):
        found = swapped("She paid 120 euros in May.", rng)
        assert found is not None
        assert found != "She paid 120 euros in May."
        assert re.fullmatch(r"She paid (\d{3}) euros in (\w+)\.", found)
    assert swapped("The plan was approved.", rng) == "The plan was rejected."
    assert swapped("They like it.", rng) is None
    assert swapped("It is safe in May.", rng, beside="The road is safe.") == "It is unsafe in May."


def test_a_turned_row_keeps_its_premise_and_its_twin() -> None:
    rows = [
        Pair("It cost 12 euros.", "The price was 12 euros.", 0),
        Pair("It cost 12 euros.", "It was 12.", 1),
    ]
    found = turned_rows(rows, random.Random(1))
    assert {pair.premise for pair in found} == {"It cost 12 euros."}
    assert sorted(pair.label for pair in found) == [0] * (len(found) // 2) + [2] * (len(found) // 2)
    assert all((pair.label == 0) == (pair.claim == rows[0].claim) for pair in found)


def test_a_claim_of_a_turned_sentence_has_either_label() -> None:
    rng = random.Random(2)
    pairs = [turned_sentence(POOL, rng) for _ in range(300)]
    entailed = {p.claim for p in pairs if p.label == 0}
    contradicted = {p.claim for p in pairs if p.label == 2}
    assert len(entailed & contradicted) >= 3
    alone = [p for p in pairs if p.premise.count(".") == 1]
    assert all(p.premise.lower().endswith(p.claim[-12:].lower()) for p in alone if p.label == 0)
    assert all(p.claim != p.premise for p in alone if p.label == 2)


def test_statements_give_every_label_to_the_same_words() -> None:
    statements, rng = load_statements(), random.Random(3)
    pairs = [told(statements, statements.templates[:2], POOL, rng) for _ in range(600)]
    words = {k: {re.sub(r"\W+", " ", p.claim) for p in pairs if p.label == k} for k in range(3)}
    assert words[0] & words[2]
    assert all(words.values())
    assert 10 <= sum(one.held_out for one in statements.templates) <= 20
    assert not any("{" in p.premise + p.claim for p in pairs)


def test_scenarios_are_told_both_ways() -> None:
    scenarios = load_scenarios(split="train")[:4]
    pairs = of_scenarios(scenarios, random.Random(4))
    assert sum(p.label == 0 for p in pairs) == sum(p.label == 2 for p in pairs) == 8


def test_held_out_groups_and_kinds_apart_are_not_read(tmp_path: Path) -> None:
    path = tmp_path / "pairs.jsonl"
    row = {"premise": "It is.", "hypothesis": "It was.", "label": "neutral"}
    rows = [row | {"did": k, "kind": "value" if k % 2 else "other"} for k in range(400)]
    path.write_text("".join(json.dumps(one) + "\n" for one in rows))
    kept = [k for k in range(400) if not held_out(str(k))]
    assert 330 <= len(kept) <= 390
    assert len(read_pairs(path, 42)) == len(kept)
    assert len(read_pairs(path, 42, ["other"])) == sum(k % 2 for k in kept)
    assert read_pairs(path, 3) == []
    path.write_text(json.dumps({"premise": "a", "hypothesis": "b", "label": "yes"}))
    with pytest.raises(BadInputError, match="label"):
        read_pairs(path, 42)


def test_sentences_are_whole_and_come_once() -> None:
    pair = Pair("The pump was sold in May. Short one. And this has no full stop", "x", 1)
    assert sentences_of([pair, pair]) == ["The pump was sold in May."]


def test_a_binary_pair_asks_for_not_entailed_alone() -> None:
    sure = torch.tensor([[0.0, -30.0, 30.0]])
    assert loss_of(sure, [Pair("a", "b", 1, binary=True)]).item() == pytest.approx(0.0, abs=1e-6)
    assert loss_of(sure, [Pair("a", "b", 1)]).item() > 50
    assert loss_of(sure, [Pair("a", "b", 2, binary=True)]).item() == pytest.approx(0.0, abs=1e-6)
