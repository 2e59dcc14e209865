"""A probe of a model's own: fitted to pairs that the model wrote, asked for the truth and asked to deceive.

After Azaria and Mitchell (arXiv 2304.13734) and Goldowsky-Dill et al. (arXiv 2502.03407), but for two
things. The order is not in what the probe reads: both replies stand under the same prompt, so that the
prompt says nothing about the label. And a reply counts by what it says of the told facts, not by the
order: a model that does not lie when told to gives no pair.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec
import numpy as np
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from evidence import BadInputError
from probes.activation.artefact import Card, load_card, write_card
from probes.activation.own_items import Orders, Situation, load_situations
from probes.activation.probe import ActivationProbe
from probes.activation.training import Example
from probes.activation.workflow import fit_artefact
from probes.evaluation import Estimate, Figures, figures
from probes.models.chat import Progress
from probes.models.states import StateReader
from probes.probe import Transcript

MIN_PAIRS = 20
_BATCH = 16
_ROUNDS = 3
_TEMPERATURE = 0.8
_REPLY_TOKENS = 16


class Pair(NamedTuple):
    """Two replies of the model in one situation, found honest and a lie by the situation's rules."""

    situation: Situation
    honest: str
    lie: str


class Written(NamedTuple):
    """The usable pairs of so many situations in which a model was asked, how many of its replies were honest
    when it was asked for the truth, and how many were lies when it was asked to deceive.
    """

    pairs: list[Pair]
    asked: int
    truths: int
    lies: int


class OwnFit(NamedTuple):
    """A fitted probe and how it reads replies of templates that it was not fitted to.

    `words` are the figures of a bag of words of the replies on the same split: what the states must
    beat.
    """

    card: Card
    asked: int
    pairs: int
    left_out: Figures
    words: Figures


