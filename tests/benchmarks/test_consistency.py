from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import benchmarks.consistency as benchmark
from benchmarks.consistency import Example, compare, intervals, pick
from evidence import Message
from probes.models.local import LocalModel
from probes.probe import Transcript


def said(text: str, lie: bool, name: str) -> Example:
    turns = (Message("user", f"Was number {name} recalled?"), Message("assistant", text))
    return Example(Transcript(id=name, messages=turns), lie)


EXAMPLES = [
    said(
        "No, it was not recalled at all." if k % 2 else "Yes, it was recalled in the end.",
        bool(k % 2),
        str(k),
    )
    for k in range(12)
] + [said("A", True, "short")]


def test_short_responses_are_left_out_and_the_pick_is_seeded(tiny: LocalModel) -> None:
    rows = pick(tiny, EXAMPLES, 5)
    assert rows == sorted(rows) == pick(tiny, EXAMPLES, 5)
    assert len(rows) == 5
    assert len(EXAMPLES) - 1 not in pick(tiny, EXAMPLES, 100)


@pytest.mark.model
def test_uqlm_sees_every_response_with_its_answers(
    tiny: LocalModel, tiny_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: dict[str, int] = {}

    def scores(responses: list[str], samples: list[list[str]]) -> dict[str, np.ndarray]:
        seen.update(responses=len(responses), samples=len(samples), each=len(samples[0]))
        return {"exact_match": np.array([float(text.startswith("No")) for text in responses])}

    monkeypatch.setattr(benchmark, "uqlm_scores", scores)
    monkeypatch.setattr(benchmark, "packaged_model_dir", lambda: tiny_dir)
    others = {"held out": np.array([example.label for example in EXAMPLES], float)}
    found = compare(EXAMPLES, others, n=8)
    assert seen == {"responses": 8, "samples": 8, "each": benchmark.SAMPLES}
    assert list(found["auroc"]) == ["uqlm exact_match", "consistency probe", "held out"]
    assert found["auroc"]["uqlm exact_match"]["value"][0] == 1.0
    assert found["auroc"]["held out"]["gain"] == [0.0, 0.0, 0.0]


def test_the_gain_is_paired() -> None:
    labels = np.array([0, 1] * 20)
    noise = np.random.default_rng(0).random(40)
    found = intervals({"a": noise, "b": noise + labels}, labels, np.arange(40), draws=100)
    assert found["b"]["value"] == [1.0, 1.0, 1.0]
    assert found["a"]["gain"][0] == 1.0 - found["a"]["value"][0]
