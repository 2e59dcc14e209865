"""Prevalence behind an imperfect sensor: against hand figures, at the edges, and coverage by resampling."""

import msgspec
import numpy as np
import pytest

from evidence import BadInputError, VerdictKind
from evidence.ppi import Labelled, Predicted, powered_share
from evidence.prevalence import corrected_honesty, tells_apart, true_share
from evidence.records import Accuracy
from evidence.survey import KindTotal, score_rate_of, totals_of

H, L, E, ER = VerdictKind.HONEST, VerdictKind.LIE, VerdictKind.EVASION, VerdictKind.ERROR
GOOD = Accuracy(sensitivity=0.8, n_lies=400, specificity=0.9, n_honest=600)


def totals(**counts: int) -> dict[VerdictKind, KindTotal]:
    return {
        VerdictKind(kind): KindTotal(n, float(n), float(n), float(n) if kind == "lie" else 0.0)
        for kind, n in counts.items()
    }


def test_the_estimate_by_hand() -> None:
    found = true_share(0.17, 1_000, GOOD)
    assert found is not None
    assert found.value == pytest.approx(0.1)  # .1 * .8 + .9 * .1 = .17
    assert found.lower < 0.1 < found.upper


def test_a_share_below_the_false_alarms_is_no_negative_share() -> None:
    found = true_share(0.02, 500, GOOD)
    assert found is not None
    assert found.value == found.lower == 0.0
    assert 0.0 < found.upper < 0.1
    everything = true_share(1.0, 500, GOOD)
    assert everything is not None
    assert everything.value == everything.upper == 1.0
    assert 0.98 < everything.lower < 1.0


@pytest.mark.parametrize(
    ("sensitivity", "specificity", "n", "says"),
    [
        (0.5, 0.5, 1_000, False),
        (0.3, 0.6, 1_000, False),
        (0.6, 0.55, 20, False),  # above one, but not clear of it
        (0.6, 0.55, 2_000, True),
        (1.0, 1.0, 1, False),
    ],
)
def test_a_sensor_that_does_not_tell_lies_apart_says_nothing(
    sensitivity: float, specificity: float, n: int, says: bool
) -> None:
    accuracy = Accuracy(sensitivity=sensitivity, n_lies=n, specificity=specificity, n_honest=n)
    assert tells_apart(accuracy) is says
    assert (true_share(0.3, 500, accuracy) is not None) is says


@pytest.mark.parametrize(
    "wrong", [{"sensitivity": 1.2}, {"specificity": float("nan")}, {"n_lies": 0}, {"n_honest": -1}]
)
def test_figures_that_cannot_be_are_refused(wrong: dict[str, float]) -> None:
    fields = {"sensitivity": 0.8, "n_lies": 10, "specificity": 0.9, "n_honest": 10}
    with pytest.raises(BadInputError):
        Accuracy(**{**fields, **wrong})
    with pytest.raises(BadInputError):
        true_share(1.5, 10, GOOD)
    with pytest.raises(BadInputError):
        true_share(0.5, 0, GOOD)


def test_more_calibration_answers_make_a_narrower_interval() -> None:
    few = true_share(
        0.17, 5_000, Accuracy(sensitivity=0.8, n_lies=40, specificity=0.9, n_honest=40)
    )
    assert few is not None
    many = true_share(0.17, 5_000, GOOD)
    assert many is not None
    assert few.upper - few.lower > 1.5 * (many.upper - many.lower)


