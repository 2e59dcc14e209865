"""`candor score` end to end over a file, with a panel whose p_lie is written in the response."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from evidence import BadInputError, Measurement
from probes.fusion import Fusion, FusionModel, Subset
from probes.panel import Panel
from probes.probe import Transcript
from probes.scoring import Scoring, Summary


class Spoken:
    name = "activation"

    def __init__(self) -> None:
        self.seen: list[str] = []
        self.version = "1"

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
        undecided=(0.5, 0.5),
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


class Crowded(Spoken):
    """Says a little more in a larger batch, as a reader's floating-point sums do."""

    def measure(self, transcripts: Sequence[Transcript]) -> list[Measurement]:
        self.seen += [t.id for t in transcripts]
        more = 1e-6 * len(transcripts)
        return [
            Measurement(probe=self.name, version="1", p_lie=float(t.response) + more)
            for t in transcripts
        ]


@pytest.mark.parametrize("cut", [1, 300, 700, 900, 1500, 100_000])
def test_a_resumed_run_ends_as_a_whole_one(source: Path, tmp_path: Path, cut: int) -> None:
    whole, _ = run(source, tmp_path / "whole.jsonl", Crowded())
    text = (tmp_path / "whole.jsonl").read_bytes()
    out = tmp_path / "cut.jsonl"
    out.write_bytes(text[:cut])
    probe = Crowded()
    resumed, _ = run(source, out, probe, resume=True)
    assert out.read_bytes() == text
    assert resumed == whole
    kept = text[:cut].count(b"\n")
    names = [json.loads(row)["id"] for row in text.splitlines()]
    again = names[kept - kept % 3 :] if kept < len(names) else []
    assert sorted(probe.seen) == sorted(name for name in again if name != "line-5")


@pytest.mark.parametrize(
    ("version", "text", "problem"),
    [("2", "0.05", "another evaluator"), ("1", "0.06", "another text")],
)
def test_resuming_with_other_probes_or_texts_is_refused(
    tmp_path: Path, version: str, text: str, problem: str
) -> None:
    source, out = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    source.write_text(line("a", "0.05") + "\n")
    run(source, out, Spoken())
    before = out.read_bytes()
    source.write_text(line("a", text) + "\n" + line("b", "0.1") + "\n")
    probe = Spoken()
    probe.version = version
    with pytest.raises(BadInputError, match=problem):
        run(source, out, probe, resume=True)
    assert out.read_bytes() == before


def test_resuming_into_a_file_of_something_else_leaves_it_as_it_is(
    source: Path, tmp_path: Path
) -> None:
    out = tmp_path / "notes.txt"
    out.write_text("my notes\nmore\n")
    with pytest.raises(BadInputError, match=r"notes\.txt:1: not a verdict"):
        run(source, out, Spoken(), resume=True)
    assert out.read_text() == "my notes\nmore\n"


def test_an_input_that_cannot_be_read_leaves_the_output_as_it_is(tmp_path: Path) -> None:
    source, out = tmp_path / "in.json", tmp_path / "out.jsonl"
    source.write_text("[{")
    out.write_text("old\n")
    with pytest.raises(BadInputError, match="not JSON"):
        run(source, out, Spoken())
    assert out.read_text() == "old\n"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk_is_one_clear_line(source: Path) -> None:
    with pytest.raises(BadInputError, match="/dev/full: cannot be written: No space left"):
        run(source, Path("/dev/full"), Spoken())


def test_progress_moves_within_a_window(tmp_path: Path) -> None:
    source = tmp_path / "in.jsonl"
    source.write_text("".join(line(f"r{k}", "0.1") + "\n" for k in range(80)))
    shares: list[float] = []
    Scoring(panel(Spoken())).run(
        source, tmp_path / "out.jsonl", resume=False, advanced=shares.append, complain=print
    )
    assert shares == sorted(shares)
    assert len(set(shares)) >= 3
    assert shares[-1] == 1.0


def test_labels_are_read_as_tables_write_them_and_their_lack_is_said(tmp_path: Path) -> None:
    source = tmp_path / "in.jsonl"
    labels = [True, "false", 1.0, "0", None, "perhaps", float("nan")]
    rows = [line(f"r{k}", "0.1", did_lie=label) for k, label in enumerate(labels)]
    source.write_text("\n".join(rows) + "\n")
    summary, complaints = run(source, tmp_path / "out.jsonl", Spoken())
    assert (summary.figures[-1].n, summary.figures[-1].lies) == (4, 2)
    assert summary.unlabelled == 3
    assert complaints == [f"{source}: 3 of 7 have no `did_lie` true or false and enter no figure"]


def test_half_a_character_in_text_or_id_is_scored_and_written(tmp_path: Path) -> None:
    source, out = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    turns = [{"role": "user", "content": "\ud83d"}, {"role": "assistant", "content": "0.9"}]
    source.write_text(json.dumps({"id": "a\ud83d", "messages": turns, "did_lie": True}) + "\n")
    run(source, out, Spoken())
    before = out.read_bytes()
    assert json.loads(before)["verdict"] == "lie"
    assert json.loads(before)["id"] == "a\ufffd"
    run(source, out, Spoken(), resume=True)
    assert out.read_bytes() == before


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
