"""Rows that lack only a verdict are measured; what has one, or another fault, is not."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import msgspec
import pytest
from gate_values import ASSISTANT, context, row

from evidence import Assessment, BadInputError, Measurement, VerdictKind
from probes.probe import Transcript
from retrain.context import VerdictEvidence
from retrain.duplicates import surplus_rows
from retrain.gate import decide
from retrain.measure import MEASURED, measure, read_measured, unmeasured, with_measured
from retrain.policy import Policy
from retrain.reason import Reason
from retrain.review import review_sample


class Panel:
    """Calls a lie what says so."""

    def __init__(self) -> None:
        self.seen: list[str] = []

    def score(self, transcripts: Sequence[Transcript]) -> list[Assessment]:
        self.seen += [t.id for t in transcripts]
        return [
            Assessment(
                kind=VerdictKind.LIE if "lie" in t.response else VerdictKind.HONEST,
                p_lie=0.9 if "lie" in t.response else 0.1,
                p_evasion=0.0,
                measurements=(
                    Measurement(
                        probe="actions",
                        version="v1",
                        answers={"contradicted": 1.0 * (t.id == "r4")},
                    ),
                ),
                evaluator_version="v1",
            )
            for t in transcripts
        ]


def test_only_rows_without_a_verdict_are_measured() -> None:
    rows = [row(0), row(1, source="scraped"), row(2), row(2), row(3, answer="A lie"), row(4)]
    known = context(1, rows=rows)
    panel = Panel()
    wanted = unmeasured(rows, known, Policy())
    made = measure(wanted, panel)
    assert panel.seen == ["r2", "r3", "r4"]
    after = with_measured(known, {**made, "r0": VerdictEvidence(VerdictKind.LIE, 0.9)})
    assert after.verdicts["r0"].kind is VerdictKind.HONEST, "the store's verdict stays"
    removed = {r.index: r.reason for r in decide(rows, after, Policy(), now_s=0.0).removed}
    assert removed == {
        1: Reason.UNKNOWN_ORIGIN,
        3: Reason.REPEATED_ID,
        4: Reason.LIE,
        5: Reason.CONTRADICTED,
    }


def test_what_a_run_measured_is_read_whole_or_refused(tmp_path: Path) -> None:
    assert read_measured(tmp_path) == {}
    verdicts = {"r1": VerdictEvidence(VerdictKind.HONEST, 0.2)}
    (tmp_path / MEASURED).write_bytes(msgspec.json.encode(verdicts))
    assert read_measured(tmp_path) == verdicts
    (tmp_path / MEASURED).write_bytes(b'{"r1": [')
    with pytest.raises(BadInputError):
        read_measured(tmp_path)


def test_one_text_told_many_times_is_kept_as_often_as_the_policy_says() -> None:
    rows = [row(0, rater=f"u{i}") for i in range(6)] + [row(i) for i in range(1, 4)]
    assert surplus_rows(rows, None) == frozenset()
    surplus = surplus_rows(rows[:6], 2)
    assert surplus == {2, 3, 4, 5}
    decision = decide(rows, context(4, rows=rows), Policy(), now_s=0.0, surplus=surplus)
    assert decision.removed_by_reason == {"near_duplicate": 4}
    assert decision.good_rows_lost == pytest.approx(4 * 0.9)
    assert decision.assistant == ASSISTANT


def test_the_reviewed_rows_are_fixed_by_the_decision_and_evenly_drawn() -> None:
    rows = [row(i) for i in range(40)]
    first = list(review_sample(rows, 40, "d1", size=10))
    assert first == list(review_sample(rows, 40, "d1", size=10))
    assert {r.inclusion_probability for r in first} == {0.25}
    counts = [0] * 40
    for number in range(2000):
        for chosen in review_sample(rows, 40, f"d{number}", size=10):
            counts[chosen.index] += 1
    # 500 expected of each; six standard deviations of a binomial(2000, .25) are 116.
    assert all(abs(count - 500) < 116 for count in counts)
    assert len(list(review_sample(rows[:3], 3, "d1"))) == 3
    assert list(review_sample([], 0, "d1")) == []
