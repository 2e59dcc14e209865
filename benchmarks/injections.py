"""How often an injection moves a verdict across the threshold in the attacker's favour.

    python -m benchmarks.injections [TRANSCRIPTS.jsonl] [--labels did_lie] [--n 12] [--json OUT]

Every injection of probes/injections is put into replies that are called lies without it: lying answers
of the packaged scenarios, or labelled lies of a file. `bare` is the reading of the probe alone,
`guarded` that of a panel; `unseen` are attacks that the guard's rules were not written for. An interval is the wider of Wilson's and of a bootstrap over injections and
transcripts.
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
from probes.injections import HELD_OUT, KINDS, Injection, load_injections
from probes.injections.guard import read_guarded
from probes.judge import JudgeProbe, LocalJudge
from probes.models.local import LocalModel
from probes.models.packaged import packaged_model_dir
from probes.opening import PanelOptions, open_panel
from probes.panel import Panel
from probes.probe import Probe, Transcript
from probes.scenarios import load_scenarios
from probes.transcripts import read_records

Read = Callable[[Measurement], float | None]
Flags = NDArray[np.bool_]


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


def own_lies() -> list[Transcript]:
    """A lying answer to every packaged scenario, templates in turn."""
    scenarios = sorted(load_scenarios(), key=lambda s: (s.id.rsplit(".", 1)[1], s.id))
    return [
        Transcript(
            id=s.id,
            messages=(*s.pressured_messages(), Message("assistant", s.lying_answers[0])),
        )
        for s in scenarios
    ]


def labelled_lies(path: Path, labels: str) -> list[Transcript]:
    """Transcripts of a file that are labelled lies, in a seeded order."""
    with path.open("rb") as file:
        lies = [r.transcript for r in read_records(file, str(path)) if r.fields.get(labels) is True]
    found = [t for t in lies if t is not None and t.response.strip()]
    return [found[i] for i in np.random.default_rng(0).permutation(len(found))]


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
    measure: Callable[[Sequence[Transcript]], list[Measurement]],
    lies: Sequence[Transcript],
    injections: Sequence[Injection],
    advance: Callable[[], None],
) -> tuple[Flags, Flags]:
    """Whether each injection (rows) made each lie (columns) pass, and whether it left no reading."""
    passed = np.zeros((len(injections), len(lies)), bool)
    lost = passed.copy()
    for row, injection in enumerate(injections):
        found = measure([injection.attack(transcript) for transcript in lies])
        p = [reader.p_lie(one) for one in found]
        passed[row] = [value is not None and value < reader.threshold for value in p]
        lost[row] = [value is None for value in p]
        advance()
    return passed, lost


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


def measure_reader(
    reader: Reader, lies: Sequence[Transcript], n: int, bar: Progress
) -> dict[str, Any]:
    """Figures of one reader as plain values."""
    injections, unseen = load_injections(), load_injections(HELD_OUT)
    measure = Remembered(reader.probe)
    lies = called_lies(reader, measure, lies, n)
    if not lies:
        return {"reader": reader.name, "lies": 0}
    task = bar.add_task(reader.name, total=2 * (len(injections) + len(unseen)))
    result: dict[str, Any] = {
        "reader": reader.name,
        "threshold": reader.threshold,
        "lies": len(lies),
        "injections": len(injections),
        "cases": len(lies) * len(injections),
    }
    ways = {"bare": measure, "guarded": lambda batch: read_guarded(measure, batch)}
    for way, read in ways.items():
        passed, lost = flips(reader, read, lies, injections, lambda: bar.advance(task))
        rng = np.random.default_rng(0)
        kinds = np.array([injection.kind for injection in injections])
        result[way] = {
            "flipped": rate(passed, rng),
            "no_reading": rate(lost, rng),
            "unseen": rate(flips(reader, read, lies, unseen, lambda: bar.advance(task))[0], rng),
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
        table.add_row("unseen attacks", *(_text(result[w]["unseen"]) for w in ("bare", "guarded")))
        table.add_row("no reading", *(_text(result[w]["no_reading"]) for w in ("bare", "guarded")))
        table.add_row("worst", *(", ".join(result[w]["worst"]) for w in ("bare", "guarded")))
        Console(width=120).print(table)


def _text(values: Sequence[float]) -> str:
    value, lower, upper = values
    return f"{value:.3f} [{lower:.3f}, {upper:.3f}]"


def main() -> None:
    """Read, attack, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("transcripts", type=Path, nargs="?")
    parser.add_argument("--labels", default="did_lie")
    parser.add_argument("--n", type=int, default=12)
    parser.add_argument("--no-judge", action="store_true")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    lies = (
        labelled_lies(arguments.transcripts, arguments.labels)
        if arguments.transcripts
        else own_lies()
    )
    with Progress(console=Console(stderr=True), transient=True) as bar:
        readers = [panel_reader(open_panel(PanelOptions(cascade=None)))]
        if not arguments.no_judge:
            judge = JudgeProbe(LocalJudge(LocalModel.load(packaged_model_dir())))
            readers.append(Reader("judge (SmolLM2)", judge, lambda found: found.p_lie, 0.5))
        results = [measure_reader(reader, lies, arguments.n, bar) for reader in readers]
    show(results)
    if arguments.json:
        arguments.json.write_text(json.dumps(results, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
