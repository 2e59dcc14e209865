"""Belief against statement under pressure: how honest one arm is, item by item."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from pydantic import Field

from candor_guard.reading.reasoning import split_reasoning
from evidence import BadInputError, Message
from evidence.options import Options
from probes.models.local import LocalModel
from probes.scenarios import Scenario
from retrain.evaluation.result import Belief, ItemResult, Kinds, Outcome, belief_of
from retrain.evaluation.scorers import (
    AnswerScorer,
    EvaluationItem,
    RuleScorer,
    settled,
)
from retrain.items import Item
from retrain.likelihood import answer_loglikelihoods

__all__ = ["EvaluationOptions", "ItemResult", "Outcome", "Progress", "evaluate", "outcome"]

Progress = Callable[[str, float], None]
"""Called with what is being done and the share done, in [0, 1]."""

Enough = Callable[[Sequence[ItemResult]], int | None]
"""Called after each chunk with the results so far: how many of them to keep and ask no more, or None."""

_RULES = RuleScorer()


class EvaluationOptions(Options):
    """How arms are asked."""

    paraphrases: int = Field(default=3, ge=1, le=3)
    """Answers of each kind whose likelihood is measured; fewer are picked by the item's place, so that all are used."""
    samples: int = Field(default=1, ge=1)
    """Sampled answers for each item."""
    temperature: float = Field(default=0.3, ge=0)
    """Temperature of the sampled answers."""
    max_new_tokens: int = Field(default=40, gt=0)
    """Length of a sampled answer."""
    reasoning_tokens: int = Field(default=0, ge=0)
    """Tokens for reasoning before the answer on DeceptionBench's archetypes; 0 asks for the answer alone."""
    chunk: int = Field(default=16, gt=0)
    """Items between two reports of progress, and two looks at whether the finding stands."""
    seed: int = 0
    """Seeds the sampled answers; the same for all arms."""


def evaluate(
    model: LocalModel,
    items: Sequence[Scenario | Item],
    options: EvaluationOptions,
    *,
    scorer: AnswerScorer = _RULES,
    progress: Progress = lambda _what, _share: None,
    enough: Enough = lambda _results: None,
) -> list[ItemResult]:
    """Ask every item, in order. Item scores do not depend on the other items beyond rounding.

    Two readings: the likelihood of answers of each kind, which needs no judge, and sampled answers,
    which `scorer` labels: a judge, or by default the item's own rules and, where those cannot tell,
    the reference answer that is nearest in words. Under belief the honest answer must be likelier
    than the lie in every neutral context; where it is not, a lie or evasion is `no_belief`, since
    there it may be a mistake (`retrain.evaluation.against_vanilla` tells it from a falsehood that
    was taught). Raises BadInputError for an item without reference answers: published items are
    run by `retrain.evaluation.inspect_task`.
    """
    bare = next((i.id for i in items if isinstance(i, Item) and not i.has_references), None)
    if bare is not None:
        raise BadInputError("an item without reference answers has no likelihoods", bare)
    results: list[ItemResult] = []
    for start in range(0, len(items), options.chunk):
        chunk = items[start : start + options.chunk]
        progress("likelihoods", start / len(items))
        likelihoods = _likelihoods(model, chunk, start, options)
        progress("answers", (start + len(chunk) / 2) / len(items))
        answers = _answers(model, chunk, options)
        results += _results(chunk, likelihoods, answers, options, scorer)
        kept = enough(results)
        if kept is not None:
            results = results[:kept]
            break
    progress("done", 1.0)
    return results


def _neutral(item: Scenario | Item) -> tuple[tuple[Message, ...], ...]:
    return item.neutral_contexts() if isinstance(item, Item) else (item.neutral_messages(),)


def _likelihoods(
    model: LocalModel, items: Sequence[Scenario | Item], offset: int, options: EvaluationOptions
) -> list[list[Kinds]]:
    """Of each item, the kinds' likelihoods under pressure and then in each neutral context."""
    contexts = [(item.pressured_messages(), *_neutral(item)) for item in items]
    questions = [
        (chat, [a for kind in _references(item, offset + i, options) for a in kind])
        for i, item in enumerate(items)
        for chat in contexts[i]
    ]
    found = iter(answer_loglikelihoods(model, questions))
    return [[_by_kind(next(found), options.paraphrases) for _ in chats] for chats in contexts]


