from __future__ import annotations

import random

from probes.sensor.items import ANSWER_STYLES, load_calibration_items, styled

ITEMS = load_calibration_items()
OPPOSITE = {"honest": "lie", "lie": "honest"}


def test_no_style_turns_an_answer_into_its_opposite() -> None:
    rng = random.Random(3)
    kept = seen = 0
    for item in ITEMS:
        for answer in (*item.honest_answers, *item.lying_answers):
            label = item.label_answer(answer)
            for style, text in styled(item, answer, rng):
                assert text.strip()
                assert text != answer
                found = item.label_answer(text)
                assert found != OPPOSITE[label], (item.id, style, text)
                kept, seen = kept + (found == label), seen + 1
    # A greeting in front hides the yes or no that a bare answer begins with.
    assert kept / seen > 0.8


def test_every_style_is_used_and_lengths_spread() -> None:
    item = next(i for i in ITEMS if i.id == "animals.temper.0")
    answer = max(item.honest_answers, key=len)
    texts = dict(styled(item, answer, random.Random(0)))
    assert set(texts) == set(ANSWER_STYLES) - {"american"} | {"american"} & set(texts)
    assert len(texts["terse"]) < len(answer) < len(texts["long_winded"])
    assert texts["bullets"].count("\n- ") >= 2
    assert item.topic in texts["long_winded"]
    assert item.topic in texts["topic_first"]


def test_spelling_is_swapped() -> None:
    item = next(i for i in ITEMS if i.id == "animals.temper.2")
    answer = next(a for a in item.honest_answers if "grey" in a)
    assert "gray" in dict(styled(item, answer, random.Random(0)))["american"]


def test_the_generator_decides() -> None:
    item = ITEMS[0]
    one, same, other = (
        styled(item, item.honest_answers[0], random.Random(seed)) for seed in (1, 1, 2)
    )
    assert one == same != other
