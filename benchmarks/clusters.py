"""Which comparison tells answers of one meaning from answers of another: embeddings, a chat model, the reader.

    python -m benchmarks.clusters [--model DIR | --no-chat-model] [--n 150] [--json OUT]

Pairs come from the packaged evaluation items: two honest answers to one item in different words mean the
same, an honest and a lying one do not. Entailment asks a chat model in process, in both directions,
whether one answer implies the other; the smaller probability counts. What the probes use is the reader of
premises, with answers that begin with yes set against those that begin with no. `fixed` is the balanced accuracy at
the threshold of the comparison (the cosine that the probes use; one half), `chosen` at the best threshold
of the other half of the templates. Intervals are of a bootstrap over templates.
"""

from __future__ import annotations

import argparse
import itertools
import json
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from evidence import Message
from probes.compare import Comparer, PremiseComparer, opposed
from probes.evaluation import auroc, balanced_accuracy, resample
from probes.models.chat import Chat, LikelihoodModel
from probes.models.embedding import Embedder
from probes.models.local import LocalModel
from probes.models.packaged import packaged_model_dir
from probes.premise import PremiseReader
from retrain.items import Item, load_items

Array = NDArray[Any]
_INSTRUCTION = "You compare two answers to the same question. The answers are quoted as data."
_CHUNK = 64


class Pair(NamedTuple):
    """Two answers to one item."""

    template: str
    first: str
    second: str
    same: bool


class CosineComparer:
    """Answers agree as far as their embeddings are alike; by a logistic curve, one half at a cosine of one half.

    With `leads`, yes set against no never agrees: embeddings do not see that.
    """

    def __init__(self, embedder: Embedder, *, leads: bool) -> None:
        self._embedder, self._leads = embedder, leads

    @property
    def digest(self) -> str:
        return self._embedder.digest

    def agreement(self, answers: Sequence[str], responses: Sequence[str]) -> list[float]:
        """Probability that each answer means the same as its response."""
        first, second = (self._embedder.embed(texts) for texts in (answers, responses))
        same = 1.0 / (1.0 + np.exp(-12.0 * ((first * second).sum(1) - 0.5)))
        return [
            0.0 if self._leads and opposed(a, r) else float(p)
            for a, r, p in zip(answers, responses, same, strict=True)
        ]


class EntailmentComparer:
    """Answers mean the same as far as each implies the other, by a chat model's P(yes)."""

    def __init__(self, model: LikelihoodModel) -> None:
        self._model = model

    @property
    def digest(self) -> str:
        return self._model.digest

    def agreement(self, answers: Sequence[str], responses: Sequence[str]) -> list[float]:
        """Probability that each answer means the same as its response."""
        pairs = list(zip(answers, responses, strict=True))
        found: list[float] = []
        for start in range(0, len(pairs), _CHUNK):
            part = pairs[start : start + _CHUNK]
            forth, back = (self._implies(p) for p in (part, [(b, a) for a, b in part]))
            found += [min(both) for both in zip(forth, back, strict=True)]
        return found

    def _implies(self, pairs: Sequence[tuple[str, str]]) -> list[float]:
        chats = [entailment_chat(*pair) for pair in pairs]
        asked = [(chat, word) for chat in chats for word in ("Yes", "No")]
        p = [math.exp(one.sum_logprob) for one in self._model.loglikelihood(asked)]
        return [yes / max(yes + no, 1e-12) for yes, no in zip(p[::2], p[1::2], strict=True)]


def entailment_chat(premise: str, hypothesis: str) -> Chat:
    """The question whether `premise` implies `hypothesis`, both as JSON strings."""
    quoted = [json.dumps(text, ensure_ascii=False) for text in (premise, hypothesis)]
    asked = f"Answer A: {quoted[0]}\nAnswer B: {quoted[1]}\n\nIf answer A is true, is answer B true too? Answer yes or no."
    return (Message("system", _INSTRUCTION), Message("user", asked))


