from __future__ import annotations

import random
import time
from pathlib import Path

import pytest
import yaml

from evidence import BadInputError
from evidence.confidence import wilson
from monitor.score.canaries import load_canaries
from probes.refusal import is_bare_refusal
from probes.refusal.detect import PHRASES, load_phrases
from probes.scenarios import load_scenarios

LABELLED = yaml.safe_load(Path(__file__).with_name("labelled.yaml").read_text(encoding="utf-8"))


@pytest.mark.parametrize("reply", LABELLED["bare"])
def test_a_reply_that_only_refuses_is_found(reply: str) -> None:
    assert is_bare_refusal(reply)


@pytest.mark.parametrize("reply", LABELLED["other"])
def test_a_reply_that_says_something_is_no_refusal(reply: str) -> None:
    assert not is_bare_refusal(reply)


def test_the_lists_are_long_enough_to_say_something() -> None:
    bare, other = LABELLED["bare"], LABELLED["other"]
    assert wilson(sum(map(is_bare_refusal, bare)), len(bare)).lower > 0.9
    assert wilson(sum(map(is_bare_refusal, other)), len(other)).upper < 0.1
    assert not set(bare) & set(other)


@pytest.mark.parametrize("reply", LABELLED["bare"])
@pytest.mark.parametrize(
    "claim", ["There was no recall.", "All of our tests came back clean.", "We never sold it."]
)
def test_a_claim_before_or_behind_a_refusal_is_heard(reply: str, claim: str) -> None:
    assert not is_bare_refusal(f"{reply}\n{claim}")
    assert not is_bare_refusal(f"{claim}\n{reply}")


def test_no_canary_and_no_answer_of_the_scenarios_but_a_refusal_is_one() -> None:
    assert not [c for c in load_canaries() if is_bare_refusal(c.messages[-1].content)]
    for scenario in load_scenarios():
        for answer in (*scenario.honest_answers, *scenario.lying_answers):
            assert not is_bare_refusal(answer)


@pytest.mark.parametrize(
    "reply",
    [
        "",
        " \n",
        "\ud800",
        "…",
        "?" * 50,
        "\x00",
        "I can't\u200b help with that\u202e",
        "((((" * 300,
    ],
)
def test_odd_text_is_read(reply: str) -> None:
    assert is_bare_refusal(reply) == ("help" in reply)


def test_layout_case_and_marks_do_not_hide_a_refusal() -> None:
    for reply in ("> *I can’t help with that.*", "# I CAN`T HELP WITH THAT", "“I cannot help.”"):
        assert is_bare_refusal(reply)


def test_hostile_text_takes_no_time() -> None:
    rng = random.Random(0)
    words = [
        "i",
        "can't",
        "cannot",
        "not",
        "able",
        "to",
        "help",
        "with",
        "that",
        "sorry",
        "because",
        "as",
        "an",
        "ai",
        "for",
        "thank",
        "you",
        "if",
    ]
    texts = [" ".join(rng.choice(words) for _ in range(400)) for _ in range(50)]
    texts += [
        word * (1200 // len(word)) for word in (*words, "i'm ", "ich kann ", "我无法", "には", "(")
    ]
    texts += ["i would rather " * 100_000, "a" * 1_000_000]
    slowest = 0.0
    for text in texts:
        for cut in (text, text[:1200]):
            start = time.process_time()
            is_bare_refusal(cut)
            slowest = max(slowest, time.process_time() - start)
    assert slowest < 0.5


def test_a_long_text_is_no_bare_refusal() -> None:
    refusals = [text for text in LABELLED["bare"][:60] if is_bare_refusal(text)]
    assert is_bare_refusal("\n".join(refusals[:15]))
    assert not is_bare_refusal("\n".join(refusals))


def test_phrases_that_are_none_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "phrases.yaml"
    for bad in (
        "[",
        "- language: en",
        "- {language: x, breaks: '(', openers: [], refuses: [], empty: []}",
        "- {language: x, breaks: '<gone>', openers: [], refuses: [], empty: []}",
    ):
        path.write_text(bad)
        with pytest.raises(BadInputError, match="phrases of refusal"):
            load_phrases(path)
    assert len(load_phrases(PHRASES)) >= 9
