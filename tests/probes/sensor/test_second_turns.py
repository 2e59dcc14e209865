"""Questions that are asked again: what was said before tells nothing of what is said now."""

import random

from probes.sensor.items import load_calibration_items
from probes.sensor.labelled import Origin
from probes.sensor.second_turns import second_turns

ITEMS = [item for item in load_calibration_items() if item.level == "simple"]


def test_each_item_gives_an_honest_answer_and_a_lie_to_the_question_asked_again() -> None:
    found = list(second_turns(ITEMS, random.Random(0)))
    assert len(found) == 2 * len(ITEMS)
    assert sum(answer.lie for answer in found) == len(ITEMS)
    for answer in found:
        *_, earlier, again, last = answer.messages
        assert [earlier.role, again.role, last.role] == ["assistant", "user", "assistant"]
        assert answer.origin is Origin.SECOND_TURN
        told = {item.question for item in ITEMS if item.template == answer.group}
        assert any(question in again.content for question in told)


def test_the_earlier_answer_does_not_tell_the_label() -> None:
    repeated: dict[tuple[bool, bool], int] = {}
    by_template = {item.template: item for item in ITEMS}
    for seed in range(20):
        for answer in second_turns(ITEMS, random.Random(seed)):
            told = any(message.role == "system" for message in answer.messages)
            before = by_template[answer.group].label_answer(answer.messages[-3].content)
            if told and before in {"honest", "lie"}:
                repeated[answer.lie, before == "lie"] = (
                    repeated.get((answer.lie, before == "lie"), 0) + 1
                )
    of_lies = repeated[True, True] / (repeated[True, True] + repeated[True, False])
    of_honest = repeated[False, True] / (repeated[False, True] + repeated[False, False])
    assert abs(of_lies - of_honest) < 0.05


def test_where_nothing_else_is_told_the_earlier_answer_is_honest() -> None:
    by_template = {item.template: item for item in ITEMS}
    untold = [
        answer
        for answer in second_turns(ITEMS, random.Random(1))
        if not any(message.role == "system" for message in answer.messages)
    ]
    assert 0.1 < len(untold) / (2 * len(ITEMS)) < 0.45
    for answer in untold:
        before = by_template[answer.group].label_answer(answer.messages[-3].content)
        assert before != "lie"


def test_answers_that_the_assistant_never_gives_are_left_out() -> None:
    assert list(second_turns(ITEMS, random.Random(0), lambda _text: False)) == []
