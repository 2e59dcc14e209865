"""What a trainer learns from a row: its tokens and the labels of the loss, as TRL makes them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

IGNORED = -100
"""The label of a token that is not learnt."""

Ids = list[int]


class Answered(NamedTuple):
    """Token ids of a prompt and of each answer to it, cut where the answers begin."""

    prompt: Ids
    answers: tuple[Ids, ...]


def answered(tokenizer: Any, example: Mapping[str, Any], columns: Sequence[str]) -> Answered:
    """An example with `prompt` and the answers in `columns`; texts end with the end-of-text token."""
    prompt = example["prompt"]
    whole = [prompt + _ended(tokenizer, example[name]) for name in columns]
    first = _ids(tokenizer, prompt, example, add_generation_prompt=True)
    rendered = [_ids(tokenizer, text, example) for text in whole]
    cut = min(_common_prefix(first, ids) for ids in rendered)
    return Answered(first[:cut], tuple(ids[cut:] for ids in rendered))


def sequence(tokenizer: Any, example: Mapping[str, Any]) -> tuple[int, Ids]:
    """How many tokens the prompt of an SFT example has (0 of a conversation), and all its tokens."""
    if example.get("messages") is not None:
        return 0, _ids(tokenizer, example["messages"], example)
    made = answered(tokenizer, example, ("completion",))
    return len(made.prompt), made.prompt + made.answers[0]


def learnt(tokenizer: Any, example: Mapping[str, Any], max_length: int | None) -> dict[str, Ids]:
    """An SFT example as `input_ids` and `labels`, as TRL makes it by default: of a conversation every token is
    learnt, of a prompt with its completion the completion; what is longer than `max_length` loses its end."""
    prompt, ids = sequence(tokenizer, example)
    labels = [IGNORED] * prompt + ids[prompt:]
    return {"input_ids": ids[:max_length], "labels": labels[:max_length]}


def prompt_of(example: Mapping[str, Any]) -> Any:
    """What a model is asked that answers itself: the example up to its last answer."""
    if example.get("messages") is not None:
        return example["messages"][:-1]
    return with_prompt(example)["prompt"]


def with_prompt(example: Mapping[str, Any]) -> dict[str, Any]:
    """A pair with its prompt apart: what both conversations, or texts, begin with."""
    if example.get("prompt") is not None:
        return dict(example)
    chosen, rejected = example["chosen"], example["rejected"]
    cut = 0
    for cut in range(min(len(chosen), len(rejected))):
        if chosen[cut] != rejected[cut]:
            cut -= chosen[cut - 1] == " "  # noqa: PLW2901 -- a blank belongs to the answer
            break
    return {**example, "prompt": chosen[:cut], "chosen": chosen[cut:], "rejected": rejected[cut:]}


def possible_labels(
    tokenizer: Any, example: Mapping[str, Any], ids: Ids, prompt: int
) -> Iterator[Ids]:
    """The labels that a loss over the whole row, its completion or its assistant's turns has."""
    yield ids
    if prompt:
        yield [IGNORED] * prompt + ids[prompt:]
    masked = _assistant_tokens(tokenizer, example)
    if masked is not None and len(masked) == len(ids):
        yield [token if own else IGNORED for token, own in zip(ids, masked, strict=True)]
        if prompt:
            yield [
                token if own and place >= prompt else IGNORED
                for place, (token, own) in enumerate(zip(ids, masked, strict=True))
            ]


def _assistant_tokens(tokenizer: Any, example: Mapping[str, Any]) -> Ids | None:
    """Which tokens are the assistant's, by the template that TRL trains with; None where unknown."""
    chat = example.get("messages")
    if chat is None and isinstance(example.get("prompt"), list):
        chat = [*example["prompt"], *example["completion"]]
    if chat is None:
        return None
    template = tokenizer.chat_template
    if "{% generation" not in template and "{%- generation" not in template:
        try:
            from trl.chat_template_utils import (  # noqa: PLC0415 -- of the training job
                get_training_chat_template,
            )

            template = get_training_chat_template(tokenizer)
        except (ImportError, ValueError):
            return None
    made = tokenizer.apply_chat_template(
        chat,
        chat_template=template,
        tokenize=True,
        return_dict=True,
        return_assistant_tokens_mask=True,
        **_settings(example),
    )
    return list(made["assistant_masks"])


def _ended(tokenizer: Any, answer: Any) -> Any:
    if isinstance(answer, str) and not answer.endswith(tokenizer.eos_token):
        return answer + tokenizer.eos_token
    return answer


def _ids(tokenizer: Any, given: Any, example: Mapping[str, Any], **settings: Any) -> Ids:
    if isinstance(given, str):
        return list(tokenizer(text=given)["input_ids"])
    made = tokenizer.apply_chat_template(
        given, tokenize=True, return_dict=True, **settings, **_settings(example)
    )
    return list(made["input_ids"])


def _settings(example: Mapping[str, Any]) -> dict[str, Any]:
    tools = example.get("tools")
    if isinstance(tools, str):
        tools = json.loads(tools)
    return {"tools": tools, **(example.get("chat_template_kwargs") or {})}


def _common_prefix(ids: Ids, other: Ids) -> int:
    for place, (a, b) in enumerate(zip(ids, other, strict=False)):
        if a != b:
            return place
    return min(len(ids), len(other))
