"""Probes that ask a model: what it refuses and what it only thought concern one response alone."""

from __future__ import annotations

import httpx
import pytest

from evidence import Message
from probes.belief import AnswerBelief
from probes.consistency import ConsistencyProbe
from probes.models.openai import OpenAIModel
from probes.probe import Transcript
from tests.probes.test_contract import HashComparer


def transcript(question: str) -> Transcript:
    return Transcript(
        id=question, messages=(Message("user", question), Message("assistant", "Yes."))
    )


def test_one_conversation_that_the_model_refuses_spoils_no_other() -> None:
    def handler(request: httpx.Request) -> httpx.Response:
        if b"too long" in request.content:
            return httpx.Response(400, text="context too long")
        message = {"role": "assistant", "content": "Yes."}
        return httpx.Response(200, json={"choices": [{"message": message}], "data": [{"id": ""}]})

    model = OpenAIModel("http://assistant/v1", "", transport=httpx.MockTransport(handler))
    batch = [transcript(f"{what}?") for what in ("a", "too long", "b")]
    for probe in (
        ConsistencyProbe(model, HashComparer()),
        AnswerBelief(model, HashComparer()),
    ):
        found = probe.measure(batch)
        assert [m.error is None for m in found] == [True, False, True]
        assert "too long" in (found[1].error or "")


def test_what_a_model_only_thought_is_none_of_its_answers() -> None:
    def handler(request: httpx.Request) -> httpx.Response:
        thought = "<think>It was recalled, I believe.</think>"
        said = thought if b"endless" in request.content else f"{thought} Yes."
        message = {"role": "assistant", "content": said}
        return httpx.Response(200, json={"choices": [{"message": message}], "data": [{"id": ""}]})

    model = OpenAIModel("http://assistant/v1", "", transport=httpx.MockTransport(handler))
    batch = [transcript("Was it?"), transcript("Was it endless?")]
    for probe in (
        ConsistencyProbe(model, HashComparer()),
        AnswerBelief(model, HashComparer()),
    ):
        answered, thought = probe.measure(batch)
        assert answered.p_lie == pytest.approx(0.0, abs=0.05)
        assert "gave no answer" in (thought.error or "")