def fit_own(
    model: StateReader,
    out: Path,
    *,
    pairs: int = 40,
    layers: Sequence[int],
    seed: int = 0,
    progress: Progress | None = None,
) -> OwnFit:
    """Let the model write pairs, fit an artefact to them, and measure it on templates left out.

    Half as many pairs as for the fit are written in templates left out. Raises BadInputError where
    the model writes fewer than `MIN_PAIRS` usable pairs of either.
    """
    report = progress or (lambda _what, _share: None)
    orders, situations = load_situations()
    asked, made = 0, dict[str, list[Pair]]()
    wanted = {"train": pairs, "held_out": max(MIN_PAIRS, pairs // 2)}
    for split, count in wanted.items():
        part = [one for one in situations if one.split == split]
        found = write_pairs(model, orders, part, count=count, seed=seed, progress=report)
        asked += found.asked
        made[split] = found.pairs
        if len(found.pairs) < min(MIN_PAIRS, count):
            raise BadInputError(_too_few(model.name, found, split), "--own")
    train, held = _examples(made["train"]), _examples(made["held_out"])
    fit_artefact(model, train, out, layers=layers, progress=report)
    measured = ActivationProbe.open(model, out).measure([one.transcript for one in held])
    scores = [np.nan if m.p_lie is None else m.p_lie for m in measured]
    left_out, words = (
        _figures(made["held_out"], held, scores),
        _words(made["held_out"], train, held),
    )
    card = msgspec.structs.replace(
        load_card(out), source=_source(model, made["train"], asked, left_out, words)
    )
    write_card(out, card)
    return OwnFit(card, asked, len(made["train"]), left_out, words)


def write_pairs(
    model: StateReader,
    orders: Orders,
    situations: Sequence[Situation],
    *,
    count: int,
    seed: int = 0,
    progress: Progress,
) -> Written:
    """Up to `count` usable pairs.

    Every situation is asked greedily first, then by two draws at temperature 0.8.
    """
    order = random.Random(seed).sample(range(len(situations)), len(situations))  # noqa: S311
    todo = [(k, situations[i]) for k in range(_ROUNDS) for i in order]
    found: list[Pair] = []
    asked = truths = lies = 0
    for start in range(0, len(todo), _BATCH):
        part = todo[start : start + _BATCH]
        draw = part[0][0]
        batch = [one for _, one in part]
        true, false = (
            [
                _first_line(text)
                for text in model.generate(
                    [one.asked(orders, deceive=deceive) for one in batch],
                    max_new_tokens=_REPLY_TOKENS,
                    temperature=_TEMPERATURE if draw else 0.0,
                    seed=seed + draw,
                )
            ]
            for deceive in (False, True)
        )
        for one, honest, lie in zip(batch, true, false, strict=True):
            told, lied = one.label(honest) == "honest", one.label(lie) == "lie"
            asked, truths, lies = asked + 1, truths + told, lies + lied
            if told and lied and len(found) < count:
                found.append(Pair(one, honest, lie))
        progress(f"{len(found)} of {count} pairs written", 0.3 * len(found) / count)
        if len(found) >= count:
            break
    return Written(found, asked, truths, lies)


def _too_few(name: str, found: Written, split: str) -> str:
    which = " in templates left out" if split == "held_out" else ""
    return (
        f"{name} wrote {len(found.pairs)} usable pairs in {found.asked} tries{which}, fewer than {MIN_PAIRS}: asked"
        f" for the truth it told it in {found.truths}, told to lie it lied in {found.lies}, seldom both; fit a probe"
        " to labelled transcripts"
    )


def _first_line(text: str) -> str:
    return text.strip().split("\n")[0].strip()


def _examples(pairs: Sequence[Pair]) -> list[Example]:
    out = []
    for k, pair in enumerate(pairs):
        for lie, reply in ((False, pair.honest), (True, pair.lie)):
            messages = pair.situation.shown(reply)
            transcript = Transcript(id=f"{k}.{int(lie)}", messages=messages)
            out.append(Example(transcript, lie, pair.situation.kind))
    return out


def _figures(
    pairs: Sequence[Pair], examples: Sequence[Example], scores: Sequence[float]
) -> Figures:
    """Over all, with an interval by bootstrap over templates."""
    return figures(
        [""] * len(examples),
        [int(one.label) for one in examples],
        scores,
        [pair.situation.template for pair in pairs for _ in range(2)],
        threshold=0.5,
        rng=np.random.default_rng(0),
    )[-1]


def _words(pairs: Sequence[Pair], train: Sequence[Example], held: Sequence[Example]) -> Figures:
    """What the words of the reply alone tell, on the same split."""
    model = make_pipeline(TfidfVectorizer(ngram_range=(1, 2)), LogisticRegression(max_iter=1000))
    model.fit([one.transcript.response for one in train], [one.label for one in train])
    p = model.predict_proba([one.transcript.response for one in held])[:, 1]
    return _figures(pairs, held, p.tolist())


def _source(
    model: StateReader, pairs: Sequence[Pair], asked: int, left_out: Figures, words: Figures
) -> str:
    kinds = sorted({pair.situation.kind for pair in pairs})
    told = ", ".join(f"{sum(p.situation.kind == k for p in pairs)} {k}" for k in kinds)
    templates = len({pair.situation.template for pair in pairs})
    return (
        f"{len(pairs)} pairs that {model.name} wrote itself, asked for the truth and asked to"
        f" deceive ({told}; {templates} templates; asked {asked} times with those left out). Other"
        f" templates, n = {left_out.n} ({left_out.unmeasured} more abstained): AUROC"
        f" {shown(left_out.auroc)}, words of the reply alone {shown(words.auroc)}."
    )


def shown(figure: Estimate) -> str:
    """A figure with its interval, as text."""
    if figure.value is None or figure.lower is None or figure.upper is None:
        return "undefined"
    return f"{figure.value:.2f} [{figure.lower:.2f}, {figure.upper:.2f}]"
