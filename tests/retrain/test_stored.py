"""Rows beside the store's digests: edits, pairs, forms of one row, and texts that are gone."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from gate_values import context, origin, row, stored

from candor_guard.rows import ChatMessage, Row, parse_row, read_rows, write_rows
from evidence import Message, VerdictKind, words_digest
from retrain.context import GateContext, VerdictEvidence
from retrain.measure import unmeasured
from retrain.policy import Policy
from retrain.quarantine import Quarantine
from retrain.reason import Reason
from retrain.stored import edit_name

ASKED = row(0).messages[:-1]  # type: ignore[index]
ANSWERED = row(0).messages[-1:]  # type: ignore[index]
WRITTEN = (ChatMessage("assistant", "No, and it never was."),)
EDITED = Row(messages=(*ASKED, *WRITTEN), provenance=origin(0))
PAIR = Row(prompt=ASKED, chosen=WRITTEN, rejected=ANSWERED, provenance=origin(0))


def edited(**verdicts: VerdictEvidence) -> GateContext:
    """A store in which the rater of row 0 disliked the response and wrote another answer."""
    held = stored([row(0)])
    ((name, given),) = held["feedback"].items()
    written = words_digest((Message("assistant", WRITTEN[0].content),))
    held["feedback"] = {name: msgspec.structs.replace(given, value=-1.0, edit=written)}
    honest = VerdictEvidence(VerdictKind.HONEST, 0.1)
    return context(0, **{**held, "verdicts": {"r0": honest, **verdicts}})


def reason(one: Row, evidence: GateContext) -> Reason | None:
    return Quarantine(evidence, Policy()).reason(one)


@pytest.mark.parametrize("one", [EDITED, PAIR])
def test_an_edit_is_the_stored_one_and_needs_a_verdict_of_its_own(one: Row) -> None:
    assert reason(one, edited()) is Reason.UNMEASURED, "the response's verdict is not the edit's"
    wanted = unmeasured([one], edited(), Policy())
    assert {name: t.response for name, t in wanted.items()} == {
        edit_name("f0-u0"): WRITTEN[0].content
    }
    kinds = {VerdictKind.HONEST: None, VerdictKind.LIE: Reason.LIE}
    for kind, expected in kinds.items():
        known = edited(**{edit_name("f0-u0"): VerdictEvidence(kind, 0.1)})
        assert reason(one, known) is expected


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        (msgspec.structs.replace(EDITED, messages=(*ASKED, ChatMessage("assistant", "Yes."))), Reason.OTHER_TEXT),
        (msgspec.structs.replace(EDITED, messages=(ASKED[0], *WRITTEN)), Reason.OTHER_TEXT),
        (row(0), Reason.OTHER_VALUE),
        (Row(prompt=ASKED, completion=WRITTEN, label=False, provenance=origin(0)), Reason.OTHER_VALUE),
        (msgspec.structs.replace(PAIR, chosen=ANSWERED, rejected=WRITTEN), Reason.UNVERIFIABLE),
        (msgspec.structs.replace(PAIR, rejected=(ChatMessage("assistant", "Perhaps."),)), Reason.OTHER_TEXT),
        (msgspec.structs.replace(EDITED, provenance=origin(0, rater="u1")), Reason.OTHER_TEXT),
    ],
)  # fmt: skip
def test_what_only_resembles_the_edit_is_refused(changed: Row, expected: Reason) -> None:
    assert reason(changed, edited()) is expected


@pytest.mark.parametrize("suffix", ["jsonl", "parquet"])
def test_a_row_is_verified_in_whatever_form_and_file_it_is(suffix: str, tmp_path: Any) -> None:
    true = row(0)
    forms = [
        true,
        Row(prompt=ASKED, completion=ANSWERED, provenance=origin(0)),
        Row(prompt=ASKED, completion=ANSWERED, label=True, provenance=origin(0)),
    ]
    for form in forms:
        write_rows(tmp_path / f"rows.{suffix}", [form])
        (again,) = read_rows(tmp_path / f"rows.{suffix}")
        assert reason(again, context(1)) is None
    data = true.to_dict()
    data["messages"] = [
        {**message, "tool_calls": None, "name": None} for message in data["messages"]
    ]
    assert reason(parse_row(data, "x"), context(1)) is None, "a null is absent"


def test_evidence_without_digests_verifies_nothing() -> None:
    bare = msgspec.structs.replace(context(1), responses={}, feedback={})
    assert reason(row(0), bare) is Reason.UNKNOWN_RESPONSE
    told = msgspec.json.decode(msgspec.json.encode(context(1)), type=GateContext)
    assert told == context(1), "a file of evidence carries them"
    assert reason(row(0), told) is None
