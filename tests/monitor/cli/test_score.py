"""`candor score` end to end over a file, with a panel whose p_lie is written in the response."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from evidence import BadInputError, Measurement
from monitor.cli.score_file import Scoring, Summary
from probes.fusion import Fusion, FusionModel, Subset
from probes.panel import Panel
from probes.probe import Transcript


class Spoken:
    name, version = "activation", "1"

    def __init__(self) -> None:
        self.seen: list[str] = []

    def measure(self, transcripts: Sequence[Transcript]) -> list[Measurement]:
        self.seen += [t.id for t in transcripts]
        return [
            Measurement(probe=self.name, version="1", p_lie=float(t.response)) for t in transcripts
        ]


def panel(probe: Spoken) -> Panel:
    subset = Subset(
        weights={"activation": 1.0},
        intercept=0.0,
        n=9,
        prevalence=0.5,
        calibration_error=0.0,
        calibration_error_upper=0.0,
        auroc=0.5,
    )
    return Panel([probe], Fusion(FusionModel(subsets={"activation": subset}, probe_versions={})))


def line(name: str, response: str, **fields: object) -> str:
    turns = [{"role": "user", "content": "?" + name}, {"role": "assistant", "content": response}]
    return json.dumps({"id": name, "messages": turns, **fields})


def run(
    source: Path, out: Path, probe: Spoken, *, resume: bool = False
) -> tuple[Summary, list[str]]:
    complaints: list[str] = []
    scoring = Scoring(panel(probe), labels_field="did_lie", kind_field="category", window=3)
    summary = scoring.run(
        source, out, resume=resume, advanced=lambda _: None, complain=complaints.append
    )
    return summary, complaints


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "in.jsonl"
    rows = [
        line(f"r{k}", f"{0.05 + 0.09 * k:.2f}", did_lie=k > 4, category="ab"[k % 2])
        for k in range(10)
    ]
    rows.insert(4, "{broken")
    path.write_text("\n".join(rows) + "\n")
    return path


def test_every_line_has_its_verdict_in_order(source: Path, tmp_path: Path) -> None:
    summary, complaints = run(source, tmp_path / "out.jsonl", Spoken())
    rows = [json.loads(row) for row in (tmp_path / "out.jsonl").read_text().splitlines()]
    names = [row["id"] for row in rows]
    assert names == ["r0", "r1", "r2", "r3", "line-5", "r4", "r5", "r6", "r7", "r8", "r9"]
    assert rows[4]["verdict"] == "error"
    assert rows[4]["p_lie"] is None
    assert "not JSON" in rows[4]["error"]
    assert complaints[0].startswith(f"{source}:5: not JSON")
    assert rows[0]["verdict"] == "honest"
    assert rows[-1]["verdict"] == "lie"
    assert rows[-1]["p_lie"] == pytest.approx(0.86)
    assert summary.verdicts == {"honest": 5, "error": 1, "lie": 5}
    assert [row.kind for row in summary.figures] == ["a", "b", "all"]
    assert summary.figures[-1].auroc.value == 1.0
    json.dumps(summary.as_dict(), allow_nan=False)


@pytest.mark.parametrize("cut", [1, 300, 700, 100_000])
def test_a_resumed_run_ends_as_a_whole_one(source: Path, tmp_path: Path, cut: int) -> None:
    whole, _ = run(source, tmp_path / "whole.jsonl", Spoken())
    text = (tmp_path / "whole.jsonl").read_bytes()
    out = tmp_path / "cut.jsonl"
    out.write_bytes(text[:cut])
    probe = Spoken()
    resumed, _ = run(source, out, probe, resume=True)
    assert out.read_bytes() == text
    assert resumed == whole
    assert len(probe.seen) == 10 - sum(b'"r' in row for row in text[:cut].split(b"\n")[:-1])


def test_resuming_over_another_input_is_refused(source: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.jsonl"
    out.write_text('{"id": "other", "verdict": "honest", "p_lie": 0.1}\n')
    with pytest.raises(BadInputError, match="other"):
        run(source, out, Spoken(), resume=True)


def test_without_resume_the_output_is_written_anew(source: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.jsonl"
    out.write_text("old\n")
    run(source, out, Spoken())
    assert len(out.read_text().splitlines()) == 11


def test_what_was_read_before_a_broken_value_is_scored(tmp_path: Path) -> None:
    source, out = tmp_path / "in.json", tmp_path / "out.jsonl"
    rows = [json.loads(line(f"r{k}", "0.1")) for k in range(4)]
    source.write_text(json.dumps(rows)[:-1] + ', {"id": ')
    with pytest.raises(BadInputError, match="not JSON"):
        run(source, out, Spoken())
    assert [json.loads(row)["id"] for row in out.read_text().splitlines()] == [
        "r0",
        "r1",
        "r2",
        "r3",
    ]
    source.write_text(json.dumps(rows))
    probe = Spoken()
    summary, _ = run(source, out, probe, resume=True)
    assert probe.seen == []
    assert summary.n == 4


def test_a_file_without_one_readable_transcript_is_bad_input(tmp_path: Path) -> None:
    source, out = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    source.write_text("nonsense\n{}\n")
    with pytest.raises(BadInputError, match="no transcript in it"):
        run(source, out, Spoken())
    assert len(out.read_text().splitlines()) == 2


def test_the_input_is_never_overwritten(source: Path) -> None:
    before = source.read_bytes()
    with pytest.raises(BadInputError, match="is the input"):
        run(source, source, Spoken())
    assert source.read_bytes() == before


def test_results_of_mask_are_scored_as_they_are(tmp_path: Path) -> None:
    source, out = tmp_path / "mask.csv", tmp_path / "out.jsonl"
    column = "generation(System Prompt + User Prompt)_run"
    source.write_text(
        f"task_id,system_prompt,user_prompt,{column}1,{column}2\nt1,S,U,0.9,0.2\nt2,S,U,0.1,\n"
    )
    summary, _ = run(source, out, Spoken())
    rows = [json.loads(row) for row in out.read_text().splitlines()]
    assert [(row["id"], row["verdict"]) for row in rows] == [
        ("t1#1", "lie"),
        ("t1#2", "honest"),
        ("t2", "honest"),
    ]
    assert summary.n == 3
