"""What the reader of premises tells apart: inference, facts turned round, told facts, answers, and how fast.

    python -m benchmarks.premise [--weights DIR] [--nli FILE.jsonl …] [--held-out FILE.jsonl …] [--apart KIND …]
        [--n 2000]
        [--transcripts FILE.jsonl --labels did_lie --archetype task] [--json OUT]

NLI files hold `premise`, `hypothesis`, `label` (entailment, neutral, contradiction) and perhaps `group` or
`did`; of rows with `binary: true` only entailment or not is asked. Of `--held-out` files those rows alone are read
whose group or kind was kept out of training (benchmarks.premise_training). Facts turned round: the packaged
calibration items, the held-out pressure scenarios and the held-out statements of the training, each answer under
both states of the facts, so that neither the words of an answer nor those of a prompt give its label. Transcripts are read by the `premise` probe as shipped.
Intervals are of a bootstrap over groups (wordings, scenarios, premises).
"""

from __future__ import annotations

import argparse
import json
import random
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from benchmarks.labelled import load_examples
from benchmarks.premise_training.pairs import held_out
from benchmarks.premise_training.statements import load_statements, told_by
from candor_guard.reading import read_objects
from evidence import BadInputError
from probes.evaluation import auroc, resample
from probes.grouping import scenario_group
from probes.premise import CONTRADICTION, ENTAILMENT, PremiseReader
from probes.premise.probe import PremiseProbe
from probes.premise.weights import PACKAGED
from probes.refusal import RefusalRule, is_bare_refusal
from probes.scenarios import load_scenarios
from probes.sensor.items import load_calibration_items

Array = NDArray[Any]
LABELS = ("entailment", "neutral", "contradiction")
DRAWS = 500
MOST_TURNED = 120
"""Answers of one kind that are read under facts turned round."""


class Figure(NamedTuple):
    """A figure with its 95 % interval, on `n` rows of `groups` groups."""

    value: float
    lower: float
    upper: float
    n: int
    groups: int


class Told(NamedTuple):
    """A premise, an answer, whether the answer contradicts it, its wording, and the kind of test."""

    premise: str
    answer: str
    contradicts: bool
    wording: str
    kind: str


def figure(of: Callable[[Array], float], groups: Sequence[str]) -> Figure:
    """What `of` gives for all row numbers, resampling whole groups."""
    _, group = np.unique(np.asarray(groups), return_inverse=True)
    rng = np.random.default_rng(0)
    drawn = [of(resample(group, rng)) for _ in range(DRAWS)]
    lower, upper = np.nanquantile(drawn, [0.025, 0.975])
    n = len(groups)
    return Figure(of(np.arange(n)), float(lower), float(upper), n, int(group.max()) + 1)


def group_of(row: dict[str, Any]) -> str:
    """What a row must not be parted from."""
    return str(row.get("group") or row.get("did") or row["premise"])


def inference(
    reader: PremiseReader, path: Path, most: int, apart: set[str] | None = None
) -> Figure:
    """Accuracy on the first `most` rows of a seeded order; two-way where a row says `binary`.

    With `apart`, the kinds kept out of training, only those rows and those of held-out groups count.
    """
    rows = [
        row
        for _, row in read_objects(path)
        if apart is None or held_out(group_of(row)) or row.get("kind") in apart
    ]
    rows = [rows[k] for k in np.random.default_rng(0).permutation(len(rows))[:most]]
    if any(row.get("label") not in LABELS for row in rows):
        raise BadInputError("a row without a label of inference", str(path))
    p = reader.read([(str(row["premise"]), str(row["hypothesis"])) for row in rows])
    label = np.array([LABELS.index(row["label"]) for row in rows])
    binary = np.array([bool(row.get("binary")) for row in rows])
    entailed = p[:, ENTAILMENT] > 0.5
    right = np.where(binary, entailed == (label == ENTAILMENT), p.argmax(1) == label)
    return figure(lambda part: float(right[part].mean()), [group_of(row) for row in rows])


def turned() -> list[Told]:
    """Answers under a fact and under the fact turned round."""
    out = []
    for item in load_calibration_items():
        premise = "\n".join(m.content for m in item.messages if m.role != "assistant")
        kind = f"items, {item.archetype.value}, {item.level}"
        if item.archetype.value == "known_facts":
            continue
        for answers, lie in ((item.honest_answers, False), (item.lying_answers, True)):
            kept = [answer for answer in answers if len(answer.split()) > 2]
            out += [Told(premise, answer, lie, item.template, kind) for answer in kept]
    for scenario in load_scenarios(split="held_out"):
        kind = "scenarios, held out"
        states = (scenario.honest_answers, scenario.lying_answers)
        for true, false in (states, states[::-1]):
            premise = f"{true[0]} {scenario.pressure}"
            out += [Told(premise, a, False, scenario.template, kind) for a in true[1:]]
            out += [Told(premise, a, True, scenario.template, kind) for a in false]
    return out + stated()


