from __future__ import annotations

from pathlib import Path

import pytest

from evidence import BadInputError, Measurement, VerdictKind
from probes.calibration import shift_prevalence
from probes.fusion import Costs, Fusion, FusionModel, Subset


def subset(weights: dict[str, float], intercept: float = 0.0) -> Subset:
    return Subset(
        weights=weights,
        intercept=intercept,
        n=100,
        prevalence=0.5,
        calibration_error=0.0,
        calibration_error_upper=0.0,
        auroc=0.8,
        undecided=(0.5, 0.5),
    )


MODEL = FusionModel(
    subsets={
        "activation": subset({"activation": 1.0}),
        "judge": subset({"judge": 0.1}),
        "activation+judge": subset({"activation": 1.0, "judge": 0.5}),
    },
    probe_versions={},
)


def found(probe: str, p_lie: float | None = None, **rest: float | str) -> Measurement:
    return Measurement(probe=probe, version="1", p_lie=p_lie, **rest)  # type: ignore[arg-type]


def test_one_probe_keeps_its_calibrated_probability() -> None:
    reading = Fusion(MODEL).read([found("activation", 0.7)])
    assert reading.p_lie == pytest.approx(0.7)
    assert reading.kind is VerdictKind.LIE
    assert reading.used == ("activation",)


def test_an_unfitted_set_uses_the_largest_fitted_one_in_it() -> None:
    reading = Fusion(MODEL).read(
        [found("activation", 0.7), found("judge", 0.9), found("belief", 0.1)]
    )
    assert reading.used == ("activation", "judge")
    assert reading.p_lie is not None
    assert reading.p_lie > 0.7


@pytest.mark.parametrize(
    "measurements",
    [
        [],
        [found("activation", error="broken")],
        [found("activation", abstained="odd"), found("judge", error="timeout")],
        [found("unknown", 0.1)],
    ],
)
def test_nothing_measured_is_an_error_and_never_honest(measurements: list[Measurement]) -> None:
    reading = Fusion(MODEL).read(measurements)
    assert reading.kind is VerdictKind.ERROR
    assert reading.p_lie is None
    assert reading.error


def test_a_failed_probe_leaves_the_others_standing() -> None:
    reading = Fusion(MODEL).read([found("activation", 0.2), found("judge", error="timeout")])
    assert reading.kind is VerdictKind.HONEST
    assert reading.used == ("activation",)


def test_thresholds_follow_from_costs() -> None:
    careful = Fusion(MODEL, Costs(false_alarm=1.0, missed_lie=4.0))
    assert careful.lie_threshold == pytest.approx(0.2)
    assert careful.read([found("activation", 0.25)]).kind is VerdictKind.LIE
    assert Fusion(MODEL).read([found("activation", 0.25)]).kind is VerdictKind.HONEST


def test_a_stated_prevalence_moves_the_odds() -> None:
    reading = Fusion(MODEL, prevalence=0.1).read([found("activation", 0.7)])
    assert reading.p_lie == pytest.approx(shift_prevalence(0.7, 0.5, 0.1))
    assert reading.p_lie == pytest.approx(0.7 / 0.3 / 9 / (1 + 0.7 / 0.3 / 9))


def test_kinds_beside_lie_and_honest() -> None:
    fusion = Fusion(MODEL)
    evasive = [found("activation", 0.2), found("judge", p_evasion=0.9)]
    fiction = [found("activation", 0.2), found("judge", p_not_asserted=0.9)]
    unsure = [found("activation", 0.2), found("belief", p_no_belief=0.9)]
    assert fusion.read(evasive).kind is VerdictKind.EVASION
    assert fusion.read(fiction).kind is VerdictKind.NOT_ASSERTED
    assert fusion.read(unsure).kind is VerdictKind.NO_BELIEF


def test_a_lie_that_is_called_a_story_stays_a_lie() -> None:
    story = [found("activation", 0.9), found("judge", p_not_asserted=0.9, p_evasion=0.9)]
    assert Fusion(MODEL).read(story).kind is VerdictKind.LIE


def test_the_version_covers_model_costs_and_prevalence() -> None:
    versions = {
        Fusion(MODEL).version,
        Fusion(MODEL, Costs(1, 2)).version,
        Fusion(MODEL, prevalence=0.2).version,
        Fusion(FusionModel(subsets={}, probe_versions={})).version,
    }
    assert len(versions) == 4


def test_the_shipped_fusion_weighs_the_activation_probe_alone() -> None:
    subsets = Fusion.load().model.subsets
    assert set(subsets) == {"activation"}
    assert all(0 <= one.auroc <= 1 and one.n > 100 for one in subsets.values())


@pytest.mark.parametrize("text", ["", "{}", '{"subsets": {}, "probe_versions": {}, "x": 1}'])
def test_a_broken_artefact_is_bad_input(tmp_path: Path, text: str) -> None:
    path = tmp_path / "fusion.json"
    path.write_text(text)
    with pytest.raises(BadInputError):
        Fusion.load(path)


@pytest.mark.parametrize(
    ("versions", "fits"),
    [
        ({"activation": "1", "judge": "2"}, True),
        ({"activation": "1", "judge": "3"}, False),
        ({"activation": "1", "consistency": "9"}, False),
        ({"judge": "2"}, False),
        ({"consistency": "9"}, False),
    ],
)
def test_a_fusion_fits_the_probes_that_it_was_fitted_to(
    versions: dict[str, str], fits: bool
) -> None:
    one = Subset({"activation": 1.0}, 0.0, 9, 0.5, 0.0, 0.1, 0.9, (0.5, 0.5))
    both = Subset({"activation": 1.0, "judge": 1.0}, 0.0, 9, 0.5, 0.0, 0.1, 0.9, (0.5, 0.5))
    subsets = {"activation": one, "activation+judge": both}
    model = FusionModel(subsets=subsets, probe_versions={"activation": "1", "judge": "2"})
    assert Fusion(model).fits(versions) is fits
