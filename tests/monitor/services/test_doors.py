"""Every door of the gate gives one answer: HTTP, the command, its evidence file, the confirm job, the
launcher, the demo.

`python -m pytest tests/monitor/services/test_doors.py -m long` asks 2 000 questions.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from candor_guard import ANY_ASSISTANT, NOT_CHECKED, load_guarded
from evidence import AlarmState, AlarmSubject
from tests.monitor.services.gate_doors import (
    STRATUM,
    Doors,
    Question,
    beat,
    row,
    settled,
)
from tests.monitor.services.gate_questions import generated


@pytest.fixture
def doors(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Doors]:
    made = Doors(tmp_path)
    for name, value in made.environment().items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(tmp_path)
    yield made
    made.close()


def ask_everywhere(doors: Doors, question: Question) -> dict[str, object]:
    """The answer, which every door must give."""
    now_s = doors.put(question)
    answer = doors.http()
    assert doors.command() == answer
    assert doors.with_file() == answer
    removed = doors.confirm_job()
    assert len(removed) == sum(answer["removed_by_reason"].values())
    if question.report is not None:
        everything, released = doors.launcher()
        assert everything == answer
        assert doors.demo() == (everything, released)
        assert (released is None) is (len(removed) in {0, len(question.rows)})
        if released is not None:
            doors.put(_about(question, removed), now_s)
            assert doors.http() == doors.command() == released
    return answer


def _about(question: Question, removed: set[int]) -> Question:
    kept = [r for i, r in enumerate(question.rows) if i not in removed]
    return msgspec.structs.replace(question, rows=kept)


@pytest.mark.parametrize(
    "count", [pytest.param(120, id="some"), pytest.param(2000, id="all", marks=pytest.mark.long)]
)
@pytest.mark.timeout(3000)
def test_all_doors_answer_alike(doors: Doors, count: int) -> None:
    rng = random.Random(14)
    answers: Counter[str] = Counter()
    reasons: Counter[str] = Counter()
    for number in range(count):
        question = generated(rng)
        try:
            answer = ask_everywhere(doors, question)
        except AssertionError as error:
            raise AssertionError(f"question {number}: {question}") from error
        answers[str(answer["answer"])] += 1
        reasons.update(r.partition(":")[0] for r in answer["reasons"])
    assert set(answers) >= {"allow", "hold", "block"}, answers
    assert len(reasons) >= 8, reasons
    if count >= 2000:
        assert answers["quarantine"] > 0
        assert len(reasons) >= 18, reasons


def test_a_settled_question_is_allowed_everywhere_and_its_envelope_verifies(doors: Doors) -> None:
    question = settled()
    assert ask_everywhere(doors, question)["answer"] == "allow"
    guarded = load_guarded(
        doors.rows,
        doors.run / "decision-all.json",
        doors.public,
        assistant=ANY_ASSISTANT,
        revoked=NOT_CHECKED,
    )
    assert list(guarded) == question.rows


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"beats": []}, "no_worker"),
        ({"beats": [beat(age_s=70.0)]}, "no_worker"),
        ({"beats": [beat(age_s=-86_330.0)]}, "no_worker"),
        ({"beats": [beat(lag=200)]}, "lag:200"),
        ({"beats": [beat(lag=60), beat(lag=60)]}, "lag:120"),
        ({"beats": [beat(lag=None)]}, "lag_unknown"),
        ({"beats": [beat(calibrated=None)]}, "evaluator_uncalibrated:v1"),
        ({"beats": [beat(version="v9")]}, "evaluator_unhealthy:v9"),
        ({"health": {"v1": ["failures"]}}, "evaluator_unhealthy:v1"),
        ({"missing": 20}, "uncovered_period"),
        ({"dead_letters": 20}, "uncovered_period"),
        ({"alarms": [(AlarmSubject.STRATUM, STRATUM.key, AlarmState.REFUTED)]}, "alarm:a0:refuted"),
        ({"report": None}, "confirm_missing"),
        ({"policy": {"max_report_age_s": 10.0}}, "confirm_too_old"),
        ({"policy": {"valid_until": "2020-01-01T00:00:00Z"}}, "policy_expired"),
    ],
)  # fmt: skip
def test_whoever_cannot_see_holds_at_every_door(
    doors: Doors, changed: dict[str, object], reason: str
) -> None:
    answer = ask_everywhere(doors, settled(**changed))
    assert answer["answer"] == "hold"
    assert any(r.startswith(reason) for r in answer["reasons"]), answer["reasons"]
    assert answer["subject"] is None
    assert any(r.startswith(reason) for r in doors.holds()), "GET /v1/gate says the same"


def test_the_settings_policy_and_near_duplicates_count_at_every_door(doors: Doors) -> None:
    same = [row(i, text="One text that was told many times over.") for i in range(6)]
    few = ask_everywhere(doors, settled(rows=same, policy={"max_near_duplicates": 3}))
    assert few["removed_by_reason"] == {"near_duplicate": 3}
    blocked = ask_everywhere(doors, settled(policy={"blocked_sources": ["candor.feedback"]}))
    assert blocked["answer"] == "block"


@pytest.mark.parametrize(
    "line",
    [
        '{"messages": "what is this", "provenance": {"source": "candor.feedback"}}',
        '{"prompt": 3, "completion": null}',
        '{"instruction": "Say it.", "output": "It."}',
    ],
)
def test_a_record_that_is_no_row_is_quarantined_in_a_file_and_refused_in_a_request(
    doors: Doors, line: str
) -> None:
    doors.put(settled())
    with doors.rows.open("a") as out:
        out.write(line + "\n")
    answer = doors.command()
    assert answer["removed_by_reason"]["unreadable"] == 1
    assert doors.with_file() == answer
    assert 6 in doors.confirm_job()
    refused = doors.asked()
    assert refused.status_code == 422
    assert "rows.6" in refused.text