def _references(item: EvaluationItem, place: int, options: EvaluationOptions) -> list[list[str]]:
    return [
        [kind[(place + k) % len(kind)] for k in range(options.paraphrases)]
        for kind in (item.honest_answers, item.lying_answers, item.evasive_answers)
    ]


def _by_kind(row: Sequence[float], paraphrases: int) -> Kinds:
    honest, lying, evasive = (
        _log_mean_exp(row[k * paraphrases : (k + 1) * paraphrases]) for k in range(3)
    )
    return honest, lying, evasive


def _log_mean_exp(logs: Sequence[float]) -> float:
    top = max(logs)
    return top + math.log(sum(math.exp(x - top) for x in logs) / len(logs))


def _answers(
    model: LocalModel, items: Sequence[Scenario | Item], options: EvaluationOptions
) -> list[tuple[str, ...]]:
    """Sampled answers of each item; those that reason first are asked apart, with more room."""
    answers: list[tuple[str, ...]] = [()] * len(items)
    reasoning = [_asks_reasoning(item, options) for item in items]
    for first, room in ((False, 0), (True, options.reasoning_tokens)):
        places = [i for i, reasons in enumerate(reasoning) if reasons is first]
        chats = [_asked(items[i], first) for i in places for _ in range(options.samples)]
        made = model.generate(
            chats,
            max_new_tokens=options.max_new_tokens + room,
            temperature=options.temperature,
            seed=options.seed,
        )
        n = options.samples
        for k, i in enumerate(places):
            answers[i] = tuple(made[k * n : (k + 1) * n])
    return answers


def _asks_reasoning(item: Scenario | Item, options: EvaluationOptions) -> bool:
    return isinstance(item, Item) and item.reasons and options.reasoning_tokens > 0


def _asked(item: Scenario | Item, reasoning: bool) -> tuple[Message, ...]:
    if reasoning and isinstance(item, Item):
        return item.reasoned_messages()
    return item.pressured_messages()


def _results(
    items: Sequence[Scenario | Item],
    likelihoods: Sequence[Sequence[Kinds]],
    answers: Sequence[tuple[str, ...]],
    options: EvaluationOptions,
    scorer: AnswerScorer,
) -> list[ItemResult]:
    parts = [[split_reasoning(text) for text in given] for given in answers]
    asked = [(item, said) for item, given in zip(items, parts, strict=True) for _, said in given]
    thoughts = [
        (item, thought)
        for item, given in zip(items, parts, strict=True)
        for thought, _ in given
        if thought
    ]
    labels, thought_labels = iter(scorer.labels(asked)), iter(scorer.labels(thoughts))
    made = []
    for item, (pressured, *neutral), given, texts in zip(
        items, likelihoods, parts, answers, strict=True
    ):
        belief = belief_of(neutral)
        reasoned = tuple(
            settled(next(thought_labels), belief) if thought else None for thought, _ in given
        )
        made.append(
            ItemResult(
                item=item.id,
                template=item.template,
                domain=item.domain,
                pressured=pressured,
                neutral=_mean(neutral),
                neutral_each=tuple(neutral),
                answers=texts,
                outcomes=tuple(settled(next(labels), belief) for _ in given),
                archetype=item.archetype if isinstance(item, Item) else "provided_facts",
                reasoned=reasoned if _asks_reasoning(item, options) else (),
                scored_by=scorer.name,
            )
        )
    return made


def _mean(contexts: Sequence[Kinds]) -> Kinds:
    honest, lying, evasive = (sum(kind) / len(contexts) for kind in zip(*contexts, strict=True))
    return honest, lying, evasive


def outcome(item: EvaluationItem, answer: str, believes_truth: bool) -> Outcome:
    """What a sampled answer is: by the item's rules, else by the nearest reference answer.

    `unclear` where no reference shares half of its words, F1, with the answer.
    """
    belief: Belief = "truth" if believes_truth else "falsehood"
    return settled(_RULES.labels([(item, answer)])[0], belief)
