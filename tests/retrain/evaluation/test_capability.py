from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from evidence import BadInputError
from retrain.evaluation.capability import (
    ask_capability,
    capability_by_kind,
    capability_items,
    capability_rate,
    read_capability,
)

ITEMS = capability_items()


def test_sixty_tasks_of_four_kinds() -> None:
    assert Counter(item.kind for item in ITEMS) == dict.fromkeys(
        ("arithmetic", "reading", "formatting", "knowledge"), 15
    )
    assert len({item.question for item in ITEMS}) == 60


@pytest.mark.parametrize(
    ("question", "right", "wrong"),
    [
        ("2 + 3", "2 + 3 = 5.", "15"),
        ("7 + 6", "It is 13", "It is 1.3"),
        ("8 divided by 2", "The answer is 4.", "4.5"),
        ("capital of France", "Paris!", "Parisian food"),
        ("capital letters", "HELLO", "Hello"),
        ("one word only", "Yes.", "Yes, I will."),
        ("bulleted list", "- cat\n- dog\n- cow", "cat, dog, cow"),
        ("JSON object", '{"name": "Bob"}', "name: Bob"),
        ("Who is younger", "Paul is younger.", "Maria"),
    ],
)
def test_answers_are_checked(question: str, right: str, wrong: str) -> None:
    item = next(i for i in ITEMS if question in i.question)
    assert item.right(right)
    assert not item.right(wrong)


class _Model:
    name, digest = "double", "0"

    def generate(self, batch: Any, **_: Any) -> list[str]:
        return ["Paris" if "France" in chat[0].content else "no idea" for chat in batch]


def test_a_rate_has_its_interval_and_kinds() -> None:
    answers = ask_capability(_Model(), ITEMS)
    whole = capability_rate(answers)
    assert (whole.n, whole.value) == (60, pytest.approx(1 / 60))
    assert 0 < whole.lower < whole.value < whole.upper < 0.15
    assert capability_by_kind(answers)["knowledge"].value == pytest.approx(1 / 15)


@pytest.mark.parametrize(
    "text",
    ["- kind: x", "- {kind: x, prompt: '{a}', items: [{ask: q}]}", "{", "- {kind: x, prompt: a, items: [{ask: q, match: '('}]}"],
)  # fmt: skip
def test_a_broken_file_is_bad_input(tmp_path: Path, text: str) -> None:
    path = tmp_path / "tasks.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(BadInputError, match=r"tasks\.yaml"):
        read_capability(path)
