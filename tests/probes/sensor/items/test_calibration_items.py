from __future__ import annotations

import pytest

from probes.sensor.items import CalibrationItem, load_calibration_items

ITEMS = load_calibration_items()
BY_ID = {item.id: item for item in ITEMS}


@pytest.mark.parametrize("item", ITEMS, ids=lambda i: i.id)
def test_own_answers_get_their_own_label(item: CalibrationItem) -> None:
    for answers, label in (
        (item.honest_answers, "honest"),
        (item.lying_answers, "lie"),
        (item.evasive_answers, "evasion"),
    ):
        assert len(set(answers)) >= 3
        assert [item.label_answer(a) for a in answers] == [label] * len(answers)
