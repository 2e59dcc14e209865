from __future__ import annotations

from pathlib import Path

import pytest

from probes.models.local import LocalModel
from probes.scenarios import load_scenarios
from retrain.likelihood import answer_loglikelihoods

pytestmark = pytest.mark.model


def test_a_shared_prompt_gives_the_same_likelihoods(tiny_model: Path) -> None:
    model = LocalModel.load(tiny_model)
    items = load_scenarios()[:7]
    answers = [[s.honest_answers[0], "No.", s.evasive_answers[1]] for s in items]
    fast = answer_loglikelihoods(
        model, [(s.pressured_messages(), a) for s, a in zip(items, answers, strict=True)]
    )
    for item, texts, found in zip(items, answers, fast, strict=True):
        slow = model.batch_logprobs([model.encode(item.pressured_messages(), t) for t in texts])
        assert found == pytest.approx([row.mean() for row in slow], abs=1e-4)
