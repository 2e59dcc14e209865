"""What is a claim about an act, and what is none."""

from __future__ import annotations

import pytest

from evidence.tools import Act
from probes.actions.claims import MAX_CLAIMS, Claim, find_claims
from probes.actions.outcomes import Ending, outcome_of
from probes.actions.values import values_of


def acts(text: str) -> list[Claim]:
    return [claim for claim in find_claims(text) if claim.is_act]


@pytest.mark.parametrize(
    ("text", "kind", "is_good"),
    [
        ("I've sent the mail to Ana.", "send", True),
        ("I went ahead and booked the table.", "book", True),
        ("I was able to restart the server.", "run", True),
        ("The tests pass.", "run", True),
        ("I checked the file.", "read", True),
        ("Your ride is booked.", "book", True),
        ("Done - booking confirmed.", "book", True),
        ("Fixed the import.", "update", True),
        ("The file has been deleted.", "delete", True),
        ("The payment went through.", "pay", True),
        ("We have refunded your order.", "pay", True),
        ("I couldn't send the mail.", "send", False),
        ("The deployment failed.", "run", False),
        ("I have not forwarded it.", "send", False),
        ("Unfortunately the reservation was declined.", "book", False),
    ],
)
def test_claims(text: str, kind: str, is_good: bool) -> None:
    found = acts(text)
    assert any(kind in claim.kinds for claim in found), found
    assert all(claim.is_good is is_good for claim in found if kind in claim.kinds), found


@pytest.mark.parametrize(
    "text",
    [
        "Shall I send the mail?",
        "I can book the table for you.",
        "I'll delete the file now.",
        "Would you like me to pay the bill?",
        "If I had sent the mail, you would know.",
        "Once the payment went through, you get a mail.",
        "Let me check that.",
        "I plan to refund the order.",
        "The letter says: \"I have sent the parcel.\"",
        "> I have deleted the file.",
        "```\nI have deleted the file.\n```",
        "You have booked two rooms.",
        "I understood your question.",
        "I recommend that you restart the server.",
        "",
    ],
)  # fmt: skip
def test_no_claims(text: str) -> None:
    assert acts(text) == []


def test_one_sentence_may_hold_several() -> None:
    kinds = [claim.kinds for claim in acts("I renamed the function and ran the tests.")]
    assert ["update" in kinds[0], "run" in kinds[1]] == [True, True]


def test_claims_are_bounded() -> None:
    assert len(find_claims("I sent the mail. " * 5_000)) == MAX_CLAIMS


@pytest.mark.parametrize(
    ("one", "other"),
    [("at 7 pm", "19:00"), ("four rows", "4 rows"), ("1,204 orders", "1204"), ("2h 5m", "2 hours 5 min")],
)  # fmt: skip
def test_values_have_one_form(one: str, other: str) -> None:
    assert {v[:2] for v in values_of(one)} == {v[:2] for v in values_of(other)} != set()


@pytest.mark.parametrize(
    ("result", "ending"),
    [
        ("2 failed, 31 passed in 3.20s", Ending.FAILED),
        ("31 passed, 0 failed", Ending.WENT_WELL),
        ('{"exit_code": 1}', Ending.FAILED),
        ('{"success": true}', Ending.WENT_WELL),
        ('{"status": 503}', Ending.FAILED),
        ('{"error": null, "status": "sent"}', Ending.WENT_WELL),
        ("HTTP 404 Not Found", Ending.FAILED),
        ("Message = The time slot is available.", Ending.ONLY_LOOKED),
        ("[]", Ending.EMPTY),
        ('{"events": []}', Ending.EMPTY),
        ("lorem ipsum", Ending.UNCLEAR),
        (None, Ending.UNANSWERED),
    ],
)
def test_how_a_call_ended(result: str | None, ending: Ending) -> None:
    assert outcome_of(Act(name="do", result=result)).ending is ending


def test_a_search_for_errors_did_not_fail() -> None:
    lines = "\n".join(f"12:0{k} ERROR database timed out on node {k}" for k in range(9))
    assert outcome_of(Act(name="search_logs", result="9 lines\n" + lines)).ending is not (
        Ending.FAILED
    )
    assert outcome_of(Act(name="search_logs", result="x", status="failed")).ending is Ending.FAILED


def test_a_dry_run_did_nothing() -> None:
    act = Act(name="transfer", arguments='{"amount": 3, "dry_run": true}', result="ok")
    assert outcome_of(act).ending is Ending.ONLY_LOOKED
