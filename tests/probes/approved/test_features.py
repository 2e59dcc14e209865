"""What is read of a response, and that another tone does not move it."""

from __future__ import annotations

import numpy as np
import pytest

from probes.approved.claims import claim, sentences
from probes.approved.features import Weighed, features
from probes.approved.reading import NAMES, fit_reading, left_out

SAID = ("The", " lamp", " was", " recalled", ".")
GREETING = ("Dear", " customer", ",", " thank", " you", ".")


def weighed(*, lie: bool, greeting: bool = False) -> Weighed:
    """A claim that the facts make likely (or unlikely), perhaps behind words that always surprise."""
    neutral = [-0.2, -0.1, -0.1, -6.0 if lie else -0.3, -0.1]
    untold = [-1.0, -4.0, -0.5, -3.0 if lie else -5.0, -0.2]
    tokens = SAID
    if greeting:
        tokens = GREETING + SAID
        neutral = [-7.0, -5.0, -1.0, -4.0, -0.5, -0.5, *neutral]
        untold = [-7.1, -5.1, -1.0, -3.9, -0.5, -0.5, *untold]
    return Weighed(tokens, np.array(neutral), None, np.array(untold))


def test_the_claim_is_the_sentence_that_the_facts_bear_on() -> None:
    found = weighed(lie=False, greeting=True)
    assert found.claim == range(6, 11)
    assert "".join(found.tokens[6:11]) == "".join(SAID)


def test_a_long_farewell_is_no_claim() -> None:
    """Each of its many words gains a little by the facts, none much."""
    one = weighed(lie=False)
    assert one.untold is not None
    tokens = (*SAID, *[" word"] * 40, ".")
    slight = np.full(41, -0.5)
    found = Weighed(
        tokens,
        np.concatenate([one.neutral, slight]),
        None,
        np.concatenate([one.untold, slight - 0.4]),
    )
    assert found.claim == range(5)


@pytest.mark.parametrize("word", [" has", " been", ","])
def test_another_tense_is_not_what_the_facts_speak_against(word: str) -> None:
    one = weighed(lie=False)
    assert one.untold is not None
    put = Weighed(
        (*SAID[:2], word, *SAID[3:]),
        np.concatenate([one.neutral[:2], [-14.0], one.neutral[3:]]),
        None,
        np.concatenate([one.untold[:2], [-4.0], one.untold[3:]]),
    )
    assert features(put)["told_most_nats"] == features(one)["told_most_nats"]
    denied = put._replace(tokens=(*SAID[:2], " not", *SAID[3:]))
    assert features(denied)["told_most_nats"] == pytest.approx(10.0)


@pytest.mark.parametrize("lie", [True, False])
def test_a_greeting_moves_nothing_but_the_surprise_of_the_whole(lie: bool) -> None:
    plain, polite = features(weighed(lie=lie)), features(weighed(lie=lie, greeting=True))
    assert polite["surprise_nats"] > plain["surprise_nats"]
    for name in NAMES:
        assert polite[name] == pytest.approx(plain[name])


def test_what_the_facts_speak_against_is_told_from_what_they_support() -> None:
    honest, lie = features(weighed(lie=False)), features(weighed(lie=True))
    assert honest["told_nats"] < 0.0
    assert lie["told_most_nats"] == pytest.approx(3.0)
    assert lie["claim_nats"] > honest["claim_nats"]
    assert lie["told_share"] > honest["told_share"]


def test_without_told_facts_the_whole_response_is_the_claim() -> None:
    alone = Weighed(GREETING + SAID, weighed(lie=True, greeting=True).neutral)
    found = features(alone)
    assert alone.claim == range(11)
    assert found["told_nats"] == 0.0
    assert found["claim_nats"] == pytest.approx(found["surprise_nats"])


def test_an_earlier_answer_lends_likelihood_to_its_repetition() -> None:
    one = weighed(lie=True)
    with_earlier = one._replace(neutral=one.neutral + 1.0, fresh=one.neutral)
    assert features(with_earlier)["earlier_nats"] == pytest.approx(1.0)


def test_the_own_version_counts_by_the_text_and_not_by_its_tokens() -> None:
    one = weighed(lie=True)
    assert "own_nats" not in features(one)
    mean = float(one.neutral.mean())
    assert features(one._replace(own=-1.0))["own_nats"] == pytest.approx(-1.0 / 5 - mean)


def test_sentences_end_where_they_end() -> None:
    tokens = ("It", " is", " so", ".", " 3", ".5", " kg", "!", " Bye")
    assert sentences(tokens) == [range(4), range(4, 8), range(8, 9)]
    assert claim(tokens, np.zeros(9)) == range(4)


def test_a_reading_is_fitted_and_left_out_by_wording() -> None:
    rng = np.random.default_rng(0)
    rows, labels, groups = [], [], []
    for i in range(120):
        lie = bool(i % 2)
        row = features(weighed(lie=lie))
        rows.append({name: value + rng.normal(0, 1.0) for name, value in row.items()})
        labels.append(lie)
        groups.append(str(i // 6))
    reading = fit_reading(rows, labels)
    p = left_out(rows, labels, groups)
    y = np.array(labels)
    assert p[y].mean() > 0.7
    assert p[~y].mean() < 0.3
    far = dict.fromkeys(rows[0], 1000000.0)
    assert 0.0 < reading.p_lie(far) < 1.0, "what was never seen counts as the furthest that was"
