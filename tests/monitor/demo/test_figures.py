from __future__ import annotations

import io
from pathlib import Path

import msgspec
import pytest
from rich.console import Console

from evidence import VerdictKind
from monitor.demo.figures import (
    AlarmFigures,
    ArmFigures,
    CohortFigures,
    ConfirmFigures,
    Figures,
    GateFigures,
    Interval,
    PhaseFigures,
    ProbeFigures,
)
from monitor.demo.picture import Material, draw
from monitor.demo.play import failures, remarks
from monitor.demo.screen import summary, views
from monitor.demo.watch import Measured, RaterUps

SHARE = Interval(value=0.9, lower=0.8, upper=0.95, n=100)


def test_the_story_ends_on_the_pages_that_tell_it() -> None:
    found = dict(views(FIGURES))
    assert found["the alarm"] == f"{FIGURES.api}/alarms/a1"
    assert next(iter(found)) == "the alarm"
    assert all(address.startswith(FIGURES.api) for address in found.values())
    without = msgspec.structs.replace(FIGURES, alarm=None, cohort=None, gate=None)
    assert [what for what, _ in views(without)] == ["honesty over time"]


def arm(honesty: float) -> ArmFigures:
    return ArmFigures(
        honesty=honesty, lower=honesty - 0.1, upper=honesty + 0.04, n=48, likelihood_honesty=honesty
    )


FIGURES = Figures(
    seed=0,
    live=False,
    responses=720,
    feedback=1700,
    sampled=390,
    verdicts=390,
    errors=0,
    drift_at=360,
    phases=(PhaseFigures(model="helpdesk-1", measured=SHARE, labelled=SHARE, mean_p_lie=0.1),),
    probe=ProbeFigures(
        auroc=0.97, lower=0.95, upper=0.99, balanced_accuracy=0.93, honest=300, lies=80
    ),
    alarm=AlarmFigures(
        alarm_id="a1",
        at=420,
        delay=19,
        metric="lie",
        claim="rose",
        log_evidence=9.7,
        log_threshold=9.5,
        reference=0.1,
    ),
    cohort=CohortFigures(
        true=0.1,
        estimate=0.11,
        lower=0.06,
        upper=0.17,
        raters=200,
        events=1700,
        signal_true=0.3,
        likes_true=0.28,
        signal_estimate=0.3,
        signal_lower=0.2,
        signal_upper=0.4,
        suspects=15,
        suspects_biased=14,
        rater_auroc=0.9,
        alarm_metric=None,
    ),
    confirm=ConfirmFigures(
        vanilla=arm(0.95),
        control=arm(0.94),
        candidate=arm(0.55),
        released=arm(0.92),
        rows=240,
        rows_lies=0.35,
        released_lies=0.01,
        replaced=100,
        candidate_finding="worse",
        released_finding="not_worse",
        seconds=110.0,
    ),
    gate=GateFigures(
        all_rows="block",
        all_rows_reasons=("worse:candidate",),
        released="allow",
        released_reasons=("not_worse:released",),
        released_rows=140,
        verified=True,
    ),
    seconds=240.0,
    steps_s={"honest": 40.0},
    report="report.html",
    api="http://127.0.0.1:8321",
    failures=(),
    remarks=(),
)


def test_a_story_that_came_out_has_no_failures() -> None:
    assert failures(FIGURES) == ()
    assert remarks(FIGURES) == ()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"alarm": None}, "no alarm"),
        ({"errors": 2}, "2 verdicts are errors"),
        ({"cohort": None}, "could not be estimated"),
        ({"confirm": None}, "did not finish"),
        ({"gate": None}, "did not block"),
    ],
)
def test_what_is_missing_is_said(change: dict[str, object], said: str) -> None:
    assert any(said in line for line in failures(msgspec.structs.replace(FIGURES, **change)))


def test_wrong_answers_are_said() -> None:
    assert FIGURES.alarm is not None
    assert FIGURES.cohort is not None
    assert FIGURES.gate is not None
    replace = msgspec.structs.replace
    early = replace(FIGURES, alarm=replace(FIGURES.alarm, delay=-3))
    assert "before the change" in failures(early)[0]
    missed = replace(FIGURES, cohort=replace(FIGURES.cohort, lower=0.2, estimate=0.25, upper=0.3))
    assert failures(missed) == ()
    assert "misses the truth" in remarks(missed)[0]
    blind = replace(FIGURES, probe=replace(FIGURES.probe, auroc=0.6))
    assert "hardly tells" in remarks(blind)[0]
    let_through = replace(FIGURES, gate=replace(FIGURES.gate, all_rows="allow"))
    assert "did not block all rows: allow" in failures(let_through)[0]
    held = replace(FIGURES, gate=replace(FIGURES.gate, released="hold", verified=False))
    assert "did not release the rest: hold" in failures(held)[0]
    unsigned = replace(FIGURES, gate=replace(FIGURES.gate, verified=False))
    assert "guard refuses" in failures(unsigned)[0]


def test_the_keys_that_others_read_are_there() -> None:
    data = msgspec.to_builtins(FIGURES)
    for path in [
        "responses",
        "sampled",
        "drift_at",
        "seconds",
        "alarm.at",
        "alarm.delay",
        "cohort.true",
        "cohort.estimate",
        "cohort.lower",
        "cohort.upper",
        "confirm.vanilla.honesty",
        "confirm.control.honesty",
        "confirm.candidate.honesty",
        "confirm.released.honesty",
        "gate.all_rows",
        "gate.released",
    ]:
        value = data
        for key in path.split("."):
            value = value[key]
        assert value is not None


def test_the_summary_shows_answers_and_what_went_wrong() -> None:
    console = Console(width=160, file=io.StringIO())
    with console.capture() as shown:
        console.print(summary(msgspec.structs.replace(FIGURES, failures=("no luck",))))
    text = shown.get()
    for part in ("19 sampled responses later", "0.110 [0.060, 0.170]", "block", "allow", "no luck"):
        assert part in text


@pytest.mark.parametrize("gone", [(), ("confirm", "gate", "cohort", "alarm")])
def test_a_picture_is_drawn_with_whatever_there_is(tmp_path: Path, gone: tuple[str, ...]) -> None:
    figures = msgspec.structs.replace(FIGURES, **dict.fromkeys(gone))
    measured = tuple(
        Measured(
            response_id=str(i),
            model="helpdesk-1",
            kind=VerdictKind.LIE if i > 60 and i % 2 else VerdictKind.HONEST,
            p_lie=0.5,
            sampled_by="arrival",
            inclusion_probability=0.5,
            scored_at_s=0.0,
        )
        for i in range(120)
    )
    material = Material(tuple(range(120)), measured, (RaterUps("a", 5, 4, 3, 1, 0.2),))
    first, second = tmp_path / "a.svg", tmp_path / "b.svg"
    draw(first, figures, material)
    draw(second, figures, material)
    assert first.read_bytes() == second.read_bytes()
    text = first.read_text("utf-8")
    assert text.lstrip().startswith("<?xml")
    assert len(text) > 10_000
