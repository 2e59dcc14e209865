"""Any bytes at any route of the API: the answer is 2xx or 4xx, and what refuses is a problem document."""

from __future__ import annotations

import asyncio
import atexit
import json
import tempfile
from functools import cache
from typing import Any
from urllib.parse import unquote

from fastapi.routing import iter_route_contexts
from prometheus_client import CollectorRegistry
from sqlalchemy import Engine

from monitor.api.app import create_app
from monitor.api.context import Context
from monitor.api.state import StateReader
from monitor.cli.serving import api_settings
from monitor.http.access import Access
from monitor.settings import Settings
from monitor.store import open_store
from monitor.telemetry import StateCollector
from tests.fuzz.choices import Choices
from tests.fuzz.documents import FEEDBACK, KEY, NOW_S, RESPONSES
from tests.fuzz.mutation import VALUES, seeds_of
from tests.fuzz.target import Target

BODIES: list[dict[str, Any]] = [
    {"assistant": "shop", "response_id": "r1", "kind": "lie", "labeller": "ana"},
    {"reason": "read ten", "by": "ana"},
    {"assistant": "shop", "reason": "once", "by": "ana"},
    {"requested_by": "bo", "reason": "x", "expires_at": "2026-09-22T12:00:00Z", "by": "ana"},
    {"assistant": "shop", "messages": [{"role": "assistant", "content": "No."}], "stakes": "high"},
    {
        "assistant": "shop",
        "rows": [
            {
                "messages": [
                    {"role": "user", "content": "Is it?"},
                    {"role": "assistant", "content": "No."},
                ],
                "provenance": {"source": "candor.feedback", "response_id": "r1", "rater": "p1"},
            }
        ],
    },
    RESPONSES[0],
    FEEDBACK,
]
WORDS = (
    *(
        "a1",
        "",
        "%00",
        "a%00b",
        "%ff",
        "%ed%a0%80",
        "%2e%2e%2f",
        "%252500",
        "a" * 300,
        "%7f",
        "'--",
    ),
    *(
        "%F0%9F%98%80",
        "1e400",
        "-1",
        "9" * 40,
        "nan",
        "null",
        "2026-01-01T00:00:00Z",
        "[]",
        "%0d%0a",
    ),
    *("honesty", "evidence", "open", "shop", "lie", "WzEuMCwiYSJd", "0001-01-01T00:00:00%2B14:00"),
)
NAMES = (
    *(
        "assistant",
        "limit",
        "after",
        "since",
        "until",
        "state",
        "scope",
        "metric",
        "kind",
        "purpose",
    ),
    *(
        "response_id",
        "stratum",
        "least_p_lie",
        "status",
        "answer",
        "x",
        "%00",
        "%ff",
        "",
        "limit[]",
    ),
)
HEADERS: tuple[tuple[bytes, bytes], ...] = (
    *((b"content-type", kind) for kind in (b"application/json", b"application/x-ndjson", b"x")),
    *((b"content-type", b"application/x-protobuf"), (b"content-type", b"application/json; a=\xff")),
    *((b"content-encoding", name) for name in (b"gzip", b"zstd", b"deflate", b"br", b"\xff")),
    *((b"authorization", b"Basic \xff"), (b"authorization", b"Bearer " + b"x" * 9_000)),
    *((b"content-length", b"-1"), (b"content-length", b"9" * 30), (b"content-length", b"3")),
    *((b"transfer-encoding", b"chunked"), (b"accept", b"\x80"), (b"cookie", b"a=\x00")),
)
# A server that does not measure says so, and one without workers is not ready.
_DESIGNED = ("abstain.enabled", '"name":"workers","ok":false')


