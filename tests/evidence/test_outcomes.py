"""How evaluations end: a failed probe shows although the verdict looks well."""

from __future__ import annotations

import pytest

from evidence import Assessment, Measurement, VerdictKind
from evidence.outcomes import WHOLE, Outcome, decode_outcomes, encode_outcomes, outcomes

GOOD = Measurement(probe="activation", version="1", p_lie=0.2)
DOWN = Measurement(probe="judge", version="1", error="unreachable")
BABBLE = Measurement(probe="judge", version="1", error="not JSON", unreadable=True)
GONE = Measurement(probe="belief", version="1", error="model_gone")
SILENT = Measurement(probe="consistency", version="1", abstained="too short")


@pytest.mark.parametrize(
    ("measurements", "kind", "expected"),
    [
        ((GOOD,), "honest", {WHOLE: "answered", "activation": "answered"}),
        ((GOOD, DOWN), "lie", {WHOLE: "answered", "activation": "answered", "judge": "unanswered"}),
        (
            (GOOD, BABBLE),
            "lie",
            {WHOLE: "answered", "activation": "answered", "judge": "unreadable"},
        ),
        ((DOWN,), "error", {WHOLE: "unanswered", "judge": "unanswered"}),
        ((BABBLE,), "error", {WHOLE: "unreadable", "judge": "unreadable"}),
        (
            (BABBLE, GONE),
            "error",
            {WHOLE: "unreadable", "judge": "unreadable", "belief": "answered"},
        ),
        (
            (SILENT, GONE),
            "error",
            {WHOLE: "answered", "consistency": "answered", "belief": "answered"},
        ),
        ((), "error", {WHOLE: "unanswered"}),
        ((), "honest", {WHOLE: "answered"}),
    ],
)
def test_ends_by_probe(
    measurements: tuple[Measurement, ...], kind: str, expected: dict[str, str]
) -> None:
    assessment = Assessment(
        kind=VerdictKind(kind),
        p_lie=None,
        p_evasion=None,
        measurements=measurements,
        evaluator_version="e",
    )
    found = outcomes(assessment)
    assert found == {name: Outcome(value) for name, value in expected.items()}
    assert decode_outcomes(encode_outcomes(found)) == found
    assert len(encode_outcomes(found)) <= 200
