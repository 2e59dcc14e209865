"""Nothing is read before it is known who asks, and what is read is bounded, whole and in time."""

from __future__ import annotations

import asyncio
import gzip
import html
import json
import re
import zlib
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
import zstandard
from fastapi import FastAPI
from fastapi.routing import APIRoute, iter_route_contexts
from fastapi.testclient import TestClient
from prometheus_client import CollectorRegistry
from prometheus_client.registry import Collector
from sqlalchemy import Engine, func, select

from monitor.api.app import create_app
from monitor.api.context import Context
from monitor.api.state import StateReader
from monitor.cli.serving import api_settings
from monitor.http.access import Access, Scope, add_key
from monitor.http.routes import DoorRoute
from monitor.settings import Settings
from monitor.store import reading
from monitor.store.schema import outbox
from tests.monitor.api.conftest import NOW_S, MakeService, Service
from tests.monitor.http.test_access import bearer

Record = dict[str, Any]


@pytest.fixture
def key(tmp_path: Path) -> str:
    return add_key(tmp_path / "keys.json", name="all", scopes=tuple(Scope), assistants=None)


@pytest.fixture
def guarded(make_service: MakeService, key: str, tmp_path: Path) -> Service:
    return make_service(keys_file=tmp_path / "keys.json", max_body_bytes=20_000)


def routes(app: Any) -> Iterator[tuple[str, str, APIRoute]]:
    """Every method and path of an application, those of included routers too."""
    for context in iter_route_contexts(app.routes):
        for method in context.methods or ():
            yield method, context.path.replace("{", "").replace("}", ""), context.original_route


class Wire:
    """A connection without a network: what the application asks for, and what it answers."""

    def __init__(self, app: FastAPI, method: str, path: str, **headers: str) -> None:
        self._app = app
        plain, _, query = path.partition("?")
        self._scope = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": method,
            "scheme": "http",
            "path": plain,
            "raw_path": plain.encode(),
            "query_string": query.encode(),
            "root_path": "",
            "headers": [
                (name.replace("_", "-").encode(), value.encode())
                for name, value in {"host": "127.0.0.1", **headers}.items()
            ],
            "client": ("127.0.0.1", 1),
            "server": ("127.0.0.1", 80),
            "state": {},
        }
        self.asked = 0
        self.status = 0
        self.headers: dict[str, str] = {}
        self.body = b""

    def run(self, chunks: AsyncIterator[bytes]) -> Wire:
        async def receive() -> dict[str, Any]:
            self.asked += 1
            async for chunk in chunks:
                return {"type": "http.request", "body": chunk, "more_body": True}
            return {"type": "http.request", "body": b"", "more_body": False}

        async def send(message: Any) -> None:
            if message["type"] == "http.response.start":
                self.status = message["status"]
                self.headers = {k.decode(): v.decode() for k, v in message["headers"]}
            else:
                self.body += message.get("body", b"")

        asyncio.run(self._app(self._scope, receive, send))
        return self


async def endless() -> AsyncIterator[bytes]:
    while True:
        yield b"[" * 65_536


async def stalled() -> AsyncIterator[bytes]:
    yield b"{"
    await asyncio.sleep(60)


def test_every_route_has_the_door(guarded: Service) -> None:
    found = list(routes(guarded.client.app))
    assert len(found) > 25
    assert {path for _, path, route in found if not isinstance(route, DoorRoute)} == set()


def test_no_route_reads_a_byte_of_who_has_no_key(guarded: Service) -> None:
    tried = 0
    for method, path, route in routes(guarded.client.app):
        if isinstance(route, DoorRoute) and route.guards:
            wire = Wire(guarded.client.app, method, path, transfer_encoding="chunked")
            wire.run(endless())
            assert (wire.status, wire.asked) == (401, 0), path
            assert wire.headers["connection"] == "close", path
            tried += 1
    assert tried > 20


def test_who_lacks_the_scope_or_asks_too_often_is_not_read_either(
    make_service: MakeService, tmp_path: Path
) -> None:
    token = add_key(tmp_path / "keys.json", name="r", scopes=(Scope.READ,), assistants=None)
    service = make_service(keys_file=tmp_path / "keys.json", requests_per_minute=1)
    seen = []
    for _ in range(2):
        wire = Wire(service.client.app, "POST", "/v1/labels", authorization=f"Bearer {token}").run(
            endless()
        )
        assert wire.asked == 0
        seen.append(wire.status)
    assert seen == [403, 429]


QUERIES = {"/v1/sources": "?name=a&version=1&licence=mit"}
"""What a route is asked that would refuse a request without it before it reads."""


def test_one_limit_on_every_route_that_reads(guarded: Service, key: str) -> None:
    tried = 0
    for method, path, _route in routes(guarded.client.app):
        if method != "POST":
            continue
        headers = {"authorization": f"Bearer {key}", "content_type": "application/json"}
        asked = path + QUERIES.get(path, "")
        wire = Wire(guarded.client.app, method, asked, transfer_encoding="chunked", **headers)
        wire.run(endless())
        assert (wire.status, wire.headers["content-type"]) == (413, "application/problem+json")
        declared = Wire(guarded.client.app, method, asked, content_length="20001", **headers)
        declared.run(endless())
        assert (declared.status, declared.asked) == (413, 0), path
        tried += 1
    assert tried > 8


