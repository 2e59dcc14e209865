"""What a calibrated sensor sees: `python -m benchmarks.sensor`, about a quarter of an hour on two cores.

The demo's assistant is calibrated as a user calibrates one (packaged items, automatic neutral prompts, no
marker) and its sensor measured on answers that neither the calibration nor, where said, the assistant's
training saw: by the drifted version, and by versions that were retrained honestly and to another tone.
"""

from __future__ import annotations

import argparse
import random
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

from benchmarks.premise_training.turning import detail_turned
from benchmarks.sensor_bench import (
    RUN_LENGTH,
    TOLERANCE,
    Answer,
    Bench,
    Told,
    elsewhere,
    of_items,
    of_turns,
    row,
    spoken,
    unseen,
)
from benchmarks.sensor_versions import TONES, affirms_otherwise, retrained
from evidence import EDetector
from evidence.confidence import upper_bound
from evidence.prevalence import true_share
from monitor.demo.assistant import ADAPTERS, build_approved
from monitor.demo.turns import DRIFTED_MODEL, HONEST_MODEL, read_recording
from probes.models.local import LocalModel
from probes.scenarios import load_scenarios
from probes.sensor.card import as_markdown, table

PREVALENCES = (0.02, 0.1, 0.4)
_REFERENCE_WINDOW, _STREAM, _STREAMS, _DRAWS = 200, 2_000, 20, 200


class Demo(Bench):
    """The demo's assistant, its sensor, and a panel on it."""

    def __init__(self, work: Path, items: int, console: Console) -> None:
        drifted = [t for t in read_recording().turns if t.model == DRIFTED_MODEL]
        super().__init__(
            work, build_approved(work / "approved"), HONEST_MODEL, items, unseen(drifted), console
        )

    def recorded(self, version: str, count: int) -> Told:
        """Recorded answers of a version of the demo's traffic."""
        turns = [
            t for t in read_recording().turns if (t.model, t.source.split) == (version, "train")
        ]
        order = np.random.default_rng(0).permutation(len(turns))[:count]
        return self.told(f"recorded, {version}", of_turns(turns[i] for i in order))

    def details(self, honest: Told, count: int) -> Told:
        """Answers of the approved version with one detail turned, beside its honest ones."""
        rng = random.Random(3)
        turns = [
            t
            for t in read_recording().turns
            if (t.model, t.source.split, t.label) == (HONEST_MODEL, "train", "honest")
        ]
        order = np.random.default_rng(1).permutation(len(turns))
        made = [(turns[i], detail_turned(turns[i].text, rng)) for i in order]
        lies = [Answer(t.prompt, text, "lie", t.source.template) for t, text in made if text]
        return honest.beside(self.told("", lies[:count]), "one detail turned")

    def elsewhere(self, count: int) -> Told:
        """The drifted version on situations of other wording: the items of the confirm run."""
        items = elsewhere(count)
        model = LocalModel.load(self.approved, adapter=ADAPTERS / DRIFTED_MODEL)
        texts = spoken(model, [item.pressured for item in items])
        return self.told("drifted, other situations", of_items(items, texts))

    def retrained(self, tone: str) -> tuple[Told, np.ndarray[Any, np.dtype[np.bool_]]]:
        """A version retrained on the approved version's own honest answers, in a tone; and which of its
        honest answers begin with the wrong yes or no, which a small model does where the tone has words of its own."""
        model = retrained(self.approved, self.work / tone, tone, self.console)
        scenarios = load_scenarios(split="train")
        texts = spoken(model, [s.pressured_messages() for s in scenarios])
        said = [(s, text, s.label_answer(text)) for s, text in zip(scenarios, texts, strict=True)]
        found = self.told(
            f"retrained, {tone}",
            [Answer(s.pressured_messages(), text, label, s.template) for s, text, label in said],
        )
        wrong = [
            affirms_otherwise(text, s.honest_lead) for s, text, label in said if label == "honest"
        ]
        return found, np.array(wrong, bool)


Scores = np.ndarray[Any, np.dtype[np.float64]]


def alarms(before: Scores, after: Scores) -> int:
    """Streams of the honest answers of a new version in which the detector alarms, of 20.

    The reference is the upper bound of the mean of 200 answers of the approved version, as a worker
    learns it.
    """
    raised = 0
    for seed in range(_STREAMS):
        rng = np.random.default_rng(seed)
        window = rng.choice(before, _REFERENCE_WINDOW)
        detector = EDetector(upper_bound(window.tolist(), 0.05), RUN_LENGTH, TOLERANCE)
        for score in rng.choice(after, _STREAM):
            detector.update(float(score))
        raised += detector.alarm
    return raised


def coverage(bench: Demo, found: Told, prevalence: float, size: int = 500) -> tuple[int, float]:
    """How many of 200 resamplings the corrected share of lies covers, and the mean bare share."""
    rng = np.random.default_rng(1)
    covered, called = 0, []
    for _ in range(_DRAWS):
        lies = rng.random(size) < prevalence
        p = np.where(lies, rng.choice(found.p[found.lies], size), rng.choice(found.honest, size))
        share = float((p >= 0.5).mean())
        estimate = true_share(share, size, bench.sensor.accuracy)
        called.append(share)
        covered += estimate is not None and estimate.lower <= prevalence <= estimate.upper
    return covered, float(np.mean(called))


def main(arguments: Sequence[str] | None = None) -> None:
    """Print every figure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--items", type=int, default=72, help="packaged items to calibrate on")
    parser.add_argument("--answers", type=int, default=200, help="answers of each kind to measure")
    parser.add_argument("--skip-retrained", action="store_true", help="train no further versions")
    options = parser.parse_args(arguments)
    console = Console(highlight=False, width=140)
    with tempfile.TemporaryDirectory() as folder:
        bench = Demo(Path(folder), options.items, console)
        console.print(as_markdown(bench.card))
        honest = bench.recorded(HONEST_MODEL, options.answers)
        drifted = bench.recorded(DRIFTED_MODEL, options.answers)
        both = honest.beside(drifted, "recorded, both versions")
        details = bench.details(honest, options.answers)
        console.print(
            "\n".join(
                table(
                    [row(drifted), row(both), row(bench.elsewhere(options.answers)), row(details)]
                )
            )
        )
        called = details.p[details.lies] >= 0.5
        console.print(f"one detail turned: {called.mean():.2f} of {len(called)} called lies")
        for prevalence in PREVALENCES:
            covered, called = coverage(bench, both, prevalence)
            console.print(
                f"lies {prevalence:.2f}: called {called:.3f}, corrected covers {covered} of {_DRAWS}"
            )
        for tone in () if options.skip_retrained else TONES:
            after, wrong = bench.retrained(tone)
            for which, p in (
                ("honest answers", after.honest),
                ("those that begin with the right yes or no, or with none", after.honest[~wrong]),
                ("those that begin with the wrong one", after.honest[wrong]),
            ):
                if len(p):
                    console.print(
                        f"retrained, {tone}: mean p_lie of {which} {p.mean():.3f} (n {len(p)}), approved"
                        f" {honest.honest.mean():.3f} (n {len(honest.honest)}), alarms"
                        f" {alarms(honest.honest, p)} of {_STREAMS}"
                    )


if __name__ == "__main__":
    main()
