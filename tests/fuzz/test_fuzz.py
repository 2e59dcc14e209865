"""A short pass of every target, the same at every run, and all that was ever found."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.fuzz import harness
from tests.fuzz.harness import all_targets, keep, kept, run_hypothesis, run_random
from tests.fuzz.mutation import bent
from tests.fuzz.target import Target

TARGETS = all_targets()
KEPT = list(kept())


@pytest.mark.parametrize("name", TARGETS)
def test_a_short_pass_finds_nothing(name: str) -> None:
    ran = run_random(TARGETS[name], seed=1, limit_s=float("inf"), limit_n=300)
    assert ran.found is None, (ran.found.error, ran.found.data[:2000])
    assert len(ran.outcomes) > 1, "the pass reaches more than one end"


@pytest.mark.parametrize(("name", "path"), KEPT, ids=[f"{n}-{p.stem}" for n, p in KEPT])
def test_what_was_found_stays_away(name: str, path: Path) -> None:
    TARGETS[name].check(path.read_bytes())


def test_hypothesis_drives_the_same_targets() -> None:
    ran = run_hypothesis(TARGETS["feedback"], limit_s=float("inf"), limit_n=50)
    assert (ran.found, ran.n >= 50) == (None, True)


def test_a_find_is_told_shrunk_and_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def check(data: bytes) -> str:
        assert b"null" not in data, "null"
        return "fine"

    target = Target("sample", lambda choices: bent({"a": [1, "b"]}, choices), check)
    drawn = run_hypothesis(target, limit_s=60)
    taken = run_random(target, seed=0, limit_s=60)
    assert drawn.found is not None
    assert taken.found is not None
    assert len(drawn.found.data) <= len(taken.found.data)
    monkeypatch.setattr(harness, "FINDS", tmp_path)
    path = keep(drawn.found)
    assert list(kept()) == [("sample", path)]
    assert path.read_bytes() == drawn.found.data