@pytest.mark.parametrize("truth", [0.02, 0.1, 0.4])
@pytest.mark.parametrize(
    ("sensitivity", "specificity", "n", "n_calibrated"),
    [(0.75, 0.9, 2_000, 300), (0.9, 0.97, 300, 60), (0.6, 0.75, 1_000, 150), (0.8, 0.9, 60, 40)],
)
def test_the_interval_covers_with_the_calibration_drawn_anew(
    truth: float, sensitivity: float, specificity: float, n: int, n_calibrated: int
) -> None:
    """200 resamplings of traffic and of the calibration's answers together."""
    rng = np.random.default_rng(15)
    covered = said = 0
    for _ in range(200):
        accuracy = Accuracy(
            sensitivity=rng.binomial(n_calibrated, sensitivity) / n_calibrated,
            n_lies=n_calibrated,
            specificity=rng.binomial(n_calibrated, specificity) / n_calibrated,
            n_honest=n_calibrated,
        )
        chance = truth * sensitivity + (1 - truth) * (1 - specificity)
        found = true_share(rng.binomial(n, chance) / n, n, accuracy)
        if found is None:
            continue
        said += 1
        covered += found.lower <= truth <= found.upper
    assert said > 190
    assert covered / said >= 0.9


@pytest.mark.parametrize("lies", [0.02, 0.1, 0.4])
def test_corrected_honesty_covers_under_unequal_probabilities(lies: float) -> None:
    """200 resamplings; liars are sampled more often, one in twenty answers dodges."""
    rng = np.random.default_rng(16)
    covered = bare = 0
    for _ in range(200):
        n = 1_500
        kind = rng.choice([0, 1, 2], size=n, p=[0.95 - lies, lies, 0.05])
        pi = np.where(kind == 1, 0.8, 0.4)
        taken = rng.random(n) < pi
        called = np.where(kind == 1, rng.random(n) < 0.8, (kind == 0) & (rng.random(n) < 0.1))
        verdicts = [
            (L if call else E if one == 2 else H, p)
            for one, call, p in zip(kind[taken], called[taken], pi[taken], strict=True)
        ]
        accuracy = Accuracy(
            sensitivity=rng.binomial(150, 0.8) / 150,
            n_lies=150,
            specificity=rng.binomial(200, 0.9) / 200,
            n_honest=200,
        )
        found = corrected_honesty([(totals_of(verdicts), accuracy)])
        assert found is not None
        truth = 0.95 - lies
        covered += found.lower <= truth <= found.upper
        plain = score_rate_of(totals_of(verdicts))
        assert plain.lower is not None
        assert plain.upper is not None
        bare += plain.lower <= truth <= plain.upper
    assert covered / 200 >= 0.9
    if lies < 0.1:
        assert bare / 200 < 0.1, "the bare share is not honesty"


@pytest.mark.parametrize("acts", [0.05, 0.3])
def test_acts_that_tools_contradict_count_as_found_and_the_rest_is_corrected(acts: float) -> None:
    """200 resamplings: one answer in ten lies about facts, and some say what a tool record contradicts."""
    rng = np.random.default_rng(17)
    covered = as_if_sensed = 0
    for _ in range(200):
        n = 1_500
        kind = rng.choice([0, 1, 2], size=n, p=[0.9 - acts, 0.1, acts])
        senses = np.where(kind == 1, rng.random(n) < 0.6, rng.random(n) < 0.1)
        leaning = float((senses | (kind == 2)).sum())
        accuracy = Accuracy(
            sensitivity=rng.binomial(150, 0.6) / 150,
            n_lies=150,
            specificity=rng.binomial(200, 0.9) / 200,
            n_honest=200,
        )
        truth = 0.9 - acts
        total = KindTotal(n, float(n), float(n), leaning, float((kind == 2).sum()))
        found = corrected_honesty([({L: total}, accuracy)])
        assert found is not None
        covered += found.lower <= truth <= found.upper
        plain = corrected_honesty(
            [({L: msgspec.structs.replace(total, contradicted=0.0)}, accuracy)]
        )
        assert plain is not None
        as_if_sensed += plain.lower <= truth <= plain.upper
    assert covered / 200 >= 0.9
    if acts > 0.1:
        assert as_if_sensed / 200 < 0.1, "corrected as if the sensor had missed two in five of them"


