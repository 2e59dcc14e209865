"""`candor detect` and the streams it runs: alarms, learned references, weighted scores, bad input."""

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import typer
from typer.testing import CliRunner

from evidence import BadInputError
from evidence.e_detector import EDetector
from monitor.cli import detect as family
from monitor.detect.plain import TRACE_POINTS, PlainStream, Plan


def _command() -> typer.Typer:
    app = typer.Typer()
    app.callback()(lambda: None)
    family.register(app)
    return app


def run(*arguments: str, stdin: str | None = None) -> tuple[int, str, str]:
    """Exit code, output, and what was wrong with the input."""
    result = CliRunner().invoke(_command(), ["detect", *arguments], input=stdin)
    if isinstance(result.exception, BadInputError):
        return 2, result.stdout, str(result.exception)
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result.exit_code, result.stdout, result.stderr


@pytest.fixture
def drifting(tmp_path: Path) -> Path:
    """Two interleaved streams of 900 scores; `bad` rises from .1 to .4 at its sample 501."""
    rng = np.random.default_rng(81)
    path = tmp_path / "scores.jsonl"
    lines = []
    for t in range(900):
        for name, rate in (("good", 0.1), ("bad", 0.4 if t >= 500 else 0.1)):
            lines.append(json.dumps({"stream": name, "score": float(rng.random() < rate)}))
    path.write_text("\n".join(lines) + "\n\n")
    return path


def report(*arguments: str) -> dict[str, Any]:
    code, out, _ = run(*arguments, "--json")
    assert code == 0
    return json.loads(out)


def test_finds_the_stream_that_rose(drifting: Path) -> None:
    found = report(str(drifting), "--reference", "0.1", "--average-run-length", "20000")
    assert found["scores"] == 1_800
    assert [a["stream"] for a in found["alarms"]] == ["bad"]
    alarm = found["alarms"][0]["alarm"]
    assert 500 < alarm["sample"] <= 560
    assert alarm["line"] == 2 * alarm["sample"]
    assert alarm["since"]["lower"] <= 501 <= alarm["since"]["upper"] + 1
    after = found["alarms"][0]["after"]
    assert after["n"] == 900 - alarm["sample"]
    assert after["lower"] < 0.4 < after["upper"]


def test_table_names_the_stream_and_the_guarantee(drifting: Path) -> None:
    code, out, _ = run(str(drifting), "--reference", "0.1", "--average-run-length", "20000")
    assert code == 0
    assert re.search(r"│ bad\s", out)
    flat = " ".join(out.split())
    assert "1 of 2 streams in alarm over 1800 scores" in flat
    assert "at most 0.09" in flat


def test_missing_reference_is_learned_and_said(drifting: Path) -> None:
    found = report(str(drifting), "--window", "300")
    assert [a["stream"] for a in found["alarms"]] == ["bad"]
    assert all(
        s["reference_source"] == "learned" and s["reference_n"] == 300 for s in found["streams"]
    )
    _, out, _ = run(str(drifting), "--window", "300")
    assert "references were learned" in " ".join(out.split())
    short = report(str(drifting), "--window", "5000")
    assert all(s["reference"] is None and s["log_evidence"] is None for s in short["streams"])


def test_reads_stdin_and_draws(drifting: Path, tmp_path: Path) -> None:
    picture = tmp_path / "evidence.png"
    code, out, _ = run(
        "-", "--reference", "0.1", "--json", "--plot", str(picture), stdin=drifting.read_text()
    )
    assert code == 0
    assert len(json.loads(out)["alarms"]) >= 1
    assert picture.read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("line", "what"),
    [
        ('{"stream": "a", "score": 1.5}', "score must lie in"),
        ('{"stream": "a", "score": -0.1}', "score must lie in"),
        ('{"stream": "a", "score": "high"}', "score"),
        ('{"stream": "a", "score": null}', "score"),
        ('{"stream": "a", "score": NaN}', "JSON"),
        ('{"stream": "a"}', "score"),
        ('{"score": 0.5}', "stream"),
        ('{"stream": "a", "score": 0.5, "propensity": 0.2}', "propensity must lie in"),
        ('{"stream": "a", "score": 0.5', "JSON|truncated"),
        ("[]", "object"),
        ("\x00", "JSON"),
    ],
)
@pytest.mark.parametrize("reference", [("--reference", "0.1"), ()])
def test_bad_lines_are_named(
    tmp_path: Path, line: str, what: str, reference: tuple[str, ...]
) -> None:
    path = tmp_path / "scores.jsonl"
    path.write_text('{"stream": "a", "score": 0.5}\n' + line + "\n")
    code, _, error = run(str(path), *reference)
    assert code == 2
    assert error.startswith(f"{path}:2: ")
    if reference or "propensity" not in what:
        assert re.search(what, error)


@pytest.mark.parametrize(
    "arguments",
    [
        ("--reference", "0"),
        ("--reference", "0.5", "--tolerance", "0.5"),
        ("--reference", "0.1", "--min-propensity", "0"),
        ("--reference-error", "0"),
    ],
)
def test_impossible_settings_are_refused(drifting: Path, arguments: tuple[str, ...]) -> None:
    assert run(str(drifting), *arguments)[0] == 2


def test_missing_and_empty_files_are_refused(tmp_path: Path) -> None:
    code, _, error = run(str(tmp_path / "none.jsonl"), "--reference", "0.1")
    assert code == 2
    assert "none.jsonl" in error
    empty = tmp_path / "empty.jsonl"
    empty.write_text("\n")
    assert run(str(empty), "--reference", "0.1")[0] == 2
    assert run(str(tmp_path), "--reference", "0.1")[0] == 2


def test_weighted_scores_enter_by_their_propensity() -> None:
    rng = np.random.default_rng(82)
    plan = Plan(reference=0.1, min_propensity=0.25)
    stream, alone = PlainStream("s", plan), EDetector(0.1, min_propensity=0.25, cheap_limit=0.0)
    for line in range(200):
        score, propensity = float(rng.beta(1, 9)), float(rng.uniform(0.25, 1))
        stream.take(score, propensity, line)
        alone.update(score, propensity)
    assert stream.summary().log_evidence == alone.log_evidence


def test_weighted_scores_teach_no_reference() -> None:
    stream = PlainStream("s", Plan(reference=None, min_propensity=0.2))
    with pytest.raises(BadInputError, match="declare one"):
        stream.take(0.1, 0.5, 1)


def test_memory_is_bounded_however_long_the_stream() -> None:
    stream = PlainStream("s", Plan(reference=0.2))
    for line in range(20_000):
        stream.take(0.1, 1.0, line)
    assert len(stream.trace) <= TRACE_POINTS + 1
    assert stream.trace[-1][0] > 19_000
    assert len(stream._blocks) < 100


def test_a_stream_that_was_all_lies_is_blind_and_says_so(tmp_path: Path) -> None:
    path = tmp_path / "scores.jsonl"
    path.write_text('{"stream": "a", "score": 1.0}\n' * 300)
    code, out, _ = run(str(path))
    assert code == 0
    assert "cannot alarm" in " ".join(out.split())
