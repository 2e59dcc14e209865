"""Which tokens of a response can say something: words that only hold a sentence together cannot."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

_HOLDING = re.compile(
    "an?|the|th(?:is|at|ese|ose)|i|you|s?he|it|we|they|me|him|us|them|h(?:er|is)|its|(?:you|ou|thei)rs?|my"
    "|mine|who[ms]?|whose|which|what|t?here|am|is|are|was|were|be|been|being|ha(?:ve|s|d|ving)"
    "|do(?:es|ing)?|did|will|would|shall|should|can|could|may|might|must|of|in|on|at|by|for|with|from"
    "|to|into|onto|about|as|than|and|or|but|so|because|if|then|when|where|while|how|also|just|very|too"
)
"""English articles, pronouns, auxiliaries, prepositions and conjunctions. Words that deny are not among them."""


def telling(tokens: Sequence[str]) -> NDArray[np.bool_]:
    """Whether each token can say something, shape (tokens,): a word or a part of one, but no word that
    only holds a sentence together. What is not English counts as saying something.

    >>> telling((" has", " been", " re", "called", " not", ".", " The", "se")).tolist()
    [False, False, True, True, True, False, True, True]
    """
    out = np.ones(len(tokens), np.bool_)
    for i, token in enumerate(tokens):
        word = token.strip().lower()
        if not any(sign.isalnum() for sign in word) or (
            _HOLDING.fullmatch(word) and _is_whole(tokens, i)
        ):
            out[i] = False
    return out


def _is_whole(tokens: Sequence[str], i: int) -> bool:
    """Whether a token is a word of its own and no part of a longer one."""
    begins = i == 0 or tokens[i][:1].isspace() or not tokens[i - 1][-1:].isalnum()
    ends = i + 1 == len(tokens) or not tokens[i + 1][:1].isalnum()
    return begins and ends