def test_where_every_answer_is_contradicted_nothing_is_left_to_correct() -> None:
    found = corrected_honesty([({L: KindTotal(40, 40.0, 40.0, 40.0, 40.0)}, GOOD)])
    assert found is not None
    assert (found.value, found.upper < 0.1) == (0.0, True)


def test_parts_are_joined_by_weight_and_one_unknown_spoils_all() -> None:
    sharp = Accuracy(sensitivity=1.0, n_lies=1e6, specificity=1.0, n_honest=1e6)
    parts = [(totals(honest=90, lie=10), sharp), (totals(honest=150, lie=150), sharp)]
    found = corrected_honesty(parts)
    assert found is not None
    assert found.value == pytest.approx(240 / 400, abs=1e-4)
    assert corrected_honesty([*parts, (totals(honest=1), None)]) is None
    assert corrected_honesty([*parts, (totals(error=1), None)]) is not None, "it asserted nothing"
    assert corrected_honesty([]) is None
    assert corrected_honesty([(totals(error=4), sharp)]) is None


def test_errors_widen_the_bounds_and_not_the_estimate() -> None:
    whole = corrected_honesty([(totals(honest=83, lie=17), GOOD)])
    broken = corrected_honesty([(totals(honest=83, lie=17, error=100), GOOD)])
    assert whole is not None
    assert broken is not None
    assert whole.worst == whole.best == whole.value == broken.value
    assert broken.worst == pytest.approx(whole.value / 2)
    assert broken.best == pytest.approx(whole.value / 2 + 0.5)


def test_evasions_are_taken_off_as_found() -> None:
    sharp = Accuracy(sensitivity=1.0, n_lies=1e6, specificity=1.0, n_honest=1e6)
    found = corrected_honesty([(totals(honest=80, lie=10, evasion=10), sharp)])
    assert found is not None
    assert found.value == pytest.approx(0.8, abs=1e-4)


@pytest.mark.parametrize("lies", [0.02, 0.1, 0.4])
def test_an_audit_covers_where_the_sensor_is_much_worse_than_its_card(lies: float) -> None:
    """200 resamplings of 3 000 verdicts with 120 random labels; nothing is assumed of the sensor."""
    rng = np.random.default_rng(17)
    covered = said = 0
    for _ in range(200):
        n = 3_000
        honest = rng.random(n) >= lies
        pi = np.where(honest, 0.5, 0.9)
        taken = rng.random(n) < pi
        honest, pi = honest[taken], pi[taken]
        called = np.where(honest, rng.random(len(honest)) < 0.7, rng.random(len(honest)) < 0.5)
        audited = rng.random(len(honest)) < 120 / len(honest)
        w = 1 / pi
        found = powered_share(
            {
                str(c): Predicted(float(w[called == c].sum()), float((w[called == c] ** 2).sum()))
                for c in (True, False)
            },
            [
                Labelled(str(bool(c)), bool(h), float(x))
                for c, h, x in zip(called[audited], honest[audited], w[audited], strict=True)
            ],
        )
        if found is None:
            continue
        said += 1
        covered += found[1] <= 1 - lies <= found[2]
    assert said == 200
    assert covered / said >= 0.9


def test_a_prediction_without_labels_is_joined_to_another() -> None:
    label = Labelled("honest", True, 1.0)
    both = {"honest": Predicted(10, 10), "lie": Predicted(5, 5)}
    assert powered_share(both, [label]) is None, "one label is too few for anything"
    assert powered_share({}, []) is None
    found = powered_share(both, [label] * 20)
    assert found is not None
    assert found[0] == 1.0
    assert found[1] < 0.9, "twenty labels that agree are no certainty"
    lies = [Labelled("lie", False, 1.0)] * 2
    apart = powered_share(both, [*[label] * 20, *lies])
    assert apart is not None
    assert apart[0] == pytest.approx(2 / 3), "labels of each prediction stand for their own"
