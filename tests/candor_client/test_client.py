"""One contract for the sync and the async client, over the project's own API."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import select

from candor_client import (
    AsyncClient,
    Client,
    ClientError,
    ConflictError,
    Feedback,
    ForbiddenError,
    NotFoundError,
    NoVerdictError,
    OverloadedError,
    RefusedError,
    Response,
    Retry,
    ServerError,
    UnauthorizedError,
    UnreachableError,
    UnreadableAnswerError,
)
from monitor.http.access import Scope, add_key
from monitor.store import reading
from monitor.store.schema import outbox
from tests.candor_client.conftest import MakeClient
from tests.monitor.api.conftest import NOW_S, MakeService, Service
from tests.monitor.api.test_reads import put, verdict

MESSAGES = [{"role": "user", "content": "Is it?"}, {"role": "assistant", "content": "Yes."}]
AT = datetime.fromtimestamp(NOW_S, UTC)


def answer(**fields: Any) -> Response:
    return Response(
        **{
            "assistant": "shop",
            "model": "m-1",
            "messages": MESSAGES,
            "user_id": "alice",
            "created_at": AT,
            **fields,
        }
    )


def queued(service: Service, topic: str) -> list[dict[str, Any]]:
    with reading(service.engine) as connection:
        rows = connection.execute(select(outbox.c.value).where(outbox.c.topic == topic)).scalars()
        return [json.loads(value) for value in rows]


class Failing:
    """A transport that fails as told, then does its work; after `late` failures the server had the request."""

    def __init__(self, *failures: Exception | int, late: bool = False) -> None:
        self.failures, self.late, self.tried = list(failures), late, 0

    def _fail(self, request: httpx.Request) -> httpx.Response | None:
        self.tried += 1
        if not self.failures:
            return None
        failure = self.failures.pop(0)
        if isinstance(failure, int):
            return httpx.Response(failure, headers={"retry-after": "3"}, request=request)
        raise failure

    def sync(self) -> httpx.BaseTransport:
        real, failing = httpx.HTTPTransport(), self

        class Transport(httpx.BaseTransport):
            def handle_request(self, request: httpx.Request) -> httpx.Response:
                if failing.late and failing.failures:
                    real.handle_request(request).read()
                return failing._fail(request) or real.handle_request(request)

        return Transport()

    def asynchronous(self) -> httpx.AsyncBaseTransport:
        real, failing = httpx.AsyncHTTPTransport(), self

        class Transport(httpx.AsyncBaseTransport):
            async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
                if failing.late and failing.failures:
                    await (await real.handle_async_request(request)).aread()
                return failing._fail(request) or await real.handle_async_request(request)

        return Transport()


@pytest.fixture
def client(service: Service, serve: Callable[[Service], str], make_client: MakeClient) -> Any:
    return make_client(serve(service), sleep=lambda _: None)


def test_responses_and_feedback_are_durable_when_the_call_returns(
    client: Any, service: Service
) -> None:
    sent = answer(stakes="high", extra={"trace_id": "ab" * 16})
    assert client.send_responses([sent, answer().record()]) == 2
    rated = Feedback(
        assistant="shop",
        response_id=sent.response_id,
        user_id="alice",
        value=-1.0,
        created_at=AT,
        text="no",
    )
    assert client.send_feedback([rated]) == 1
    first, second = queued(service, "assistant.responses")
    assert (first["response_id"], first["stakes"]) == (sent.response_id, "high")
    assert first["trace_id"] == "ab" * 16
    assert second["response_id"] != sent.response_id
    (kept,) = queued(service, "assistant.feedback")
    assert (kept["feedback_id"], kept["value"]) == (rated.feedback_id, -1.0)
    assert "alice" not in str((first, kept)), "the API keeps a pseudonym"


def test_many_records_go_in_requests_that_the_api_takes(client: Any, service: Service) -> None:
    assert client.send_responses(answer() for _ in range(1_201)) == 1_201
    assert client.send_responses([]) == 0
    ids = [record["response_id"] for record in queued(service, "assistant.responses")]
    assert len(set(ids)) == 1_201


def test_a_record_that_is_wrong_names_its_field_and_what_was_taken(
    client: Any, service: Service
) -> None:
    records = [answer() for _ in range(500)] + [answer(messages=[]), answer()]
    with pytest.raises(RefusedError) as raised:
        client.send_responses(records)
    assert raised.value.status == 422
    assert raised.value.errors
    assert raised.value.taken == 500
    assert len(queued(service, "assistant.responses")) == 500
    with pytest.raises(ClientError, match="JSON"):
        client.send_responses([answer(extra={"x": object()})])


def test_a_verdict_is_waited_for(client: Any, service: Service) -> None:
    put(service, verdict(3))
    found = client.wait_for_verdict("shop", "r3", timeout_s=5.0)
    assert (found.response_id, found.kind) == ("r3", "honest")
    assert found.scored_at.tzinfo is not None
    with pytest.raises(NoVerdictError, match="'r9'"):
        client.wait_for_verdict("shop", "r9", timeout_s=0.0)
    whole = client.verdict(found.key)
    assert (whole.key, whole.text) == (found.key, "gone")
    with pytest.raises(NotFoundError):
        client.verdict("no/such?key")


def test_lists_are_paged_to_their_end(
    stored: Service, serve: Callable[[Service], str], make_client: MakeClient
) -> None:
    client = make_client(serve(stored))
    page = client.verdicts(assistant="shop", limit=4)
    assert len(page.items) == 4
    assert page.next is not None
    every = [v.response_id for v in client.all_verdicts(limit=4)]
    assert every == [f"r{i}" for i in reversed(range(9))]
    since = datetime.fromtimestamp(NOW_S + 6, UTC)
    assert [v.response_id for v in client.all_verdicts(since=since, limit=1)] == ["r8", "r7", "r6"]
    assert len(client.verdicts(purpose=["live", "canary"], limit=100).items) == 10
    assert [a.alarm_id for a in client.all_alarms(limit=4)] == [f"a{i}" for i in reversed(range(9))]
    assert len(client.alarms(state=["closed", "refuted"]).items) == 0
    decided = list(client.all_decisions(assistant="shop", limit=4))
    assert len({decision.decision_id for decision in decided}) == 9
    assert client.honesty().strata[0].score_rate.estimate is not None


def test_an_alarm_is_moved_step_by_step(
    stored: Service, serve: Callable[[Service], str], make_client: MakeClient
) -> None:
    client = make_client(serve(stored))
    assert client.alarm("a3").state == "open"
    assert client.acknowledge("a3", "on it", by="ada").state == "acknowledged"
    with pytest.raises(ConflictError, match="cannot become closed"):
        client.close_alarm("a3", "done", by="ada")
    assert client.refute("a3", "a new rubric", by="ada").state == "refuted"
    assert client.confirm("a3", "it was true", by="ada").state == "confirmed"
    closed = client.close_alarm("a3", "done", by="ada")
    assert closed.state == "closed"
    assert [event["to_state"] for event in closed.events][-1] == "closed"


def test_the_gate_answers_and_its_decision_is_listed(client: Any) -> None:
    row = {"messages": MESSAGES, "provenance": {"source": "s"}}
    asked = client.check_rows("shop", [row])
    assert asked.answer == "block"
    assert asked.reasons
    assert client.gate("shop").last_answer == "block"
    assert client.decisions(answer="allow").items == []
    (decision,) = client.decisions(answer="block").items
    assert decision.decision_id == asked.decision_id
    assert "payload" in decision.envelope
    assert client.revoked() == []


def test_a_training_source_is_registered_listed_and_taken_out(client: Any) -> None:
    content = json.dumps({"messages": MESSAGES}).encode() + b"\n"
    made = client.add_source("org/dolly", "v 1", content, licence="CC-BY-SA-3.0", by="ana")
    assert (made.name, made.version, made.rows, made.registered_by) == (
        "org/dolly",
        "v 1",
        1,
        "ana",
    )
    assert client.sources() == [made]
    with pytest.raises(ConflictError, match="registered already"):
        client.add_source("org/dolly", "v 1", content, licence="x", by="ana")
    client.remove_source("org/dolly", "v 1", "licence withdrawn", by="ana")
    with pytest.raises(NotFoundError):
        client.remove_source("org/dolly", "v 1", "licence withdrawn", by="ana")
    assert client.sources() == []


@pytest.mark.parametrize(("p_lie", "expected"), [("0.01", "show"), ("0.9", "withhold")])
def test_an_answer_that_waits_is_decided(client: Any, p_lie: str, expected: str) -> None:
    told = [{"role": "assistant", "content": f"p={p_lie}"}]
    found = client.decide("shop", told, timeout_s=5.0)
    assert (found.answer, found.p_lie) == (expected, float(p_lie))


def test_keys_are_sent_and_what_they_may_not_do_is_named(
    make_service: MakeService,
    serve: Callable[[Service], str],
    make_client: MakeClient,
    tmp_path: Path,
) -> None:
    keys = tmp_path / "keys.json"
    token = add_key(keys, name="app", scopes=(Scope.INGEST,), assistants=("shop",))
    url = serve(make_service(keys_file=keys))
    client = make_client(url, api_key=token)
    assert client.send_responses([answer()]) == 1
    with pytest.raises(ForbiddenError):
        client.verdicts()
    with pytest.raises(ForbiddenError):
        client.send_responses([answer(assistant="bank")])
    with pytest.raises(UnauthorizedError):
        make_client(url).verdicts()
    with pytest.raises(ClientError, match="ASCII") as raised:
        make_client(url, api_key="s3crét\n")
    assert "s3cr" not in str(raised.value)


def test_a_busy_or_broken_service_is_tried_again(
    service: Service, serve: Callable[[Service], str], make_client: MakeClient
) -> None:
    pauses: list[float] = []
    failures = (httpx.ConnectError("away"), 503, httpx.ReadTimeout("slow"), 429)
    fail = Failing(*failures)
    client = make_client(serve(service), fail=fail, sleep=pauses.append, chance=lambda: 0.0)
    sent = answer()
    assert client.send_responses([sent]) == 1
    assert fail.tried == 5
    assert pauses == [0.2, 3.0, 0.8, 3.0], "doubled, or as long as the server says"
    (kept,) = queued(service, "assistant.responses")
    assert kept["response_id"] == sent.response_id


def test_what_was_taken_and_not_acknowledged_is_sent_again_under_the_same_id(
    service: Service, serve: Callable[[Service], str], make_client: MakeClient
) -> None:
    fail = Failing(httpx.ReadError("cut"), late=True)
    client = make_client(serve(service), fail=fail, sleep=lambda _: None)
    assert client.send_responses([answer()]) == 1
    first, second = queued(service, "assistant.responses")
    assert first == second, "the intake takes it once"


def test_what_would_be_done_twice_is_not_tried_again_once_it_may_have_arrived(
    service: Service, serve: Callable[[Service], str], make_client: MakeClient
) -> None:
    url = serve(service)
    row = {"messages": MESSAGES, "provenance": {"source": "s"}}
    client = make_client(
        url, fail=Failing(httpx.ReadTimeout("slow"), late=True), sleep=lambda _: None
    )
    with pytest.raises(UnreachableError, match="slow"):
        client.check_rows("shop", [row])
    assert len(client.decisions().items) == 1
    again = make_client(url, fail=Failing(httpx.ConnectError("away"), 503), sleep=lambda _: None)
    other = {"messages": MESSAGES, "provenance": {"source": "t"}}
    assert again.check_rows("shop", [other]).answer == "block"
    assert len(again.decisions().items) == 2


@pytest.mark.parametrize(
    ("failure", "error"),
    [
        (httpx.ConnectError("away"), UnreachableError),
        (503, OverloadedError),
        (500, ServerError),
        (418, RefusedError),
    ],
)
def test_errors_that_stay_are_named(
    make_client: MakeClient, failure: Any, error: type[ClientError]
) -> None:
    fail = Failing(*[failure] * 3)
    client = make_client(
        "http://127.0.0.1:1", fail=fail, sleep=lambda _: None, retry=Retry(tries=3)
    )
    with pytest.raises(error):
        client.verdicts()
    assert fail.tried == (1 if failure in (500, 418) else 3)


@pytest.mark.parametrize("body", [b"<html>", b"[]", b'{"verdicts": 3}', b"\xff"])
def test_an_answer_of_another_service_is_named(body: bytes) -> None:
    transport = httpx.MockTransport(lambda _: httpx.Response(200, content=body))
    with Client("http://x", transport=transport) as client, pytest.raises(UnreadableAnswerError):
        client.verdicts()


def test_sync_and_async_have_the_same_methods_and_parameters() -> None:
    import inspect  # noqa: PLC0415

    names = {name for name in vars(Client) if not name.startswith("_")}
    assert names == {name for name in vars(AsyncClient) if not name.startswith("_")}
    for name in names:
        one, other = (inspect.signature(getattr(kind, name)) for kind in (Client, AsyncClient))
        assert one.parameters == other.parameters, name
