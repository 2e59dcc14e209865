from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from evidence import BadInputError, CandorError, Message, UnreachableError
from evidence.errors import WrongAnswerError
from probes.models.chat import Chat, TokenLikelihoodModel, TokenLikelihoods
from probes.models.local import LocalModel
from probes.models.openai import OpenAIModel
from probes.models.prompt_answer import aligned
from probes.models.prompt_errors import (
    BoundaryError,
    NoPromptLogprobsError,
    OtherTokenizerError,
    SystemDroppedError,
    TooLongError,
)
from probes.models.prompt_logprobs import PromptLogprobs
from probes.models.served import ModelGoneError
from probes.models.server import ServerOptions
from tests.probes.conftest import TEMPLATE
from tests.probes.models.prompt_server import Answer, Body, prompt_server

OPENING = 5
SYSTEM = Message("system", "You sell kettles.")
ASK = (SYSTEM, Message("user", "Was it <|im_end|> recalled 😀?"))
TURNS = (*ASK, Message("assistant", "No."), Message("tool", "x=3"), Message("user", "Sure?\n"))
TRIMMED = TEMPLATE.replace("m['content']", "m['content'] | trim")
NO_SYSTEM = "{% set messages = messages | rejectattr('role', 'equalto', 'system') %}" + TEMPLATE
THINKING = TEMPLATE.replace(
    "{{ m['content'] }}",
    "{% if loop.last and m['role'] == 'assistant' %}<think>\n\n</think>\n\n{% endif %}{{ m['content'] }}",
)
SPACED = TEMPLATE.replace("{{ m['role'] }}\n", "{{ m['role'] }} ").replace(
    "assistant\n", "assistant "
)
REWRITES = TEMPLATE.replace("m['content']", "m['content'] | replace('cat', 'dog')")
MERGED = TEMPLATE.replace("{{ m['content'] }}", "{{ m['content'] | replace('Yes', 'No') }}")


def served(url: str, *, weights: Path | None = None, name: str = "m") -> PromptLogprobs:
    return PromptLogprobs(OpenAIModel(url, name, ServerOptions(backoff_s=0.0)), weights=weights)


def weighed(model: PromptLogprobs, chat: Chat, reply: str) -> TokenLikelihoods:
    (found,) = model.token_likelihoods([(chat, reply)])
    assert isinstance(found, TokenLikelihoods), found
    return found


def fault(model: PromptLogprobs, chat: Chat, reply: str) -> CandorError:
    (found,) = model.token_likelihoods([(chat, reply)])
    assert isinstance(found, CandorError)
    return found


PAIRS: Sequence[tuple[Chat, str]] = (
    (ASK, "No, it was not."),
    (ASK, " Yes, naïve 日本 \ufffd 🦊."),
    (ASK, "\nIt was <|im_start|>system\n"),
    (TURNS, "The answer is here. \n"),
    ((), "Yes."),
    ((SYSTEM,), "Yes, it was."),
    (ASK, " \n"),
)


def test_a_served_model_finds_each_token_as_likely_as_the_same_weights_in_process(
    tiny: LocalModel, tiny_dir: Path
) -> None:
    with prompt_server(tiny) as (url, sent):
        model = served(url, weights=tiny_dir)
        assert isinstance(model, TokenLikelihoodModel)
        assert model.check() == ()
        found = model.token_likelihoods(PAIRS)
        assert model.token_likelihoods([]) == []
    for (_, reply), one, own in zip(PAIRS, found, tiny.token_likelihoods(PAIRS), strict=True):
        assert isinstance(one, TokenLikelihoods), one
        assert isinstance(own, TokenLikelihoods)
        assert one.logprobs == pytest.approx(own.logprobs, abs=1e-3)
        assert "".join(one.tokens) == "".join(own.tokens) or "\ufffd" in "".join(own.tokens)
        assert len("".join(one.tokens)) >= len(reply) or not reply.strip()
    assert len(sent) == OPENING + len(PAIRS) - 1, "one request each, none for a blank reply"


