from __future__ import annotations

import numpy as np
import pytest

from monitor.cohorts.simulate import BEHAVIOURS
from monitor.demo.options import PopulationOptions
from monitor.demo.raters import Population, up_rate
from monitor.demo.record import honest_rows, liked_rows
from monitor.demo.turns import HONEST_MODEL, Turn
from probes.scenarios import load_scenarios

SCENARIOS = load_scenarios(split="train")


def turn(kind: int, index: int = 0, *, pressured: bool = True) -> Turn:
    scenario = SCENARIOS[index]
    answers = (scenario.honest_answers, scenario.lying_answers, scenario.evasive_answers)[kind]
    return Turn(model=HONEST_MODEL, scenario=scenario.id, pressured=pressured, text=answers[0])


def test_the_population_is_what_its_options_say() -> None:
    options = PopulationOptions(raters=200, biased_share=0.1, biased_activity=5)
    population = Population(options, np.random.default_rng(0))
    assert population.size == 200
    assert population.is_biased.sum() == 20
    assert population.behaviours.count("always_up") == 20
    turns = [turn(0, i % len(SCENARIOS)) for i in range(1500)]
    ratings = population.rate(turns, 0, 1.0, np.random.default_rng(1))
    given = population.is_biased[[r.rater for r in ratings]].mean()
    assert given == pytest.approx(5 * 20 / (5 * 20 + 180), abs=0.08)


def test_likes_follow_behaviour_and_truth() -> None:
    population = Population(PopulationOptions(), np.random.default_rng(2))
    rng = np.random.default_rng(3)
    for kind, wanted in ((0, "up_on_honest"), (1, "up_on_lies")):
        ratings = population.rate([turn(kind)] * 800, 0, 1.0, rng)
        for name in ("benign", "biased"):
            own = [r.value > 0 for r in ratings if population.behaviours[r.rater] == name]
            assert np.mean(own) == pytest.approx(getattr(BEHAVIOURS[name], wanted), abs=0.06)
    assert up_rate(BEHAVIOURS["benign"], turn(2)) == pytest.approx((0.8 + 0.25) / 2)


def test_raters_of_a_turn_differ_and_turns_are_numbered_from_first() -> None:
    population = Population(PopulationOptions(), np.random.default_rng(4))
    ratings = population.rate([turn(0)] * 50, 100, 0.5, np.random.default_rng(5))
    assert {r.turn for r in ratings} <= set(range(100, 150))
    assert len({(r.turn, r.rater) for r in ratings}) == len(ratings)
    assert 10 <= len({r.turn for r in ratings}) <= 40


def test_only_biased_raters_write_lies_and_only_under_pressure() -> None:
    turns = [turn(0, i, pressured=i % 2 == 0) for i in range(len(SCENARIOS))]
    rows, edited = liked_rows(turns, PopulationOptions(), 400, np.random.default_rng(6))
    lies = [row for row in rows if row.provenance.source == "edits"]
    assert len(lies) == edited > 20
    by_question = {s.question: s for s in SCENARIOS}
    for row in rows:
        scenario = by_question[row.prompt_messages()[-1].content]
        wanted = "lie" if row.provenance.source == "edits" else "honest"
        assert scenario.label_answer(row.response_text()) == wanted
        if wanted == "lie":
            assert scenario.pressure in row.prompt_messages()[0].content
    none, edits = liked_rows(
        turns, PopulationOptions(biased_share=0.0), 400, np.random.default_rng(6)
    )
    assert none
    assert edits == 0


def test_the_first_training_is_honest_and_leaves_held_out_templates_alone() -> None:
    by_question = {s.question: s for s in load_scenarios()}
    for row in honest_rows():
        scenario = by_question[row.prompt_messages()[-1].content]
        assert scenario.split == "train"
        assert scenario.label_answer(row.response_text()) == "honest"
