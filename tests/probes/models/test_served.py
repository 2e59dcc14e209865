"""Each version of an assistant by its own model, and an adapter that is gone by its name."""

from __future__ import annotations

import json
from collections.abc import Callable

import httpx
import pytest

from evidence import Message, UnreachableError
from evidence.outcomes import is_model_gone
from probes.belief import AnswerBelief
from probes.consistency import ConsistencyProbe
from probes.models.served import ModelGoneError, Served
from probes.models.server import ServerOptions
from probes.probe import Transcript
from tests.probes.test_contract import HashComparer


class Adapters:
    """A server of named models, each of which answers with its own name."""

    def __init__(self, *names: str) -> None:
        self.names = list(names)
        self.lists = 0
        self.asked: list[str] = []
        self.keys: set[str | None] = set()
        self.now_s = 0.0

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.keys.add(request.headers.get("authorization"))
        if request.method == "GET":
            self.lists += 1
            return httpx.Response(200, json={"data": [{"id": name} for name in self.names]})
        model = json.loads(request.content)["model"]
        self.asked.append(model)
        if model not in self.names:
            return httpx.Response(404, text="no such model")
        message = {"role": "assistant", "content": f"I am {model}."}
        return httpx.Response(200, json={"choices": [{"message": message}]})

    def served(self, **versions: str) -> Served:
        return Served(
            "http://assistant/v1",
            {name.replace("_", "-"): at for name, at in versions.items()},
            ServerOptions(max_retries=0),
            api_key="sesame",
            refresh_s=30.0,
            transport=httpx.MockTransport(self),
            clock=lambda: self.now_s,
        )


def said(version: str, response: str, question: str = "Who are you?") -> Transcript:
    messages = (Message("user", question), Message("assistant", response))
    return Transcript(id=f"{version} {response}", messages=messages, model=version)


def test_a_version_goes_by_its_own_name_or_the_one_it_is_given() -> None:
    server = Adapters("base", "lora-7")
    served = server.served(shop_2="lora-7")
    assert served.model_of("shop-2").name == "lora-7"
    assert served.model_of("base").name == "base"
    assert served.model_of("base") is served.model_of("base")
    assert server.keys == {"Bearer sesame"}


def test_the_list_is_read_again_after_its_time_and_not_before() -> None:
    server = Adapters("base")
    served = server.served(shop_2="lora-7")
    with pytest.raises(ModelGoneError, match=r"'lora-7' \(version 'shop-2'\) but base"):
        served.model_of("shop-2")
    server.names.append("lora-7")
    server.now_s = 29.0
    with pytest.raises(ModelGoneError):
        served.model_of("shop-2")
    assert server.lists == 1
    server.now_s = 30.0
    assert served.model_of("shop-2").name == "lora-7"
    server.names.remove("lora-7")
    server.now_s = 61.0
    with pytest.raises(ModelGoneError):
        served.model_of("shop-2")
    assert server.lists == 3


@pytest.mark.parametrize(
    "probe",
    [
        lambda served: AnswerBelief(served, HashComparer()),
        lambda served: ConsistencyProbe(served, HashComparer(), samples=1),
    ],
)
def test_each_response_is_compared_with_its_own_version(
    probe: Callable[[Served], AnswerBelief | ConsistencyProbe],
) -> None:
    server = Adapters("one", "two")
    measured = probe(server.served())
    batch = [
        said("one", "I am one."),
        said("two", "I am two."),
        said("gone", "I am one."),
        said("", "I am one."),
        said("two", " "),
    ]
    own, other, gone, unnamed, empty = measured.measure(batch)
    assert own.p_lie == pytest.approx(0.0, abs=0.05)
    assert other.p_lie == pytest.approx(0.0, abs=0.05)
    assert "'gone'" in (gone.error or "")
    assert is_model_gone(gone.error or "")
    assert is_model_gone(unnamed.error or "")
    assert empty.abstained
    assert server.asked.count("one") == server.asked.count("two") == 3
    crossed = measured.measure([said("one", "I am two.")])[0]
    assert (crossed.p_lie or 0.0) > 0.5


def test_one_further_adapter_makes_no_other_evaluator() -> None:
    comparer = HashComparer()
    before = AnswerBelief(Adapters("a").served(), comparer)
    after = AnswerBelief(Adapters("a", "b").served(shop_2="b"), comparer)
    assert before.version == after.version


def test_a_dead_server_is_unreachable_and_no_model_is_called_gone() -> None:
    served = Served("http://127.0.0.1:1/v1", options=ServerOptions(max_retries=0, timeout_s=2))
    with pytest.raises(UnreachableError):
        served.names()
    (found,) = AnswerBelief(served, HashComparer()).measure([said("a", "Yes.")])
    assert found.error
    assert not is_model_gone(found.error)