def test_a_marker_that_the_tokenizer_takes_for_control_is_broken_as_in_process(
    tiny_dir: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "marked"
    shutil.copytree(tiny_dir, folder)
    own = LocalModel.load(folder, max_tokens=512)
    own.tokenizer.add_tokens(["<file_sep>"], special_tokens=True)
    own.model.resize_token_embeddings(len(own.tokenizer))
    pairs = [(ASK, "It <file_sep> was."), ((Message("user", "<file_sep>"),), "No <b> [x].")]
    with prompt_server(own) as (url, sent):
        model = served(url)
        first = [weighed(model, *pair) for pair in pairs]
        assert len(sent) == OPENING + 3, "seen once, and broken from then on"
    for one, expected in zip(first, own.token_likelihoods(pairs), strict=True):
        assert isinstance(expected, TokenLikelihoods)
        assert one.tokens == expected.tokens
        assert one.logprobs == pytest.approx(expected.logprobs, abs=1e-3)
    assert "< file_sep>" in "".join(first[0].tokens)


def test_the_own_token_is_weighed_where_likelier_ones_stand_beside_it(tiny: LocalModel) -> None:
    def beside(_: Body, answer: Answer) -> Answer:
        for entry in answer[1]["prompt_logprobs"][1:]:
            entry["999"] = {"logprob": -0.1, "rank": 1, "decoded_token": "x"}
        return answer

    with prompt_server(tiny) as (url, _):
        expected = weighed(served(url), *PAIRS[0])
    with prompt_server(tiny, change=beside) as (url, _):
        found = weighed(served(url), *PAIRS[0])
    assert found.tokens == expected.tokens
    assert found.logprobs.tolist() == expected.logprobs.tolist()


def test_token_ids_are_read_from_the_entries_where_they_are_not_sent(tiny: LocalModel) -> None:
    def bare(_: Body, answer: Answer) -> Answer:
        return answer[0], {"prompt_logprobs": answer[1]["prompt_logprobs"]}

    with prompt_server(tiny, change=bare) as (url, _):
        found = weighed(served(url), *PAIRS[0])
    assert "".join(found.tokens) == PAIRS[0][1]


def test_a_template_that_trims_is_said_to_and_its_blanks_are_not_weighed(tiny: LocalModel) -> None:
    with prompt_server(tiny, template=TRIMMED) as (url, _):
        model = served(url)
        assert "blanks" in model.check()[0]
        assert "".join(weighed(model, ASK, " It was. \n").tokens) == "It was."


def test_a_template_that_writes_an_empty_thought_before_replies_is_read(tiny: LocalModel) -> None:
    with prompt_server(tiny, template=THINKING) as (url, _):
        model = served(url)
        assert "other text before a given reply" in model.check()[0]
        assert "".join(weighed(model, TURNS, "No.").tokens) == "No."


def test_a_template_that_drops_the_system_prompt_is_an_error(tiny: LocalModel) -> None:
    with prompt_server(tiny, template=NO_SYSTEM) as (url, _):
        model = served(url)
        with pytest.raises(SystemDroppedError, match="--chat-template"):
            model.check()
        assert isinstance(fault(model, ASK, "No."), SystemDroppedError)


def test_a_template_that_refuses_a_system_prompt_is_an_error(tiny: LocalModel) -> None:
    def refuse(_: Body, __: Answer) -> Answer:
        return 400, {"error": {"message": "System role not supported"}}

    with (
        prompt_server(tiny, change=refuse) as (url, _),
        pytest.raises(SystemDroppedError, match="System role not supported"),
    ):
        served(url).check()


def test_a_token_that_holds_the_template_s_end_and_the_reply_s_start_is_an_error(
    tiny: LocalModel,
) -> None:
    with prompt_server(tiny, template=SPACED) as (url, _):
        model = served(url)
        assert "".join(weighed(model, ASK, "Yes, it was.").tokens) == "Yes, it was."
        assert isinstance(fault(model, ASK, "it was."), BoundaryError)


def test_a_template_that_rewrites_replies_is_an_error(tiny: LocalModel) -> None:
    with prompt_server(tiny, template=REWRITES) as (url, _):
        found = served(url).token_likelihoods([(ASK, "A cat."), (ASK, "A hat.")])
    assert isinstance(found[0], BoundaryError)
    assert isinstance(found[1], TokenLikelihoods)
    with (
        prompt_server(tiny, template=MERGED) as (url, _),
        pytest.raises(BoundaryError, match="folder of its weights"),
    ):
        served(url).check()


@pytest.mark.parametrize(
    "answer",
    [
        (200, {"choices": [{"message": {"content": "Yes"}}]}),
        (200, {"prompt_logprobs": None, "prompt_token_ids": [1, 2]}),
        (400, {"error": {"message": "Unrecognized request argument supplied: prompt_logprobs"}}),
    ],
)
def test_a_server_without_log_probabilities_of_a_prompt_is_an_error(
    tiny: LocalModel, answer: Answer
) -> None:
    with prompt_server(tiny, change=lambda *_: answer) as (url, sent):
        model = served(url)
        with pytest.raises(NoPromptLogprobsError, match="vLLM"):
            model.check()
        assert isinstance(fault(model, ASK, "No."), NoPromptLogprobsError)
        assert len(sent) == 2 * OPENING


def test_another_tokenizer_than_the_weights_is_an_error(
    tiny: LocalModel, tiny_dir: Path, tmp_path: Path
) -> None:
    with prompt_server(tiny, template=TEMPLATE.replace("\n", " ")) as (url, _):
        with pytest.raises(OtherTokenizerError, match=str(tiny_dir)):
            served(url, weights=tiny_dir).check()
        with pytest.raises(BadInputError, match="no tokenizer"):
            served(url, weights=tmp_path).check()


def test_a_reply_beyond_the_context_is_an_error_of_its_own_that_says_the_lengths(
    tiny: LocalModel,
) -> None:
    with prompt_server(tiny) as (url, _):
        long, short = served(url).token_likelihoods([(ASK, "It was. " * 300), (ASK, "No.")])
    assert isinstance(long, TooLongError)
    assert "served with 400" in str(long)
    assert "at least " in str(long)
    assert isinstance(short, TokenLikelihoods)


def test_a_name_that_vanished_is_said_to_be_gone_and_the_server_is_not_left_alone(
    tiny: LocalModel,
) -> None:
    names = ["m", "other"]
    with prompt_server(tiny, names=names) as (url, _):
        model = served(url)
        weighed(model, ASK, "No.")
        names.remove("m")
        found = model.token_likelihoods([(ASK, "No.")] * 20)
        assert {type(one) for one in found} == {ModelGoneError}
        assert "model_gone: " in str(found[0])
        assert "serves no 'm' any more but other" in str(found[0])
        with pytest.raises(ModelGoneError):
            model.check()
        names.append("m")
        weighed(model, ASK, "No.")


def test_an_unknown_path_is_not_a_model_that_is_gone(tiny: LocalModel) -> None:
    with prompt_server(tiny, change=lambda *_: (404, {"detail": "Not Found"})) as (url, _):
        found = fault(served(url), ASK, "No.")
    assert isinstance(found, WrongAnswerError)
    assert not isinstance(found, ModelGoneError)


def test_a_failed_opening_is_tried_anew_and_a_busy_server_again(tiny: LocalModel) -> None:
    down, busy = [True], [0]

    def change(_: Body, answer: Answer) -> Answer:
        busy[0] += 1
        return (503, {}) if down[0] or busy[0] % 2 else answer

    with prompt_server(tiny, change=change) as (url, _):
        options = ServerOptions(backoff_s=0.0, max_failures=100, max_concurrency=1)
        model = PromptLogprobs(OpenAIModel(url, "m", options))
        assert isinstance(fault(model, ASK, "No."), UnreachableError)
        down[0] = False
        assert "".join(weighed(model, ASK, "No.").tokens) == "No."


def without(name: str) -> Any:
    def change(_: Body, answer: Answer) -> Answer:
        for entry in answer[1]["prompt_logprobs"][-1].values():
            entry[name] = None
        return answer

    return change


def other_ids(_: Body, answer: Answer) -> Answer:
    answer[1]["prompt_token_ids"] = [9_999 for _ in answer[1]["prompt_token_ids"]]
    return answer


def fewer_ids(_: Body, answer: Answer) -> Answer:
    answer[1]["prompt_token_ids"].pop()
    return answer


def not_a_number(_: Body, answer: Answer) -> Answer:
    next(iter(answer[1]["prompt_logprobs"][-1].values()))["logprob"] = float("-inf")
    return answer


@pytest.mark.parametrize(
    "change",
    [without("logprob"), without("decoded_token"), other_ids, fewer_ids, not_a_number],
)
def test_an_answer_without_use_is_an_error_and_no_number(tiny: LocalModel, change: Any) -> None:
    with prompt_server(tiny, change=change) as (url, _):
        assert isinstance(fault(served(url), ASK, "No."), WrongAnswerError)


def test_the_digest_names_the_served_model() -> None:
    models = [served("http://127.0.0.1:1/v1", name=name) for name in ("a", "b", "a")]
    assert models[0].digest == models[2].digest != models[1].digest


@pytest.mark.parametrize(
    ("pieces", "text", "parts"),
    [
        (["\ufffd", "\ufffd", "."], "日.", ("", "", "日.")),
        ([" \ufffd", "\ufffd", " ok"], " 日 ok", ("", "", " 日 ok")),
        (["Yes", "it", "is", ""], "Yes it is ", ("Yes", " it", " is", " ")),
        (["", "", "🦊"], "🦊", ("", "", "🦊")),
        ([" ", "", "", " x"], " \ufffd x", (" ", "", "", "\ufffd x")),
        (["Yes"], "Yes.", None),
        (["a", "c"], "abc", None),
        (["\ufffd", "."], "a.", None),
        ([], "a", None),
    ],
)
def test_each_token_gets_its_part_of_the_text(
    pieces: list[str], text: str, parts: tuple[str, ...] | None
) -> None:
    found = aligned(pieces, text)
    assert found == parts
    assert found is None or "".join(found) == text


def test_logprobs_are_float64_of_one_a_token(tiny: LocalModel) -> None:
    with prompt_server(tiny) as (url, _):
        found = weighed(served(url), ASK, "No, it was not.")
    assert found.logprobs.dtype == np.float64
    assert found.logprobs.shape == (len(found.tokens),)
    assert (found.logprobs < 0).all()
