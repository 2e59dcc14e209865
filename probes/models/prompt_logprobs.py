"""How likely a served model finds each token of a given reply, by vLLM's prompt log-probabilities."""

from __future__ import annotations

import re
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from evidence import CandorError
from evidence.outcomes import MODEL_GONE
from probes.models.chat import Chat, TokenLikelihoods
from probes.models.encoding import parted
from probes.models.messages import defuse, plain
from probes.models.openai import OpenAIModel
from probes.models.prompt_answer import Prompt, read_prompt, reply_tokens
from probes.models.prompt_errors import BoundaryError, named, no_logprobs
from probes.models.prompt_form import Form, Turns, learn_form
from probes.models.served import ModelGoneError
from probes.models.server import NotFoundError, RefusedCallError

_MARKER = re.compile(r"<[^<>\s]*[^\W\d_][^<>\s]*>|\[[^\[\]\s]*[^\W\d_][^\[\]\s]*\]")
_MAX_MARKED = 4
_SHOWN = 8
_T = TypeVar("_T")


class PromptLogprobs:
    """A `TokenLikelihoodModel` behind vLLM's OpenAI-compatible chat route, one request for each reply.

    The served chat template decides how a conversation is written, and the server's own tokens where
    the reply begins: right after the token ids that stand before every reply, from where the tokens
    must read as the reply to the end. Where that place cannot be found the pair is an error.

    An adapter is a model of its own name. vLLM must not wrap `lm_head` for adapters
    (`--lora-target-modules` with the linear layers alone): there prompt log-probabilities leave out
    what an adapter changes in it, or end the server (vLLM issues 51594 and 29955).

    Content is defused as in process. A token that a tokenizer takes for control (`<file_sep>`) and
    that stands in some content is seen in the server's answer; the pair is then asked for anew with
    the marker broken, and so is all later content.

    Parameters
    ----------
    served
        The model or adapter at its server.
    weights
        Folder of the same weights; the server must cut a conversation as their tokenizer does.
    """

    def __init__(self, served: OpenAIModel, *, weights: Path | None = None) -> None:
        self.served, self._weights = served, weights
        self._form: Form | None = None
        self._markers: frozenset[str] = frozenset()
        self._opening, self._learning = threading.Lock(), threading.Lock()

    @property
    def digest(self) -> str:
        """Identity of the model by its served name: weights behind a server cannot be hashed."""
        return self.served.digest

    def check(self) -> tuple[str, ...]:
        """Ask the server about small conversations; remarks on how it differs from weights at hand.

        Raises an error of `prompt_errors` where replies cannot be weighed there, UnreachableError
        where the server does not answer.
        """
        with self._opening:
            self._form = self._learned()
            return self._form.remarks

    def token_likelihoods(
        self, batch: Sequence[tuple[Chat, str]]
    ) -> list[TokenLikelihoods | CandorError]:
        """Each reply as the next assistant turn of its conversation, in order, requests in parallel.

        A blank reply has no tokens. A pair that cannot be weighed is an error of its own; while the
        server fails its check, all are.
        """
        if not batch:
            return []
        try:
            with self._opening:
                form = self._form = self._form or self._learned()
        except CandorError as error:
            return [error] * len(batch)
        found = self.served.each(lambda pair: self._weigh(form, *pair), batch)
        return self._gone(found)

    def _weigh(self, form: Form, chat: Chat, reply: str) -> TokenLikelihoods:
        if not reply.strip():
            return TokenLikelihoods((), np.zeros(0))
        prompt, sent = self._marked(given(chat, reply))
        found = reply_tokens(prompt, form.header, sent[-1]["content"], trims=form.trims)
        if found is None:
            raise BoundaryError(
                "the reply's tokens cannot be told from the template's: line breaks at its start"
                " may have merged with it, or the template rewrites replies",
                self.served.url,
            )
        return found

    def _marked(self, turns: Turns) -> tuple[Prompt, Turns]:
        """The server's tokens for turns in which no content is a marker, and those turns."""
        for _ in range(_MAX_MARKED):
            names = tuple(sorted(self._markers))
            sent = [{**turn, "content": parted(turn["content"], names)} for turn in turns]
            prompt = self._ask(sent, continued=True)
            new = _taken_for_control(prompt, sent)
            if not new:
                return prompt, sent
            with self._learning:
                self._markers |= new
        raise BoundaryError("its markers cannot be told from the template's", self.served.url)

    def _ask(self, turns: Turns, *, continued: bool) -> Prompt:
        body = request(turns, continued=continued)
        url, model = self.served.url, self.served.model
        try:
            prompt = self.served.ask("/chat/completions", body, read_prompt)
        except RefusedCallError as error:
            raise named(error, url, model) from error
        if prompt is None:
            raise no_logprobs(url, model)
        return prompt

    def _learned(self) -> Form:
        def ask(items: Sequence[tuple[Turns, bool]]) -> list[Prompt]:
            found = self.served.each(lambda item: self._ask(item[0], continued=item[1]), items)
            return [_raised(one) for one in self._gone(found)]

        url, model = self.served.url, self.served.model
        return learn_form(ask, url=url, model=model, weights=self._weights)

    def _gone(self, found: list[_T | CandorError]) -> list[_T | CandorError]:
        """A 404 is a model that is gone where the server's list of models lacks it."""
        if not any(isinstance(one, NotFoundError) for one in found):
            return found
        try:
            names = self.served.served_models()
        except CandorError:
            return found
        if self.served.model in names:
            return found
        gone = ModelGoneError(
            f"{MODEL_GONE}: {self.served.url} serves no {self.served.model!r} any more but"
            f" {', '.join(names[:_SHOWN]) or 'nothing'}; serve it again, or name another version"
        )
        return [gone if isinstance(one, NotFoundError) else one for one in found]


def given(chat: Chat, reply: str) -> list[dict[str, str]]:
    """A conversation and the reply after it as turns of a request, as they are written in process."""
    turns = plain(chat) or [{"role": "user", "content": ""}]
    return [*turns, {"role": "assistant", "content": defuse(reply)}]


def request(turns: Turns, *, continued: bool = True) -> dict[str, Any]:
    """Fields of a request for the log-probabilities of turns, the last of which is a reply."""
    return {
        "messages": turns,
        "max_tokens": 1,
        "add_generation_prompt": not continued,
        "continue_final_message": continued,
        "prompt_logprobs": 0,  # of the prompt's own tokens alone
        "return_token_ids": True,
    }


def _taken_for_control(prompt: Prompt, sent: Sequence[Mapping[str, str]]) -> frozenset[str]:
    """Markers in the content of turns that are one token each."""
    inside = {name for turn in sent for name in _MARKER.findall(turn["content"])}
    return frozenset(inside.intersection(prompt.pieces) if inside else ())


def _raised(outcome: Prompt | CandorError) -> Prompt:
    if isinstance(outcome, CandorError):
        raise outcome
    return outcome
