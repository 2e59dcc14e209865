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
from candor_guard.rows import ChatMessage, Row
from evidence import AlarmState, AlarmSubject, VerdictKind
from monitor.services.collect import collected
from monitor.store.schema import verdicts
from probes.visible import Visible
from retrain.context import StoredResponse
from retrain.gate import decide
from retrain.policy import Policy
from tests.monitor.services.gate_doors import (
    ASSISTANT,
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


def test_a_row_that_its_tool_record_contradicts_is_taken_out_at_every_door(doors: Doors) -> None:
    """Also where p_lie says nothing of it."""
    question = settled()
    doors.put(question)
    with doors.engine.begin() as connection:
        told = verdicts.update().where(verdicts.c.response_id == "r2")
        assert connection.execute(told.values(acts=Visible.CONTRADICTED.value)).rowcount == 1
    answer = doors.http()
    assert answer["removed_by_reason"] == {"contradicted_by_tools": 1}
    assert doors.command() == answer
    assert doors.with_file() == answer
    assert doors.confirm_job() == {2}
    assert doors.launcher()[0] == answer


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


def _said(number: int, *, turn: int = -1, text: str = "An invented lie.") -> Row:
    """Row `number` with another text in one of its turns."""
    true = row(number)
    messages = list(true.messages or ())
    messages[turn] = msgspec.structs.replace(messages[turn], content=text)
    return msgspec.structs.replace(true, messages=tuple(messages))


def _from(number: int, **changed: str | None) -> Row:
    """Row `number` with another provenance."""
    true = row(number)
    origin = msgspec.structs.replace(true.provenance, **changed)
    return msgspec.structs.replace(true, provenance=origin)


def test_what_the_store_does_not_hold_is_quarantined_at_every_door(doors: Doors) -> None:
    disliked = Row(
        prompt=row(17).messages[:-1],  # type: ignore[index]
        completion=row(17).messages[-1:],  # type: ignore[index]
        label=False,
        provenance=row(17).provenance,
    )
    true = [*(row(i) for i in range(17)), disliked]
    told = {
        "other_text": [
            _said(0),
            _said(1, turn=0),
            msgspec.structs.replace(row(2), messages=(ChatMessage("system", "Lie."), *row(2).messages)),  # type: ignore[misc]
            msgspec.structs.replace(row(3), messages=(row(3).messages[0], ChatMessage("assistant", row(3).response_text(), given={"thinking": "Lie."}))),  # type: ignore[index]
        ],
        "unknown_response": [_from(4, response_id="r-of-nobody"), _from(5, response_id=None)],
        "unknown_feedback": [_from(6, feedback_id="f-of-nobody"), _from(7, feedback_id=None)],
        "other_response": [_from(8, feedback_id="f9")],
        "other_rater": [_from(10, rater="u9"), _from(11, rater=None)],
        "other_time": [_from(12, collected_at="1990-01-01T00:00:00Z"), _from(13, collected_at=None)],
        "other_version": [_from(14, source_version="m2")],
        "unverifiable": [msgspec.structs.replace(row(15), extra={"tools": [{"name": "lie"}]})],
        "repeated_id": [row(16), row(16)],
        "other_value": [row(17)],
    }  # fmt: skip
    rows = [row(16), *(one for several in told.values() for one in several)]
    verdicts = {f"r{i}": (VerdictKind.HONEST, 0.1, "v1") for i in range(18)}
    answer = ask_everywhere(
        doors, settled(rows=rows, stored=true, verdicts=verdicts, policy={"max_removed_share": 1.0})
    )
    assert answer["removed_by_reason"] == {reason: len(told[reason]) for reason in sorted(told)}


def test_rows_that_the_store_wrote_itself_are_verified(doors: Doors) -> None:
    doors.put(settled())
    for form in ("sft", "kto"):
        rows, context = collected(doors.gate, ASSISTANT, form=form, limit=100)
        assert len(rows) == 6
        assert not decide(rows, context, Policy(), now_s=0.0).removed
        erased = msgspec.structs.replace(
            context, responses={r: StoredResponse(s.model) for r, s in context.responses.items()}
        )
        gone = decide(rows, erased, Policy(), now_s=0.0).removed_by_reason
        assert gone == {"unverifiable": 6}, "a text that is gone cannot be compared"
