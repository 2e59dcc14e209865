"""The demo's estimate of biased raters over many draws: `python -m benchmarks.demo_raters --measure` first.

The demo's own turns, raters and thumbs (`monitor.demo`), its settings, and what its sensor measured of every
recorded turn, which is kept in `benchmarks/demo_verdicts.json`: about five minutes to measure, half a minute for a
hundred draws. With seed 0 the estimate is that of `candor demo`.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from candor_guard.files import file_sha256
from evidence import BadInputError
from evidence.records import ASSERTED, Accuracy
from monitor.cohorts.estimate import estimate
from monitor.cohorts.events import EventTable, RatedEvent
from monitor.cohorts.options import CohortOptions
from monitor.cohorts.results import Answer, RaterStatus
from monitor.cohorts.sensor import SensorError
from monitor.demo.options import DemoOptions
from monitor.demo.play import drawn, set_scene
from monitor.demo.turns import RECORDING, Recording, Turn, read_recording

VERDICTS = Path(__file__).parent / "demo_verdicts.json"
_NOW_S = 1.76e9


class Measured(msgspec.Struct, frozen=True):
    """What the demo's sensor found: p_lie of each recorded turn of the traffic, None without an asserted verdict."""

    recording: str
    accuracy: Accuracy
    p_lie: tuple[float | None, ...]


def traffic(recording: Recording) -> list[Turn]:
    """The turns that the demo draws from, in the order of `Measured.p_lie`."""
    return [turn for turn in recording.turns if turn.source.split == "train"]


def measure() -> Measured:
    """Calibrate as the demo does and measure every recorded turn."""
    from monitor.cli.calibrate import make_sensor  # noqa: PLC0415 -- loads torch
    from monitor.cli.demo import _CALIBRATION_ITEMS, _settings  # noqa: PLC0415
    from monitor.cli.scorer import open_scorer  # noqa: PLC0415
    from monitor.demo.assistant import build_approved  # noqa: PLC0415

    with tempfile.TemporaryDirectory(prefix="candor-demo-raters-") as scratch:
        folder = Path(scratch) / "demo"
        folder.mkdir()
        settings, _, _ = _settings(folder, build_approved(Path(scratch) / "approved"), 0)
        sensor = settings.assistant.sensor
        make_sensor(settings, "", sensor, max_items=_CALIBRATION_ITEMS, progress=_quiet)
        scorer = open_scorer(settings, progress=_quiet)
        turns = traffic(read_recording())
        found = scorer.score([turn.transcript(f"t{i}") for i, turn in enumerate(turns)])
        return Measured(
            recording=file_sha256(RECORDING),
            accuracy=scorer.figures[0].accuracy,
            p_lie=tuple(one.p_lie if one.kind in ASSERTED else None for one in found),
        )


def draws(runs: int) -> list[dict[str, Any]]:
    """Whether the demo's intervals hold the truth, over the first `runs` seeds.

    Raises BadInputError where another recording was measured.
    """
    measured = msgspec.json.decode(VERDICTS.read_bytes(), type=Measured)
    if measured.recording != file_sha256(RECORDING):
        raise BadInputError(
            "another recording was measured: --measure makes it anew", str(VERDICTS)
        )
    recording = read_recording()
    p_lie = dict(zip(map(_key, traffic(recording)), measured.p_lie, strict=True))
    sensor = SensorError(accuracy=measured.accuracy)
    found = [_one(recording, p_lie, sensor, seed) for seed in range(runs)]
    said = [one for one in found if one["said"]]
    return [
        {
            "runs": runs,
            "seed": 0,
            "claimed": 0.95,
            "truth": DemoOptions().population.biased_share,
            "mean_estimate": float(np.mean([one["estimate"] for one in found])),
            "mean_width": float(np.mean([one["width"] for one in found])),
            "covered": sum(one["covers"] for one in found),
            "likes_covered": sum(one["likes_covered"] for one in found),
            "said": len(said),
            "said_covered": sum(one["covers"] for one in said),
            "suspects": sum(one["suspects"] for one in found),
            "suspects_biased": sum(one["suspects_biased"] for one in found),
        }
    ]


def _one(
    recording: Recording,
    p_lie: dict[tuple[str, str, bool, str], float | None],
    sensor: SensorError,
    seed: int,
) -> dict[str, Any]:
    options = DemoOptions()
    honest, drifted = drawn(recording, options, seed)
    scene = set_scene(honest, drifted, options, seed=seed, live=False, now_s=_NOW_S)
    turns, ratings = scene.traffic.turns, scene.traffic.ratings
    events = [
        RatedEvent(
            feedback_id=f"{one.turn:05d}-{one.rater:04d}",
            rater=f"{one.rater:04d}",
            response_id=f"{one.turn:05d}",
            value=float(one.value),
            p_lie=p_lie[_key(turns[one.turn])],
            created_at_s=scene.timeline.rating_at_s(one),
        )
        for one in ratings
    ]
    found = estimate(EventTable.from_events(events), options=CohortOptions(), sensor=sensor)
    biased = scene.population.is_biased
    likes = np.array([one.rater for one in ratings if one.value > 0])
    suspects = [r for r in found.raters if r.status is RaterStatus.SUSPECT]
    share, weight = found.biased_fraction, found.biased_weight
    return {
        "estimate": share.estimate,
        "width": share.upper - share.lower,
        "covers": bool(share.lower <= biased.mean() <= share.upper),
        "likes_covered": bool(weight.lower <= biased[likes].mean() <= weight.upper),
        "said": found.answer is Answer.SAID,
        "suspects": len(suspects),
        "suspects_biased": sum(bool(biased[int(r.rater)]) for r in suspects),
    }


def _key(turn: Turn) -> tuple[str, str, bool, str]:
    return turn.model, turn.scenario, turn.pressured, turn.text


def _quiet(_what: str, _share: float) -> None:
    """Progress that nobody looks at."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, or print what was found."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--measure", action="store_true", help="measure the recorded turns anew")
    parser.add_argument("--runs", type=int, default=100)
    options = parser.parse_args(arguments)
    if options.measure:
        VERDICTS.write_bytes(msgspec.json.encode(measure()) + b"\n")
    print(json.dumps(draws(options.runs), indent=1))


if __name__ == "__main__":
    main()
