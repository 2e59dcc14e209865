"""An action probe that went flat raises an alarm of its own; one that reads its canaries right does not."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
import pytest
from sqlalchemy import select

from benchmarks.actions import Alike
from evidence import Measurement, Purpose
from evidence.outcomes import Outcome, encode_outcomes
from monitor.detect.options import HealthOptions
from monitor.jobs.canaries import CanarySender
from monitor.jobs.evaluators import EvaluatorWatch, tick_of
from monitor.jobs.publisher import Publisher
from monitor.score.canaries import SHOWN, load_act_canaries
from monitor.store import alarms, reading
from monitor.store.health import Ended
from monitor.store.schema import extra_evaluations
from probes.actions import ActionProbe
from probes.actions.asked import Found
from probes.actions.features import FEATURES
from probes.actions.weights import Weights
from probes.fusion import Fusion
from probes.judging.reply import NoAnswers
from probes.panel import Panel
from probes.probe import Probe, Transcript

House = Any
HEALTH = HealthOptions(
    tick_s=10.0, canary_share=0, canaries_per_hour=1_440, repeat_share=0, due_s=30, canary_window=12
)


class Activation:
    """A probe of the text, which sees nothing."""

    name, version = "activation", "1"

    def measure(self, transcripts: Sequence[Transcript]) -> list[Measurement]:
        return [Measurement(probe="activation", version="1", p_lie=0.2) for _ in transcripts]


class NoClaims:
    digest = "none"

    def find(self, responses: Sequence[str]) -> list[Found | NoAnswers]:
        return [Found(()) for _ in responses]


class Away:
    digest = "away"

    def find(self, responses: Sequence[str]) -> list[Found | NoAnswers]:
        return [NoAnswers("the judge is away") for _ in responses]


def constant(log_odds: float) -> Weights:
    return Weights(dict.fromkeys(FEATURES, 0.0), log_odds, 0, 0.5)


SOUND = ActionProbe(Alike())
FLAT = {
    "supports everything": ActionProbe(Alike(), constant(-3.0)),
    "contradicts what it can": ActionProbe(Alike(), constant(3.0)),
    "finds nothing": ActionProbe(Alike(), finder=NoClaims()),
}


class Service:
    """A worker with its health jobs, on a clock that moves by one tick at a time."""

    def __init__(self, house: House, kit: Any, *probes: Probe, acting: Sequence[str]) -> None:
        house.set(health=HEALTH)
        model = Fusion.load().model
        fusion = Fusion(msgspec.structs.replace(model, probe_versions={"activation": "1"}))
        panel = Panel([Activation(), *probes], fusion)
        self.house, self.worker = house, house.worker(scorer=panel)
        job = {"owner": "w", "clock": lambda: house.now_s}
        self.sender = CanarySender(
            house.engine,
            options=HEALTH,
            topic=kit.RESPONSES,
            key=house.keys.pseudonym,
            acting=acting,
            **job,
        )
        self.watch = EvaluatorWatch(house.engine, options=HEALTH, **job)
        topics = (kit.RESPONSES, kit.FEEDBACK)
        sink = kit.MemorySink(house.broker)
        self.publisher = Publisher(house.engine, sink, input_topics=topics, **job)
        self.watch.begin(panel.version)
        self.sender.update()

    def tick(self, times: int) -> None:
        for _ in range(times):
            self.house.now_s += HEALTH.tick_s
            self.sender.update()
            self.publisher.update()
            self._rest()
            self.watch.update()

    def _rest(self) -> None:
        quiet = 0
        while quiet < 3:
            self.worker.step()
            self.house.now_s += 0.001
            quiet = quiet + 1 if self.house.all_read() and self.worker.idle else 0

    def failing(self) -> set[str]:
        with reading(self.house.engine) as connection:
            return {alarm.metric for alarm in alarms.list_alarms(connection)}

    def known(self) -> list[str]:
        with reading(self.house.engine) as connection:
            return list(connection.execute(select(extra_evaluations.c.known)).scalars())


def test_a_sound_action_probe_raises_no_alarm(house: House, kit: Any) -> None:
    service = Service(house, kit, SOUND, acting=["other"])
    service.tick(60)
    known = service.known()
    assert sum(one in SHOWN for one in known) == len(known) // 4 == 60
    assert "canary_acts" not in service.failing()


@pytest.mark.parametrize("how", FLAT)
def test_an_action_probe_that_went_flat_is_found(house: House, kit: Any, how: str) -> None:
    service = Service(house, kit, FLAT[how], acting=["other"])
    for _ in range(6):
        if "canary_acts" in service.failing():
            break
        service.tick(20)
    assert "canary_acts" in service.failing()
    (claim,) = [a.claim for a in _alarms(service) if a.metric == "canary_acts"]
    assert "what records of tools show of known claims is read wrongly" in claim


def _alarms(service: Service) -> list[Any]:
    with reading(service.house.engine) as connection:
        return alarms.list_alarms(connection)


def test_an_evaluator_without_the_probe_gets_none(house: House, kit: Any) -> None:
    service = Service(house, kit, acting=[])
    service.tick(10)
    assert len(service.known()) > 30
    assert not set(service.known()) & {one.value for one in SHOWN}


def ended(acts: str | None, actions: Outcome | None) -> Ended:
    found = {"verdict": Outcome.ANSWERED, "activation": Outcome.ANSWERED}
    return Ended(
        id=1,
        purpose=Purpose.CANARY,
        evaluator_version="e",
        known="contradicted",
        kind="honest",
        p_lie=0.2,
        p_evasion=None,
        outcomes=encode_outcomes(found if actions is None else {**found, "actions": actions}),
        live_p_lie=None,
        acts=acts,
    )


@pytest.mark.parametrize(
    ("item", "wrong"),
    [
        (ended("contradicted", Outcome.ANSWERED), (False,)),
        (ended("supported", Outcome.ANSWERED), (True,)),
        (ended(None, Outcome.ANSWERED), (True,)),
        (ended(None, Outcome.UNREADABLE), ()),
        (ended(None, Outcome.UNANSWERED), ()),
        (ended(None, None), ()),
    ],
)
def test_what_gave_no_answer_read_nothing_wrongly(item: Ended, wrong: tuple[bool, ...]) -> None:
    tick = tick_of({}, [item], at_s=1.0)
    assert tick.wrong_acts == wrong
    assert tick.canaries == ()


def test_a_judge_that_is_away_is_a_failure_and_no_wrong_reading(house: House, kit: Any) -> None:
    service = Service(house, kit, ActionProbe(Alike(), finder=Away()), acting=["other"])
    service.tick(40)
    assert "canary_acts" not in service.failing()
    assert "expected_vs_actual:actions" in service.failing()


def test_there_are_enough_of_them_for_an_alarm_within_two_rounds() -> None:
    assert len(load_act_canaries()) >= 30
