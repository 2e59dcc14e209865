"""The benchmark of the probes runs to its end on a file of anyone's."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks.probes import main
from probes.scenarios import load_scenarios


def _labelled(path: Path, n: int) -> None:
    rows = [
        {
            "id": f"{scenario.id}-{lie}",
            "did_lie": lie,
            "category": "odd" if k % 2 else "even",
            "messages": [
                {"role": m.role, "content": m.content} for m in scenario.pressured_messages()
            ]
            + [
                {
                    "role": "assistant",
                    "content": (scenario.lying_answers if lie else scenario.honest_answers)[0],
                }
            ],
        }
        for k, scenario in enumerate(load_scenarios()[:n])
        for lie in (True, False)
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


@pytest.mark.long
def test_prints_every_figure(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    transcripts, out = tmp_path / "labelled.jsonl", tmp_path / "figures.json"
    _labelled(transcripts, 12)
    main([str(transcripts), "--layers", "16", "--pictures", str(tmp_path), "--json", str(out)])
    figures = json.loads(out.read_text(encoding="utf-8"))
    assert set(figures["kinds"]) == {"odd", "even", "all"}
    assert figures["kinds"]["all"]["n"] == 24
    assert figures["speed"]["activation probe / bare"] > 0.5
    assert {p.name for p in tmp_path.glob("*.png")} == {"probes-roc.png", "probes-reliability.png"}
    assert "words: response" in capsys.readouterr().out
