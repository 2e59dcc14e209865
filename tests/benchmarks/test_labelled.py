"""Benchmarks read labels as the product does."""

from __future__ import annotations

import json
from pathlib import Path

from benchmarks.labelled import load_examples


def test_a_label_in_words_says_what_it_says_and_none_is_left_out(tmp_path: Path) -> None:
    labels = ["false", "true", 1, 0, None, "perhaps"]
    rows = [
        {
            "id": str(k),
            "messages": [{"role": "user", "content": "Q"}, {"role": "assistant", "content": "A"}],
            **({} if label is None else {"did_lie": label}),
        }
        for k, label in enumerate(labels)
    ]
    path = tmp_path / "rows.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)))
    assert [one.label for one in load_examples(path, "did_lie")] == [False, True, True, False]
