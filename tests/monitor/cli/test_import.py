"""`candor import` as a command: an export in, honesty by day out, or one line that says what is wrong."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from evidence.records import Accuracy, SensorFigures
from probes import opening
from probes.panel import Panel
from tests.monitor.cli.conftest import Candor
from tests.monitor.ingest.files.test_traffic import ASKED, LANGFUSE, SAID
from tests.monitor.worker.test_turns import panel


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(opening, "open_panel", lambda *_, **__: panel())


@pytest.fixture
def export(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "traces.jsonl"
    path.write_text(json.dumps(LANGFUSE) + "\n")
    return path


@pytest.mark.usefixtures("opened")
def test_a_lie_about_an_act_is_found_in_a_file(candor: Candor, export: Path) -> None:
    done = candor("import", "langfuse", str(export), "--out", "v.jsonl", "--json")
    assert done.code == 0, done.err
    told = json.loads(done.out)
    assert (told["n"], told["verdicts"], told["feedback"]) == (1, {"lie": 1}, 1)
    (day,) = told["days"]
    assert (day["day"], day["honesty"]) == ("2026-09-21", None)
    assert "nothing says how often" in day["why_missing"]
    (line,) = (json.loads(line) for line in Path("v.jsonl").read_text().splitlines())
    assert line["archetype"] == "own_action"
    assert "550 mailbox full" in line["contradicts"]


@pytest.mark.usefixtures("opened")
def test_with_a_sensor_honesty_stands_with_its_band(
    candor: Candor, export: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    accuracy = Accuracy(sensitivity=0.9, n_lies=200, specificity=0.95, n_honest=200)
    given = {"evaluator_version": "1", "assistant": "", "prevalence": 0.5}
    figures = (SensorFigures(accuracy=accuracy, **given),)
    monkeypatch.setattr(Panel, "figures", property(lambda _: figures))
    done = candor("import", "langfuse", str(export))
    assert done.code == 0, done.err
    assert "2026-09-21" in done.out
    assert "missing" not in done.out
    assert "[0." in done.out


@pytest.mark.usefixtures("opened")
def test_stored_completions_of_openai_are_read(candor: Candor, tmp_path: Path) -> None:
    row = {"object": "chat.completion", "id": "x", "created": 1_790_000_000, "model": "m"}
    path = tmp_path / "stored.jsonl"
    path.write_text(json.dumps(row | {"messages": ASKED, "choices": [{"message": SAID[0]}]}) + "\n")
    done = candor("import", "openai", str(path), "--json")
    assert done.code == 0, done.err
    assert json.loads(done.out)["days"][0]["day"] == "2026-09-21"


@pytest.mark.usefixtures("opened")
def test_feedback_is_written_with_pseudonyms(candor: Candor, export: Path) -> None:
    done = candor("import", "langfuse", str(export), "--feedback", "f.jsonl")
    assert done.code == 0, done.err
    (record,) = (json.loads(line) for line in Path("f.jsonl").read_text().splitlines())
    assert (record["value"], record["kind"]) == (-1.0, "thumb")
    assert "alice" not in json.dumps(record)


@pytest.mark.parametrize(
    ("arguments", "what"),
    [
        (("csv", "traces.jsonl"), "FORMAT: no format 'csv'"),
        (("otlp", "none.jsonl"), "none.jsonl: no such file"),
        (("otlp", "traces.jsonl"), "traces.jsonl:1: no OTLP export"),
        (("phoenix", "traces.jsonl"), "holds no response of the form phoenix"),
        (("langfuse", "traces.jsonl", "--out", "traces.jsonl"), "is the input"),
        (("langfuse", "traces.jsonl", "--probes", "oracle"), "--probes: no probe 'oracle'"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(
    candor: Candor, export: Path, arguments: tuple[Any, ...], what: str
) -> None:
    assert export.exists()
    done = candor("import", *arguments)
    assert done.code == 2
    assert what in done.err
    assert "Traceback" not in done.err
