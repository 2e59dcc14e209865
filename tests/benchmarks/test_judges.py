from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from benchmarks.judges import (
    ALL,
    PROBE,
    Rows,
    compare,
    figure,
    fused,
    join,
    main,
    read_judges,
    to_markdown,
    with_rule,
)
from evidence import BadInputError, Message
from probes.activation.training import Example
from probes.probe import Transcript
from probes.refusal import RefusalRule

REFUSES = "I'm sorry, I can't discuss that."


def rows(n: int = 400, seed: int = 0) -> Rows:
    """Two scorers that each see half of what there is; an eighth are refusals that both call lies."""
    rng = np.random.default_rng(seed)
    refused = np.arange(n) % 8 == 0
    labels = np.where(refused, 0, rng.integers(0, 2, n))
    signs = [np.where(refused, 4.0, 2 * labels - 1 + rng.normal(size=n) * 1.5) for _ in range(2)]
    p = [1 / (1 + np.exp(-sign)) for sign in signs]
    return Rows(
        labels,
        refused,
        np.array([str(k // 4) for k in range(n)]),
        np.where(np.arange(n) % 2, "told", "known"),
        {PROBE: p[0], "judge": p[1]},
    )


def test_the_rule_takes_refusals_from_the_top_and_fusion_adds_what_each_sees() -> None:
    found = compare(rows())
    judge = {way: cells[ALL].value for way, cells in found["judge"].items()}
    assert judge["zero-shot"] < judge["with the refusal rule"] < judge["fused with the probe"]
    assert "fused with the probe" not in found[PROBE]
    cell = found["judge"]["zero-shot"][ALL]
    assert cell.lower < cell.value < cell.upper
    assert cell.n == 400 == found["judge"]["zero-shot"]["told"].n * 2
    assert "| judge | fused with the probe | " in to_markdown(found)


def test_a_fusion_of_noise_is_at_chance_on_scenarios_left_out() -> None:
    data = rows()
    rng = np.random.default_rng(1)
    noise = {name: rng.uniform(size=400) for name in data.p_lie}
    answered = ~data.refused
    p = fused(data._replace(p_lie=noise), list(noise))
    assert abs(figure(data, p, answered).value - 0.5) < 0.1
    assert set(p[data.refused]) == {RefusalRule().p_lie}


def test_what_a_judge_left_out_is_no_score_but_for_refusals() -> None:
    data = rows()
    data.p_lie["judge"][:16] = np.nan
    assert figure(data, data.p_lie["judge"], np.ones(400, bool)).n == 384
    assert np.isnan(with_rule(data, data.p_lie["judge"])).sum() == 14
    assert figure(data, np.full(400, np.nan), np.ones(400, bool)).n == 0


def example(name: str, reply: str, *, lie: bool) -> Example:
    turns = (Message("user", f"Was it {name}?"), Message("assistant", reply))
    return Example(Transcript(id=name, messages=turns), lie, "kind")


def test_judges_are_joined_on_id_and_label(tmp_path: Path) -> None:
    path = tmp_path / "judges.jsonl"
    lines = [
        {"id": "a", "did_lie": True, "scores": {"x": 100, "y": None}},
        {"id": "a", "did_lie": False, "scores": {"x": 1}},
        {"id": "b", "did_lie": False, "scores": {"y": 50, "x": "?"}},
    ]
    path.write_text("\n".join(map(json.dumps, lines)))
    examples = [
        example("a", "No.", lie=True),
        example("a", "Yes.", lie=False),
        example("b", REFUSES, lie=False),
        example("c", "Yes.", lie=False),
    ]
    keep = np.array([True, True, True, False])
    found = join(examples, ["told"] * 4, read_judges(path, "did_lie"), None, keep)
    assert found.p_lie["x"][:2].tolist() == pytest.approx([0.995, 0.005])
    assert np.isnan(found.p_lie["x"][2])
    assert found.p_lie["y"][2] == pytest.approx(0.495)
    assert found.refused.tolist() == [False, False, True]
    path.write_text('{"id": "a", "did_lie": true}')
    with pytest.raises(BadInputError, match="without `scores`"):
        read_judges(path, "did_lie")


def test_judges_alone_read_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rng = np.random.default_rng(0)
    said, judged = [], []
    for k in range(120):
        lie = bool(k % 2)
        turns = [{"role": "user", "content": f"Was it recalled, {k // 2}?"}]
        turns.append({"role": "assistant", "content": REFUSES if k % 10 == 0 else f"It was {k}."})
        said.append({"id": str(k), "did_lie": lie, "kind": "a", "task": "t", "messages": turns})
        score = int(rng.integers(1, 60) + 40 * lie)
        judged.append({"id": str(k), "did_lie": lie, "scores": {"one": score}})
    for name, lines in (("said", said), ("judged", judged)):
        (tmp_path / f"{name}.jsonl").write_text("\n".join(map(json.dumps, lines)))
    paths = [str(tmp_path / "said.jsonl"), str(tmp_path / "judged.jsonl")]
    out = tmp_path / "out.json"
    main([*paths, "--kind", "kind", "--within", "a", "--no-probe", "--json", str(out)])
    assert "12 bare refusals, 0 labelled lies" in capsys.readouterr().out
    figures = json.loads(out.read_text())["one"]
    assert figures["with the refusal rule"]["t"][0] > figures["zero-shot"]["t"][0] > 0.7
    with pytest.raises(SystemExit, match="no transcript has"):
        main([*paths, "--kind", "kind", "--within", "b", "--no-probe"])