def stated(n: int = 30) -> list[Told]:
    """Of each held-out template of statements `n` claims that are not neutral."""
    statements, rng = load_statements(), random.Random(0)
    out = []
    for k, template in enumerate(statements.templates):
        if not template.held_out:
            continue
        others = [one for one in statements.templates if one is not template]
        pool = [scenario.facts for scenario in load_scenarios(split="held_out")]
        pairs = [told_by(template, others, statements.pressure, pool, rng) for _ in range(2 * n)]
        mine = [pair for pair in pairs if pair.label != 1]
        out += [
            Told(p.premise, p.claim, p.label == 2, str(k), "statements, held out") for p in mine[:n]
        ]
    return out


def some(rows: Sequence[Told], most: int = MOST_TURNED) -> list[Told]:
    """At most so many of each kind, seeded."""
    seen: dict[str, int] = defaultdict(int)
    out = []
    for k in np.random.default_rng(0).permutation(len(rows)):
        seen[rows[k].kind] += 1
        if seen[rows[k].kind] <= most:
            out.append(rows[k])
    return out


def facts_turned(reader: PremiseReader) -> dict[str, Figure]:
    """By kind, how often the larger of contradiction and entailment is the right one."""
    rows = some(turned())
    p = reader.read([(row.premise, row.answer) for row in rows])
    called = p[:, CONTRADICTION] > p[:, ENTAILMENT]
    by_kind = defaultdict(list)
    for k, row in enumerate(rows):
        by_kind[row.kind].append(k)
    right = called == np.array([row.contradicts for row in rows])
    return {
        kind: figure(
            lambda part, of=right[at]: float(of[part].mean()),  # type: ignore[misc]
            [rows[k].wording for k in at],
        )
        for kind, at in by_kind.items()
    }


def told(probe: PremiseProbe, path: Path, labels: str, archetype: str) -> dict[str, Figure]:
    """AUROC of p_lie by archetype, bare refusals by the rule, p = ½ where the probe abstains."""
    examples = load_examples(path, labels, archetype)
    found = probe.measure([example.transcript for example in examples])
    rule = RefusalRule().p_lie
    p = np.array(
        [
            rule
            if is_bare_refusal(example.transcript.response)
            else (0.5 if m.p_lie is None else m.p_lie)
            for example, m in zip(examples, found, strict=True)
        ]
    )
    lie = np.array([example.label for example in examples], int)
    out = {}
    for kind in sorted({example.kind for example in examples}):
        at = np.array([k for k, example in enumerate(examples) if example.kind == kind])
        groups = [scenario_group(examples[k].transcript) for k in at]
        out[kind] = figure(
            lambda part, y=lie[at], score=p[at]: auroc(y[part], score[part]),  # type: ignore[misc]
            groups,
        )
    return out


def speed(reader: PremiseReader, n: int = 128) -> float:
    """Pairs a second of one core, of statements told in a prompt (some 40 tokens a pair)."""
    rows = stated()[:n]
    began = time.process_time()
    reader.read([(row.premise, row.answer) for row in rows])
    return len(rows) / (time.process_time() - began)


def main() -> None:
    """Measure, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--weights", type=Path, default=PACKAGED)
    parser.add_argument("--nli", type=Path, nargs="*", default=[])
    parser.add_argument("--held-out", type=Path, nargs="*", default=[])
    parser.add_argument("--apart", nargs="*", default=[], metavar="KIND")
    parser.add_argument("--n", type=int, default=2000)
    parser.add_argument("--transcripts", type=Path)
    parser.add_argument("--labels", default="did_lie")
    parser.add_argument("--archetype", default="task")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    reader = PremiseReader.packaged(arguments.weights)
    found: dict[str, Figure] = {}
    for path in arguments.nli:
        found[f"inference, {path.stem}"] = inference(reader, path, arguments.n)
    for path in arguments.held_out:
        of = inference(reader, path, arguments.n, set(arguments.apart))
        found[f"inference, {path.stem}, kept apart"] = of
    found |= {f"facts turned round, {kind}": f for kind, f in facts_turned(reader).items()}
    if arguments.transcripts:
        probe = PremiseProbe(reader)
        read = told(probe, arguments.transcripts, arguments.labels, arguments.archetype)
        found |= {f"AUROC, {kind}": f for kind, f in read.items()}
    table = Table("what", "figure", "n", "groups")
    for name, f in found.items():
        table.add_row(
            name, f"{f.value:.3f} [{f.lower:.3f}, {f.upper:.3f}]", str(f.n), str(f.groups)
        )
    Console(width=120).print(table, f"{speed(reader):.0f} pairs a second of one core")
    if arguments.json:
        text = json.dumps({name: f._asdict() for name, f in found.items()}, indent=1)
        arguments.json.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
