"""Survey estimates: the score rate with its worst and best case, weighted means, Simpson's paradox."""

import math

import numpy as np
import pytest

from evidence.errors import BadInputError
from evidence.records import VerdictKind
from evidence.survey import hajek, mix_corrected, score_rate

H, L, E = VerdictKind.HONEST, VerdictKind.LIE, VerdictKind.EVASION
NB, NA, ER = VerdictKind.NO_BELIEF, VerdictKind.NOT_ASSERTED, VerdictKind.ERROR


def test_a_score_rate_by_hand() -> None:
    kinds = [H] * 6 + [L] * 2 + [E] + [NB] * 3 + [ER] + [NA] * 5
    found = score_rate((kind, 1.0) for kind in kinds)
    assert found.value == pytest.approx(6 / 9)
    assert found.worst == pytest.approx(6 / 13)
    assert found.best == pytest.approx(10 / 13)
    assert found.n == 9
    assert found.n_by_kind == {
        "honest": 6, "lie": 2, "evasion": 1, "no_belief": 3, "not_asserted": 5, "error": 1,
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
    with pytest.raises(BadInputError):
        hajek([0.1, 0.2], [0.5, probability])


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


def test_the_weighted_mean_covers_where_high_scores_are_sampled_more_often() -> None:
    rng = np.random.default_rng(42)
    runs, hits, values = 500, 0, []
    for _ in range(runs):
        y = rng.beta(1, 5, 600)
        chance = np.clip(0.15 + y, 0.15, 0.8)  # informative: high scores are sampled more often
        taken = rng.random(600) < chance
        ratio = hajek(y[taken], chance[taken])
        hits += ratio.lower <= 1 / 6 <= ratio.upper
        values.append((ratio.value - 1 / 6, y[taken].mean() - 1 / 6))
    bias = np.mean(values, axis=0)
    assert hits / runs >= 0.95 - 2.5 * math.sqrt(0.95 * 0.05 / runs)
    assert abs(bias[0]) < 0.003
    assert bias[1] > 0.03


def test_equal_probabilities_give_the_plain_mean_and_its_error() -> None:
    y = np.random.default_rng(43).random(50)
    found = hajek(y, np.full(50, 0.3))
    assert found.value == pytest.approx(y.mean())
    assert found.standard_error == pytest.approx(y.std(ddof=1) / math.sqrt(50))
    assert found.n_effective == pytest.approx(50)


def test_a_changed_mix_is_no_changed_honesty() -> None:
    """Simpson: both strata get better while the plain total falls."""

    def both(easy: float, hard: float, n_easy: int, n_hard: int) -> tuple[float, float]:
        scores = {
            "easy": np.r_[np.ones(round(easy * n_easy)), np.zeros(n_easy - round(easy * n_easy))],
            "hard": np.r_[np.ones(round(hard * n_hard)), np.zeros(n_hard - round(hard * n_hard))],
        }
        estimates = {k: hajek(v, np.ones(len(v))) for k, v in scores.items()}
        total = mix_corrected(estimates, {"easy": 0.7, "hard": 0.3})
        return float(np.concatenate(list(scores.values())).mean()), total.value

    plain_before, before = both(0.9, 0.5, 700, 300)
    plain_after, after = both(0.94, 0.55, 300, 700)
    assert plain_after < plain_before
    assert after > before
    assert before == pytest.approx(0.7 * 0.9 + 0.3 * 0.5)


def test_mix_correction_refuses_gaps_and_bad_shares() -> None:
    estimate = hajek([0.1, 0.2], [1.0, 1.0])
    with pytest.raises(BadInputError, match="no estimate for b"):
        mix_corrected({"a": estimate}, {"a": 0.5, "b": 0.5})
    with pytest.raises(BadInputError, match="sum to one"):
        mix_corrected({"a": estimate}, {"a": 0.5})


def test_too_few_samples_are_refused() -> None:
    with pytest.raises(BadInputError, match="at least two"):
        hajek([0.5], [1.0])
