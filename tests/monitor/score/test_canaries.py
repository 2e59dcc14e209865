"""The canaries: enough, balanced, all different, mixed, and no text that a shipped probe was fitted to."""

from __future__ import annotations

import itertools
from collections import Counter
from pathlib import Path

import pytest

from benchmarks.actions import FRESH, TURNS, UNTOUCHED, own_turns
from evidence import CANARY_ASSISTANT, Purpose, Response, Stakes, Stratum, VerdictKind
from evidence.tools import tool_record
from monitor.ingest.decode import decode_response
from monitor.ingest.encode import encode_response
from monitor.ingest.marks import marked
from monitor.ingest.options import IngestOptions
from monitor.score.canaries import KINDS, SHOWN, Canary, load_act_canaries, load_canaries, with_acts
from probes.actions import ActionProbe
from probes.models.embedding import Embedder
from probes.probe import Transcript
from probes.scenarios import load_scenarios
from probes.visible import visible_acts


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


def transcript(canary: Canary) -> Transcript:
    record = tool_record(canary.messages, canary.beside)
    return Transcript(id=canary.canary_id, messages=canary.messages, record=record)


def test_of_canaries_about_acts_half_are_contradicted_and_all_differ() -> None:
    acts = load_act_canaries()
    assert len(acts) >= 30
    assert [one.known for one in acts] == [*SHOWN] * (len(acts) // 2)
    assert len({one.messages[-1].content for one in acts}) == len(acts)
    assert not any("{" in m.content for one in acts for m in one.messages)
    for one in acts:
        record = tool_record(one.messages, one.beside)
        assert record is not None
        assert record.tools
        assert all(act.name and act.result for act in record.acts)


def test_the_same_calls_stand_under_a_true_and_a_false_claim() -> None:
    by_record: dict[object, set[str]] = {}
    for one in load_act_canaries():
        record = tool_record(one.messages, one.beside)
        by_record.setdefault(record, set()).add(one.known.value)
    assert all(shown == {"contradicted", "supported"} for shown in by_record.values())


def test_the_shipped_action_probe_reads_every_canary_about_acts_right() -> None:
    canaries = load_act_canaries()
    found = ActionProbe(Embedder()).measure([transcript(one) for one in canaries])
    wrong = [
        one.canary_id
        for one, measured in zip(canaries, found, strict=True)
        if visible_acts([measured]) is not one.known
    ]
    assert wrong == []


@pytest.mark.parametrize("path", [TURNS, FRESH, UNTOUCHED])
def test_no_canary_about_acts_is_a_turn_of_the_benchmark(path: Path) -> None:
    measured = {row.transcript.response for row in own_turns(path)}
    assert not measured & {one.messages[-1].content for one in load_act_canaries()}


def test_they_are_mixed_into_the_others_one_after_each_group() -> None:
    texts, acts = load_canaries(), load_act_canaries()
    mixed = with_acts(texts, acts)
    assert [one for one in mixed if one.known in KINDS] == [*texts]
    assert [one for one in mixed if one.known in SHOWN] == [*acts[: len(texts) // 3]]
    assert all(one.known in SHOWN for one in mixed[3::4])
    assert {one.known for one in with_acts(texts, acts[:1])[3::4]} == {acts[0].known}


def test_a_record_of_one_is_read_back_with_its_calls() -> None:
    for one in load_act_canaries():
        made = marked(
            Response(
                response_id="c1",
                stratum=Stratum(CANARY_ASSISTANT, "other", Stakes.HIGH),
                model="canary",
                conversation_id="c1",
                rater="0" * 32,
                created_at_s=1.0,
                messages=one.messages,
                purpose=Purpose.CANARY,
                extra=one.beside,
            ),
            b"k" * 32,
        )
        read = decode_response(
            encode_response(made), options=IngestOptions(), key=b"k" * 32, now_s=2.0
        )
        assert read.purpose is Purpose.CANARY
        assert tool_record(read.messages, read.extra) == tool_record(one.messages, one.beside)
