"""What keeps a served model from weighing a given reply, each by its name and with what to do."""

from __future__ import annotations

import re

from evidence import BadInputError
from probes.models.server import RefusedCallError

_LIMIT = re.compile(r"maximum (?:context|model) length (?:is|of) (\d+)", re.I)
_LENGTH = re.compile(r"(\d+) input tokens|requested (\d+) tokens|length (\d+)\)", re.I)
_TOO_LONG = re.compile(r"(?:context|model) length|longer than|too (?:long|many tokens)", re.I)
_FIELDS = ("prompt_logprobs", "continue_final_message", "add_generation_prompt", "return_token_ids")
_REWRITTEN = "final message does not appear"
_SYSTEM_ROLE = re.compile(r"system.{0,20}(?:role|message|prompt)|role.{0,20}system", re.I)


class NoPromptLogprobsError(BadInputError):
    """The server gives no log-probabilities of a prompt's tokens."""


class SystemDroppedError(BadInputError):
    """The served chat template leaves the system prompt out, or refuses one."""


class OtherTokenizerError(BadInputError):
    """The server cuts a conversation into other tokens than the weights that it is said to serve."""


class BoundaryError(BadInputError):
    """Which tokens are the reply's cannot be told."""


class TooLongError(BadInputError):
    """The conversation with its reply is longer than the served context."""


def no_logprobs(url: str, model: str, said: str = "") -> NoPromptLogprobsError:
    """A server that leaves `prompt_logprobs` out, or refuses it with the words `said`."""
    return NoPromptLogprobsError(
        f"gives no log-probabilities of a prompt's tokens of `{model}`"
        f"{f' ({said})' if said else ''}; serve the approved version with vLLM, or give a folder of"
        " its weights",
        url,
    )


def named(error: RefusedCallError, url: str, model: str) -> BadInputError:
    """A refusal under its own name, where its words tell which it is."""
    words = error.detail
    limit, length = _LIMIT.search(words), _LENGTH.search(words)
    if limit or _TOO_LONG.search(words):
        has = f"at least {next(filter(None, length.groups()))}" if length else "more"
        takes = limit.group(1) if limit else "fewer"
        return TooLongError(
            f"the conversation with its reply has {has} tokens and `{model}` is served with {takes};"
            " serve it with a longer context (vLLM: --max-model-len)",
            url,
        )
    if _REWRITTEN in words:
        return BoundaryError(
            f"the chat template of `{model}` does not write this reply as it is, so its tokens cannot"
            " be told; give a folder of its weights",
            url,
        )
    if any(field in words for field in _FIELDS):
        return no_logprobs(url, model, error.what)
    if _SYSTEM_ROLE.search(words):
        return SystemDroppedError(
            f"the chat template of `{model}` refuses a system prompt ({error.what}); serve it with"
            " one that writes it (vLLM: --chat-template)",
            url,
        )
    return error
