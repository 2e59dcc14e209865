"""What the likelihoods of a response in several contexts say about it, in nats per token."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


class Weighed(NamedTuple):
    """Natural-log probability of every token of a response, shape (tokens,) each.

    Parameters
    ----------
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

    neutral: Array
    fresh: Array | None = None
    untold: Array | None = None
    own: float | None = None


def features(weighed: Weighed) -> dict[str, float]:
    """Named features of one response.

    `surprise_nats` is minus the mean log-likelihood without the pressure. `earlier_nats` is how much
    of the likelihood the assistant's earlier turns lend. `told_nats` is how much what was told speaks
    against the response: the mean pointwise mutual information of the two, negated; tone and wording
    are as likely with the facts as without, so it does not move with them. `own_nats` is how much
    likelier the response's own version finds it: absent where that version was not asked.
    """
    neutral = float(weighed.neutral.mean())
    fresh = neutral if weighed.fresh is None else float(weighed.fresh.mean())
    untold = neutral if weighed.untold is None else float(weighed.untold.mean())
    found = {
        "surprise_nats": -neutral,
        "earlier_nats": neutral - fresh,
        "told_nats": untold - neutral,
    }
    if weighed.own is not None:
        found["own_nats"] = weighed.own / len(weighed.neutral) - neutral
    return found


def matrix(rows: Sequence[dict[str, float]], names: Sequence[str]) -> NDArray[Any]:
    """The named features of several responses, shape (responses, features)."""
    return np.array([[row[name] for name in names] for row in rows], float).reshape(-1, len(names))
