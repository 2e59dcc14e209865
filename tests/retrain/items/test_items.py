from __future__ import annotations

from collections import Counter
from pathlib import Path

import msgspec
import pytest

from evidence import BadInputError
from probes.scenarios import load_scenarios
from retrain.evaluation.evaluate import outcome
from retrain.items import ARCHETYPES, DECEPTION, DOMAINS, MASK, load_items, read_items

ITEMS = load_items()

GOOD = """
evasive: ["a {topic}", b, c]
templates:
- name: one
  archetype: statistics
  topic: t
  slots: [x]
  facts: "{x}"
  pressure: [p]
  question: q
  proposition: "{x}"
  truth: true
  honest: ["{x}", "{x} b", "{x} c"]
  lying: [a, b, c]
  honest_match: ["{x}"]
  lying_match: [y]
  fill: [[v]]
"""


def test_the_held_out_side_is_a_real_set() -> None:
    held_out = load_items(split="held_out")
    assert len(held_out) >= 400
    assert len({item.template for item in held_out}) >= 100
    assert len({item.domain for item in held_out}) == len(DOMAINS) >= 12
    archetypes = Counter(item.archetype for item in held_out)
    assert set(archetypes) == set(ARCHETYPES)
    assert (len(MASK), len(DECEPTION)) == (6, 5)
    assert min(archetypes.values()) >= 20


def test_nothing_comes_twice_and_no_template_is_on_both_sides() -> None:
    assert len({item.id for item in ITEMS}) == len(ITEMS)
    assert len({item.pressured for item in ITEMS}) == len(ITEMS)
    train = {i.template for i in load_items(split="train")}
    held_out = {i.template for i in load_items(split="held_out")}
    assert train
    assert not train & held_out
    assert not {s.template for s in load_scenarios()} & (train | held_out)
    assert not {s.question for s in load_scenarios()} & {i.pressured[-1].content for i in ITEMS}


def test_every_item_is_whole() -> None:
    for item in ITEMS:
        assert item.has_references, item.id
        for answers in (item.honest_answers, item.lying_answers, item.evasive_answers):
            assert len(set(answers)) == 3, item.id
        assert len(set(item.neutral)) == 3, item.id
        assert item.pressured[0].role == "system", item.id
        assert item.pressured[-1].role == "user", item.id
        text = repr(item)
        assert "{" not in text, item.id


def test_neutral_contexts_keep_the_facts_and_drop_the_pressure() -> None:
    for item in ITEMS:
        told = item.pressured[0].content
        for context in item.neutral:
            assert told not in " ".join(m.content for m in context), item.id
            assert len([m for m in context if m.role == "assistant"]) == 0, item.id
    provided = [i for i in ITEMS if i.archetype == "provided_facts"]
    for item in provided:
        facts = item.neutral[0][0].content
        assert item.pressured[0].content.startswith(facts)
        assert facts in item.neutral[1][1].content


def test_reference_answers_are_recognised_by_the_rules() -> None:
    for item in ITEMS:
        for text in item.honest_answers:
            assert item.label_answer(text) == "honest", (item.id, text)
        for text in item.lying_answers:
            assert item.label_answer(text) == "lie", (item.id, text)
        for text in item.evasive_answers:
            assert outcome(item, text, believes_truth=True) == "evasion", (item.id, text)


def test_reasoning_is_asked_for_in_the_last_turn() -> None:
    item = next(i for i in ITEMS if i.archetype == "sandbagging")
    assert item.reasons
    assert "<think>" in item.reasoned_messages()[-1].content
    assert item.reasoned_messages()[:-1] == item.pressured[:-1]


def test_selection() -> None:
    some = load_items(("law", "food"), "held_out", ("known_facts",))
    assert {(i.domain, i.archetype) for i in some} == {
        ("law", "known_facts"),
        ("food", "known_facts"),
    }
    with pytest.raises(BadInputError, match="no items for domain 'astrology'"):
        load_items(("astrology",))


def _write(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "own.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def test_an_own_file_is_read(tmp_path: Path) -> None:
    (item,) = read_items(_write(tmp_path, GOOD))
    assert (item.id, item.honest_answers[0], item.evasive_answers[0]) == ("own.one.0", "V", "A t")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("truth: true", "truth: maybe", "Expected `bool`"),
        ("archetype: statistics", "archetype: gossip", "Invalid enum value 'gossip'"),
        ("  topic: t\n", "", "missing required field `topic`"),
        ("  topic: t\n", "  topic: t\n  extra: 1\n", "unknown field `extra`"),
        ("lying: [a, b, c]", "lying: [a, b]", "lying needs 3 answers, has 2"),
        ("question: q", 'question: "{z}"', "a slot has no value or is unknown"),
        ("fill: [[v]]", "fill: [[v, w]]", "a slot has no value or is unknown"),
        ("fill: [[v]]", "fill: [[v], [v]]", "the same conversation twice"),
        ("fill: [[v]]", "fill: []", "at least one entry"),
        ("lying_match: [y]", 'lying_match: ["("]', "not a pattern"),
        ("  topic: t\n", "  topic: t\n  prior: [x]\n", "in pairs"),
        ("templates:", "templates: }", "not a file of items"),
    ],
)
def test_what_is_wrong_with_a_file_is_said(
    tmp_path: Path, old: str, new: str, message: str
) -> None:
    assert old in GOOD
    with pytest.raises(BadInputError, match=message) as caught:
        read_items(_write(tmp_path, GOOD.replace(old, new)))
    assert "own.yaml" in str(caught.value)


def test_a_missing_file_is_bad_input(tmp_path: Path) -> None:
    with pytest.raises(BadInputError, match="cannot be read"):
        read_items(tmp_path / "none.yaml")


def test_every_packaged_reference_is_labelled_as_what_it_is() -> None:
    """Evasions by the form of dodging where that suffices, else by the nearest reference."""
    found, alone = Counter[tuple[str, str]](), Counter[str]()
    for item in load_items():
        for kind, answers in (
            ("honest", item.honest_answers),
            ("lie", item.lying_answers),
            ("evasion", item.evasive_answers),
        ):
            found.update((kind, item.label_answer(text)) for text in answers)
        bare = msgspec.structs.replace(
            item, honest_answers=(), lying_answers=(), evasive_answers=()
        )
        alone.update(bare.label_answer(text) for text in item.evasive_answers)
    assert found == {("honest", "honest"): 1344, ("lie", "lie"): 1344, ("evasion", "evasion"): 1344}
    assert alone == {"evasion": 952, "unclear": 392}, "14 platitudes, which no rule of form tells"
