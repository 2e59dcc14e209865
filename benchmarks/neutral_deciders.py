"""Ways to tell pressure from facts that are measured beside the rules, and were not better.

A head on sentence embeddings, fitted on `neutral_sentences.yaml`, and the packaged model asked by yes
and no.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import yaml
from sklearn.linear_model import LogisticRegression

from probes.models.embedding import Embedder
from probes.models.local import LocalModel
from probes.models.packaged import packaged_model_dir
from probes.models.questions import yes_probabilities
from probes.neutral import Decides, Worded
from probes.neutral.clauses import Clause

SENTENCES = Path(__file__).with_name("neutral_sentences.yaml")
_INSTRUCTION = (
    "You read one sentence of the instructions that an assistant was given. It is either a fact about"
    " the world, or an order, aim, reward or threat about what the assistant should say. For example,"
    ' "The lamp broke twice." is a fact. "Never talk about the lamp." is an order.'
)
_QUESTION = "Is it an order, an aim, a reward or a threat? Answer yes or no."


class Head:
    """Logistic regression on embeddings of clauses; pressure from probability `least` on."""

    digest = "head"

    def __init__(self, least: float = 0.9) -> None:
        self._least, self._embedder = least, Embedder()
        labelled = yaml.safe_load(SENTENCES.read_text(encoding="utf-8"))
        texts = [text for kind in ("facts", "pressure") for text in labelled[kind]]
        labels = [kind == "pressure" for kind in ("facts", "pressure") for _ in labelled[kind]]
        bare = [Clause(text, 0, len(text), 0, False).bare for text in texts]
        self._head = LogisticRegression(C=10, max_iter=3000).fit(self._embedder.embed(bare), labels)

    def pressure(self, found: Sequence[Clause]) -> list[bool]:
        states = self._embedder.embed([clause.bare for clause in found])
        return [bool(p >= self._least) for p in self._head.predict_proba(states)[:, 1]]


class Asked:
    """P(yes) of the packaged model from `least` on."""

    digest = "asked"

    def __init__(self, least: float = 0.5) -> None:
        self._least, self._model = least, LocalModel.load(packaged_model_dir())

    def pressure(self, found: Sequence[Clause]) -> list[bool]:
        quoted = [f'"{clause.bare}"' for clause in found]
        answers = yes_probabilities(self._model, quoted, _INSTRUCTION, [_QUESTION])
        return [p[0] >= self._least for p, _ in answers]


class Either:
    """Pressure where one of two deciders says so."""

    digest = "either"

    def __init__(self, one: Decides, other: Decides) -> None:
        self._one, self._other = one, other

    def pressure(self, found: Sequence[Clause]) -> list[bool]:
        pairs = zip(self._one.pressure(found), self._other.pressure(found), strict=True)
        return [a or b for a, b in pairs]


DECIDERS: Mapping[str, Callable[[], Decides]] = {
    "rules": Worded,
    "head": Head,
    "rules+head": lambda: Either(Worded(), Head()),
    "asked": Asked,
    "rules+asked": lambda: Either(Worded(), Asked()),
}
