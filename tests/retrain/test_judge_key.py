"""The judge of a confirm run is asked with the key that the plan names."""

from __future__ import annotations

import json
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from evidence import BadInputError
from probes.rubrics import load_rubric
from retrain.arm_run import judge_of
from retrain.plan import ConfirmPlan


class Keyed(BaseHTTPRequestHandler):
    """Answers whoever has the key."""

    seen: list[str | None]

    def do_POST(self) -> None:
        self.seen.append(self.headers["authorization"])
        self.rfile.read(int(self.headers["content-length"]))
        body = json.dumps({"choices": [{"message": {"content": "{}"}}]}).encode()
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Keep the test's output clean."""


def plan(folder: Path, **fields: Any) -> ConfirmPlan:
    places = {"rows": folder / "rows.jsonl", "model_dir": folder, "out": folder / "run"}
    return ConfirmPlan(run_id="r", assistant="shop", judge_model="j", **places, **fields)


def test_the_key_is_named_and_sent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str | None] = []
    with HTTPServer(("127.0.0.1", 0), type("Here", (Keyed,), {"seen": seen})) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}/v1"
        monkeypatch.setenv("JUDGE_KEY", "sesame")
        asked = plan(tmp_path, judge_url=url, judge_key_variable="JUDGE_KEY")
        judge = judge_of(asked)
        assert judge is not None

        judge.answers(["a conversation"], load_rubric())
        server.shutdown()
    assert set(seen) == {"Bearer sesame"}
    assert "sesame" not in asked.model_dump_json()


def test_a_variable_that_is_not_set_is_named(tmp_path: Path) -> None:
    asked = plan(tmp_path, judge_url="http://judge/v1", judge_key_variable="NO_SUCH_KEY")
    with pytest.raises(BadInputError, match="NO_SUCH_KEY"):
        judge_of(asked)


def test_where_the_key_is_makes_no_other_run(tmp_path: Path) -> None:
    one = plan(tmp_path, judge_url="http://judge/v1", judge_key_variable="A")
    other = plan(tmp_path, judge_url="http://judge/v1", judge_key_file=tmp_path / "key")
    assert one.identity("a", "b", "c") == other.identity("a", "b", "c")
