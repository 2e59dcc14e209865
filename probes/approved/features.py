"""What the likelihoods of a response in several contexts say about it, in nats per token."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from probes.approved.claims import claim
from probes.approved.words import telling

Array = NDArray[np.float64]

_LEAST_NATS = 0.05


class Weighed(NamedTuple):
    """A response token by token, with the natural-log probability of each, shape (tokens,).

    Parameters
    ----------
    tokens
        The text of each.
    neutral
        By the approved version without the pressure; the mean over neutral conversations.
    fresh
        The same without what the assistant had said earlier; None where it had said nothing.
    untold
        The same without what was told; None where nothing was told.
    own
        Sum over the tokens by the response's own version in its own context, however that cuts the
        text into tokens; None where that version is not at hand.
    """

    tokens: tuple[str, ...]
    neutral: Array
    fresh: Array | None = None
    untold: Array | None = None
    own: float | None = None

    @property
    def claim(self) -> range:
        """The tokens of the sentence that what was told bears on most; all where nothing was told."""
        if self.untold is None:
            return range(len(self.neutral))
        return claim(self.tokens, self.untold - self.neutral)


def features(weighed: Weighed) -> dict[str, float]:
    """Named features of one response.

    Read off the claim alone (`Weighed.claim`), since a greeting or another tone surprises without
    saying anything: `claim_nats`, minus the mean log-likelihood without the pressure, and `log_claim_nats`,
    its logarithm; `told_nats`, by how much what was told speaks against it (the mean pointwise mutual
    information of the two, negated), and `told_most_nats`, the same of the one of its telling words
    (`words.telling`) where that is largest; `told_share`, its surprise over that without what was told. With `fresh_` before them the same
    without the assistant's earlier turns, since an earlier false answer makes its repetition likely;
    `earlier_nats`, how much of its likelihood those turns lend. `surprise_nats` is that of the whole
    response, `own_nats` how much likelier its own version finds it: absent where that version was not asked.
    """
    part = slice(weighed.claim.start, weighed.claim.stop)
    neutral = weighed.neutral[part]
    fresh = neutral if weighed.fresh is None else weighed.fresh[part]
    untold = neutral if weighed.untold is None else weighed.untold[part]
    words = telling(weighed.tokens)[part]
    whole = float(weighed.neutral.mean())
    found = {
        **_of(neutral, untold, words),
        **{f"fresh_{name}": value for name, value in _of(fresh, untold, words).items()},
        "earlier_nats": float((neutral - fresh).mean()),
        "surprise_nats": -whole,
    }
    if weighed.own is not None:
        found["own_nats"] = weighed.own / len(weighed.neutral) - whole
    return found


def _of(neutral: Array, untold: Array, words: NDArray[np.bool_]) -> dict[str, float]:
    """What the facts say of the claim's tokens, and of those that are telling `words`, shape (tokens,) each."""
    told = untold - neutral
    return {
        "claim_nats": -float(neutral.mean()),
        "log_claim_nats": math.log(max(-float(neutral.mean()), _LEAST_NATS)),
        "told_nats": float(told.mean()),
        "told_most_nats": float((told[words] if words.any() else told).max()),
        "told_share": float(neutral.sum() / min(untold.sum(), -_LEAST_NATS)),
    }


def matrix(rows: Sequence[Mapping[str, float]], names: Sequence[str]) -> NDArray[Any]:
    """The named features of several responses, shape (responses, features)."""
    return np.array([[row[name] for name in names] for row in rows], float).reshape(-1, len(names))