class Api:
    """An API over a store, asked without a network."""

    def __init__(self, engine: Engine) -> None:
        settings = Settings()
        state = StateReader(engine, settings.telemetry, clock=lambda: NOW_S)
        registry = CollectorRegistry()
        registry.register(StateCollector(state))
        context = Context(
            engine=engine,
            settings=api_settings(settings),
            registry=registry,
            state=state,
            clock=lambda: NOW_S,
            access=Access(None, requests_per_minute=10**9),
            pseudonym_key=KEY,
            broker_problem=lambda: None,
        )
        self.app = create_app(context)
        self._loop = asyncio.new_event_loop()
        self.routes = sorted(
            (method, found.path)
            for found in iter_route_contexts(self.app.routes)
            for method in found.methods or ()
        )

    def check(self, data: bytes) -> str:
        """Ask, and say what was answered; raises for an answer that must not be."""
        head, _, body = data.partition(b"\n\n")
        line, *lines = head.split(b"\n")
        method, _, target = line.partition(b" ")
        headers = [tuple(one.split(b":", 1)) for one in lines if b":" in one]
        status, kind, text = self._loop.run_until_complete(self._ask(method, target, headers, body))
        if status >= 500:
            assert status == 503, (status, text[:300])
            assert any(one in text for one in _DESIGNED), text[:300]
        if status >= 400 and '"ready"' not in text:
            assert kind == "application/problem+json", kind
            assert json.loads(text)["status"] == status
        return f"{status}"

    async def _ask(
        self, method: bytes, target: bytes, headers: list[Any], body: bytes
    ) -> tuple[int, str, str]:
        path, _, query = target.partition(b"?")
        scope = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": method.decode("latin-1").upper() or "GET",
            "scheme": "http",
            "path": unquote(path.decode("latin-1")),
            "raw_path": path,
            "query_string": query,
            "root_path": "",
            "headers": [(b"host", b"127.0.0.1"), *headers],
            "client": ("127.0.0.1", 1),
            "server": ("127.0.0.1", 80),
            "state": {},
        }
        told: list[dict[str, Any]] = []
        parts = [body[: len(body) // 2], body[len(body) // 2 :]]

        async def receive() -> dict[str, Any]:
            if not parts:
                return {"type": "http.disconnect"}
            return {"type": "http.request", "body": parts.pop(0), "more_body": bool(parts)}

        async def send(message: Any) -> None:
            told.append(message)

        await self.app(scope, receive, send)
        kind = dict(told[0]["headers"]).get(b"content-type", b"").decode()
        text = b"".join(one.get("body", b"") for one in told[1:])
        return told[0]["status"], kind, text.decode("utf-8", "replace")


@cache
def api() -> Api:
    folder = tempfile.TemporaryDirectory(prefix="candor-fuzz-")
    atexit.register(folder.cleanup)
    return Api(open_store(f"sqlite:///{folder.name}/candor.db"))


def make(choices: Choices) -> bytes:
    method, path = choices.pick(api().routes)
    for name in ("{alarm_id}", "{decision_id}", "{run_id}", "{kind}", "{key}"):
        path = path.replace(name, choices.pick(WORDS))
    if choices.chance(20):
        method = choices.pick(["GET", "POST", "PUT", "HEAD", "OPTIONS", "TRACE", "X"])
    query = "&".join(
        f"{choices.pick(NAMES)}={choices.pick(WORDS)}"
        for _ in range(choices.pick((0, 0, 0, 1, 1, 2, 3)))
    )
    lines = [f"{method} {path}{'?' if query else ''}{query}".encode()]
    lines += [b":".join(choices.pick(HEADERS)) for _ in range(choices.pick((0, 0, 0, 1, 2)))]
    if method == "POST" and not choices.chance(4):
        lines.append(b"content-type:application/json")
    body = b"" if method == "GET" else seeds_of(BODIES, choices)
    if choices.chance(10):
        body = json.dumps(choices.pick(VALUES)).encode()
    return b"\n".join(lines) + b"\n\n" + body


def check(data: bytes) -> str:
    return api().check(data)


TARGET = Target("http", make, check)
