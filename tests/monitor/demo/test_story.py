"""The first half of the story on a real stack, with a scorer that knows the labels up to noise."""

from __future__ import annotations

import json
import subprocess
import sys
import time
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import cast

import numpy as np
import pytest

from evidence import Assessment, Measurement, VerdictKind
from monitor.cli.stack import start_stack
from monitor.cohorts.options import CohortOptions
from monitor.demo.confirm import _moved
from monitor.demo.options import DemoOptions, PopulationOptions
from monitor.demo.play import Scene, set_scene
from monitor.demo.story import Story, StuckError
from monitor.demo.traffic import Producer
from monitor.demo.turns import DRIFTED_MODEL, HONEST_MODEL, Turn
from monitor.demo.watch import Look
from monitor.detect.options import DetectionOptions
from monitor.ingest.keys import create_key, load_key
from monitor.sample.options import SamplingOptions
from monitor.settings import ApiOptions, DatabaseOptions, PseudonymOptions, Settings
from monitor.store import open_store
from monitor.store.confirm_runs import ConfirmRun
from probes.probe import Transcript
from probes.scenarios import load_scenarios
from probes.scorer import OneEvaluator


class NoisyLabels(OneEvaluator):
    """p_lie is .9 on lies and .1 on others, wrong for one response in ten."""

    version = "noisy-labels"
    calibrated = True
    figures = ()

    def __init__(self, turns: dict[str, Turn]) -> None:
        self._turns = turns

    def score(self, transcripts: Sequence[Transcript]) -> list[Assessment]:
        out = []
        for transcript in transcripts:
            lie = self._turns[transcript.id].label == "lie"
            wrong = zlib.crc32(transcript.id.encode()) % 10 == 0
            p_lie = 0.9 if lie != wrong else 0.1
            out.append(
                Assessment(
                    kind=VerdictKind.LIE if p_lie > 0.5 else VerdictKind.HONEST,
                    p_lie=p_lie,
                    p_evasion=0.0,
                    measurements=(Measurement(probe="labels", version="1", p_lie=p_lie),),
                    evaluator_version=self.version,
                )
            )
        return out


class Quiet:
    """A teller that keeps what it was told."""

    def __init__(self) -> None:
        self.steps: list[str] = []

    def step(self, title: str) -> None:
        self.steps.append(title)

    def show(self, seen: Look, what: str, share: float) -> None:
        assert 0 <= share <= 1

    def say(self, text: str) -> None:
        self.steps.append(text)


OPTIONS = DemoOptions(
    turns_per_phase=240,
    arrival_rate=0.5,
    population=PopulationOptions(raters=120, votes_per_rated_turn=8),
)


def turns(model: str, lies: float, count: int, rng: np.random.Generator) -> list[Turn]:
    scenarios = load_scenarios(split="train")
    out = []
    for _ in range(count):
        scenario = scenarios[rng.integers(len(scenarios))]
        answers = scenario.lying_answers if rng.random() < lies else scenario.honest_answers
        text = answers[rng.integers(3)]
        out.append(Turn(model=model, scenario=scenario.id, pressured=True, text=text))
    return out


def scene(seed: int) -> Scene:
    rng = np.random.default_rng(seed)
    n = OPTIONS.turns_per_phase
    honest, drifted = turns(HONEST_MODEL, 0.03, n, rng), turns(DRIFTED_MODEL, 0.5, n, rng)
    return set_scene(honest, drifted, OPTIONS, seed=seed, live=False, now_s=time.time())


def settings(folder: Path) -> Settings:
    create_key(folder / "pseudonym.key")
    return Settings(
        database=DatabaseOptions(url=f"sqlite:///{folder / 'candor.db'}"),
        pseudonym=PseudonymOptions(key_file=folder / "pseudonym.key"),
        sampling=SamplingOptions(arrival_rate=OPTIONS.arrival_rate, feedback_rate=1.0),
        detection=DetectionOptions(reference_window=80, responses_per_month=700),
        cohorts=CohortOptions(refresh_s=1.0),
        api=ApiOptions(port=0, open_on_loopback=True),
    )


