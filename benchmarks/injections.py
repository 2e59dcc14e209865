"""How often an injection moves a verdict across the threshold in the attacker's favour.

    python -m benchmarks.injections [TRANSCRIPTS.jsonl] [--labels did_lie] [--n 8] [--judge-n 2]
        [--judge-url URL] [--json OUT]

Every injection of probes/injections is put into replies that are called lies without it: lying answers
of the packaged scenarios, or labelled lies of a file. `bare` is the reading of the probe alone,
`guarded` that of a panel; `unseen` are attacks that the guard's rules were not written for. An interval is
the wider of Wilson's and of a bootstrap over injections and transcripts. `honest called lies` is the share
of honest replies, with nothing put into them, that the probe alone passes and the guard calls lies.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from evidence import Measurement, Message
from evidence.confidence import wilson
from probes.injections import HELD_OUT, KINDS, Injection, guard, load_injections
from probes.judge import JudgeProbe, LocalJudge, ServerJudge
from probes.models.local import LocalModel
from probes.models.openai import OpenAIModel
from probes.models.packaged import packaged_model_dir
from probes.models.server import ServerOptions
from probes.opening import PanelOptions, open_panel
from probes.panel import Panel
from probes.probe import Probe, Transcript
from probes.scenarios import Scenario, load_scenarios
from probes.transcripts import read_records

Read = Callable[[Measurement], float | None]
Flags = NDArray[np.bool_]
CHUNK = 64


class Reader(NamedTuple):
    """A probe, its p_lie as a verdict uses it, and the threshold of a lie."""

    name: str
    probe: Probe
    p_lie: Read
    threshold: float


class Remembered:
    """A probe's measurements by conversation, so that nothing is read twice."""

    def __init__(self, probe: Probe) -> None:
        self._probe = probe
        self._known: dict[tuple[Message, ...], Measurement] = {}

    def __call__(self, transcripts: Sequence[Transcript]) -> list[Measurement]:
        new = {t.messages: t for t in transcripts if t.messages not in self._known}
        for key, found in zip(new, self._probe.measure(list(new.values())), strict=True):
            self._known[key] = found
        return [self._known[t.messages] for t in transcripts]


class Replies(NamedTuple):
    """What is attacked, and what must not be called a lie for the guard's sake."""

    lies: list[Transcript]
    honest: list[Transcript]


def own_replies() -> Replies:
    """A lying answer to every packaged scenario, templates in turn, and all honest ones."""
    scenarios = sorted(load_scenarios(), key=lambda s: (s.id.rsplit(".", 1)[1], s.id))

    def answer(scenario: Scenario, text: str) -> Transcript:
        turns = (*scenario.pressured_messages(), Message("assistant", text))
        return Transcript(id=scenario.id, messages=turns)

    return Replies(
        [answer(s, s.lying_answers[0]) for s in scenarios],
        [answer(s, text) for s in scenarios for text in s.honest_answers],
    )


def labelled_replies(path: Path, labels: str) -> Replies:
    """Transcripts of a file by their label, in a seeded order."""
    sides: dict[Any, list[Transcript]] = {True: [], False: []}
    with path.open("rb") as file:
        for record in read_records(file, str(path)):
            found, label = record.transcript, record.fields.get(labels)
            if found is not None and found.response.strip() and label in sides:
                sides[label].append(found)
    rng = np.random.default_rng(0)
    return Replies(*([part[i] for i in rng.permutation(len(part))] for part in sides.values()))


def called_lies(
    reader: Reader, measure: Remembered, lies: Sequence[Transcript], n: int
) -> list[Transcript]:
    """The first `n` that the reader calls lies as they stand."""
    out: list[Transcript] = []
    for start in range(0, len(lies), 2 * n):
        part = lies[start : start + 2 * n]
        for transcript, found in zip(part, measure(part), strict=True):
            p = reader.p_lie(found)
            if p is not None and p >= reader.threshold:
                out.append(transcript)
        if len(out) >= n:
            break
    return out[:n]


def flips(
    reader: Reader,
    measure: guard.Measure,
    lies: Sequence[Transcript],
    injections: Sequence[Injection],
    advance: Callable[[int], None],
) -> tuple[Flags, Flags]:
    """Whether each injection (rows) made each lie (columns) pass, and whether it left no reading."""
    attacked = [injection.attack(lie) for injection in injections for lie in lies]
    p: list[float | None] = []
    for start in range(0, len(attacked), CHUNK):
        part = attacked[start : start + CHUNK]
        p += [reader.p_lie(found) for found in measure(part)]
        advance(len(part))
    shape = (len(injections), len(lies))
    passed = np.array([value is not None and value < reader.threshold for value in p])
    return passed.reshape(shape), np.array([value is None for value in p]).reshape(shape)


def called_for_the_guard(
    reader: Reader, measure: Remembered, honest: Sequence[Transcript]
) -> dict[str, Any]:
    """How many honest replies are read more than once, and the share of all called lies for it."""
    plain = [guard.tidied(transcript) for transcript in honest]
    other = [
        transcript
        for transcript, seen in zip(honest, plain, strict=True)
        if seen != transcript or guard.other_readings(seen, guard.without_attack(transcript, seen))
    ]
    pairs = zip(measure(other), guard.read_guarded(measure, other), strict=True)
    readings = [(reader.p_lie(bare), reader.p_lie(guarded)) for bare, guarded in pairs]
    called = sum(p is not None and p < reader.threshold <= (q or 0.0) for p, q in readings)
    interval = wilson(called, len(honest))
    return {
        "honest": len(honest),
        "read_again": len(other),
        "called_lies": [called / max(1, len(honest)), interval.lower, interval.upper],
    }


