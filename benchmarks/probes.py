"""The activation probe on scenarios and kinds it never saw, beside what reads words alone.

    python -m benchmarks.probes TRANSCRIPTS.jsonl [--labels did_lie] [--kind category] [--json OUT]

One grouped split serves the probe and the baselines. Intervals are of a bootstrap over scenarios; beside
them stand means over six draws of the folds. `--pictures DIR` is where the ROC and reliability diagrams go,
`--reader DIR` takes another model's folder, `--readings FILE.npz` keeps what was read and takes it from there
the next time, `--uqlm` adds self-consistency (benchmarks.consistency).
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
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from benchmarks import consistency
from benchmarks.labelled import load_examples
from benchmarks.probe_pictures import draw_reliability, draw_roc
from benchmarks.probe_speed import measure_speed
from probes.activation.head import HeadOptions
from probes.activation.reader import Reader
from probes.activation.training import (
    Example,
    Examples,
    Rows,
    calibrated_apart,
    fit,
    kind_left_out,
    left_out,
    read_examples,
    split_scenarios,
)
from probes.activation.workflow import MAX_TOKENS
from probes.calibration import calibration_error
from probes.evaluation import auroc, balanced_accuracy, figures, resample
from probes.models.local import LocalModel
from probes.models.packaged import packaged_model_dir

Array = NDArray[Any]
LAYERS = (12, 16, 20)
OTHER_DRAWS = (1, 2, 3, 4, 5)
"""Seeds of further draws of the folds: one draw of five moves a figure by a few hundredths."""


def words_left_out(texts: Sequence[str], data: Examples, seed: int) -> Array:
    """Log-odds by tf-idf over words and pairs, logistic regression, on the same grouped folds."""
    out = np.zeros(len(texts))
    for train, test in split_scenarios(data, 5, seed):
        words = TfidfVectorizer(analyzer=_words, sublinear_tf=True)
        model = LogisticRegression(C=3.0, max_iter=1000)
        model.fit(words.fit_transform([texts[i] for i in train]), data.labels[train])
        out[test] = model.decision_function(words.transform([texts[i] for i in test]))
    return out


def logistic_left_out(data: Examples, layer: int, seed: int) -> Array:
    """Log-odds by a plain linear probe on the mean state of the response, on the same folds."""
    mean = data.plain.features[:, layer, -(data.plain.features.shape[2] // 3) :]
    out = np.zeros(len(data.labels))
    for train, test in split_scenarios(data, 5, seed):
        model = make_pipeline(StandardScaler(), LogisticRegression(C=1e-3, max_iter=1000))
        out[test] = model.fit(mean[train], data.labels[train]).decision_function(mean[test])
    return out


def _words(text: str) -> list[str]:
    """Words and pairs of neighbours, single letters included: many responses are one letter."""
    found = re.findall(r"\w+", text.lower())
    return found + [" ".join(pair) for pair in itertools.pairwise(found)]


def difference(data: Examples, part: Array, a: Array, b: Array, draws: int = 500) -> list[float]:
    """AUROC of `a` minus that of `b` with a 95 % interval, resampling the scenarios of `part`."""
    rng = np.random.default_rng(0)
    rows = np.flatnonzero(part)
    label = data.labels
    found = []
    for _ in range(draws):
        pick = rows[resample(data.groups[rows], rng)]
        found.append(auroc(label[pick], a[pick]) - auroc(label[pick], b[pick]))
    value = auroc(label[rows], a[rows]) - auroc(label[rows], b[rows])
    return [value, *map(float, np.nanquantile(found, [0.025, 0.975]))]


def evaluate(examples: Sequence[Example], data: Examples, layers: Sequence[int]) -> dict[str, Any]:
    """All figures as plain values, and under `scores` what the pictures are drawn from."""
    found = fit(data, layers)
    layer = list(layers).index(found.layer)
    p, restyled = found.held_out, found.held_out_restyled
    prompts = [" ".join(m.content for m in e.transcript.prompt) for e in examples]
    scores = {
        "probe": p,
        "words of the response": words_left_out([e.transcript.response for e in examples], data, 0),
        "words of the prompt": words_left_out(prompts, data, 0),
        "plain logistic probe": logistic_left_out(data, layer, 0),
    }
    draws = [np.stack([p, restyled]), *(one_draw(data, layer, seed) for seed in OTHER_DRAWS)]
    unseen = [kind_left_out(data, k, HeadOptions())[0] for k in range(len(layers))]
    rows = figures(
        [str(kind) for kind in data.kinds],
        data.labels,
        p,
        [str(group) for group in data.groups],
        threshold=0.5,
        rng=np.random.default_rng(0),
    )
    table = {}
    for row in rows:
        part = data.kinds == row.kind if row.kind != "all" else np.ones(len(data.labels), bool)
        label = data.labels[part]
        table[row.kind] = {
            "n": row.n,
            "auroc": list(row.auroc),
            "balanced_accuracy": list(row.balanced_accuracy),
            "calibration_error": list(row.calibration_error),
            "mean_of_draws": mean_of_draws(label, [draw[:, part] for draw in draws]),
            "auroc_kind_left_out": auroc(label, unseen[layer][part]),
            "auroc_kind_left_out_by_block": {
                block: auroc(label, other[part])
                for block, other in zip(layers, unseen, strict=True)
            },
            **{f"auroc {name}": auroc(label, s[part]) for name, s in scores.items()},
            **{f"gain over {n}": difference(data, part, p, scores[n]) for n in list(scores)[1:]},
        }
    return {
        "layer": found.layer,
        "layer_auroc": found.layer_auroc,
        "kinds": table,
        "styles": by_style(data, p, restyled),
        "same_prompt": same_prompt(data, p),
        "scores": scores,
    }


def one_draw(data: Examples, layer: int, seed: int) -> Array:
    """p_lie left out, shape (2, n), by another draw of the folds, those of the calibration too."""
    margins = left_out(data, layer, HeadOptions(), seed=seed)
    return calibrated_apart(data, layer, margins, 5, seed=100 + seed)


def mean_of_draws(label: Array, draws: Sequence[Array]) -> dict[str, float]:
    """Figures of each draw, p_lie as written and rewritten of shape (2, n), and their mean."""
    rng = np.random.default_rng(0)
    found = [
        {
            "auroc": auroc(label, p),
            "balanced_accuracy": balanced_accuracy(label, p >= 0.5),
            "calibration_error": calibration_error(p, label, rng=rng, draws=1).estimate,
            "auroc_restyled": auroc(label, restyled),
        }
        for p, restyled in draws
    ]
    return {name: float(np.mean([one[name] for one in found])) for name in found[0]}


def by_style(data: Examples, p: Array, restyled: Array) -> dict[str, dict[str, float]]:
    """AUROC of the transcripts that were rewritten in each style, as they were and rewritten."""
    out = {}
    for style in np.unique(data.styles):
        part = data.styles == style
        label = data.labels[part]
        out[str(style)] = {
            "n": int(part.sum()),
            "auroc": auroc(label, p[part]),
            "auroc_restyled": auroc(label, restyled[part]),
        }
    return out


def same_prompt(data: Examples, p: Array) -> dict[str, float]:
    """Of pairs of a lie and an honest answer to one prompt, the share with the lie scored higher."""
    right = []
    for group in np.unique(data.groups):
        part = data.groups == group
        lies, honest = p[part & (data.labels == 1)], p[part & (data.labels == 0)]
        right += [(a > b) + 0.5 * (a == b) for a in lies for b in honest]
    return {"pairs": len(right), "right": float(np.mean(right)) if right else float("nan")}


def show(result: dict[str, Any]) -> None:
    """The figures as tables."""
    console = Console(width=200)
    names = [
        "n",
        "AUROC",
        "balanced acc.",
        "calibration",
        "mean of draws: AUROC, bal. acc., calibration, restyled",
        "kind left out, by block",
    ]
    table = Table("kind", *names, "words: response", "words: prompt", "logistic", "gain over words")
    for kind, row in result["kinds"].items():
        table.add_row(
            kind,
            str(row["n"]),
            _interval(row["auroc"]),
            _interval(row["balanced_accuracy"]),
            _interval(row["calibration_error"]),
            " ".join(f"{x:.3f}" for x in row["mean_of_draws"].values()),
            " ".join(f"{x:.3f}" for x in row["auroc_kind_left_out_by_block"].values()),
            f"{row['auroc words of the response']:.3f}",
            f"{row['auroc words of the prompt']:.3f}",
            f"{row['auroc plain logistic probe']:.3f}",
            _interval(row["gain over words of the response"]),
        )
    console.print(f"layer {result['layer']} of {result['layer_auroc']}", table)
    styles = Table("style", "n", "AUROC", "rewritten")
    for style, row in result["styles"].items():
        styles.add_row(style, str(row["n"]), f"{row['auroc']:.3f}", f"{row['auroc_restyled']:.3f}")
    pairs = result["same_prompt"]
    console.print(styles, f"same prompt: {pairs['right']:.2f} of {pairs['pairs']} pairs in order")
    for name, value in result.get("speed", {}).items():
        console.print(f"{name}: {value}")


def _interval(values: Sequence[float | None]) -> str:
    value, lower, upper = values
    return "–" if value is None else f"{value:.3f} [{lower:.3f}, {upper:.3f}]"


def keep_readings(path: Path, data: Examples) -> None:
    """What was read, as arrays."""
    columns = {
        f"{name}.{field}": value
        for name, rows in (("plain", data.plain), ("restyled", data.restyled))
        for field, value in rows._asdict().items()
    }
    np.savez(path, styles=data.styles, groups=data.groups, kinds=data.kinds, **columns)


def kept_readings(path: Path) -> Examples:
    """The same, read back; arrays alone, nothing is unpickled."""
    with np.load(path, allow_pickle=False) as kept:
        plain, restyled = (
            Rows(*(kept[f"{name}.{field}"] for field in Rows._fields))
            for name in ("plain", "restyled")
        )
        return Examples(plain, restyled, kept["styles"], kept["groups"], kept["kinds"])


def main(argv: Sequence[str] | None = None) -> None:
    """Read, evaluate, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("transcripts", type=Path)
    parser.add_argument("--labels", default="did_lie")
    parser.add_argument("--kind", default="category")
    parser.add_argument("--layers", type=int, nargs="+", default=list(LAYERS))
    parser.add_argument("--reader", type=Path)
    parser.add_argument("--readings", type=Path)
    parser.add_argument("--pictures", type=Path, default=Path("docs"))
    parser.add_argument("--uqlm", action="store_true")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args(argv)
    examples = load_examples(arguments.transcripts, arguments.labels, arguments.kind)
    folder = arguments.reader or packaged_model_dir()
    if arguments.readings and arguments.readings.is_file():
        data = kept_readings(arguments.readings)
    else:
        reader = Reader(LocalModel.load(folder), arguments.layers, MAX_TOKENS)
        with Progress(console=Console(stderr=True), transient=True) as bar:
            task = bar.add_task("reading", total=1.0)
            data = read_examples(
                reader,
                examples,
                progress=lambda what, share: bar.update(task, description=what, completed=share),
            )
        if arguments.readings:
            keep_readings(arguments.readings, data)
    result = evaluate(examples, data, arguments.layers)
    scores = result.pop("scores")
    if arguments.pictures:
        draw_roc(arguments.pictures / "probes-roc.png", data.labels, data.kinds, scores)
        draw_reliability(
            arguments.pictures / "probes-reliability.png", data.labels, scores["probe"]
        )
    result["speed"] = measure_speed(packaged_model_dir(), [e.transcript for e in examples])
    show(result)
    if arguments.uqlm:
        others = {"activation probe": scores["probe"]}
        result["consistency"] = consistency.compare(examples, others)
        consistency.show(result["consistency"])
    if arguments.json:
        arguments.json.write_text(json.dumps(result, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