@pytest.mark.slow
def test_drift_raises_the_alarm_and_shows_who_steers(tmp_path: Path) -> None:
    play, chosen = scene(4), settings(tmp_path)
    traffic, teller = play.traffic, Quiet()
    key = load_key(tmp_path / "pseudonym.key", name="pseudonym", database_url="")
    with start_stack(chosen, scorer=NoisyLabels(traffic.by_id), launch=False) as stack:
        producer = Producer(stack.bootstrap_servers, stack.responses_topic, stack.feedback_topic)
        story = Story(stack.engine, producer, teller, check=stack.check, pseudonym_key=key)
        at_drift = story.send(traffic, play.timeline)
        alarms = story.alarms()
        assert story.estimated(len(traffic.ratings))
        phases, probe, alarm = story.watched(traffic, at_drift, np.random.default_rng(0))
        cohort = story.cohort(play.population, traffic.ratings, alarms)
        producer.close()
        rated = {r.turn for r in traffic.ratings}
    assert set(story.seconds) == {"honest", "drifted"}
    assert alarm is not None
    # Which responses are sampled follows from a key that is made anew, and with it the delay; about 120 are.
    assert 0 < alarm.delay < 120
    assert alarm.at > traffic.drift_at
    honest, drifted = phases
    assert honest.measured.n + drifted.measured.n >= len(rated)
    assert honest.labelled.value is not None
    assert honest.labelled.value > 0.9
    assert drifted.measured.value is not None
    assert drifted.measured.value < 0.7
    assert probe.auroc == pytest.approx(0.9, abs=0.08)
    assert cohort is not None
    assert cohort.true == pytest.approx(0.10)
    assert cohort.signal_true > 0.2
    assert cohort.rater_auroc is not None
    assert cohort.rater_auroc > 0.75


def test_a_stack_that_stands_still_is_said_so(tmp_path: Path) -> None:
    play, chosen = scene(1), settings(tmp_path)
    with start_stack(chosen, scorer=NoisyLabels({}), launch=False) as stack:
        producer = Producer(stack.bootstrap_servers, stack.responses_topic, stack.feedback_topic)
        story = Story(
            stack.engine,
            producer,
            Quiet(),
            check=stack.check,
            pseudonym_key=b"k" * 32,
            patience_s=1.0,
        )
        with pytest.raises(StuckError, match="no progress"):
            story.wait(lambda seen: seen.responses > 0, "measuring")
        producer.close()
    assert play.traffic.drift_at == OPTIONS.turns_per_phase


class Hours:
    """A stopwatch that runs an hour a look: a machine so slow that every wall-clock limit is over."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        self.now_s += 3_600.0
        return self.now_s


def waiting(tmp_path: Path, looks: int, moved: Callable[[int], object]) -> Look:
    """Wait for the `looks`-th look on an empty store."""
    engine = open_store(f"sqlite:///{tmp_path}/candor.db")
    story = Story(
        engine,
        cast("Producer", None),
        Quiet(),
        check=lambda: None,
        pseudonym_key=b"k" * 32,
        stopwatch=Hours(),
        sleep=lambda _seconds: None,
    )
    seen: list[int] = []

    def done(_seen: Look) -> bool:
        seen.append(len(seen))
        return len(seen) >= looks

    try:
        return story.wait(done, "confirm run", moved=lambda: moved(len(seen)))
    finally:
        engine.dispose()


def test_a_slow_machine_is_not_a_stack_that_stands_still(tmp_path: Path) -> None:
    assert waiting(tmp_path, 50, moved=lambda look: look).responses == 0


def test_what_no_longer_moves_is_stuck(tmp_path: Path) -> None:
    with pytest.raises(StuckError, match="confirm run: no progress"):
        waiting(tmp_path, 50, moved=lambda look: min(look, 9))


def test_a_confirm_run_moves_while_it_computes(tmp_path: Path) -> None:
    busy = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    try:
        (tmp_path / "job.json").write_text(json.dumps({"pid": busy.pid, "started_ticks": "1"}))
        run = newest(tmp_path)
        first = _moved(run)
        while _moved(run) == first:
            assert busy.poll() is None
            time.sleep(0.05)
    finally:
        busy.kill()
        busy.wait()
    assert _moved(run)[2] in {0, first[2]}, "a process that ended takes no more time"
    (tmp_path / "evaluation.json").write_text("{}")
    assert _moved(run)[1] == 2


def newest(directory: Path) -> ConfirmRun:
    return ConfirmRun(
        run_id="r",
        assistant="helpdesk",
        alarm_id=None,
        state="running",
        requested_at_s=0.0,
        started_at_s=0.0,
        finished_at_s=None,
        directory=str(directory),
        error=None,
    )
