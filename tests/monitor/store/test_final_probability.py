"""A rated response weighs what it was certain to be taken with, whatever phase took it: on both databases."""

from __future__ import annotations

import random
import statistics

import pytest
from sqlalchemy import Engine, delete, select

from evidence import Assessment, Feedback, Message, Response, SampledBy, Stratum, VerdictKind
from monitor.sample.decide import phase_of
from monitor.score import make_verdict
from monitor.store import intake, rated, reading, status, sweeps, verdicts
from monitor.store.intake import NewFeedback, NewResponse, Position
from monitor.store.schema import feedback, rated_counts, responses
from monitor.store.schema import verdicts as verdicts_table
from monitor.store.timeline import counted_anew, step_counts

PI_0, PI_1 = 0.1, 0.5
DAY_S = 86_400.0
N = 3_000


def simulate(engine: Engine, seed: int) -> float:
    """The guide's rates; 30 % of responses are rated, of which .4 lie, and .1 of the others."""
    rng = random.Random(seed)
    with engine.begin() as connection:
        for table in (feedback, verdicts_table, responses, rated_counts):
            connection.execute(delete(table))
        made, given, judged, later = [], [], [], []
        for i in range(N):
            is_rated = rng.random() < 0.3
            lies = rng.random() < (0.4 if is_rated else 0.1)
            u = rng.random()
            phase = phase_of(u, PI_0, PI_1, has_feedback=False)
            response = Response(
                response_id=f"r{i}", stratum=Stratum("a"), model="m", conversation_id="c",
                rater="0" * 32, created_at_s=1.0, messages=(Message("assistant", "hello"),),
            )  # fmt: skip
            made.append(
                NewResponse(
                    response, Position("k", "t", 0, i), u, PI_0, PI_1, phase,
                    None if phase else "rate",
                )
            )  # fmt: skip
            kind = VerdictKind.LIE if lies else VerdictKind.HONEST
            assessment = Assessment(
                kind=kind, p_lie=0.5, p_evasion=None, measurements=(), evaluator_version="v"
            )
            verdict = make_verdict(
                response, assessment, sampled_by=SampledBy.ARRIVAL, inclusion_probability=PI_0,
                scored_at_s=5.0,
            )  # fmt: skip
            if phase is SampledBy.ARRIVAL:
                judged.append(verdict)
            if is_rated:
                one = Feedback(
                    feedback_id=f"f{i}", assistant="a", response_id=f"r{i}", rater="1" * 32,
                    created_at_s=2.0, value=1.0, kind="thumb",
                )  # fmt: skip
                given.append(NewFeedback(one, Position("k", "f", 0, i)))
                later.append((response, assessment))
        intake.insert_responses(connection, made, now_s=10.0)
        verdicts.insert_verdicts(connection, judged)
        keys = [row.response_key for row in given]
        intake.insert_feedback(connection, given, keys, now_s=11.0)
        rated.on_matched(connection, keys, since_s=0.0)
        waiting = {
            item.response.response_id: item
            for item in sweeps.unmeasured_feedback_sample(connection, N)
        }
        measured = [
            make_verdict(
                response, assessment, sampled_by=SampledBy.FEEDBACK,
                inclusion_probability=waiting[response.response_id].inclusion_probability,
                scored_at_s=6.0,
            )
            for response, assessment in later
            if response.response_id in waiting
        ]  # fmt: skip
        verdicts.insert_verdicts(connection, measured)
        rated.on_measured(connection, measured)
        counts = status.kind_counts(connection, since_s=0.0)
    weight = {count.kind: count.weight for count in counts}
    return weight["honest"] / (weight["honest"] + weight["lie"])


def test_the_weighted_honesty_is_right_at_the_guides_rates(engine: Engine) -> None:
    figures = [simulate(engine, seed) for seed in range(12)]
    mean, error = statistics.fmean(figures), statistics.stdev(figures) / len(figures) ** 0.5
    assert abs(mean - 0.810) < 4 * error
    assert error < 0.006, "as coded by the phase alone it would be .773"


def test_every_verdict_has_the_final_probability_of_its_response(engine: Engine) -> None:
    simulate(engine, 0)
    has = select(feedback.c.response_id)
    with reading(engine) as connection:
        named = set(connection.execute(has).scalars())
        c = verdicts_table.c
        rows = connection.execute(
            select(c.response_id, c.inclusion_probability, c.final_probability)
        ).all()
        period = {"start_s": 0.0, "end_s": DAY_S, "width_s": DAY_S}
        tallied = {count.kind: count for count in step_counts(connection, **period)}
        anew = {count.kind: count for count in counted_anew(connection, **period)}
    for name, phase, final in rows:
        expected = PI_1 if name in named else PI_0
        assert (phase if final is None else final) == expected
    assert set(tallied) == set(anew) == {"honest", "lie"}
    for kind, count in tallied.items():
        assert count.n == anew[kind].n
        assert count.weight == pytest.approx(anew[kind].weight, rel=1e-12)


@pytest.mark.parametrize("since_s", [0.0, 100.0])
def test_feedback_after_the_horizon_changes_no_weight(engine: Engine, since_s: float) -> None:
    """Its response can no longer be sampled by it, so that it was certain to be taken on arrival alone."""
    response = Response(
        response_id="r", stratum=Stratum("a"), model="m", conversation_id="c", rater="0" * 32,
        created_at_s=1.0, messages=(Message("assistant", "hello"),),
    )  # fmt: skip
    assessment = Assessment(
        kind=VerdictKind.LIE, p_lie=0.5, p_evasion=None, measurements=(), evaluator_version="v"
    )
    verdict = make_verdict(
        response, assessment, sampled_by=SampledBy.ARRIVAL, inclusion_probability=PI_0,
        scored_at_s=5.0,
    )  # fmt: skip
    row = NewResponse(response, Position("k", "t", 0, 1), 0.05, PI_0, PI_1, SampledBy.ARRIVAL, None)
    with engine.begin() as connection:
        intake.insert_responses(connection, [row], now_s=50.0)
        verdicts.insert_verdicts(connection, [verdict])
        rated.on_matched(connection, [row.key], since_s=since_s)
        (count,) = status.kind_counts(connection, since_s=0.0)
    assert count.weight == pytest.approx(1 / (PI_1 if since_s < 50.0 else PI_0))
