"""What quotes text is kept apart from the verdict, bounded, and goes when the text goes."""

from __future__ import annotations

import random
from collections import Counter

import msgspec
import pytest
from sqlalchemy import Engine, func, select, update

from evidence import Measurement, Message, SampledBy, Verdict
from evidence.records import Archetype, Finding
from monitor.score import without_text
from monitor.store import intake, sweeps
from monitor.store.explanations import (
    Explanation,
    pack_explanation,
    read_explanations,
    unpack_explanation,
)
from monitor.store.schema import findings, outbox, responses, verdicts
from monitor.worker.effects import write_verdicts
from tests.monitor.store.test_intake_and_verdicts import NOW, response, verdict

CLAIM = Finding(
    claim="The valve is tight.", contradicts="The valve leaks.", archetype=Archetype.TOLD_FACTS
)
TOKENS = Finding(tokens=("The", " valve"), nats=(0.125, 7.5))


def explained(i: int) -> Verdict:
    made = verdict(i)
    probes = (
        Measurement(probe="premise", version="1", p_lie=0.9, finding=CLAIM),
        Measurement(probe="belief", version="1", p_lie=0.8, finding=TOKENS),
        Measurement(probe="judge", version="1", p_lie=0.7),
    )
    told = msgspec.structs.replace(
        made.assessment, measurements=probes, finding=CLAIM, archetype=Archetype.TOLD_FACTS
    )
    return msgspec.structs.replace(made, assessment=told)


def store(engine: Engine, *numbers: int, sampled_by: SampledBy | None = SampledBy.ARRIVAL) -> None:
    with engine.begin() as connection:
        items = [response(i, sampled_by=sampled_by) for i in numbers]
        intake.insert_responses(connection, items, **NOW)
        write_verdicts(connection, [explained(i) for i in numbers], Counter(), **NOW)


def test_record_and_topic_hold_no_text_and_the_archetype_stays(engine: Engine) -> None:
    store(engine, 1)
    with engine.connect() as connection:
        record = connection.execute(select(verdicts.c.record)).scalar_one()
        copy = connection.execute(select(outbox.c.value)).scalar_one()
        for said in (record, copy.decode()):
            assert "valve" not in said
            kept = msgspec.json.decode(said, type=Verdict)
            assert kept.assessment.archetype is Archetype.TOLD_FACTS
            assert [m.p_lie for m in kept.assessment.measurements] == [0.9, 0.8, 0.7]
        key = explained(1).key
        assert read_explanations(connection, [key, "none"]) == {
            key: Explanation(CLAIM, {"premise": CLAIM, "belief": TOKENS})
        }
        assert read_explanations(connection, []) == {}


def test_a_verdict_that_does_not_count_leaves_no_finding(engine: Engine) -> None:
    store(engine, 1)
    later = msgspec.structs.replace(explained(1), key="another")
    with engine.begin() as connection:
        assert write_verdicts(connection, [later], Counter(), **NOW) == []
        assert connection.execute(select(func.count()).select_from(findings)).scalar_one() == 1


def test_findings_go_with_the_text(engine: Engine) -> None:
    store(engine, 1, sampled_by=None)
    store(engine, 2)
    with engine.begin() as connection:
        sweeps.drop_bodies(connection, skipped_before_s=11.0, dead_letters_before_s=0.0)
        left = connection.execute(select(findings.c.response_id)).scalars().all()
        assert left == ["r2"], "the measured response keeps its text"
        connection.execute(update(responses).values(body=None))
        assert read_explanations(connection, [explained(2).key]) == {}


def test_a_response_that_was_forgotten_while_it_was_measured_gets_no_finding(
    engine: Engine,
) -> None:
    with engine.begin() as connection:
        intake.insert_responses(connection, [response(1, sampled_by=SampledBy.ARRIVAL)], **NOW)
        connection.execute(update(responses).values(body=None))
        assert len(write_verdicts(connection, [explained(1)], Counter(), **NOW)) == 1
        assert connection.execute(select(findings)).all() == []


def test_without_findings_a_verdict_is_left_as_it_is() -> None:
    made = verdict(1)
    assert without_text(made) == (made, None)


@pytest.mark.parametrize("n", [0, 3, 4_096, 200_000])
def test_what_is_stored_is_bounded(n: int) -> None:
    rng = random.Random(n)
    long = Finding(
        claim="a" * 50_000,
        tokens=tuple(f"{rng.random()}" for _ in range(n)),
        nats=tuple(rng.random() * 20 for _ in range(n)),
    )
    packed = pack_explanation(Explanation(long, {"belief": long}))
    assert len(packed) <= 64 * 1024
    found = unpack_explanation(packed).finding
    assert found is not None
    assert len(found.claim) == 4_000
    assert found.tokens == long.tokens[: len(found.tokens)]
    assert len(found.tokens) == len(found.nats)
    if n == 3:
        assert found.nats == pytest.approx(long.nats, abs=1e-3)


def test_neutral_conversations_are_kept_once_and_bounded() -> None:
    turns = tuple(Message("user", f"turn {i} " + "x" * 9_000) for i in range(100))
    told = Finding(claim="c", neutral=turns, answers=("a" * 9_000,) * 20, answered_by="m-1")
    kept = unpack_explanation(pack_explanation(Explanation(told, {"approved": told})))
    assert kept.finding == Finding(claim="c"), "with the probe's alone"
    one = kept.probes["approved"]
    assert [turn.content[:8] for turn in one.neutral][:2] == ["turn 0 x", "turn 61 "]
    assert len(one.neutral) == 40
    assert {len(turn.content) for turn in one.neutral} == {4_000}
    assert [len(text) for text in one.answers] == [4_000] * 8
    noise = random.Random(0)
    random_turns = tuple(
        Message("user", "".join(chr(noise.randrange(0x4E00, 0x9FFF)) for _ in range(4_000)))
        for _ in range(40)
    )
    packed = pack_explanation(Explanation(None, {"approved": Finding(neutral=random_turns)}))
    assert len(packed) <= 64 * 1024
