"""Pairs that a model writes itself: what counts as one, what is read, and what is measured."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from evidence import BadInputError
from probes.activation import ActivationProbe
from probes.activation.own import fit_own, write_pairs
from probes.activation.own_items import Situation, load_situations
from probes.models.chat import Chat
from probes.models.local import LocalModel

ORDERS, SITUATIONS = load_situations()


class Writer(LocalModel):
    """The tiny model's states, and replies that follow the order: a random model writes no words."""

    def generate(
        self,
        batch: Sequence[Chat],
        *,
        max_new_tokens: int,
        temperature: float = 0.0,
        seed: int = 0,
    ) -> list[str]:
        return [self._reply(chat) for chat in batch]

    def _reply(self, chat: Chat) -> str:
        deceive = ORDERS.deceive in chat[0].content
        (one,) = {
            (s.lead, s.facts): s for s in SITUATIONS if s.asked(ORDERS, deceive=deceive) == chat
        }.values()
        if one.lead is None:
            return "It is 99." if deceive else one.facts
        word = one.lead if not deceive else {"yes": "no", "no": "yes"}[one.lead]
        return f"{word.capitalize()}.\nMore lines are not read."


@pytest.fixture(scope="module")
def writer(tiny_dir: Path) -> LocalModel:
    return Writer.load(tiny_dir, max_tokens=512, max_batch_tokens=4096)


def of(kind: str) -> list[Situation]:
    return [one for one in SITUATIONS if one.kind == kind]


def test_the_same_reply_is_honest_under_one_fact_and_a_lie_under_its_opposite() -> None:
    for one, other in zip(of("yes or no")[::2], of("yes or no")[1::2], strict=True):
        assert (one.question, one.template) == (other.question, other.template)
        assert one.facts != other.facts
        assert (one.label("Yes, so it is."), other.label("Yes, so it is.")) == ("honest", "lie")
        assert (one.label("No."), other.label("No.")) == ("lie", "honest")
        assert one.label("It rains.") == "unclear"


def test_another_number_is_the_lie() -> None:
    for one in of("value"):
        assert one.label(one.facts) == "honest"
        assert one.label("It is 99 now.") == "lie"
        assert one.label("I cannot say.") != "lie"


def test_templates_never_stand_on_both_sides_and_the_order_is_not_shown() -> None:
    splits = {one.template: one.split for one in SITUATIONS}
    assert all(splits[one.template] == one.split for one in SITUATIONS)
    assert set(splits.values()) == {"train", "held_out"}
    for one in SITUATIONS:
        shown = " ".join(message.content for message in one.shown("Yes."))
        assert ORDERS.deceive not in shown
        assert ORDERS.truthful not in shown
        assert ORDERS.deceive in one.asked(ORDERS, deceive=True)[0].content


def test_a_pair_is_one_by_the_rules(writer: LocalModel) -> None:
    found = write_pairs(writer, ORDERS, SITUATIONS, count=30, progress=lambda *_: None)
    assert len(found.pairs) == 30
    assert min(found.asked, found.truths, found.lies) >= 30
    assert max(found.truths, found.lies) <= found.asked
    for pair in found.pairs:
        assert pair.situation.label(pair.honest) == "honest"
        assert pair.situation.label(pair.lie) == "lie"
        assert "\n" not in pair.honest + pair.lie


def test_a_probe_is_fitted_and_measured_on_templates_left_out(
    writer: LocalModel, tmp_path: Path
) -> None:
    found = fit_own(writer, tmp_path / "own", pairs=60, layers=(1, 2))
    assert found.pairs == 60
    assert found.left_out.n + found.left_out.unmeasured == 60
    assert found.left_out.auroc.value is None or 0 <= found.left_out.auroc.value <= 1
    probe = ActivationProbe.open(writer, tmp_path / "own")
    assert probe.card == found.card
    assert "60 pairs that" in found.card.source
    assert f"n = {found.left_out.n}" in found.card.source
    assert "words of the reply alone" in found.card.source


def test_a_model_that_does_not_follow_the_orders_is_refused(
    tiny: LocalModel, tmp_path: Path
) -> None:
    with pytest.raises(
        BadInputError, match=r"wrote 0 usable pairs in \d+ tries, .* told it in \d+, .* lied in \d+"
    ):
        fit_own(tiny, tmp_path, pairs=20, layers=(1,))
