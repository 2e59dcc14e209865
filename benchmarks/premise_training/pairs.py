"""Pairs of a premise and a claim, read from files, with some kept aside for tests."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from candor_guard.reading import read_objects
from evidence import BadInputError

LABELS = ("entailment", "neutral", "contradiction")
_SENTENCE = re.compile(r"(?<=[.!?])\s+(?=[A-Z\"'])")


class Pair(NamedTuple):
    """A premise, a claim, the number of its label; of a `binary` one only entailed or not is known."""

    premise: str
    claim: str
    label: int
    binary: bool = False


def held_out(group: str, share: float = 0.1) -> bool:
    """Whether a group is kept for tests: by a hash of its name, the same on every machine."""
    return int(hashlib.sha256(f"premise:{group}".encode()).hexdigest(), 16) % 1000 < 1000 * share


def read_pairs(path: Path, most_words: int, apart: Sequence[str] = ()) -> list[Pair]:
    """The training part of a file: groups not held out, kinds not kept apart, pairs not too long.

    Rows hold `premise`, `hypothesis`, `label`, and perhaps `binary`, `group` or `did`, and `kind`.
    """
    out = []
    for where, row in read_objects(path):
        if row.get("label") not in LABELS:
            raise BadInputError("a row without a label of inference", where)
        premise, claim = str(row["premise"]), str(row["hypothesis"])
        group = str(row.get("group") or row.get("did") or premise)
        short = len(premise.split()) + len(claim.split()) <= most_words
        if short and not held_out(group) and row.get("kind") not in apart:
            binary = bool(row.get("binary"))
            out.append(Pair(premise, claim, LABELS.index(row["label"]), binary))
    return out


def sentences_of(pairs: Sequence[Pair]) -> list[str]:
    """Whole sentences of 5 to 20 words among the premises, each once, in order."""
    found = sorted({s for pair in pairs for s in _SENTENCE.split(pair.premise.strip())})
    return [s for s in found if 5 <= len(s.split()) <= 20 and s[0].isupper() and s.endswith(".")]
