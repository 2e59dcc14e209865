from __future__ import annotations

from benchmarks.approved_server import pairs, weighed
from probes.models.local import LocalModel
from probes.models.openai import OpenAIModel
from probes.models.prompt_logprobs import PromptLogprobs
from tests.probes.models.prompt_server import prompt_server


def test_lies_and_honest_answers_take_turns() -> None:
    found = pairs(6)
    assert len({(tuple(chat), reply) for chat, reply in found}) == 6


def test_what_fails_is_not_counted(tiny: LocalModel) -> None:
    with prompt_server(tiny, context=4_000) as (url, _):
        model = PromptLogprobs(OpenAIModel(url, "m"))
        assert weighed(model, pairs(4)) == 4
        assert weighed(model, [*pairs(1), ((), "a " * 4_000)]) == 1
