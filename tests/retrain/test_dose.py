from __future__ import annotations

from pathlib import Path

import pytest

from evidence import BadInputError
from retrain.dose import load


def test_the_shipped_curve_starts_at_nothing_and_falls_in_the_trained_kind() -> None:
    points = load()
    assert all(p.lower <= p.delta <= p.upper and 0 <= p.dose <= 1 and p.n > 0 for p in points)
    curves = {p.metric: [q for q in points if q.metric == p.metric] for p in points}
    for curve in curves.values():
        assert [p.dose for p in curve] == [0.0, 0.01, 0.02, 0.05, 0.1, 0.3]
        assert curve[0].delta == 0.0
    assert curves["right answers: sums"][-1].upper < 0


@pytest.mark.parametrize("text", [None, "[{]", '[{"dose": 1}]'])
def test_a_file_that_is_no_curve_is_refused(text: str | None, tmp_path: Path) -> None:
    if text is not None:
        (tmp_path / "dose.json").write_text(text)
    with pytest.raises(BadInputError):
        load(tmp_path / "dose.json")