def test_a_body_that_does_not_come_is_given_up(
    make_service: MakeService, key: str, tmp_path: Path
) -> None:
    service = make_service(keys_file=tmp_path / "keys.json", read_timeout_s=0.05)
    for path in ("/v1/responses", "/v1/gate/check", "/v1/traces"):
        headers = {"authorization": f"Bearer {key}", "content_type": "application/json"}
        wire = Wire(service.client.app, "POST", path, transfer_encoding="chunked", **headers)
        wire.run(stalled())
        assert (wire.status, wire.headers["connection"]) == (408, "close")


def zstd_of(text: bytes) -> bytes:
    return zstandard.ZstdCompressor().compress(text)


def raw_deflate(text: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-15)
    return packer.compress(text) + packer.flush()


def halves(text: bytes) -> tuple[bytes, bytes]:
    return text[: len(text) // 2], text[len(text) // 2 :]


PACKERS = {
    "gzip": gzip.compress,
    "gzip of two members": lambda text: b"".join(map(gzip.compress, halves(text))),
    "x-gzip": gzip.compress,
    "deflate": zlib.compress,
    "deflate without a frame": raw_deflate,
    "zstd": zstd_of,
    "zstd of two frames": lambda text: b"".join(map(zstd_of, halves(text))),
    "identity": bytes,
}


def send(service: Service, key: str, body: bytes, encoding: str, path: str) -> Any:
    headers = {"content-type": "application/json", "content-encoding": encoding, **bearer(key)}
    return service.client.post(path, content=body, headers=headers)


@pytest.mark.parametrize("packer", PACKERS)
def test_packed_bodies_are_read_within_the_limit(
    guarded: Service, key: str, response_record: Record, packer: str
) -> None:
    encoding, pack = packer.split(maxsplit=1)[0], PACKERS[packer]
    packed = pack(json.dumps(response_record).encode())
    assert send(guarded, key, packed, encoding, "/v1/responses").status_code == 202
    assert send(guarded, key, pack(b'{"rows": 3}'), encoding, "/v1/gate/check").status_code == 422
    bomb = pack(b" " * 30_000)
    assert send(guarded, key, bomb, encoding, "/v1/gate/check").status_code == 413
    if encoding != "identity":
        for broken in (packed[:-1], b"{}", packed[:5]):
            answer = send(guarded, key, broken, encoding, "/v1/responses")
            assert answer.status_code == 400, (packer, broken)


def test_a_large_bomb_takes_no_memory(guarded: Service, key: str) -> None:
    """A thousand times the limit, in each encoding: refused long before it is unpacked."""
    for encoding in ("gzip", "deflate", "zstd"):
        packed = PACKERS[encoding](b"\0" * 15_000_000)
        assert len(packed) < 20_000
        assert send(guarded, key, packed, encoding, "/v1/responses").status_code == 413


def test_many_small_members_end(guarded: Service, key: str) -> None:
    for encoding in ("gzip", "zstd"):
        members = PACKERS[encoding](b"") * (20_000 // len(PACKERS[encoding](b"")))
        answer = send(guarded, key, members, encoding, "/v1/responses")
        assert answer.status_code == 400


@pytest.mark.parametrize("encoding", ["br", "gzip, gzip", "compress", "utf-8", "aws-chunked"])
def test_other_encodings_are_refused_by_name(guarded: Service, key: str, encoding: str) -> None:
    answer = send(guarded, key, b"{}", encoding, "/v1/labels")
    assert answer.status_code == 415
    assert "gzip" in answer.json()["detail"]


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"\xef\xbb\xbf" + b'{"rows": [{}], "assistant": "shop"}', 422),
        (b"{", 400),
        (b"\xff\xfe{\x00}\x00", 400),
        (b'{"rows": [{"a": NaN}], "assistant": "shop"}', 400),
        (b"[" * 5_000, 400),
        (b'{"assistant": "shop", "rows": [{"a": "Q \\ud83d"}]}', 422),
        (b'{"assistant": "shop", "rows": [{"x\\ud83d": 1}]}', 422),
        (b'{"assistant": "sh\\u0000op", "rows": [{"a": 1}]}', 422),
        (b"null", 422),
        (b"3", 422),
        (b"", 422),
    ],
)
def test_a_body_that_is_no_sound_json_is_a_problem(
    guarded: Service, key: str, body: bytes, status: int
) -> None:
    answer = send(guarded, key, body, "", "/v1/gate/check")
    assert answer.status_code == status
    assert answer.json()["status"] == status


