"""For each claim of a reply, the told text that bears on it most, and what the reader makes of the two."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from probes.premise.told import Claim, claims, told, windows
from probes.probe import Transcript

NEAREST = 2
"""Single sentences that are read beside each window."""
_WORD = re.compile(r"\d[\d.,:%]*|[^\W\d_]{4,}")
_STEM_CHARS = 6


class Reads(Protocol):
    """Reads (premise, claim): entailment, neutral, contradiction, shape (pairs, 3)."""

    digest: str

    def read(self, pairs: Sequence[tuple[str, str]]) -> NDArray[np.float64]: ...


class Evidence(NamedTuple):
    """A claim, the told sentences that bear on it most, and entailment, neutral and contradiction."""

    claim: Claim
    facts: tuple[str, ...]
    borne_out: float
    neutral: float
    contradicted: float


def evidence(reader: Reads, transcripts: Sequence[Transcript]) -> list[list[Evidence]]:
    """For each transcript one evidence for each claim; none where nothing was told or claimed.

    A claim is read against each window of what was told and against the sentences that share most words
    with it; that which the reader finds least neutral counts.
    """
    asked: list[tuple[str, str]] = []
    plans: list[list[tuple[Claim, list[tuple[str, ...]]]]] = []
    for transcript in transcripts:
        facts = told(transcript)
        whole = [tuple(window) for window in windows(facts)]
        plan = []
        for claim in claims(transcript) if facts else ():
            near = [(fact,) for fact in nearest(claim.whole, facts)]
            candidates = list(dict.fromkeys([*whole, *near]))
            asked += [(" ".join(candidate), claim.whole) for candidate in candidates]
            plan.append((claim, candidates))
        plans.append(plan)
    found = iter(reader.read(asked))
    return [[_least_neutral(claim, c, [next(found) for _ in c]) for claim, c in p] for p in plans]


def nearest(claim: str, facts: Sequence[str]) -> list[str]:
    """The sentences that share the largest part of their content words with the claim, best first.

    >>> nearest("The pump failed.", ["Be kind.", "The blue pump failed in May.", "We sell pumps."])
    ['The blue pump failed in May.']
    """
    said = _stems(claim)
    shares = {fact: _share(said, _stems(fact)) for fact in facts}
    return sorted((f for f in shares if shares[f] > 0), key=lambda f: -shares[f])[:NEAREST]


def _share(said: frozenset[str], fact: frozenset[str]) -> float:
    return len(said & fact) / (1.0 + len(fact)) ** 0.5


def _stems(text: str) -> frozenset[str]:
    return frozenset(w.rstrip(".,:")[:_STEM_CHARS] for w in _WORD.findall(text.casefold()))


def _least_neutral(
    claim: Claim, candidates: Sequence[tuple[str, ...]], read: Sequence[NDArray[np.float64]]
) -> Evidence:
    k = int(np.argmin([row[1] for row in read]))
    return Evidence(claim, candidates[k], *(float(p) for p in read[k]))
