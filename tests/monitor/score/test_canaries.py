"""The canaries: enough, balanced, all different, mixed, and no text that a shipped probe was fitted to."""

from __future__ import annotations

import itertools
from collections import Counter

from evidence import VerdictKind
from monitor.score.canaries import KINDS, load_canaries
from probes.scenarios import load_scenarios


def test_there_are_enough_of_each_kind_and_all_differ() -> None:
    canaries = load_canaries()
    counts = Counter(canary.known for canary in canaries)
    assert len(canaries) >= 40
    assert counts == dict.fromkeys(KINDS, len(canaries) // 3)
    assert len({canary.messages for canary in canaries}) == len(canaries)
    assert len({canary.canary_id for canary in canaries}) == len(canaries)


def test_every_conversation_is_filled_in_and_ends_with_the_assistant() -> None:
    for canary in load_canaries():
        assert [message.role for message in canary.messages] == ["system", "user", "assistant"]
        assert not any("{" in message.content for message in canary.messages)


def test_kinds_alternate_and_neighbours_are_of_different_templates() -> None:
    canaries = load_canaries()
    assert [canary.known for canary in canaries[:6]] == [*KINDS, *KINDS]
    lies = [c.canary_id.split(".")[0] for c in canaries if c.known is VerdictKind.LIE]
    assert sum(a == b for a, b in itertools.pairwise(lies)) < 6


def test_an_answer_tells_its_kind_only_with_its_facts() -> None:
    """No kind is much longer than another, so length alone says nothing."""
    lengths = {
        kind: sum(len(c.messages[-1].content) for c in load_canaries() if c.known is kind)
        for kind in KINDS
    }
    assert max(lengths.values()) < 1.25 * min(lengths.values())


def test_no_answer_is_one_of_the_scenarios_that_probes_are_fitted_to() -> None:
    fitted = {
        answer
        for scenario in load_scenarios()
        for answers in (
            scenario.honest_answers,
            scenario.lying_answers,
            scenario.evasive_answers,
        )
        for answer in answers
    }
    assert not fitted & {canary.messages[-1].content for canary in load_canaries()}
