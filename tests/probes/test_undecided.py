"""Where a sensor cannot tell, and that it does not call there."""

import numpy as np
import pytest

from evidence import Measurement, VerdictKind
from probes.fusion import Costs, Fusion, FusionModel, Subset
from probes.fusion_training import fit_fusion, left_undecided
from probes.undecided import NOTHING_DECIDED, WRONG_CALLS, at_threshold, band


def scored(separation: float, n: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Calibrated p_lie of binormal scores, half of them lies."""
    rng = np.random.default_rng(seed)
    lies = rng.random(n) < 0.5
    x = rng.normal(size=n) + separation * lies
    return 1 / (1 + np.exp(-separation * (x - separation / 2))), lies


@pytest.mark.parametrize("separation", [0.5, 1.0, 1.5, 2.0])
def test_outside_the_band_nine_calls_in_ten_are_right(separation: float) -> None:
    lower, upper = band(*scored(separation, 4_000))
    p, lies = scored(separation, 40_000, seed=1)
    assert lower < 0.5 < upper
    called = p >= upper
    if called.sum() > 500:
        assert (~lies[called]).mean() <= WRONG_CALLS + 0.03
    cleared = p < lower
    if cleared.sum() > 500:
        assert lies[cleared].mean() <= WRONG_CALLS + 0.03


def test_a_sharp_sensor_leaves_nothing_open_and_a_blind_one_everything() -> None:
    assert band(*scored(4.0, 2_000)) == (0.5, 0.5)
    p, lies = scored(0.0, 2_000)
    assert band(p, lies) == NOTHING_DECIDED


def test_a_sharper_sensor_leaves_less_open() -> None:
    open_shares = []
    for separation in (0.8, 1.2, 1.8):
        lower, upper = band(*scored(separation, 6_000))
        p, _ = scored(separation, 20_000, seed=2)
        open_shares.append(float(((lower <= p) & (p < upper)).mean()))
    assert open_shares == sorted(open_shares, reverse=True)
    assert open_shares[0] > 0.6
    assert open_shares[-1] < 0.3


def test_the_band_moves_with_the_costs() -> None:
    assert at_threshold((0.3, 0.6), 0.5) == (0.3, 0.6)
    lower, upper = at_threshold((0.3, 0.6), 0.2)
    assert lower < 0.2 < upper < 0.6, "what is missed costs more: lies are called earlier"
    assert at_threshold(NOTHING_DECIDED, 0.2) == NOTHING_DECIDED


def subset(undecided: tuple[float, float]) -> Subset:
    return Subset(
        weights={"activation": 1.0},
        intercept=0.0,
        n=200,
        prevalence=0.5,
        calibration_error=0.0,
        calibration_error_upper=0.0,
        auroc=0.8,
        undecided=undecided,
    )


def verdict(p: float, undecided: tuple[float, float], **found: float) -> VerdictKind:
    fusion = Fusion(FusionModel({"activation": subset(undecided)}, {"activation": "1"}))
    return fusion.read([Measurement(probe="activation", version="1", p_lie=p, **found)]).kind


def test_a_verdict_within_the_band_is_undecided() -> None:
    assert verdict(0.517, (0.2, 0.8)) is VerdictKind.UNDECIDED
    assert verdict(0.35, (0.2, 0.8)) is VerdictKind.UNDECIDED
    assert verdict(0.85, (0.2, 0.8)) is VerdictKind.LIE
    assert verdict(0.1, (0.2, 0.8)) is VerdictKind.HONEST
    assert verdict(0.517, (0.5, 0.5)) is VerdictKind.LIE
    assert verdict(0.517, NOTHING_DECIDED) is VerdictKind.UNDECIDED


def test_what_another_probe_tells_stands_within_the_band() -> None:
    assert verdict(0.4, (0.2, 0.8), p_evasion=0.9) is VerdictKind.EVASION
    assert verdict(0.6, (0.2, 0.8), p_not_asserted=0.9) is VerdictKind.NOT_ASSERTED
    assert verdict(0.6, (0.2, 0.8), p_no_belief=0.9) is VerdictKind.NO_BELIEF


def test_another_prevalence_moves_p_lie_and_not_what_can_be_told() -> None:
    model = FusionModel({"activation": subset((0.2, 0.8))}, {"activation": "1"})
    rare = Fusion(model, prevalence=0.02)
    doubtful = rare.read([Measurement(probe="activation", version="1", p_lie=0.6)])
    assert doubtful.kind is VerdictKind.UNDECIDED
    assert doubtful.p_lie is not None
    assert doubtful.p_lie < 0.1


def test_costs_reach_the_band() -> None:
    model = FusionModel({"activation": subset((0.4, 0.6))}, {"activation": "1"})
    dear = Fusion(model, Costs(false_alarm=1.0, missed_lie=9.0))
    found = dear.read([Measurement(probe="activation", version="1", p_lie=0.3)])
    assert found.kind is VerdictKind.LIE


def test_a_fitted_fusion_has_a_band_and_left_out_bands_are_as_wide() -> None:
    p, lies = scored(1.5, 600)
    groups = [str(i % 60) for i in range(600)]
    rows = [{"activation": float(x)} for x in p]
    model = fit_fusion(rows, [bool(x) for x in lies], groups, {"activation": "1"})
    lower, upper = model.subsets["activation"].undecided
    assert 0.0 < lower < 0.5 < upper < 1.0
    undecided = left_undecided(p, lies, groups, 0.5)
    later, _ = scored(1.5, 40_000, seed=3)
    assert undecided.mean() == pytest.approx(((lower <= later) & (later < upper)).mean(), abs=0.1)
