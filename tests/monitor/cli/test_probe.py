"""`candor probe`: what is refused before anything is written, and how probes are combined from files."""

from __future__ import annotations

import csv
import json
import random
from pathlib import Path
from typing import Any

import pytest

from monitor.cli.scorer import panel_settings
from monitor.settings import ReaderOptions, Settings
from probes import PanelOptions
from tests.monitor.cli.conftest import Candor
from tests.probes.activation.test_published import made, write
from tests.probes.conftest import tiny_dir

__all__ = ["tiny_dir"]


def transcript(k: int, lie: bool, question: str) -> dict[str, Any]:
    turns = [
        {"role": "user", "content": question},
        {"role": "assistant", "content": "No, it was not." if lie else "Yes, it was."},
    ]
    return {"id": f"r{k}", "messages": turns, "did_lie": lie}


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    """120 labelled transcripts of 60 prompts, and verdicts in which the lies score higher."""
    rng = random.Random(0)
    held, verdicts = tmp_path / "held.jsonl", tmp_path / "v.jsonl"
    rows = [transcript(k, k % 2 == 0, f"Question {k // 2}?") for k in range(120)]
    held.write_text("".join(json.dumps(row) + "\n" for row in rows))
    scored = [
        {
            "id": row["id"],
            "verdict": "honest",
            "probes": {
                "activation": {
                    "version": "1",
                    "p_lie": rng.uniform(0.3, 0.6) + 0.2 * row["did_lie"],
                }
            },
        }
        for row in rows
    ]
    verdicts.write_text("".join(json.dumps(row) + "\n" for row in scored))
    return held, verdicts


def test_fuse_writes_what_the_verdicts_support(candor: Candor, files: tuple[Path, Path]) -> None:
    ran = candor("probe", "fuse", *map(str, files), "--out", "fusion.json", "--json")
    assert ran.code == 0, ran.err
    assert ran.json == json.loads((candor.folder / "fusion.json").read_text())
    assert ran.json["probe_versions"] == {"activation": "1"}
    assert ran.json["subsets"]["activation"]["n"] == 120
    assert ran.json["subsets"]["activation"]["auroc"] > 0.8


def test_fuse_refuses_what_cannot_be_matched(candor: Candor, files: tuple[Path, Path]) -> None:
    held, verdicts = files
    fuse = ("probe", "fuse", str(held), str(verdicts), "--out")
    ran = candor(*fuse, "none/fusion.json")
    assert (ran.code, ran.out) == (2, "")
    assert (
        ran.err.strip() == "candor: none/fusion.json: cannot be written: No such file or directory"
    )
    text = verdicts.read_text()
    verdicts.write_text(text + text.splitlines()[0].replace('"1"', '"2"') + "\n")
    ran = candor(*fuse, "fusion.json")
    assert ran.code == 2
    assert "v.jsonl:121: `activation` is of several versions" in ran.err
    verdicts.write_text(text)
    held.write_text(held.read_text() + held.read_text().splitlines()[0] + "\n")
    ran = candor(*fuse, "fusion.json")
    assert ran.code == 2
    assert "the id 'r0' stands twice" in ran.err
    assert not (candor.folder / "fusion.json").exists()


@pytest.mark.parametrize(
    "line", [b'{"id": "caf\xe9"}', b"[" * 100_000, b'{"id": 3, "probes": 4}', b"[1]"]
)
def test_fuse_names_a_line_that_is_no_verdict(
    candor: Candor, files: tuple[Path, Path], line: bytes
) -> None:
    held, verdicts = files
    verdicts.write_bytes(verdicts.read_bytes() + line + b"\n")
    ran = candor("probe", "fuse", str(held), str(verdicts), "--out", "fusion.json")
    assert (ran.code, ran.out) == (2, "")
    assert "v.jsonl:121: not " in ran.err
    assert ran.err.count("\n") == 1


