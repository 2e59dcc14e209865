"""The activation probe on scenarios and kinds it never saw, beside bag-of-words baselines.

    python -m benchmarks.probes TRANSCRIPTS.jsonl [--labels did_lie] [--kind category] [--json OUT]

One grouped split serves the probe and the baselines. Intervals are of a bootstrap over scenarios.
"""

from __future__ import annotations

import argparse
import itertools
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import Progress
from rich.table import Table
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedGroupKFold

from probes.activation.head import HeadOptions
from probes.activation.reader import Reader
from probes.activation.training import (
    Example,
    Examples,
    fit,
    kind_left_out,
    left_out,
    read_examples,
)
from probes.activation.workflow import MAX_TOKENS
from probes.evaluation import auroc, figures
from probes.models.local import LocalModel
from probes.models.packaged import packaged_model_dir
from probes.transcripts import read_records

Array = NDArray[Any]
LAYERS = (12, 16, 20)


def load_examples(path: Path, labels: str, kind: str) -> list[Example]:
    """Labelled transcripts with a response."""
    with path.open("rb") as file:
        return [
            Example(r.transcript, bool(r.fields[labels]), str(r.fields.get(kind, "")))
            for r in read_records(file, str(path))
            if r.transcript is not None and r.transcript.response.strip()
        ]


def tfidf(texts: Sequence[str], data: Examples, seed: int) -> Array:
    """Log-odds by a tf-idf logistic regression on the same grouped folds."""
    out = np.zeros(len(texts))
    split = StratifiedGroupKFold(5, shuffle=True, random_state=seed)
    for train, test in split.split(out, data.labels, data.groups):
        words = TfidfVectorizer(analyzer=_words, sublinear_tf=True)
        model = LogisticRegression(C=3.0, max_iter=1000)
        model.fit(words.fit_transform([texts[i] for i in train]), data.labels[train])
        out[test] = model.decision_function(words.transform([texts[i] for i in test]))
    return out


def _words(text: str) -> list[str]:
    """Words and pairs of neighbours, single letters included: many responses are one letter."""
    found = re.findall(r"\w+", text.lower())
    return found + [" ".join(pair) for pair in itertools.pairwise(found)]


def difference(data: Examples, part: Array, a: Array, b: Array, draws: int = 500) -> list[float]:
    """AUROC of `a` minus that of `b` with a 95 % interval over resampled transcripts of `part`."""
    rng = np.random.default_rng(0)
    rows = np.flatnonzero(part)
    label = data.labels
    found = []
    for _ in range(draws):
        pick = rng.choice(rows, len(rows))
        found.append(auroc(label[pick], a[pick]) - auroc(label[pick], b[pick]))
    value = auroc(label[rows], a[rows]) - auroc(label[rows], b[rows])
    return [value, *map(float, np.nanquantile(found, [0.025, 0.975]))]


def evaluate(examples: Sequence[Example], data: Examples, seed: int) -> dict[str, Any]:
    """All figures as plain values."""
    found = fit(data, LAYERS)
    layer = LAYERS.index(found.layer)
    plain, restyled = left_out(data, layer, HeadOptions(), seed=seed)
    other_kinds = kind_left_out(data, layer, HeadOptions())
    response = tfidf([e.transcript.response for e in examples], data, seed)
    prompts = [" ".join(m.content for m in e.transcript.prompt) for e in examples]
    prompt = tfidf(prompts, data, seed)
    rows = figures(
        [str(kind) for kind in data.kinds],
        data.labels,
        found.held_out,
        [str(group) for group in data.groups],
        threshold=0.5,
        rng=np.random.default_rng(0),
    )
    table = {}
    for row in rows:
        part = data.kinds == row.kind if row.kind != "all" else np.ones(len(data.labels), bool)
        table[row.kind] = {
            "n": row.n,
            "auroc": list(row.auroc),
            "balanced_accuracy": list(row.balanced_accuracy),
            "calibration_error": list(row.calibration_error),
            "auroc_restyled": auroc(data.labels[part], restyled[part]),
            "auroc_kind_left_out": auroc(data.labels[part], other_kinds[part]),
            "auroc_words_of_response": auroc(data.labels[part], response[part]),
            "auroc_words_of_prompt": auroc(data.labels[part], prompt[part]),
            "over_words_of_response": difference(data, part, plain, response),
            "over_words_of_prompt": difference(data, part, plain, prompt),
        }
    return {"layer": found.layer, "layer_auroc": found.layer_auroc, "kinds": table}


def show(result: dict[str, Any]) -> None:
    """The figures as a table."""
    names = ["n", "AUROC", "balanced acc.", "calibration", "restyled", "kind left out"]
    table = Table("kind", *names, "words: response", "words: prompt", "gain over response words")
    for kind, row in result["kinds"].items():
        table.add_row(
            kind,
            str(row["n"]),
            _interval(row["auroc"]),
            _interval(row["balanced_accuracy"]),
            _interval(row["calibration_error"]),
            f"{row['auroc_restyled']:.3f}",
            f"{row['auroc_kind_left_out']:.3f}",
            f"{row['auroc_words_of_response']:.3f}",
            f"{row['auroc_words_of_prompt']:.3f}",
            _interval(row["over_words_of_response"]),
        )
    Console(width=180).print(f"layer {result['layer']} of {result['layer_auroc']}", table)


def _interval(values: Sequence[float | None]) -> str:
    value, lower, upper = values
    return "–" if value is None else f"{value:.3f} [{lower:.3f}, {upper:.3f}]"


def main() -> None:
    """Read, evaluate, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("transcripts", type=Path)
    parser.add_argument("--labels", default="did_lie")
    parser.add_argument("--kind", default="category")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    examples = load_examples(arguments.transcripts, arguments.labels, arguments.kind)
    model = LocalModel.load(packaged_model_dir())
    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("reading", total=1.0)
        data = read_examples(
            Reader(model, LAYERS, MAX_TOKENS),
            examples,
            progress=lambda what, share: bar.update(task, description=what, completed=share),
        )
    result = evaluate(examples, data, arguments.seed)
    show(result)
    if arguments.json:
        arguments.json.write_text(json.dumps(result, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
