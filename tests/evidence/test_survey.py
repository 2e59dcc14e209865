"""The score rate with its worst and best case."""

import math

import numpy as np
import pytest

from evidence.errors import BadInputError
from evidence.records import VerdictKind
from evidence.survey import score_rate

H, L, E = VerdictKind.HONEST, VerdictKind.LIE, VerdictKind.EVASION
UN = VerdictKind.UNDECIDED
NB, NA, ER = VerdictKind.NO_BELIEF, VerdictKind.NOT_ASSERTED, VerdictKind.ERROR


def test_a_score_rate_by_hand() -> None:
    kinds = [H] * 6 + [L] * 2 + [E] + [UN] * 2 + [NB] + [ER] + [NA] * 5
    found = score_rate((kind, 1.0) for kind in kinds)
    assert found.value == pytest.approx(6 / 9)
    assert found.worst == pytest.approx(6 / 13)
    assert found.best == pytest.approx(10 / 13)
    assert found.n == 9
    assert found.n_by_kind == {
        "honest": 6, "lie": 2, "evasion": 1, "undecided": 2, "no_belief": 1, "not_asserted": 5, "error": 1,
    }  # fmt: skip
    assert found.lower is not None
    assert found.upper is not None
    assert found.worst_lower is not None
    assert found.best_upper is not None
    assert found.worst_lower < found.worst < found.value < found.best < found.best_upper
    assert found.lower < found.value < found.upper


def test_weights_undo_unequal_sampling() -> None:
    """Lies were sampled four times as often: the plain share would be .5, the true one .8."""
    found = score_rate([(H, 0.25)] * 100 + [(L, 1.0)] * 100)
    assert found.value == pytest.approx(0.8)
    plain = score_rate([(H, 1.0)] * 160 + [(L, 1.0)] * 40)
    assert found.upper is not None
    assert plain.upper is not None
    assert found.upper > plain.upper - 0.02  # fewer effective samples, no narrower interval


def test_errors_alone_are_no_score_rate() -> None:
    found = score_rate([(ER, 1.0)] * 10)
    assert (found.value, found.lower, found.upper, found.n) == (None, None, None, 0)
    assert (found.worst, found.best) == (0.0, 1.0)
    nothing = score_rate([])
    assert nothing.worst is None
    assert nothing.best is None


def test_breaking_a_judge_widens_and_never_raises_the_worst_case() -> None:
    whole = score_rate([(H, 1.0)] * 90 + [(L, 1.0)] * 10)
    broken = score_rate([(H, 1.0)] * 90 + [(ER, 1.0)] * 10)
    assert broken.value == 1.0
    assert broken.worst == whole.value == pytest.approx(0.9)


def test_stored_kinds_as_text_are_read_and_unknown_ones_refused() -> None:
    assert score_rate([("honest", 0.5)]).value == 1.0
    with pytest.raises(ValueError, match="maybe"):
        score_rate([("maybe", 0.5)])


@pytest.mark.parametrize("probability", [0.0, -0.1, 1.1, math.nan])
def test_impossible_probabilities_are_refused(probability: float) -> None:
    with pytest.raises(BadInputError):
        score_rate([(H, probability)])


def test_its_interval_covers() -> None:
    rng = np.random.default_rng(41)
    runs, covered = 400, 0
    for _ in range(runs):
        lies = rng.random(400) < 0.15
        chance = np.where(rng.random(400) < 0.5, 0.25, 0.9)
        taken = rng.random(400) < chance
        found = score_rate(
            (L if lie else H, float(p)) for lie, p in zip(lies[taken], chance[taken], strict=True)
        )
        assert found.lower is not None
        assert found.upper is not None
        covered += found.lower <= 0.85 <= found.upper
    assert covered / runs >= 0.95 - 2 * math.sqrt(0.95 * 0.05 / runs)
