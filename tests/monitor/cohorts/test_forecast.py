from __future__ import annotations

import json

import pytest

from evidence import BadInputError
from monitor.cohorts.forecast import DoseResponse, forecast
from monitor.cohorts.results import Contrast, Share
from monitor.services.dose import read_dose_response


def point(dose, delta, half=0.02, n=100):
    return {
        "dose": dose,
        "honesty_delta": delta,
        "lower": delta - half,
        "upper": delta + half,
        "n": n,
    }


CURVE = {"source": "runs", "points": [point(0.0, 0.0), point(0.1, -0.1), point(0.3, -0.4, n=50)]}


def share(estimate, half=0.0):
    lower, upper = (-1.0, 1.0) if estimate is None else (estimate - half, estimate + half)
    return Share(estimate=estimate, lower=lower, upper=upper, n=10)


def lies(whole, kept, half=0.0):
    return Contrast(
        with_cohort=share(whole, half), without_cohort=share(kept, half), difference=share(0.0)
    )


def curve(**changes):
    return DoseResponse.decode(json.dumps(CURVE | changes).encode(), "curve.json", metric="m")


def test_between_doses_the_curve_is_linear():
    said = forecast(curve(), lies(0.2, 0.05))
    assert said.status == "forecast"
    assert said.with_cohort.estimate == pytest.approx(-0.25)
    assert said.without_cohort.estimate == pytest.approx(-0.05)
    assert said.difference.estimate == pytest.approx(-0.2)
    assert (said.with_cohort.lower, said.with_cohort.upper) == pytest.approx((-0.27, -0.23))
    assert said.with_cohort.n == 50
    assert said.source == "runs"


def test_the_interval_spans_the_doubt_about_the_dose():
    said = forecast(curve(), lies(0.1, 0.05, half=0.05))
    assert said.with_cohort.lower == pytest.approx(-0.175 - 0.02)
    assert said.with_cohort.upper == pytest.approx(-0.05 + 0.02)
    assert said.difference.lower == pytest.approx(
        said.with_cohort.lower - said.without_cohort.upper
    )


def test_a_curve_that_turns_inside_the_interval_is_seen():
    turned = curve(points=[point(0.0, 0.0), point(0.1, -0.5), point(0.2, 0.0)])
    said = forecast(turned, lies(0.1, 0.1, half=0.09))
    assert said.with_cohort.lower == pytest.approx(-0.52)


@pytest.mark.parametrize(
    ("dose", "why"),
    [
        (lies(0.4, 0.1), "runs cover 0.0% to 30.0%"),
        (lies(0.28, 0.1, half=0.05), "reaches 33.0%"),
        (lies(None, None), "unknown"),
    ],
)
def test_outside_what_was_run_nothing_is_forecast(dose, why):
    said = forecast(curve(), dose)
    assert said.status == "no_forecast"
    assert why in said.reason
    assert said.with_cohort.estimate is None


def test_without_a_curve_nothing_is_forecast():
    assert forecast(None, lies(0.2, 0.1)).status == "no_forecast"
    assert read_dose_response(None, "m") is None


@pytest.mark.parametrize(
    "points",
    [
        [point(0.0, 0.0)],
        [point(0.1, 0.0), point(0.0, 0.0)],
        [point(0.0, 0.0), {**point(0.1, -0.1), "lower": 0.0}],
        [point(0.0, 0.0), point(0.1, -0.1, n=0)],
    ],
)
def test_a_curve_that_cannot_be_is_refused(points, tmp_path):
    path = tmp_path / "curve.json"
    path.write_text(json.dumps(CURVE | {"points": points}))
    with pytest.raises(BadInputError) as error:
        read_dose_response(path, "m")
    assert error.value.where == str(path)


def test_a_missing_curve_is_named(tmp_path):
    with pytest.raises(BadInputError, match="cannot be read"):
        read_dose_response(tmp_path / "none.json", "m")


def test_lines_of_runs_are_read_by_metric():
    lines = [
        {"metric": metric, "dose": dose, "delta": -dose, "lower": -dose, "upper": -dose, "n": 24}
        | {"seeds": 3, "model": "small"}
        for metric in ("other", "m")
        for dose in (0.3, 0.0)
    ]
    found = DoseResponse.decode(json.dumps(lines).encode(), "x", metric="m")
    assert [point.dose for point in found.points] == [0.0, 0.3]
    assert found.source == "small, m, 3 seeds"
    with pytest.raises(BadInputError, match="at least two"):
        DoseResponse.decode(json.dumps(lines).encode(), "x", metric="none")


@pytest.mark.parametrize(
    "raw", [b'{"source": "caf\xe9"}', b"[" * 100_000, b'{"source": "\\ud800"}', b"\xff"]
)
def test_a_curve_that_is_not_json_is_bad_input(raw):
    with pytest.raises(BadInputError, match=r"curve\.json: not (a dose|UTF-8|JSON)"):
        DoseResponse.decode(raw, "curve.json", metric="m")
