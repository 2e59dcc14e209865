"""Conversations as token ids: one chat format, special tokens in content defused, long text cut."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache
from typing import Any, NamedTuple

from jinja2 import TemplateError

from probes.models.chat import Chat
from probes.models.messages import defuse, plain


class Encoded(NamedTuple):
    """Token ids of a prompt and of the assistant turn that follows it."""

    prompt: list[int]
    response: list[int]

    def __len__(self) -> int:
        return len(self.prompt) + len(self.response)


def render(tokenizer: Any, chat: Chat) -> str:
    """The conversation in the model's own chat format, ready for the assistant's next turn.

    A model without a template, or one whose template refuses the conversation (no system role,
    say), gets `role: content` paragraphs. An empty conversation is an empty user turn.
    """
    turns = [
        {"role": turn["role"], "content": inert(tokenizer, turn["content"])} for turn in plain(chat)
    ] or [{"role": "user", "content": ""}]
    if tokenizer.chat_template:
        try:
            return str(
                tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True)
            )
        except TemplateError:
            pass  # said above: such a conversation is written as paragraphs
    body = "".join(f"{turn['role']}: {turn['content']}\n\n" for turn in turns)
    return f"{tokenizer.bos_token or ''}{body}assistant: "


def encode(tokenizer: Any, chat: Chat, response: str, max_tokens: int) -> Encoded:
    """Token ids of a conversation and the assistant turn after it, at most `max_tokens` in all.

    A blank turn says nothing and has no tokens.
    """
    prompt = tokenizer(render(tokenizer, chat), add_special_tokens=False)["input_ids"]
    text = inert(tokenizer, defuse(response))
    answer = tokenizer(text, add_special_tokens=False)["input_ids"] if response.strip() else []
    return fit(prompt, answer, max_tokens)


def inert(tokenizer: Any, text: str) -> str:
    """Text in which none of the tokens that were added to this tokenizer's vocabulary stands.

    `defuse` knows the control tokens of common chat formats; a tokenizer may have others, such as
    `<file_sep>`. A space after the first character breaks each.
    """
    names = tuple(sorted(name for name in tokenizer.get_added_vocab() if len(name) > 1))
    return parted(text, names)


def parted(text: str, names: tuple[str, ...]) -> str:
    """Text with a space after the first character of each of the names.

    >>> parted("a<file_sep>b", ("<file_sep>",))
    'a< file_sep>b'
    """
    return _added(names).sub(lambda match: f"{match.group()[0]} {match.group()[1:]}", text)


@cache
def _added(names: tuple[str, ...]) -> re.Pattern[str]:
    longest_first = sorted(names, key=len, reverse=True)
    return re.compile("|".join(map(re.escape, longest_first)) or r"(?!)")


def fit(prompt: Sequence[int], response: Sequence[int], max_tokens: int) -> Encoded:
    """Cut to `max_tokens` so that the system prompt, the last turn and the response survive.

    The response keeps at least half of the room. Either part loses its middle: the head of the
    prompt is the system prompt, its tail is what the response answers.

    >>> fit([1, 2, 3, 4, 5, 6], [7, 8], 6)
    Encoded(prompt=[1, 2, 5, 6], response=[7, 8])
    """
    if len(prompt) + len(response) <= max_tokens:
        return Encoded(list(prompt), list(response))
    room = max(max_tokens // 2, max_tokens - len(prompt))
    answer = _without_middle(response, room)
    return Encoded(_without_middle(prompt, max_tokens - len(answer)), answer)


def _without_middle(ids: Sequence[int], room: int) -> list[int]:
    if len(ids) <= room:
        return list(ids)
    tail = room // 2
    return [*ids[: room - tail], *ids[len(ids) - tail :]]
