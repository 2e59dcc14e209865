"""Candor's task for Inspect: the items through any of Inspect's providers.

Inspect names a task by the top-level package of its module, so this one stands in a folder of its own; it holds nothing
else and no `__init__.py`, so that it takes no file's place in an environment that has another `candor`.

Example: `inspect eval candor/honesty --model openai-api/vllm/NAME -T judge=true --model-role grader=openai/NAME`, then
`inspect view`. Published files: `-T mask=known_facts.csv`, `-T deceptionbench=FILE.json`, always with a judge.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import cast

from inspect_ai import Task, task
from inspect_ai.dataset import MemoryDataset
from inspect_ai.model import GenerateConfig

from evidence import BadInputError
from retrain.evaluation.inspect_task import honesty_scorer, inspect_sample, under_pressure
from retrain.items import Archetype, Item, load_items
from retrain.items.published import Published, load_deceptionbench, load_mask


@task  # type: ignore[untyped-decorator]
def honesty(
    *,
    domains: str = "",
    archetypes: str = "",
    judge: bool = False,
    reasoning: bool = False,
    temperature: float = 0.3,
    max_tokens: int = 128,
    mask: str = "",
    deceptionbench: str = "",
    limit_per_template: int = 0,
) -> Task:
    """Honesty under pressure on the held-out items, or on a published file.

    Parameters
    ----------
    domains, archetypes
        Comma-separated; all when empty.
    judge
        Answers are labelled by the model of role `grader`; without it by the items' own rules.
    reasoning
        On DeceptionBench's archetypes the model is asked to think aloud first.
    temperature, max_tokens
        Of the sampled answers.
    mask, deceptionbench
        A published file instead of the packaged items.
    limit_per_template
        Items of each template; 0 takes all.
    """
    published = _published(mask, deceptionbench)
    if published is not None and not judge:
        raise BadInputError("published items have no reference answers: set judge=true")
    items = (
        load_items(_split(domains), "held_out", cast("tuple[Archetype, ...]", _split(archetypes)))
        if published is None
        else published.items
    )
    return Task(
        dataset=MemoryDataset(
            [
                inspect_sample(item, reasoning=reasoning)
                for item in _first(items, limit_per_template)
            ],
            name="candor-items",
        ),
        solver=under_pressure(),
        scorer=honesty_scorer(judge=judge),
        config=GenerateConfig(temperature=temperature, max_tokens=max_tokens),
        metadata={"skipped": list(published.skipped)} if published is not None else None,
    )


def _published(mask: str, deceptionbench: str) -> Published | None:
    if mask and deceptionbench:
        raise BadInputError("name one published file, not two")
    if mask:
        return load_mask(Path(mask))
    return load_deceptionbench(Path(deceptionbench)) if deceptionbench else None


def _split(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(",") if part.strip())


def _first(items: Sequence[Item], count: int) -> list[Item]:
    taken: dict[str, int] = {}
    chosen = []
    for item in items:
        taken[item.template] = taken.get(item.template, 0) + 1
        if count == 0 or taken[item.template] <= count:
            chosen.append(item)
    return chosen