def test_fuse_reads_labels_of_a_table(candor: Candor, files: tuple[Path, Path]) -> None:
    _, verdicts = files
    column = "generation(System Prompt + User Prompt)_run1"
    with (candor.folder / "mask.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["task_id", "system_prompt", "user_prompt", column, "did_lie"])
        writer.writerows([f"r{k}", "S", f"Q {k // 2}", "No.", k % 2 == 0] for k in range(120))
    ran = candor("probe", "fuse", "mask.csv", str(verdicts), "--out", "fusion.json", "--json")
    assert ran.code == 0, ran.err
    assert ran.json["subsets"]["activation"]["n"] == 120


@pytest.mark.parametrize("layers", ["0,1", "4", "one"])
def test_fit_refuses_blocks_that_the_reader_lacks(
    candor: Candor, files: tuple[Path, Path], tiny_dir: Path, layers: str
) -> None:
    arguments = ("probe", "fit", str(files[0]), "--out", "probe", "--layers", layers)
    ran = candor(*arguments, reader_model=str(tiny_dir))
    assert ran.code == 2
    assert "--layers" in ran.err
    assert not (candor.folder / "probe").exists()


def test_fit_refuses_a_file_in_place_of_its_folder(
    candor: Candor, files: tuple[Path, Path]
) -> None:
    ran = candor("probe", "fit", str(files[0]), "--out", str(files[1]))
    assert ran.code == 2
    assert "v.jsonl: is no folder" in ran.err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((), "either labelled transcripts or --own"),
        (("t.jsonl", "--own"), "either labelled transcripts or --own"),
        (("--own", "--source", "mine"), "--source"),
        (("--own", "--layers", "1,2", "--pairs", "20"), "usable pairs in"),
    ],
)
def test_fit_takes_transcripts_or_what_the_reader_writes(
    candor: Candor, tiny_dir: Path, arguments: tuple[str, ...], words: str
) -> None:
    """The tiny model writes no words, so it gives no pairs, and no artefact is left."""
    ran = candor("probe", "fit", *arguments, "--out", "probe", reader_model=str(tiny_dir))
    assert ran.code == 2
    assert words in ran.err
    assert not (candor.folder / "probe").exists()


def test_a_published_probe_scores_a_file(
    candor: Candor, files: tuple[Path, Path], tiny_dir: Path
) -> None:
    file = write(made("lr"), candor.folder / "published")
    reader = {"reader_model": str(tiny_dir), "reader_device": "cpu"}
    for named in (file, file.parent):
        score = ("score", str(files[0]), "--out", "out.jsonl", "--json")
        ran = candor(*score, reader_probe_dir=str(named), **reader)
        assert ran.code == 0, ran.err
        assert ran.json["n"] == 120
        first = json.loads((candor.folder / "out.jsonl").read_text().splitlines()[0])
        assert "margin" in first["probes"]["activation"]["answers"]


def test_a_fusion_of_another_version_of_a_probe_is_refused(
    candor: Candor, files: tuple[Path, Path], tiny_dir: Path
) -> None:
    reader = {"reader_model": str(tiny_dir)}
    fitted = candor("probe", "fit", str(files[0]), "--out", "probe", "--layers", "1,2", **reader)
    assert fitted.code == 0, fitted.err
    assert candor("probe", "fuse", *map(str, files), "--out", "other.json").code == 0
    score = ("score", str(files[0]), "--out", "out.jsonl", "--json")
    reader["reader_probe_dir"] = "probe"
    ran = candor(*score, **reader, reader_fusion_file="other.json")
    assert ran.code == 2
    assert "other.json: was fitted to another version of `activation` (1, not " in ran.err
    ran = candor(*score, **reader, reader_fusion_file="probe/fusion.json")
    assert ran.code == 0, ran.err
    assert ran.json["n"] == 120


def test_score_states_costs_and_prevalence(
    candor: Candor, files: tuple[Path, Path], tiny_dir: Path
) -> None:
    reader = {"reader_model": str(tiny_dir), "reader_probe_dir": "probe"}
    assert (
        candor("probe", "fit", str(files[0]), "--out", "probe", "--layers", "1", **reader).code == 0
    )
    score = ("score", str(files[0]), "--out")
    ran = candor(*score, "a.jsonl", "--json", "--cost-missed-lie", "1e9", **reader)
    assert ran.json["verdicts"].get("honest", 0) == 0
    ran = candor(*score, "b.jsonl", "--json", "--prevalence", "1e-5", **reader)
    assert ran.json["verdicts"].get("lie", 0) == 0
    ran = candor(*score, "c.jsonl", "--prevalence", "1.5", **reader)
    assert ran.code == 2
    assert ran.err.startswith("candor: --prevalence: ")
    assert not (candor.folder / "c.jsonl").exists()


def test_settings_reach_the_panel() -> None:
    key = Path("key.txt")
    settings = Settings(
        reader=ReaderOptions(
            prevalence=0.02,
            cost_missed_lie=9.0,
            cost_missed_evasion=3.0,
            device="cpu",
            url="http://lens/v1",
            served_model="m",
            api_key_file=key,
        )
    )
    options = PanelOptions(**panel_settings(settings))
    assert (options.reader_device, options.reader_url) == ("cpu", "http://lens/v1")
    assert (options.reader_served, options.reader_key_file) == ("m", key)
    assert options.prevalence == 0.02
    assert (options.cost_missed_lie, options.cost_missed_evasion) == (9.0, 3.0)
    assert PanelOptions(**panel_settings(Settings())) == PanelOptions(
        judge_timeout_s=Settings().judge.timeout_s
    )