def test_a_body_of_another_type_is_refused(guarded: Service, key: str) -> None:
    for path in ("/v1/labels", "/v1/gate/check", "/v1/alarms/a1/close"):
        for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data", ""):
            headers = {**bearer(key)} | ({"content-type": kind} if kind else {})
            answer = guarded.client.post(path, content=b'{"by": "x"}', headers=headers)
            assert answer.status_code == 415, (path, kind)


def test_all_wrong_fields_are_named_at_once(guarded: Service, key: str) -> None:
    answer = send(guarded, key, b'{"kind": "nice", "labeller": ""}', "", "/v1/labels")
    assert answer.status_code == 422
    assert {error["field"] for error in answer.json()["errors"]} == {
        "assistant",
        "response_id",
        "kind",
        "labeller",
    }


def test_unknown_parameters_are_refused_with_those_that_are_known(
    guarded: Service, key: str
) -> None:
    tried = 0
    for method, path, _route in routes(guarded.client.app):
        answer = guarded.client.request(
            method, f"{path}?assitant=shop&kind2=3", headers=bearer(key)
        )
        assert answer.status_code == 422, path
        fields = {error["field"] for error in answer.json()["errors"]}
        assert {"assitant", "kind2"} <= fields, path
        tried += 1
    assert tried > 25
    told = guarded.client.get("/v1/verdicts?frm=1", headers=bearer(key)).json()["detail"]
    assert "assistant" in told
    assert "since" in told
    twice = guarded.client.get("/v1/verdicts?limit=1&limit=2", headers=bearer(key))
    assert twice.status_code == 422
    many = guarded.client.get("/v1/alarms?state=open&state=closed", headers=bearer(key))
    assert many.status_code == 200


HOSTILE = ("%00", "a%00b", "%ff", "%ed%a0%80", "%0d%0aset-cookie:x", "%1b[31m", "%c0%af")


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_text_in_paths_and_queries_is_a_problem(
    guarded: Service, key: str, text: str
) -> None:
    for method, path, _route in routes(guarded.client.app):
        for address in (f"{path}?assistant={text}", f"{path}?{text}=1", f"{path}/{text}"):
            answer = guarded.client.request(method, address, headers=bearer(key))
            assert 400 <= answer.status_code < 500, address
            assert answer.headers["content-type"] == "application/problem+json"


def test_a_mark_before_the_text_is_no_part_of_it(
    guarded: Service, key: str, response_record: Record
) -> None:
    record = json.dumps(response_record).encode()
    for kind, body in (("application/json", record), ("application/x-ndjson", record + b"\n")):
        headers = {"content-type": kind, **bearer(key)}
        answer = guarded.client.post(
            "/v1/responses", content=b"\xef\xbb\xbf" + body, headers=headers
        )
        assert answer.status_code == 202, answer.json()


def test_a_refused_batch_leaves_nothing(
    guarded: Service, key: str, response_record: Record
) -> None:
    wrong = {**response_record, "response_id": "x\0"}
    body = f"[{json.dumps(response_record)}, {json.dumps(wrong)}]".encode()
    assert send(guarded, key, body, "", "/v1/responses").status_code == 422
    with reading(guarded.engine) as connection:
        assert connection.execute(select(func.count()).select_from(outbox)).scalar_one() == 0


def test_who_asks_for_metrics_again_and_again_gets_what_was_written(engine: Engine) -> None:
    """Without a key, so that it must cost next to nothing."""
    written: list[int] = []

    class Counted(Collector):
        def collect(self) -> Iterator[Any]:
            written.append(1)
            yield from ()

    registry = CollectorRegistry()
    registry.register(Counted())
    settings = Settings()
    context = Context(
        engine=engine,
        settings=api_settings(settings),
        registry=registry,
        state=StateReader(engine, settings.telemetry, clock=lambda: NOW_S),
        clock=lambda: NOW_S,
        access=Access(None),
        pseudonym_key=b"",
        broker_problem=lambda: None,
        max_age_s=3_600.0,
    )
    client = TestClient(create_app(context), base_url="http://127.0.0.1")
    written.clear()
    assert len({client.get("/metrics").content for _ in range(50)}) == 1
    assert len(written) == 1


def test_the_description_says_how_to_get_in(guarded: Service) -> None:
    document = guarded.client.get("/openapi.json").json()
    assert document["components"]["securitySchemes"].keys() == {"bearer", "basic"}
    for path, methods in document["paths"].items():
        for operation in methods.values():
            assert ("security" in operation) is path.startswith("/v1/"), path
            for status, answer in operation["responses"].items():
                if status >= "400" and path != "/readyz":
                    assert list(answer["content"]) == ["application/problem+json"], path
    assert "\\\\Z" not in json.dumps(document), "no regular expression that ECMA does not know"


def test_the_page_for_people_loads_nothing(guarded: Service) -> None:
    page = guarded.client.get("/docs")
    assert page.status_code == 200
    assert "default-src 'none'" in page.headers["content-security-policy"]
    for path in guarded.client.get("/openapi.json").json()["paths"]:
        assert html.escape(path) in page.text
    assert not re.search(r"<script|src=|https?://", page.text)
