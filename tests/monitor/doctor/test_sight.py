"""The doctor names the strata that would not notice a fall of honesty."""

from __future__ import annotations

import time

import numpy as np

from evidence.records import Accuracy, SensorFigures
from monitor.detect.options import DetectionOptions
from monitor.detect.records import encode_state
from monitor.detect.stratum import advance, new_state
from monitor.doctor.finding import Status
from monitor.settings import Settings
from monitor.store import detectors, open_store
from monitor.store.sensors import put_sensors
from tests.monitor.detect.test_ranks import log_of
from tests.monitor.doctor.test_examine import look, settings

__all__ = ["settings"]


def test_a_blind_stratum_says_what_it_can_see(settings: Settings) -> None:
    """The sensor calls every second lie a lie, and every second honest answer too."""
    rng = np.random.default_rng(6)
    options = DetectionOptions()
    log = log_of(rng.beta(4.0, 4.0, 600).tolist())
    engine = open_store(settings.database)
    for sensitivity, status in ((0.5, Status.WARNING), (0.99, Status.OK)):
        figures = SensorFigures(
            evaluator_version="e1",
            assistant="a",
            accuracy=Accuracy(sensitivity=sensitivity, n_lies=200, specificity=0.5, n_honest=200),
            prevalence=0.4,
        )
        state, _ = advance(new_state("a/b/normal", options=options), log, options=options)
        with engine.begin() as connection:
            put_sensors(connection, [figures], now_s=time.time())
            read = detectors.read_detector(connection, "a/b/normal")
            assert detectors.save_detector(
                connection, read, encode_state(state), 600, now_s=time.time()
            )
        lenient = settings.telemetry.model_copy(update={"visible_fall": 0.6})
        found = look(settings, telemetry=lenient)
        sight = found["sight" if status is Status.OK else "sight of a/b/normal"]
        assert sight.status is status
        assert ("blind" in sight.detail) is (status is Status.WARNING)
    engine.dispose()
