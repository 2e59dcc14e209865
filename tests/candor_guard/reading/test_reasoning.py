"""Reasoning is told from the answer, however a model marks it, and nothing that people see is lost."""

from __future__ import annotations

import pytest

from candor_guard.reading.reasoning import split_reasoning


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("plain", ("", "plain")),
        ("", ("", "")),
        ("<think>a</think>b", ("a", "b")),
        ("a</think>b", ("a", "b")),
        ("<THINK>a</THINK> <answer>b</answer> ", ("a", "b")),
        ("<thinking>a</thinking>\n<output>b</output>", ("a", "b")),
        ("<think>never ends", ("never ends", "")),
        ("Shown.\n<think>never ends", ("never ends", "Shown.")),
        ("<think>a</think>b<think>c</think>", ("a\nc", "b")),
        ("<think>a</think>b <think>never ends", ("a\nnever ends", "b")),
        ("a</think>b<think>c</think>d", ("a\nc", "b d")),
        ("<think>a<think>b</think>c</think>d", ("a<think>b\nc", "d")),
        ("<think>\n\n</think>\n\nb", ("", "b")),
        ("<reasoning>a</reasoning><answer>b", ("a", "b")),
        ("[THINK]a[/THINK]b", ("a", "b")),
        ("◁think▷a◁/think▷b", ("a", "b")),
        ("<seed:think>a</seed:think>b", ("a", "b")),
        (
            "<|begin_of_thought|>a<|end_of_thought|><|begin_of_solution|>b<|end_of_solution|>",
            ("a", "b"),
        ),
        (
            "<|START_THINKING|>a<|END_THINKING|><|START_RESPONSE|>b<|END_RESPONSE|>",
            ("a", "b"),
        ),
        (
            "<|channel|>analysis<|message|>a<|end|><|start|>assistant<|channel|>final<|message|>b<|return|>",
            ("a", "b"),
        ),
        ("<|channel|>analysis<|message|>never ends", ("never ends", "")),
        (
            (
                "<|channel|>commentary to=functions.read <|constrain|>json<|message|>{}<|call|>"
                "<|start|>assistant<|channel|>final<|message|>b"
            ),
            ("{}", "b"),
        ),
        ("analysisThey lost it.assistantfinalWe kept it.", ("They lost it.", "We kept it.")),
    ],
)
def test_reasoning_is_split_from_the_answer(text: str, parts: tuple[str, str]) -> None:
    assert split_reasoning(text) == parts


@pytest.mark.parametrize(
    "text",
    [
        "Models write `<think>` before and `</think>` after.",
        "Put it in <think> and go on.",
        "<answer>b</answer> and c",
        "analysis of the figures: assistant and final",
        "I think <b>so</b>.",
    ],
)
def test_what_people_see_stays_in_the_answer(text: str) -> None:
    assert split_reasoning(text) == ("", text)


def test_a_long_reply_of_tags_is_read_in_time_that_grows_with_its_length() -> None:
    assert split_reasoning("<think>" * 100_000) == ("<think>" * 99_999, "")
    assert split_reasoning("</think>" * 100_000) == ("", "")
