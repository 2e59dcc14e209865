"""The REST of Phoenix, MLflow and Langfuse where something goes wrong; the real servers are system tests."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from evidence import BadInputError, UnreachableError, VerdictKind
from monitor.results.langfuse import LangfuseSink
from monitor.results.mlflow import MlflowSink
from monitor.results.opening import open_sinks
from monitor.results.options import ResultsOptions
from monitor.results.otlp import OtlpSink
from monitor.results.phoenix import PhoenixSink
from monitor.results.result import VerdictResult
from monitor.results.sink import (
    Endpoint,
    Outcome,
    ResultSink,
    basic_authorization,
    read_headers,
)
from tests.monitor.results import made

OTHER = "c" * 16


def test_phoenix_annotates_what_it_knows_and_the_rest_waits() -> None:
    bodies: list[Any] = []

    def answer(request: httpx.Request) -> httpx.Response:
        assert str(request.url) == "http://sink/v1/span_annotations?sync=true"
        bodies.append(made.body(request)["data"])
        if any(one["span_id"] == OTHER for one in bodies[-1]):
            return httpx.Response(404, text=f"Spans with IDs {OTHER} do not exist.")
        return httpx.Response(200, json={"data": []})

    results = [made.told(1), made.alarm(), made.told(2, span=OTHER), made.told(3, span=None)]
    results.append(VerdictResult(verdict=made.verdict(4)))
    found = PhoenixSink(made.endpoint(answer)).send([*results, made.told(5)])
    assert found == ["sent", "not_taken", "later", "no_trace", "no_trace", "sent"]
    (annotation,) = bodies[1]
    assert annotation["identifier"] == "key1"
    assert annotation["result"]["label"] == "lie"
    assert annotation["result"]["score"] == 0.93
    assert annotation["metadata"]["candor.evaluator.version"] == "e1"


def test_an_address_that_is_not_phoenix_loses_nothing() -> None:
    sink = PhoenixSink(made.endpoint(lambda _: httpx.Response(404, json={"detail": "Not Found"})))
    with pytest.raises(UnreachableError, match="Phoenix"):
        sink.send([made.told()])


def test_a_receiver_that_fails_in_the_middle_gives_back_what_it_had() -> None:
    answers = [httpx.Response(422), httpx.Response(200), httpx.Response(503)]
    sink = PhoenixSink(made.endpoint(lambda _: answers.pop(0)))
    assert sink.send([made.told(1), made.told(2), made.told(3)]) == [Outcome.SENT]


def mlflow(store: dict[str, list[Any]]) -> MlflowSink:
    """MLflow's traces as its REST shows them."""

    def answer(request: httpx.Request) -> httpx.Response:
        trace = request.url.path.split("/")[5]
        if trace not in store:
            return httpx.Response(404, json={"error_code": "RESOURCE_DOES_NOT_EXIST"})
        if request.method == "POST":
            store[trace].append(made.body(request)["assessment"])
            return httpx.Response(200, json={})
        return httpx.Response(200, json={"trace": {"trace_info": {"assessments": store[trace]}}})

    return MlflowSink(made.endpoint(answer))


def test_mlflow_has_a_verdict_once_however_often_it_is_sent() -> None:
    store: dict[str, list[Any]] = {}
    sink = mlflow(store)
    assert sink.send([made.told()]) == [Outcome.LATER]
    store[f"tr-{made.TRACE}"] = []
    results = [made.told(1), made.alarm(), made.told(2, span=None), made.told(1)]
    assert sink.send(results) == ["sent", "not_taken", "sent", "sent"]
    first, second = store[f"tr-{made.TRACE}"]
    assert (first["feedback"]["value"], first["span_id"]) == ("lie", made.SPAN)
    assert first["metadata"]["candor.p_lie"] == "0.93"
    assert "span_id" not in second


@pytest.mark.parametrize("answer", [httpx.Response(200, json=[]), httpx.Response(404, text="?")])
def test_what_is_no_mlflow_loses_nothing(answer: httpx.Response) -> None:
    with pytest.raises(UnreachableError, match="MLflow"):
        MlflowSink(made.endpoint(lambda _: answer)).send([made.told()])


