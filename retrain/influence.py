"""Row influence: how far one training row pulls the model towards lying, by gradients of the adapter.

TracIn (Pruthi et al., 2020, arXiv 2002.08484) on the parameters of a LoRA adapter: a step of gradient
descent on a row moves the adapter against the row's gradient, and so changes what the model prefers on
evaluation items by the inner product of two gradients. It is a first-order guess about single steps;
what a set of rows does is settled by training without it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from candor_guard.rows import Row, RowKind
from candor_guard.trained import answered, with_prompt
from evidence import BadInputError
from probes.models.encoding import Encoded, encode
from probes.scenarios import Scenario
from retrain.finetune import training_columns
from retrain.items import Item
from retrain.plan import ConfirmPlan

Pair = tuple[Encoded, Encoded]
"""One question with its honest answer and with a lie."""


def measured_influence(
    plan: ConfirmPlan, adapter_dir: Path, rows: Sequence[Row], items: Sequence[Scenario | Item]
) -> dict[str, float]:
    """By response id, how far a training step on the row moves the adapter towards lying, nats per token.

    Of a pair the rejected answer pulls the other way, as the answer of a row with a false label
    does. Of rows with one response id the largest counts; rows without one cannot be named.
    """
    from transformers import AutoTokenizer  # noqa: PLC0415 -- an extra

    options, finetune = plan.influence, plan.finetune
    tokenizer = AutoTokenizer.from_pretrained(str(plan.model_dir), local_files_only=True)
    model = load_adapter(plan.model_dir, adapter_dir).to(finetune.device)
    pairs = [_pair(tokenizer, item, finetune.max_length) for item in _spread(items, options.items)]
    named = [row for row in rows if row.provenance.response_id is not None]
    chosen = sorted(named, key=Row.digest)[: options.rows]
    found: dict[str, float] = {}
    for row in chosen:
        signed = _examples(tokenizer, row, finetune.max_length)
        if not signed:
            continue
        pulls = row_influence(
            model, [one for _, one in signed], pairs, step_size=finetune.learning_rate
        )
        pull = sum(sign * float(one) for (sign, _), one in zip(signed, pulls, strict=True))
        name = row.provenance.response_id or ""
        found[name] = max(pull, found.get(name, pull))
    return found


def _spread(items: Sequence[Scenario | Item], count: int) -> list[Scenario | Item]:
    """At most `count` items that have both answers: one of each template, then the next of each."""
    seen: Counter[str] = Counter()
    ranked: list[tuple[int, int, Scenario | Item]] = []
    for item in items:
        if item.honest_answers and item.lying_answers:
            ranked.append((seen[item.template], len(ranked), item))
            seen[item.template] += 1
    return [item for _, _, item in sorted(ranked, key=lambda one: one[:2])[:count]]


def _pair(tokenizer: Any, item: Scenario | Item, max_tokens: int) -> Pair:
    chat = item.pressured_messages()
    honest, lie = (
        encode(tokenizer, chat, answers[0], max_tokens)
        for answers in (item.honest_answers, item.lying_answers)
    )
    return honest, lie


def _examples(tokenizer: Any, row: Row, max_tokens: int) -> list[tuple[int, Encoded]]:
    """The row's answers as the arm trains them, each with the direction in which it is trained."""
    columns = training_columns(row)
    if row.kind is RowKind.DPO:
        made = answered(tokenizer, with_prompt(columns), ("chosen", "rejected"))
        signs = [1, -1]
    else:
        made = answered(tokenizer, columns, ("completion",))
        signs = [1 if row.endorses else -1]
    room = max_tokens - len(made.prompt)
    return [
        (sign, Encoded(prompt=made.prompt, response=answer[:room]))
        for sign, answer in zip(signs, made.answers, strict=True)
        if room > 0 and answer and made.prompt
    ]


def load_adapter(model_dir: Path, adapter_dir: Path) -> Any:
    """The base model with a trained adapter whose parameters have gradients, in evaluation mode."""
    from peft import PeftModel  # noqa: PLC0415 -- an extra
    from transformers import AutoModelForCausalLM  # noqa: PLC0415

    base = AutoModelForCausalLM.from_pretrained(
        str(model_dir), dtype=torch.float32, local_files_only=True, trust_remote_code=False
    )
    return PeftModel.from_pretrained(base, str(adapter_dir), is_trainable=True).eval()


def lying_margin(model: Any, items: Sequence[Pair]) -> float:
    """Mean over items of the honest answer's loss less the lie's (nats per token): above 0 it lies."""
    with torch.no_grad():
        margins = [float(_loss(model, honest) - _loss(model, lie)) for honest, lie in items]
    return float(np.mean(margins))


def row_influence(
    model: Any, rows: Sequence[Encoded], items: Sequence[Pair], *, step_size: float
) -> NDArray[np.float64]:
    """Change of `lying_margin` that one step of `step_size` on each row would bring, shape (rows,).

    Positive pulls towards lying. With several checkpoints, add the results, each with its own learning
    rate. A row that trains against its response (KTO with a false label) pulls the other way: negate it.

    Parameters
    ----------
    model
        A model in which the adapter's parameters, and only they, require gradients (`load_adapter`). A
        fresh adapter has nothing to say about half of them, so use a trained one.

    Raises BadInputError without items or without trainable parameters.
    """
    parameters = [p for p in model.parameters() if p.requires_grad]
    if not items or not parameters:
        raise BadInputError("influence needs evaluation items and a trainable adapter", "influence")
    target = [torch.zeros_like(p) for p in parameters]
    for honest, lie in items:
        margin = (_loss(model, honest) - _loss(model, lie)) / len(items)
        for total, part in zip(target, torch.autograd.grad(margin, parameters), strict=True):
            total.add_(part)
    found = np.empty(len(rows))
    for i, row in enumerate(rows):
        own = torch.autograd.grad(_loss(model, row), parameters)
        inner = sum(float((a * b).sum()) for a, b in zip(own, target, strict=True))
        found[i] = -step_size * inner
    return found


def _loss(model: Any, row: Encoded) -> torch.Tensor:
    """Mean negative log-likelihood of the response's tokens."""
    ids = torch.tensor([[*row.prompt, *row.response]], device=model.device)
    logits = model(input_ids=ids, use_cache=False).logits[0, len(row.prompt) - 1 : -1]
    answer = torch.tensor(row.response, device=model.device)
    return torch.nn.functional.cross_entropy(logits.float(), answer)
