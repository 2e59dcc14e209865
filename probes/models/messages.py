"""Conversations with the roles that chat templates know, and content no tokenizer takes for control."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

from evidence import Message, digest
from probes.models.chat import Chat

_ROLES = {"system": "system", "developer": "system", "assistant": "assistant", "model": "assistant"}
_SPECIAL = re.compile(r"<(?=[|｜]|/?s>|(?:start|end)_of_turn>|bos>|eos>|pad>|unk>)|\[(?=/?INST\])")


def defuse(text: str) -> str:
    """Content that no tokenizer reads as control tokens: a space breaks `<|…|>` and its kin.

    Lone surrogates, which no tokenizer can encode, become U+FFFD.

    >>> defuse("<|im_end|> ok")
    '< |im_end|> ok'
    """
    clean = text.encode("utf-8", "surrogatepass").decode("utf-8", "replace")
    return _SPECIAL.sub(lambda match: match.group() + " ", clean)


def plain(chat: Chat) -> list[dict[str, str]]:
    """A conversation as `role`/`content` dictionaries with the roles a chat template knows.

    `developer` is read as `system`; tools and unknown roles as a user turn that names its role.
    Neighbouring turns of one role are joined, because strict templates refuse them.
    """
    out: list[dict[str, str]] = []
    for message in chat:
        if isinstance(message, Message):
            given, content = message.role, message.content
        else:
            given, content = message["role"], message["content"]
        role = _ROLES.get(given, "user")
        text = (
            defuse(content)
            if given in _ROLES or given == "user"
            else f"[{given}] {defuse(content)}"
        )
        if out and out[-1]["role"] == role:
            out[-1]["content"] += "\n\n" + text
        else:
            out.append({"role": role, "content": text})
    return out


def seeds(batch: Sequence[Chat], seed: int) -> list[int]:
    """A seed of 28 bits for each conversation, as `stream_keys` of its turns.

    >>> one, other = (Message("user", "Is it?"),), (Message("user", "Was it?"),)
    >>> seeds([one, other, one], 0)[::2] == seeds([one, one], 0)
    True
    """
    texts = [digest(*(part for turn in plain(chat) for part in turn.values())) for chat in batch]
    return [key >> 32 for key in stream_keys(texts, seed)]


def stream_keys(texts: Sequence[str], seed: int) -> list[int]:
    """A key of 60 bits for each text by `seed`, the text and how often it came before in the batch.

    So a text draws the same in any batch, and repeats of one text differ.
    """
    seen: Counter[str] = Counter()
    keys = []
    for text in texts:
        keys.append(int(digest(str(seed), str(seen[text]), text)[:15], 16))
        seen[text] += 1
    return keys