def langfuse(statuses: dict[str, int], seen: list[Any]) -> LangfuseSink:
    """Langfuse answers 207 with an entry for each event."""

    def answer(request: httpx.Request) -> httpx.Response:
        batch = made.body(request)["batch"]
        seen.extend(batch)
        told: dict[str, list[Any]] = {"successes": [], "errors": []}
        for event in batch:
            status = statuses.get(event["id"], 201)
            told["errors" if status >= 400 else "successes"].append(
                {"id": event["id"], "status": status}
            )
        return httpx.Response(207, json=told)

    return LangfuseSink(made.endpoint(answer))


def test_langfuse_has_a_score_for_the_verdict_and_one_for_its_number() -> None:
    seen: list[Any] = []
    error = made.told(2, kind=VerdictKind.ERROR, p_lie=None, error="Timeout")
    assert langfuse({}, seen).send([made.told(1), made.alarm(), error]) == [
        "sent",
        "not_taken",
        "sent",
    ]
    assert [event["type"] for event in seen] == ["score-create"] * 3
    scores = [event["body"] for event in seen]
    assert [s["id"] for s in scores] == [
        "candor.verdict-key1",
        "candor.p_lie-key1",
        "candor.verdict-key2",
    ]
    assert [s["dataType"] for s in scores] == ["CATEGORICAL", "NUMERIC", "CATEGORICAL"]
    assert {(s["traceId"], s["observationId"]) for s in scores} == {(made.TRACE, made.SPAN)}


def test_langfuse_says_which_it_refuses_and_which_it_could_not_take() -> None:
    sink = langfuse({"candor.verdict-key1": 400, "candor.p_lie-key3": 500}, [])
    results = [made.told(1), made.told(2), made.told(3), made.told(4)]
    assert sink.send(results) == [Outcome.REJECTED, Outcome.SENT]
    with pytest.raises(UnreachableError):
        sink.send(results[2:])


SINKS: list[Callable[[Endpoint], ResultSink]] = [OtlpSink, PhoenixSink, MlflowSink, LangfuseSink]


@pytest.mark.parametrize("make", SINKS)
def test_a_check_sends_nothing_and_says_whether_results_would_arrive(
    make: Callable[[Endpoint], ResultSink],
) -> None:
    asked: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request)
        return httpx.Response(status)

    status = 200
    make(made.endpoint(answer)).check()
    (request,) = asked
    assert request.headers["x-key"] == "k"
    assert request.method == "GET" or gzip.decompress(request.content) == b""
    for status in (401, 404, 500):
        with pytest.raises(UnreachableError, match=str(status)):
            make(made.endpoint(answer)).check()


def test_headers_and_keys_come_from_files_that_errors_do_not_quote(tmp_path: Path) -> None:
    file = tmp_path / "headers"
    file.write_text("Authorization: Bearer s3cret\n\nx-tenant:  a \n")
    assert read_headers(file) == {"Authorization": "Bearer s3cret", "x-tenant": "a"}
    file.write_text("s3cret\n")
    with pytest.raises(BadInputError) as raised:
        read_headers(file)
    assert "s3cret" not in str(raised.value)
    assert basic_authorization("pk", file) == {"Authorization": "Basic cGs6czNjcmV0"}
    with pytest.raises(BadInputError, match="cannot be read"):
        read_headers(tmp_path / "absent")


def test_a_receiver_is_opened_for_each_address(tmp_path: Path) -> None:
    key = tmp_path / "key"
    key.write_text("sk\n")
    options = ResultsOptions(
        otlp_url="http://c:4318/",
        phoenix_url="http://p:6006",
        mlflow_url="http://m:5000",
        langfuse_url="https://l",
        langfuse_public_key="pk",
        langfuse_secret_key_file=key,
    )
    sinks = open_sinks(options)
    assert [sink.name for sink in sinks] == ["otlp", "phoenix", "mlflow", "langfuse"]
    assert open_sinks(ResultsOptions()) == []
    for sink in sinks:
        sink.close()


@pytest.mark.parametrize("url", ["collector:4318", "http://", "http://u:p@c", "http://c?k=1"])
def test_an_address_is_whole_and_holds_no_secret(url: str) -> None:
    with pytest.raises(ValueError, match="address"):
        ResultsOptions(otlp_url=url)
    with pytest.raises(ValueError, match="needs langfuse"):
        ResultsOptions(langfuse_url="https://l")
