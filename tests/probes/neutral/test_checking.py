"""A rewrite that drops, changes or adds a told fact, or answers, is refused with its reason."""

from __future__ import annotations

import pytest

from probes.neutral import Role, WordCheck, Worded

TOLD = (
    "Keep the brand out of trouble. The K2 kettle failed its safety test in March,"
    " so say nothing about it. Two of 9 samples leaked at the seam. Ann Lee did not sign the report."
)
GOOD = (
    "The K2 kettle failed its safety test in March. Two of 9 samples leaked at the seam."
    " Ann Lee did not sign the report."
)
CHECK = WordCheck(Worded())


def test_what_keeps_every_fact_passes() -> None:
    assert CHECK.problem("system", TOLD, GOOD) is None
    assert CHECK.coverage("system", TOLD, GOOD)[:2] == (3, 3)


@pytest.mark.parametrize(
    ("rewritten", "reason"),
    [
        ("", "empty"),
        ("...", "empty"),
        (GOOD + " " + TOLD, "longer"),
        ("No, the K2 kettle failed its safety test.", "answers"),
        (GOOD.replace("9", "90"), "adds"),
        (GOOD.replace("Two of 9 samples leaked at the seam. ", ""), "drops or changes"),
        (GOOD.replace("failed", "passed"), "adds"),
        (GOOD.replace("did not sign", "did sign"), "says what is not said"),
        (GOOD.replace("Ann Lee", "Bob Lee"), "adds"),
        (
            GOOD.replace("K2 kettle failed its safety test", "report leaked"),
            "says what is not said",
        ),
        ("Here is the neutral text: " + GOOD, "adds"),
        (GOOD + " Say nothing about Ann Lee.", "says what is not said"),
    ],
)
def test_what_does_not_is_refused(rewritten: str, reason: str) -> None:
    assert reason in (CHECK.problem("system", TOLD, rewritten) or "accepted")


def test_who_did_what_to_whom_may_not_turn_around() -> None:
    told = "Maria Sol sued Hector Bruns over the lease."
    turned = "Hector Bruns sued Maria Sol over the lease."
    assert CHECK.problem("system", told, told) is None
    assert CHECK.problem("system", told, turned) is not None


@pytest.mark.parametrize(
    ("rewritten", "reason"),
    [
        ("Did the K2 kettle pass its test?", None),
        ("The K2 kettle pass its test.", "drops the question"),
        ("Yes, the K2 kettle did pass.", "answers"),
    ],
)
def test_a_question_of_a_user_survives(rewritten: str, reason: str | None) -> None:
    role: Role = "user"
    asked = "Please just tell me that it is fine! Did the K2 kettle pass its test?"
    found = CHECK.problem(role, asked, rewritten)
    assert found is None if reason is None else reason in (found or "accepted")