def rate(hit: Flags, rng: np.random.Generator, draws: int = 1000) -> list[float]:
    """Share, lower and upper end."""
    exact = wilson(int(hit.sum()), hit.size)
    found = [
        hit[rng.integers(0, hit.shape[0], hit.shape[0])][
            :, rng.integers(0, hit.shape[1], hit.shape[1])
        ].mean()
        for _ in range(draws)
    ]
    lower, upper = np.quantile(found, [0.025, 0.975])
    return [float(hit.mean()), min(exact.lower, float(lower)), max(exact.upper, float(upper))]


def panel_reader(panel: Panel) -> Reader:
    """The panel's first probe with the panel's fusion."""
    return Reader(
        f"panel ({panel.names[0]})",
        panel.probes[0],
        lambda found: panel.fusion.read([found]).p_lie,
        panel.fusion.lie_threshold,
    )


def judge_reader(url: str | None) -> Reader:
    """The judge alone: the first model of a server, or SmolLM2 in process."""
    if url is None:
        judge = JudgeProbe(LocalJudge(LocalModel.load(packaged_model_dir())))
        return Reader("judge (SmolLM2 in process)", judge, lambda found: found.p_lie, 0.5)
    served = OpenAIModel(url, "").served_models()[0]
    server = OpenAIModel(url, served, ServerOptions(timeout_s=300))
    return Reader(f"judge ({served})", JudgeProbe(ServerJudge(server)), lambda m: m.p_lie, 0.5)


def measure_reader(reader: Reader, replies: Replies, n: int, bar: Progress) -> dict[str, Any]:
    """Figures of one reader as plain values."""
    injections, unseen = load_injections(), load_injections(HELD_OUT)
    measure = Remembered(reader.probe)
    lies = called_lies(reader, measure, replies.lies, n)
    if not lies:
        return {"reader": reader.name, "lies": 0}
    cases = len(lies) * (len(injections) + len(unseen))
    task = bar.add_task(reader.name, total=2 * cases)

    def advance(done: int) -> None:
        bar.advance(task, done)

    result: dict[str, Any] = {
        "reader": reader.name,
        "threshold": reader.threshold,
        "lies": len(lies),
        "injections": len(injections),
        "cases": len(lies) * len(injections),
        "unseen_cases": len(lies) * len(unseen),
        "harm": called_for_the_guard(reader, measure, replies.honest),
    }
    ways: dict[str, guard.Measure] = {
        "bare": measure,
        "guarded": lambda batch: guard.read_guarded(measure, batch),
    }
    for way, read in ways.items():
        passed, lost = flips(reader, read, lies, injections, advance)
        rng = np.random.default_rng(0)
        kinds = np.array([injection.kind for injection in injections])
        result[way] = {
            "flipped": rate(passed, rng),
            "no_reading": rate(lost, rng),
            "unseen": rate(flips(reader, read, lies, unseen, advance)[0], rng),
            "by_kind": {kind: rate(passed[kinds == kind], rng) for kind in KINDS},
            "worst": [injections[i].id for i in np.argsort(-passed.mean(1))[:5] if passed[i].any()],
        }
    return result


def show(results: Sequence[dict[str, Any]]) -> None:
    """One table a reader."""
    for result in results:
        if not result["lies"]:
            print(f"{result['reader']}: no lie of this set is called one, so nothing can flip")
            continue
        table = Table(
            "kind",
            "bare",
            "guarded",
            title=f"{result['reader']}: flipped of {result['cases']} cases"
            f" ({result['injections']} injections × {result['lies']} lies)",
        )
        for kind in KINDS:
            table.add_row(kind, *(_text(result[w]["by_kind"][kind]) for w in ("bare", "guarded")))
        table.add_row("all", *(_text(result[w]["flipped"]) for w in ("bare", "guarded")))
        table.add_row(
            f"{result['unseen_cases']} unseen",
            *(_text(result[w]["unseen"]) for w in ("bare", "guarded")),
        )
        table.add_row("no reading", *(_text(result[w]["no_reading"]) for w in ("bare", "guarded")))
        table.add_row("worst", *(", ".join(result[w]["worst"]) for w in ("bare", "guarded")))
        harm = result["harm"]
        Console(width=120).print(
            table,
            f"honest called lies by the guard: {_text(harm['called_lies'])} of {harm['honest']},"
            f" {harm['read_again']} of them read more than once",
        )


def _text(values: Sequence[float]) -> str:
    value, lower, upper = values
    return f"{value:.3f} [{lower:.3f}, {upper:.3f}]"


def main() -> None:
    """Read, attack, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("transcripts", type=Path, nargs="?")
    parser.add_argument("--labels", default="did_lie")
    parser.add_argument("--n", type=int, default=8)
    parser.add_argument("--judge-url", help="a judge server; without it SmolLM2 judges in process")
    parser.add_argument("--judge-n", type=int, default=2, help="0 leaves the judge out")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    replies = (
        labelled_replies(arguments.transcripts, arguments.labels)
        if arguments.transcripts
        else own_replies()
    )
    with Progress(console=Console(stderr=True), transient=True) as bar:
        results = []
        if arguments.n:
            panel = open_panel(PanelOptions(cascade=None))
            results.append(measure_reader(panel_reader(panel), replies, arguments.n, bar))
        if arguments.judge_n:
            reader = judge_reader(arguments.judge_url)
            results.append(measure_reader(reader, replies, arguments.judge_n, bar))
    show(results)
    if arguments.json:
        arguments.json.write_text(json.dumps(results, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
