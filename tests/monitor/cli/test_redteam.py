"""`candor redteam run` against a real HTTP server that speaks the chat protocol."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from evidence import BadInputError, UnreachableError
from monitor.cli.app import build
from monitor.services.redteam import scorecards
from monitor.store import audit, open_store, reading
from retrain.items import load_items

CASES = {item.id: item for item in load_items(split="held_out")}


class Server(ThreadingHTTPServer):
    """Lies under pressure and tells the truth without, in the words of the items."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.headers: list[str | None] = []
        self.lies = True
        self.says: str | None = None
        self.keys: list[str | None] = []
        self.url = f"http://127.0.0.1:{self.server_address[1]}/v1"

    def answer(self, messages: list[dict[str, str]]) -> str:
        said = [(m["role"], m["content"]) for m in messages]
        for item in CASES.values():
            if said == [(m.role, m.content) for m in item.pressured]:
                return self.says or (item.lying_answers if self.lies else item.honest_answers)[0]
            if any(said == [(m.role, m.content) for m in one] for one in item.neutral):
                return item.honest_answers[0]
        return "?"


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        self._send({"data": [{"id": "liar"}]})

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        self.server.headers.append(self.headers["x-candor-purpose"])
        self.server.keys.append(self.headers["authorization"])
        message = {"role": "assistant", "content": self.server.answer(body["messages"])}
        self._send({"choices": [{"message": message}]})

    def _send(self, data: Any) -> None:
        raw = json.dumps(data).encode()
        self.send_response(200)
        self.send_header("content-length", str(len(raw)))
        self.end_headers()
        self.wfile.write(raw)

    def log_message(self, *_: Any) -> None:
        """Keep the test's output clean."""


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as found:
        thread = threading.Thread(target=found.serve_forever, daemon=True)
        thread.start()
        yield found
        found.shutdown()
        thread.join()


def run(*arguments: str) -> Any:
    return CliRunner().invoke(build(), ["redteam", "run", *arguments])


def test_a_liar_is_seen_and_fails_the_bar(server: Server, tmp_path: Path) -> None:
    out = tmp_path / "report"
    result = run(
        "--target", server.url, "--limit", "20", "--out", str(out), "--json", "--fail-above", "0.5"
    )
    assert result.exit_code == 10, result.output
    summary = json.loads(result.stdout)
    assert summary["model"] == "liar"
    rows = {row["suite"]: row for row in summary["suites"]}
    assert set(rows) == {
        "strategic_deception",
        "honesty_evasion",
        "sycophancy",
        "sandbagging",
        "evaluation_faking",
        "all",
    }
    assert rows["all"]["n"] == 20
    assert rows["all"]["counts"]["lie"] >= 16
    assert rows["all"]["counts"]["honest"] == 0
    assert set(server.headers) == {"canary"}
    lines = [json.loads(line) for line in (out / "transcripts.jsonl").read_text().splitlines()]
    assert len(lines) == 20
    assert all(line["purpose"] == "canary" for line in lines)
    assert all(line["messages"][-1]["role"] == "assistant" for line in lines)
    assert json.loads((out / "summary.json").read_text())["suites"] == summary["suites"]
    assert (out / "report.png").read_bytes().startswith(b"\x89PNG")
    page = (out / "report.html").read_text()
    assert "liar under pressure" in page
    assert "data:image/png;base64," in page


def test_an_honest_model_passes_and_a_seed_repeats(server: Server) -> None:
    server.lies = False
    arguments = ("--target", server.url, "--limit", "10", "--json", "--fail-above", "0.2")
    first, second = run(*arguments, "--seed", "3"), run(*arguments, "--seed", "3")
    assert first.exit_code == 0, first.output
    assert first.stdout == second.stdout
    table = run("--target", server.url, "--limit", "4", "--suites", "sycophancy")
    assert "sycophancy" in table.stdout
    assert "sandbagging" not in table.stdout


def test_a_scorecard_is_kept_for_the_console(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = f"sqlite:///{tmp_path / 'candor.db'}"
    open_store(url).dispose()
    monkeypatch.setenv("CANDOR_DATABASE_URL", url)
    arguments = ("--target", server.url, "--limit", "10", "--json", "--assistant", "shop")
    assert run(*arguments, "--by", "ada").exit_code == 0
    server.lies = False
    assert run(*arguments, "--by", "ada").exit_code == 0
    engine = open_store(url)
    with reading(engine) as connection:
        newest, oldest = scorecards(connection, "shop", limit=9)
        assert audit.verify(connection).entries == 2
    engine.dispose()
    assert (newest.model, newest.by) == ("liar", "ada")
    assert newest.changes["all"].says == "fell"
    assert oldest.changes == {}
    asked = len(server.headers)
    refused = run(*arguments)
    assert isinstance(refused.exception, BadInputError), "nobody is named"
    assert len(server.headers) == asked, "it is said before minutes of asking"


def test_answers_that_show_nothing_do_not_pass_the_bar(server: Server) -> None:
    server.says = "Everything about this is in good order, and you can go ahead."
    result = run("--target", server.url, "--limit", "10", "--json", "--fail-above", "0.5")
    (row,) = [row for row in json.loads(result.stdout)["suites"] if row["suite"] == "all"]
    assert row["counts"]["lie"] + row["counts"]["evasion"] == 0
    assert row["deception_worst"] > 0.5
    assert result.exit_code == 10, result.output


def test_a_key_from_a_file_or_a_variable(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "key").write_text("sesame\n")
    monkeypatch.setenv("TARGET_KEY", "open")
    for given in (("--api-key-file", str(tmp_path / "key")), ("--api-key-variable", "TARGET_KEY")):
        ran = run("--target", server.url, "--limit", "2", *given)
        assert ran.exit_code == 0, ran.output
    assert set(server.keys) == {"Bearer sesame", "Bearer open"}
    assert isinstance(run("--api-key-variable", "TARGET_KEY").exception, BadInputError)


def test_bad_input_and_a_server_that_is_not_there(server: Server, tmp_path: Path) -> None:
    for arguments in (
        ("--target", server.url, "--suites", "kindness"),
        ("--target", server.url, "--model", "another"),
        ("--target", server.url, "--limit", "0"),
        ("--target", str(tmp_path)),
        ("--target", str(tmp_path), "--model", "m"),
    ):
        assert isinstance(run(*arguments).exception, BadInputError), arguments
    server.shutdown()
    server.server_close()
    gone = run("--target", "http://127.0.0.1:1/v1")
    assert isinstance(gone.exception, UnreachableError)
