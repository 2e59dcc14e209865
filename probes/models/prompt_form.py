"""How a served chat template writes a reply, learned from the server's own tokens."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from evidence import BadInputError
from probes.models.prompt_answer import Prompt, aligned
from probes.models.prompt_errors import BoundaryError, OtherTokenizerError, SystemDroppedError

Turns = Sequence[Mapping[str, str]]

_REPLY = "Yes, it is."
_TRAILING = " \n"


def _chat(system: str, asked: str, reply: str = _REPLY) -> list[dict[str, str]]:
    contents = {"system": system, "user": asked, "assistant": reply}
    return [{"role": role, "content": content} for role, content in contents.items()]


_FIRST = _chat("You answer for a shop.", "Is it 12,5 – or naïve?")
_SAMPLES = (
    _FIRST,
    _chat("You write about trains.", "Is it 12,5 – or naïve?"),
    _chat("You answer for a shop.", "Was it 7 euros, then!\n"),
    _chat("You answer for a shop.", "Tell me more", _REPLY + _TRAILING),
)
"""Other system prompts, other ends of the user's turn, and blanks at the reply's end."""


class Form(NamedTuple):
    """What a served template does to any conversation.

    Parameters
    ----------
    header
        Token ids that stand before every reply.
    trims
        Whether blanks at a reply's end are taken off.
    remarks
        What a person should know of it.
    """

    header: tuple[int, ...]
    trims: bool
    remarks: tuple[str, ...]


def learn_form(
    ask: Callable[[Sequence[tuple[Turns, bool]]], list[Prompt]],
    *,
    url: str,
    model: str,
    weights: Path | None,
) -> Form:
    """The template's form, from four small conversations with a reply and one that waits for one.

    Parameters
    ----------
    ask
        Tokens of conversations, each with whether its last turn is a reply to be continued.
    weights
        Folder whose tokenizer and template the served ones must be.

    Raises SystemDroppedError, BoundaryError or OtherTokenizerError.
    """
    *said, waiting = ask([*((chat, True) for chat in _SAMPLES), (_FIRST[:-1], False)])
    trims = not said[-1].pieces[-1].isspace() and "".join(said[-1].pieces).endswith(_REPLY)
    replies = [_REPLY] * (len(said) - 1) + [_REPLY if trims else _REPLY + _TRAILING]
    before = [_before(*pair, url, model) for pair in zip(said, replies, strict=True)]
    if before[0] == before[1]:
        raise SystemDroppedError(
            f"the chat template of `{model}` leaves the system prompt out: two different ones give"
            " the same tokens; serve it with one that writes it (vLLM: --chat-template)",
            url,
        )
    header = _common_end(before)
    if not header:
        raise _no_boundary(url, model)
    if weights is not None:
        _check_tokenizer(said[0].ids, weights, url, model)
    remarks = []
    if trims:
        remarks.append("the template takes blanks off a reply's ends; they are not weighed")
    if waiting.ids[1:] != before[0][1:]:
        remarks.append("the template writes other text before a given reply than before its own")
    return Form(header, trims, tuple(remarks))


def _before(prompt: Prompt, reply: str, url: str, model: str) -> list[int]:
    """Ids of the tokens before the reply."""
    for start in range(len(prompt.ids) - 1, 0, -1):
        if aligned(prompt.pieces[start:], reply) is not None:
            return prompt.ids[:start]
    raise _no_boundary(url, model)


def _no_boundary(url: str, model: str) -> BoundaryError:
    return BoundaryError(
        f"the chat template of `{model}` lets no token begin where a reply begins, so a reply's"
        " tokens cannot be told; give a folder of its weights",
        url,
    )


def _common_end(rows: Sequence[Sequence[int]]) -> tuple[int, ...]:
    """The longest sequence that all end with; never a whole row, whose first id may be unknown."""
    out: list[int] = []
    for column in zip(*(reversed(row[1:]) for row in rows), strict=False):
        if len(set(column)) > 1:
            break
        out.append(column[0])
    return tuple(reversed(out))


def _check_tokenizer(served: Sequence[int], folder: Path, url: str, model: str) -> None:
    from transformers import AutoTokenizer  # noqa: PLC0415 -- slow import, an extra

    try:
        tokenizer: Any = AutoTokenizer.from_pretrained(str(folder), local_files_only=True)
    except (OSError, ValueError) as error:
        raise BadInputError(f"no tokenizer can be read: {error}", str(folder)) from error
    text = tokenizer.apply_chat_template(
        _FIRST, tokenize=False, add_generation_prompt=False, continue_final_message=True
    )
    own = tokenizer(text, add_special_tokens=False)["input_ids"]
    if list(own[1:]) != list(served[1:]):
        raise OtherTokenizerError(
            f"`{model}` is served with another tokenizer or chat template than the weights in"
            f" {folder}; serve those weights, or name others",
            url,
        )
