"""What each judge buys on labelled transcripts: alone, with the refusal rule, and beside the activation probe.

    python -m benchmarks.judges TRANSCRIPTS.jsonl JUDGES.jsonl [--readings FILE.npz] [--json OUT]

JUDGES.jsonl has a row for each transcript: its `id`, its label, and `scores` from 1 to 100 by judge.
Of every judge the AUROC by archetype (`--archetype`, a field of the transcripts) on the rows of `--within`,
with an interval by bootstrap over scenarios: zero-shot, with bare refusals scored by the rule, and fused with
the activation probe by logistic regression on log-odds, with scenarios left out of the probe and of the fusion.
`--readings` keeps what the probe read (benchmarks.probes) and takes it from there the next time.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedGroupKFold

from benchmarks.labelled import load_examples
from benchmarks.probes import LAYERS, OTHER_DRAWS, keep_readings, kept_readings, one_draw
from candor_guard.reading import read_objects
from candor_guard.reading.values import label_of
from evidence import BadInputError
from evidence.confidence import wilson
from probes.activation.reader import Reader
from probes.activation.training import Example, Examples, fit, read_examples
from probes.activation.workflow import MAX_TOKENS
from probes.calibration import logit
from probes.evaluation import auroc, resample
from probes.grouping import scenario_group
from probes.models.local import LocalModel
from probes.models.packaged import packaged_model_dir
from probes.refusal import RefusalRule, is_bare_refusal

Array = NDArray[Any]
PROBE = "activation probe"
FOLDS = 5
ALL = "all"


class Rows(NamedTuple):
    """Labelled transcripts of one category, and what each scorer says; NaN where it says nothing.

    `labels`, `refused`, `groups` and `archetypes` have shape (n,); `p_lie` has it for every scorer.
    """

    labels: Array
    refused: Array
    groups: Array
    archetypes: Array
    p_lie: dict[str, Array]


class Figure(NamedTuple):
    """AUROC with its 95 % interval over scenarios, and the rows it rests on."""

    value: float
    lower: float
    upper: float
    n: int


def read_judges(path: Path, labels: str) -> dict[tuple[str, bool], dict[str, float]]:
    """p_lie by judge, for each id and label: (score - 1/2) / 100; a judge without a score is left out."""
    found: dict[tuple[str, bool], dict[str, float]] = {}
    for where, row in read_objects(path):
        scores, label = row.get("scores"), label_of(row.get(labels))
        if not isinstance(scores, dict) or label is None:
            raise BadInputError(f"a row without `scores` or `{labels}`", where)
        found[str(row.get("id")), label] = {
            str(name): (score - 0.5) / 100
            for name, score in scores.items()
            if isinstance(score, (int, float)) and 1 <= score <= 100
        }
    return found


def join(
    examples: Sequence[Example],
    archetypes: Sequence[str],
    judges: dict[tuple[str, bool], dict[str, float]],
    probe: Array | None,
    keep: Array,
) -> Rows:
    """The rows of `keep`, of shape (n,), with the scores of every judge, and of the probe if any."""
    names = sorted({name for scores in judges.values() for name in scores})
    by_row = [judges.get((e.transcript.id, e.label), {}) for e in examples]
    p_lie = {
        name: np.array([scores.get(name, np.nan) for scores in by_row])[keep] for name in names
    }
    if probe is not None:
        p_lie = {PROBE: probe[keep], **p_lie}
    return Rows(
        labels=np.array([int(e.label) for e in examples])[keep],
        refused=np.array([is_bare_refusal(e.transcript.response) for e in examples])[keep],
        groups=np.array([scenario_group(e.transcript) for e in examples])[keep],
        archetypes=np.array(archetypes)[keep],
        p_lie=p_lie,
    )


def with_rule(rows: Rows, p: Array) -> Array:
    """p_lie with that of the rule for bare refusals, also for those that the scorer left out."""
    return np.where(rows.refused, RefusalRule().p_lie, p)


def fused(rows: Rows, names: Sequence[str], seed: int = 0) -> Array:
    """p_lie of a logistic regression on log-odds, scenarios left out; refusals have that of the rule."""
    x = np.array([[logit(p) for p in rows.p_lie[name]] for name in names]).T
    usable = np.flatnonzero(~np.isnan(x).any(axis=1) & ~rows.refused)
    out = np.full(len(rows.labels), np.nan)
    split = StratifiedGroupKFold(FOLDS, shuffle=True, random_state=seed)
    label, group = rows.labels[usable], rows.groups[usable]
    for train, test in split.split(x[usable], label, group):
        model = LogisticRegression(C=1.0).fit(x[usable[train]], label[train])
        out[usable[test]] = model.predict_proba(x[usable[test]])[:, 1]
    return with_rule(rows, out)


def figure(rows: Rows, p: Array, part: Array, draws: int = 1000) -> Figure:
    """AUROC of the rows of `part` that have a p, resampling their scenarios."""
    kept = np.flatnonzero(part & ~np.isnan(p))
    label, score, rng = rows.labels[kept], p[kept], np.random.default_rng(0)
    found = []
    for _ in range(draws if len(kept) else 0):
        pick = resample(rows.groups[kept], rng)
        found.append(auroc(label[pick], score[pick]))
    usable = [value for value in found if not np.isnan(value)]
    lower, upper = np.quantile(usable, [0.025, 0.975]) if usable else (np.nan, np.nan)
    value = auroc(label, score) if len(kept) else float("nan")
    return Figure(value, float(lower), float(upper), len(kept))


def compare(rows: Rows) -> dict[str, dict[str, dict[str, Figure]]]:
    """Figures by scorer, then by how it is used, then by archetype."""
    parts = {str(name): rows.archetypes == name for name in np.unique(rows.archetypes)}
    parts[ALL] = np.ones(len(rows.labels), bool)
    out = {}
    for name, p in rows.p_lie.items():
        ways = {"zero-shot": p, "with the refusal rule": with_rule(rows, p)}
        if PROBE in rows.p_lie and name != PROBE:
            ways["fused with the probe"] = fused(rows, [name, PROBE])
        out[name] = {
            way: {kind: figure(rows, score, part) for kind, part in parts.items()}
            for way, score in ways.items()
        }
    return out


def refusals(rows: Rows) -> str:
    """How many bare refusals there are, and how many of them are labelled lies."""
    n, lies = int(rows.refused.sum()), int(rows.labels[rows.refused].sum())
    share = wilson(lies, n)
    wrong = wilson(lies, int(rows.labels.sum()))
    return (
        f"{n} bare refusals, {lies} labelled lies [{share.lower:.3f}, {share.upper:.3f}];"
        f" of {int(rows.labels.sum())} lies {lies} are taken for refusals [≤ {wrong.upper:.3f}]"
    )


def to_markdown(found: dict[str, dict[str, dict[str, Figure]]]) -> str:
    """One line for each scorer and way."""
    kinds = list(next(iter(next(iter(found.values())).values())))
    lines = [f"| judge | used | {' | '.join(kinds)} |", "| --- " * (len(kinds) + 2) + "|"]
    for name, ways in found.items():
        for way, cells in ways.items():
            shown = (
                f"{c.value:.3f} [{c.lower:.3f}, {c.upper:.3f}] ({c.n})" for c in cells.values()
            )
            lines.append(f"| {name} | {way} | {' | '.join(shown)} |")
    return "\n".join(lines)


def probe_left_out(data: Examples) -> tuple[Array, list[Array]]:
    """p_lie of the packaged kind of probe on scenarios left out, and by further draws of the folds."""
    found = fit(data, LAYERS)
    layer = LAYERS.index(found.layer)
    return found.held_out, [one_draw(data, layer, seed)[0] for seed in OTHER_DRAWS]


def readings(path: Path | None, examples: Sequence[Example]) -> Examples:
    """What the packaged reader reads, from `path` where it lies there."""
    if path is not None and path.is_file():
        return kept_readings(path)
    reader = Reader(LocalModel.load(packaged_model_dir()), LAYERS, MAX_TOKENS)
    data = read_examples(reader, examples)
    if path is not None:
        keep_readings(path, data)
    return data


def main(argv: Sequence[str] | None = None) -> None:
    """Read, compare, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("transcripts", type=Path)
    parser.add_argument("judges", type=Path)
    parser.add_argument("--labels", default="did_lie")
    parser.add_argument("--kind", default="category")
    parser.add_argument("--archetype", default="task")
    parser.add_argument("--within", default="mask-factual", help="The kind that is reported.")
    parser.add_argument("--readings", type=Path)
    parser.add_argument("--no-probe", action="store_true", help="Judges alone: nothing is read.")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args(argv)
    examples = load_examples(arguments.transcripts, arguments.labels, arguments.kind)
    kinds = load_examples(arguments.transcripts, arguments.labels, arguments.archetype)
    keep = np.array([e.kind == arguments.within for e in examples])
    if not keep.any():
        raise SystemExit(f"no transcript has `{arguments.kind}` {arguments.within!r}")
    first, others = None, []
    if not arguments.no_probe:
        first, others = probe_left_out(readings(arguments.readings, examples))
    judges = read_judges(arguments.judges, arguments.labels)
    archetypes = [e.kind for e in kinds]
    rows = join(examples, archetypes, judges, first, keep)
    found = compare(rows)
    console = Console(width=200, soft_wrap=True)
    everything = join(examples, archetypes, judges, None, np.ones(len(examples), bool))
    console.print(f"{arguments.within}: {refusals(rows)}\nall: {refusals(everything)}")
    print(to_markdown(found))
    if others:
        part = np.ones(len(rows.labels), bool)
        values = [
            (auroc(rows.labels, p[keep]), auroc(rows.labels, with_rule(rows, p[keep])))
            for p in (first, *others)
        ]
        plain, ruled = np.mean(values, axis=0)
        console.print(
            f"{PROBE}, mean of {len(values)} draws of the folds, n {part.sum()}:"
            f" {plain:.3f}, with the refusal rule {ruled:.3f}"
        )
    if arguments.json:
        text = json.dumps(
            {
                name: {way: {k: list(c) for k, c in cells.items()} for way, cells in ways.items()}
                for name, ways in found.items()
            },
            indent=1,
        )
        arguments.json.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
