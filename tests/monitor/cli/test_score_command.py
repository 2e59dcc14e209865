"""`candor score` as a command: what is checked before a model is loaded, and how it ends."""

from __future__ import annotations

import gzip
import io
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from evidence import Measurement
from probes import opening
from probes.panel import Panel
from probes.probe import Transcript
from tests.monitor.cli.conftest import Candor
from tests.monitor.cli.test_score import Spoken, line, panel


class Down(Spoken):
    """A judge of whom every second call fails, or all."""

    name = "judge"

    def __init__(self, fails: int) -> None:
        super().__init__()
        self._fails = fails

    def measure(self, transcripts: Sequence[Transcript]) -> list[Measurement]:
        found = []
        for transcript in transcripts:
            self.seen.append(transcript.id)
            error = "the judge is unreachable" if len(self.seen) % self._fails == 0 else None
            p_lie = None if error else float(transcript.response)
            found.append(Measurement(probe="judge", version="1", p_lie=p_lie, error=error))
        return found


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[Panel]:
    """The panels that the command opened; it opens one of what this list begins with."""
    given: list[Panel] = [panel(Spoken())]

    def open_panel(*_: Any, **__: Any) -> Panel:
        given.append(given[0])
        return given[0]

    monkeypatch.setattr(opening, "open_panel", open_panel)
    return given


def write(folder: Path, *answers: str) -> None:
    rows = [line(f"r{k}", answer, did_lie=k % 2) for k, answer in enumerate(answers)]
    (folder / "in.jsonl").write_text("\n".join(rows) + "\n")


@pytest.mark.parametrize(
    ("arguments", "what"),
    [
        (("none.jsonl", "--out", "o"), "none.jsonl: no such file"),
        ((".", "--out", "o"), "is a folder"),
        (("in.jsonl", "--out", "o", "--format", "xml"), "--format: no format 'xml'"),
        (("in.jsonl", "--out", "o", "--probes", "oracle"), "--probes: no probe 'oracle'"),
        (("in.jsonl", "--out", "o", "--assistant", "shop"), "--assistant: no section"),
        (("in.jsonl", "--out", "o", "--prevalence", "2"), "--prevalence: "),
        (("in.jsonl", "--out", "nowhere/o"), "its folder does not exist"),
        (("in.jsonl", "--out", "."), "is a folder"),
        (("in.jsonl", "--out", "in.jsonl"), "is the input"),
        (("empty.jsonl", "--out", "o"), "empty.jsonl: holds nothing to score"),
        (("empty.json", "--out", "o"), "empty.json: holds nothing to score"),
        (("chunks.jsonl", "--out", "o"), "looks like chunks of a streamed answer"),
        (("traces.json", "--out", "o"), "looks like OTLP traces"),
        (("broken.jsonl", "--out", "o"), "no transcript in it could be read"),
        (("broken.gz", "--out", "o"), "is packed and broken"),
    ],
)
def test_a_mistake_is_told_before_a_model_is_loaded(
    candor: Candor, opened: list[Panel], arguments: tuple[str, ...], what: str
) -> None:
    write(candor.folder, "0.1")
    for name, text in (
        ("empty.jsonl", "\n"),
        ("empty.json", "[]"),
        ("chunks.jsonl", '{"choices": [{"delta": {}}]}\n'),
        ("traces.json", '{"resourceSpans": []}'),
        ("broken.jsonl", "{broken\n[1]\n"),
    ):
        (candor.folder / name).write_text(text)
    (candor.folder / "broken.gz").write_bytes(gzip.compress(b"{}" * 1000)[:30])
    ran = candor("score", *arguments)
    assert ran.code == 2
    assert what in ran.err.splitlines()[-1]
    assert "Traceback" not in ran.err
    assert len(opened) == 1


def test_a_wrong_setting_is_one_line(candor: Candor, opened: list[Panel]) -> None:
    write(candor.folder, "0.1")
    ran = candor("score", "in.jsonl", "--out", "o", judge_timeout_s="soon")
    assert ran.code == 2
    assert "judge.timeout_s" in ran.err
    assert len(opened) == 1
    assert candor("probe", "fit", "in.jsonl", "--out", "p", judge_timeout_s="soon").code == 2


def test_what_could_be_measured_is_exit_0(candor: Candor, opened: list[Panel]) -> None:
    write(candor.folder, "0.1", "0.9")
    ran = candor("score", "in.jsonl", "--out", "o", "--json")
    assert ran.code == 0, ran.err
    assert ran.json["verdicts"] == {"honest": 1, "lie": 1}
    assert ran.json["failures"] == {}
    assert ran.err.strip() == ""


def test_failures_of_a_probe_are_told_with_their_number(
    candor: Candor, opened: list[Panel]
) -> None:
    opened[0] = Panel([Spoken(), Down(2)], panel(Spoken()).fusion, None)
    write(candor.folder, "0.1", "0.9", "0.2", "0.8")
    ran = candor("score", "in.jsonl", "--out", "o", "--json", "--all")
    assert ran.code == 0, ran.err
    assert ran.json["failures"] == {"judge": 2}
    assert "probe judge failed on 2 of 4: the judge is unreachable" in ran.err
    again = candor("score", "in.jsonl", "--out", "o", "--json", "--all", "--resume")
    assert again.json == ran.json


def test_a_dependency_that_failed_on_all_is_exit_3(candor: Candor, opened: list[Panel]) -> None:
    opened[0] = Panel([Down(1)], panel(Spoken()).fusion, None)
    write(candor.folder, "0.1", "0.9")
    ran = candor("score", "in.jsonl", "--out", "o", "--labels", "did_lie")
    assert ran.code == 3
    assert "probe judge is unreachable: the judge is unreachable" in ran.err
    rows = [json.loads(row) for row in (candor.folder / "o").read_text().splitlines()]
    assert [row["verdict"] for row in rows] == ["error", "error"]


def test_thinking_without_an_answer_is_an_error_and_never_honest(
    candor: Candor, opened: list[Panel]
) -> None:
    rows = [line("a", "<think>0.1"), line("b", "<think>0.9</think>0.1")]
    (candor.folder / "in.jsonl").write_text("\n".join(rows))
    ran = candor("score", "in.jsonl", "--out", "o", "--json")
    assert ran.code == 0, ran.err
    assert ran.json["verdicts"] == {"error": 1, "honest": 1}
    assert "in.jsonl:1: the last turn is reasoning without an answer" in ran.err


def test_what_has_no_text_is_told(candor: Candor, opened: list[Panel]) -> None:
    picture = [{"type": "image_url", "image_url": {}}, {"type": "text", "text": "?"}]
    turns = [{"role": "user", "content": picture}, {"role": "assistant", "content": "0.1"}]
    (candor.folder / "in.json").write_text(json.dumps([{"messages": turns}] * 2))
    ran = candor("score", "in.json", "--out", "o", "--json")
    assert ran.code == 0
    assert "not read, because it has no text: image_url in 2 of 2" in ran.err
    row = json.loads((candor.folder / "o").read_text().splitlines()[0])
    assert row["unread"] == ["image_url"]


def test_standard_input_is_read(
    candor: Candor, opened: list[Panel], monkeypatch: pytest.MonkeyPatch
) -> None:
    data = gzip.compress((line("a", "0.1") + "\n").encode())
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))
    ran = candor("score", "-", "--out", "o", "--json")
    assert ran.code == 0, ran.err
    assert ran.json["n"] == 1
