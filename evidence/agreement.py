"""How far two people agree beyond chance: Cohen's kappa."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

import msgspec
from scipy.special import ndtri


class Agreement(msgspec.Struct, frozen=True, kw_only=True):
    """Agreement of two people on `n` items.

    `kappa` with its interval is None where chance alone explains every answer: both always gave the same one.
    """

    n: int
    agreed: int
    kappa: float | None
    lower: float | None
    upper: float | None


def cohens_kappa(pairs: Sequence[tuple[str, str]], *, error: float = 0.05) -> Agreement:
    """Cohen's kappa (1960) of pairs of answers, with the interval of Fleiss, Cohen and Everitt (1969).

    The interval is that of large samples, cut to [-1, 1]: with fewer than about thirty items it is too
    narrow.
    """
    n = len(pairs)
    agreed = sum(a == b for a, b in pairs)
    first, second = Counter(a for a, _ in pairs), Counter(b for _, b in pairs)
    chance = sum(first[name] * second[name] for name in first) / (n * n) if n else 1.0
    if chance >= 1.0:
        return Agreement(n=n, agreed=agreed, kappa=None, lower=None, upper=None)
    observed = agreed / n
    kappa = (observed - chance) / (1.0 - chance)
    spread = 0.0
    for (a, b), count in Counter(pairs).items():
        # How each cell moves kappa, by the delta method.
        margins = (second[a] + first[b]) / n
        own = (1.0 - kappa) * ((second[a] + first[a]) / n) if a == b else 0.0
        part = (1.0 - own) ** 2 if a == b else (1.0 - kappa) ** 2 * margins**2
        spread += count / n * part
    spread -= (kappa - chance * (1.0 - kappa)) ** 2
    half = -float(ndtri(error / 2.0)) * math.sqrt(max(0.0, spread) / n) / (1.0 - chance)
    return Agreement(
        n=n,
        agreed=agreed,
        kappa=kappa,
        lower=max(-1.0, kappa - half),
        upper=min(1.0, kappa + half),
    )
