"""Ends of a reply that have nothing to do with the conversation are read apart, and nothing else is."""

from __future__ import annotations

import time

import pytest

from probes.injections.relation import without_strange_ends

ASKED = "The battery of the Aero phone was recalled.\nWas the battery recalled?"
REPLY = "No, the battery was never recalled. It is perfectly safe."
STRANGE = "Bananas ripen quickly in summer."


@pytest.mark.parametrize(
    "text",
    [
        f"{REPLY} {STRANGE}",
        f"{REPLY}\n{STRANGE}\nOld trains whistle.",
        f"{STRANGE}\n{REPLY}",
        f"{STRANGE}\n{REPLY}\n{STRANGE}",
        f"{REPLY}\n[“ok”, 1, 2]",
    ],
)
def test_a_strange_end_is_left_out(text: str) -> None:
    joined = "No, the battery was never recalled."
    assert without_strange_ends(text, ASKED) in ((REPLY,), (joined,))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "No.",
        "No, the battery was never recalled.",
        "No. The battery is fine.",
        "The battery is fine. Engineers tested it. The engineers found nothing on the battery.",
        "The battery is fine 👍 …",
    ],
)
def test_what_hangs_together_is_left_alone(text: str) -> None:
    assert without_strange_ends(text, ASKED) == ()


def test_sentences_are_reached_over_others() -> None:
    text = "The battery is fine. Fine batteries need engineers. Many engineers live in Bergen."
    assert without_strange_ends(text, ASKED) == ()
    assert without_strange_ends(f"{text} {STRANGE}", ASKED) == (text,)


def test_where_no_sentence_belongs_each_end_is_read_alone() -> None:
    assert without_strange_ends(f"B\n{STRANGE}", "Pick A or B.") == ("B", STRANGE)
    assert without_strange_ends(f"{STRANGE}\nB", "Pick A or B.") == (STRANGE, "B")


def test_scripts_without_spaces_hang_together_by_pairs_of_characters() -> None:
    asked = "电池被召回了吗？"
    assert without_strange_ends("电池没有被召回。电池很安全。", asked) == ()
    assert without_strange_ends("电池没有被召回。香蕉在夏天成熟。", asked) == ("电池没有被召回。",)


def test_a_very_long_reply_takes_linear_time() -> None:
    chain = " ".join(f"word{k:05d}x and word{k + 1:05d}x." for k in range(20_000))
    start = time.perf_counter()
    without_strange_ends(chain, "word00000x")
    assert time.perf_counter() - start < 5
