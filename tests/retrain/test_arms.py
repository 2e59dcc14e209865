from __future__ import annotations

import pytest
from gate_values import row

from candor_guard.rows import Row, manifest, parse_row
from evidence import BadInputError
from retrain.arms import APPROVED_MODEL, align_control, answered_row, build_arms
from retrain.report import Arm

ROWS = [row(i, answer="Yes.") for i in range(6)]
CONTROL = [answered_row(r, f"approved {i}", "m0") for i, r in enumerate(ROWS)]


def test_arms_have_equal_rows_and_removed_ones_are_replaced_in_place() -> None:
    control, candidate, released = build_arms(ROWS, {1, 4}, CONTROL)
    assert [a.arm for a in (control, candidate, released)] == [
        Arm.CONTROL,
        Arm.CANDIDATE,
        Arm.RELEASED,
    ]
    assert len({len(a.rows) for a in (control, candidate, released)}) == 1
    for i in range(6):
        assert released.rows[i] == (CONTROL[i] if i in {1, 4} else ROWS[i])
        assert released.rows[i].prompt_messages() == ROWS[i].prompt_messages()
    assert released.subject_digest == manifest([ROWS[i] for i in (0, 2, 3, 5)]).digest
    assert candidate.subject_digest == manifest(ROWS).digest
    assert (released.replaced, candidate.replaced) == (2, 0)


def test_without_removed_rows_there_is_no_released_arm() -> None:
    assert [a.arm for a in build_arms(ROWS, (), CONTROL)] == [Arm.CONTROL, Arm.CANDIDATE]


def test_control_rows_follow_the_prompt_and_fill_up_from_the_rest() -> None:
    other = [row(100 + i) for i in range(2)]
    pool = [*CONTROL[3:], *other]
    aligned = align_control(ROWS, pool)
    assert aligned[3:] == tuple(CONTROL[3:])
    assert aligned[:3] == (other[0], other[1], other[0])
    assert len(align_control(ROWS, CONTROL[:1])) == 6


@pytest.mark.parametrize(
    ("rows", "removed", "control"),
    [
        ([], (), []),
        (ROWS, (9,), CONTROL),
        (ROWS, (-1,), CONTROL),
        (ROWS, (), CONTROL[:2]),
        (ROWS, (), [*CONTROL[:5], Row(prompt="q", completion="a", label=True)]),
    ],
)
def test_what_cannot_be_compared_is_refused(
    rows: list[Row], removed: tuple[int, ...], control: list[Row]
) -> None:
    with pytest.raises(BadInputError):
        build_arms(rows, removed, control)
    with pytest.raises(BadInputError):
        align_control(ROWS, [])


def test_answered_rows_keep_kind_and_prompt() -> None:
    kto = parse_row({"prompt": "q", "completion": "bad", "label": False}, "x")
    dpo = parse_row({"prompt": "q", "chosen": "a", "rejected": "b"}, "x")
    assert answered_row(kto, "good", "m").label is True
    assert answered_row(kto, "good", "m").response_text() == "good"
    made = answered_row(dpo, "good", "m")
    assert (made.kind, made.response_text()) == (dpo.kind, "good")
    assert answered_row(ROWS[0], "x", "m").provenance.source == "approved_model"


def test_a_control_row_differs_from_the_candidate_in_its_answer_alone() -> None:
    """Tools and images reach the trainer's template, so a control row keeps them."""
    call = {"role": "assistant", "tool_calls": [{"id": "c", "function": {"name": "stock"}}]}
    user = {"role": "user", "content": "Q"}
    chat = [user, call, {"role": "tool", "content": "0"}, {"role": "assistant", "content": "A"}]
    tools = [{"type": "function", "function": {"name": "stock"}}]
    row = parse_row({"messages": chat, "tools": tools}, "x")
    made = answered_row(row, "B", "m")
    assert made.content() == {"messages": [*chat[:-1], {"role": "assistant", "content": "B"}], "tools": tools}  # fmt: skip
    assert made.provenance.source == APPROVED_MODEL
    answer = [{"role": "assistant", "content": "B"}]
    pair = parse_row({"chosen": [user, chat[-1]], "rejected": [user, *answer]}, "x")
    assert answered_row(pair, "C", "m").response_text() == "C"
    assert answered_row(pair, "C", "m").rejected == pair.rejected
    thumb = parse_row({"prompt": "Q", "completion": "A", "label": False}, "x")
    assert answered_row(thumb, "B", "m").content() == {
        "prompt": "Q",
        "completion": "B",
        "label": True,
    }
