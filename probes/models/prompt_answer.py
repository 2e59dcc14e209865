"""The log-probabilities of a prompt's tokens in a server's answer, and which of them are the reply's."""

from __future__ import annotations

import json
import math
import unicodedata
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import msgspec
import numpy as np

from probes.models.chat import TokenLikelihoods
from probes.models.completion import answered

_LOST = "\ufffd"


class Prompt(NamedTuple):
    """A prompt as the server cut it.

    Parameters
    ----------
    ids
        Token ids; that of the first is -1 where the server does not say it.
    pieces
        What each token alone reads as; empty for the first.
    logprobs
        Natural-log probability of each after those before it, not a number for the first.
    """

    ids: list[int]
    pieces: list[str]
    logprobs: list[float]


class _Entry(msgspec.Struct):
    logprob: float
    decoded_token: str


class _Answer(msgspec.Struct):
    prompt_logprobs: list[dict[int, _Entry] | None] | None = None
    prompt_token_ids: list[int] | None = None
    error: Any = None


def read_prompt(data: bytes) -> Prompt | None:
    """The prompt's tokens in an answer of vLLM's chat route; None where it holds none.

    Raises ValueError when it is no such answer, AnsweredError when it is an error with status 200.
    """
    answer = _decoded(data)
    if answer.error and not answer.prompt_logprobs:
        raise answered(answer.error)
    entries = answer.prompt_logprobs
    if not entries:
        return None
    ids = answer.prompt_token_ids or [-1, *map(_only, entries[1:])]
    if len(ids) != len(entries):
        raise ValueError(f"{len(entries)} log-probabilities of {len(ids)} tokens")
    chosen = [_chosen(*pair) for pair in zip(entries[1:], ids[1:], strict=True)]
    return Prompt(
        ids,
        ["", *(entry.decoded_token for entry in chosen)],
        [math.nan, *(entry.logprob for entry in chosen)],
    )


def _decoded(data: bytes) -> _Answer:
    """Straight into typed values; what msgspec refuses of JSON (NaN, half surrogates) the slow way."""
    try:
        return msgspec.json.decode(data, type=_Answer)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return msgspec.convert(json.loads(data), _Answer, strict=False)


def _only(entry: dict[int, _Entry] | None) -> int:
    if entry is None or len(entry) != 1:
        raise ValueError("which token of the prompt a log-probability is of is not said")
    return next(iter(entry))


def _chosen(entry: dict[int, _Entry] | None, token: int) -> _Entry:
    """The entry of the prompt's own token: likelier ones may stand beside it."""
    found = entry.get(token) if entry else None
    if found is None or not math.isfinite(found.logprob):
        raise ValueError(f"no log-probability of token {token} of the prompt")
    return found


def reply_tokens(
    prompt: Prompt, header: Sequence[int], reply: str, *, trims: bool
) -> TokenLikelihoods | None:
    """The tokens after the template's `header` that read as the reply to the prompt's end.

    None where there is no such place: a token that holds the end of the template's text and the
    start of the reply, or text that is not the reply. With `trims` the template may have taken
    blanks from the reply's ends.
    """
    for start in _starts(prompt.ids, header):
        for text in _readings(reply, trims=trims):
            found = aligned(prompt.pieces[start:], text)
            if found is not None:
                return TokenLikelihoods(found, np.array(prompt.logprobs[start:], np.float64))
    return None


def _starts(ids: Sequence[int], header: Sequence[int]) -> Iterator[int]:
    """Places right after the header, the last one first."""
    wanted, size = list(header), len(header)
    for end in range(len(ids) - 1, size - 1, -1):
        if ids[end - 1] == wanted[-1] and ids[end - size : end] == wanted:
            yield end


def _readings(reply: str, *, trims: bool) -> dict[str, None]:
    """The reply as it may stand in a prompt: some tokenizers compose accents, some templates trim."""
    composed = (reply, unicodedata.normalize("NFC", reply))
    cut = [end for text in composed for end in (text.strip(), text.rstrip(), text.lstrip())]
    return dict.fromkeys([*cut, *composed] if trims else composed)


def aligned(pieces: Sequence[str], text: str) -> tuple[str, ...] | None:
    """The part of the text that each token stands for; None where the tokens are not the text.

    A token alone may read as less than it stands for: without the blank before it (sentencepiece),
    or as nothing or U+FFFD where it holds some bytes of a character. What is left out goes to the
    token that comes next, so that the parts together are always the text.

    >>> aligned(["Yes", "", " 日", "."], "Yes 日."), aligned(["Yes", "it"], "Yes it")
    (('Yes', '', ' 日', '.'), ('Yes', ' it'))
    >>> aligned(["No", "."], "Yes.") is None
    True
    """
    if "".join(pieces) == text:
        return tuple(pieces)
    out: list[str] = []
    done, bytes_before = 0, False
    for piece in pieces:
        partial = _LOST in piece
        bytes_before = bytes_before or partial
        bare = piece.replace(_LOST, "").strip() if partial else piece
        at = text.find(bare, done + bytes_before) if bare else done
        if at < 0 or not _unseen(text[done:at], bytes_before):
            return None
        end = at + len(bare)
        out.append(text[done:end])
        if bare:
            done, bytes_before = end, partial
    if not out or not _unseen(text[done:], bytes_before):
        return None
    out[-1] += text[done:]
    return tuple(out)


def _unseen(gap: str, bytes_before: bool) -> bool:
    """Whether tokens that are read one by one may not show this text."""
    return all(c.isspace() or c == _LOST or (bytes_before and not c.isascii()) for c in gap)