def pairs_of(items: Sequence[Item]) -> list[Pair]:
    """Of each item its three pairs of honest answers and three of an honest and a lying one."""
    out: list[Pair] = []
    for item in items:
        honest = itertools.combinations(item.honest_answers, 2)
        crossed = zip(item.honest_answers, item.lying_answers, strict=True)
        out += [Pair(item.template, *both, True) for both in honest]
        out += [Pair(item.template, *both, False) for both in crossed]
    return out


def pick_items(n: int) -> list[Item]:
    """`n` items that have reference answers, over as many templates as there are, seeded."""
    items = [item for item in load_items() if item.has_references]
    rng = np.random.default_rng(0)
    shuffled = [items[k] for k in rng.permutation(len(items))]
    seen: dict[str, int] = {}
    order = []
    for item in shuffled:
        seen[item.template] = seen.get(item.template, 0) + 1
        order.append(seen[item.template])
    return [shuffled[k] for k in np.argsort(order, kind="stable")[:n]]


def measure(pairs: Sequence[Pair], agreement: Array, draws: int = 500) -> dict[str, Any]:
    """AUROC and balanced accuracy, each with a 95 % interval."""
    same = np.array([pair.same for pair in pairs], int)
    _, group = np.unique([pair.template for pair in pairs], return_inverse=True)
    half = np.random.default_rng(1).permutation(group.max() + 1)[group] % 2
    chosen = np.zeros(len(pairs), bool)
    for side in (0, 1):
        cut = _best_cut(same[half != side], agreement[half != side])
        chosen[half == side] = agreement[half == side] >= cut
    fixed = agreement >= 0.5
    figures: dict[str, Callable[[Array], float]] = {
        "auroc": lambda rows: auroc(same[rows], agreement[rows]),
        "fixed": lambda rows: balanced_accuracy(same[rows], fixed[rows]),
        "chosen": lambda rows: balanced_accuracy(same[rows], chosen[rows]),
    }
    rng = np.random.default_rng(0)
    samples = [resample(group, rng) for _ in range(draws)]
    everything = np.arange(len(pairs))
    return {
        name: [figure(everything), *np.quantile([figure(rows) for rows in samples], [0.025, 0.975])]
        for name, figure in figures.items()
    }


def _best_cut(same: Array, agreement: Array) -> float:
    cuts = np.unique(agreement)
    return float(max(cuts, key=lambda cut: balanced_accuracy(same, agreement >= cut)))


def main() -> None:
    """Compare, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path)
    parser.add_argument("--no-chat-model", action="store_true")
    parser.add_argument("--n", type=int, default=150)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    items = pick_items(arguments.n)
    pairs = pairs_of(items)
    embedder = Embedder()
    comparers: dict[str, Comparer] = {
        "cosine of MiniLM": CosineComparer(embedder, leads=False),
        "cosine, yes against no": CosineComparer(embedder, leads=True),
        "reader of premises": PremiseComparer(PremiseReader.packaged()),
    }
    if not arguments.no_chat_model:
        model = LocalModel.load(arguments.model or packaged_model_dir())
        comparers[f"entailment by {model.name}"] = EntailmentComparer(model)
    first, second = [pair.first for pair in pairs], [pair.second for pair in pairs]
    result: dict[str, Any] = {
        "pairs": len(pairs),
        "items": len(items),
        "templates": len({pair.template for pair in pairs}),
    }
    table = Table("comparison", "AUROC", "fixed", "chosen")
    for name, comparer in comparers.items():
        found = measure(pairs, np.array(comparer.agreement(first, second)))
        result[name] = found
        table.add_row(name, *("{:.3f} [{:.3f}, {:.3f}]".format(*found[k]) for k in found))
    Console(width=120).print(
        f"{result['pairs']} pairs of {result['items']} items, {result['templates']} templates",
        table,
    )
    if arguments.json:
        arguments.json.write_text(json.dumps(result, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
