"""A real console over a real store, with keys of several scopes and a clock that is set by hand."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi.testclient import TestClient
from prometheus_client import CollectorRegistry
from sqlalchemy import Engine

from monitor import console
from monitor.api.app import create_app
from monitor.api.context import Context
from monitor.api.state import StateReader
from monitor.cli.serving import api_settings, console_context
from monitor.http.access import Access, Scope, add_key
from monitor.http.options import ApiOptions
from monitor.launch.options import RetrainOptions
from monitor.settings import Settings
from monitor.telemetry import State
from tests.monitor.api.conftest import (
    KEY,
    NOW_S,
    engine,
    feedback_record,
    response_record,
)

__all__ = ["engine", "feedback_record", "response_record"]

VOID = {"meta", "link", "input", "br", "hr"}


class Clock:
    def __init__(self) -> None:
        self.now_s = NOW_S

    def __call__(self) -> float:
        return self.now_s


@dataclasses.dataclass
class Site:
    """A console. Each browser has its own cookies."""

    engine: Engine
    app: Any
    clock: Clock
    keys_file: Path | None

    @property
    def client(self) -> TestClient:
        """Someone who is not signed in."""
        return self.browser()

    def browser(self) -> TestClient:
        return TestClient(
            self.app,
            base_url="http://127.0.0.1",
            raise_server_exceptions=False,
            follow_redirects=False,
        )

    def key(self, name: str, *scopes: Scope, assistants: tuple[str, ...] | None = None) -> str:
        assert self.keys_file is not None
        return add_key(self.keys_file, name=name, scopes=scopes, assistants=assistants)

    def decision(self, response_ids: list[str]) -> str:
        """The gate's answer to rows of these responses; returns its id."""
        key = self.key(f"job {response_ids[0]}", Scope.GATE) if self.keys_file else ""
        rows = [
            {
                "messages": [
                    {"role": "user", "content": "a"},
                    {"role": "assistant", "content": response_id},
                ],
                "provenance": {"source": "candor.feedback", "response_id": response_id},
            }
            for response_id in response_ids
        ]
        asked = {"assistant": "shop", "rows": rows}
        headers = {"authorization": f"Bearer {key}"}
        answer = self.client.post("/v1/gate/check", json=asked, headers=headers)
        assert answer.status_code == 200, answer.text
        found: str = answer.json()["decision_id"]
        return found

    def signed_in(self, key: str = "", person: str = "") -> TestClient:
        """Someone's browser after signing in."""
        browser = self.browser()
        answer = browser.post("/sign-in", data={"key": key, "person": person})
        assert answer.status_code == 303, answer.text
        return browser


MakeSite = Callable[..., Site]


@pytest.fixture
def make_site(engine: Engine, tmp_path: Path) -> MakeSite:
    def make(
        *,
        keys: bool = False,
        retrain: RetrainOptions | None = None,
        state: Callable[[], State] | None = None,
        **api: Any,
    ) -> Site:
        keys_file = tmp_path / "keys.json" if keys else None
        if keys_file is not None and not keys_file.exists():
            add_key(keys_file, name="first", scopes=(Scope.ADMIN,), assistants=None)
        settings = Settings(
            api=ApiOptions(keys_file=keys_file, **api), retrain=retrain or RetrainOptions()
        )
        clock = Clock()
        state = state or StateReader(engine, settings.telemetry, clock=clock)
        access = Access(keys_file, requests_per_minute=settings.api.requests_per_minute)
        app = create_app(
            Context(
                engine=engine,
                settings=api_settings(settings),
                registry=CollectorRegistry(),
                state=state,
                clock=clock,
                access=access,
                pseudonym_key=KEY,
                broker_problem=lambda: None,
            )
        )
        context = console_context(settings, engine, access, state, clock=clock)
        app.include_router(console.router(context))
        return Site(engine, app, clock, keys_file)

    return make


@pytest.fixture
def site(make_site: MakeSite) -> Site:
    """Without keys, as `candor demo` runs."""
    return make_site()


class Tags(HTMLParser):
    """What a page is made of; fails where an element is not closed."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: set[str] = set()
        self.attributes: set[str] = set()
        self.text: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.add(tag)
        self.attributes |= {name for name, _ in attrs}
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.add(tag)
        self.attributes |= {name for name, _ in attrs}

    def handle_endtag(self, tag: str) -> None:
        assert self.open, tag
        # The parser closes no paragraph by itself, and neither do the templates.
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text.append(data)


def parsed(answer: httpx.Response) -> Tags:
    """A page, whole and without anything that acts."""
    tags = Tags()
    tags.feed(answer.text)
    assert tags.open == []
    assert not tags.seen & {"img", "iframe", "object", "embed", "base"}
    assert not any(name.startswith("on") for name in tags.attributes)
    assert "style" not in tags.attributes, "the policy forbids inline styles"
    assert "style" not in tags.seen
    return tags


def words(answer: httpx.Response) -> str:
    """The text of a page."""
    return re.sub(r"\s+", " ", "".join(parsed(answer).text))


def csrf(answer: httpx.Response) -> str:
    """The token of a page's forms."""
    found = re.search(r'name="csrf" value="([0-9a-f]{64})"', answer.text)
    assert found is not None, "no form is offered"
    return found[1]
