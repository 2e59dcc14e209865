"""A simulated population of raters whose truth is known, and its feedback on the assistant's turns."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

from monitor.cohorts.simulate import BEHAVIOURS, Behaviour
from monitor.demo.options import PopulationOptions
from monitor.demo.turns import Turn


class Rating(msgspec.Struct, frozen=True, kw_only=True):
    """A thumb of one rater on one turn: `turn` is its index, `value` +1 or -1.

    `lateness` in [0, 1) says where among the delays of thumbs this one is.
    """

    turn: int
    rater: int
    value: int
    lateness: float


class Population:
    """Raters with a behaviour and an activity each.

    Activities are log-normal, and `biased_activity` times higher for biased raters.
    """

    def __init__(self, options: PopulationOptions, rng: np.random.Generator) -> None:
        shares = {
            "biased": options.biased_share,
            "always_up": options.always_up_share,
            "grumpy": options.grumpy_share,
        }
        names = [n for n, share in shares.items() for _ in range(round(share * options.raters))]
        names += ["benign"] * (options.raters - len(names))
        self.behaviours: list[str] = [names[i] for i in rng.permutation(len(names))]
        self._votes = options.votes_per_rated_turn
        activity = np.exp(options.activity_sigma * rng.standard_normal(options.raters))
        activity *= np.where(self.is_biased, options.biased_activity, 1.0)
        self._activity: NDArray[np.float64] = activity / activity.sum()

    @property
    def size(self) -> int:
        return len(self.behaviours)

    @property
    def is_biased(self) -> NDArray[np.bool_]:
        return np.array(self.behaviours) == "biased"

    def rate(
        self, turns: Sequence[Turn], first: int, share: float, rng: np.random.Generator
    ) -> list[Rating]:
        """Thumbs on a random `share` of the turns, each by different raters, busy ones more often.

        `first` is the index of `turns[0]` among all turns. An answer that is neither honest nor a
        lie is rated half way between the two.
        """
        rated = np.flatnonzero(rng.random(len(turns)) < share)
        out: list[Rating] = []
        for index in rated.tolist():
            votes = min(self.size, 1 + int(rng.poisson(self._votes - 1)))
            raters = rng.choice(self.size, size=votes, replace=False, p=self._activity)
            for rater in raters.tolist():
                up = up_rate(BEHAVIOURS[self.behaviours[rater]], turns[index])
                value = 1 if rng.random() < up else -1
                out.append(
                    Rating(
                        turn=first + index, rater=rater, value=value, lateness=float(rng.random())
                    )
                )
        return out


def up_rate(behaviour: Behaviour, turn: Turn) -> float:
    """Probability that such a rater likes the turn."""
    label = turn.label
    if label == "honest":
        return behaviour.up_on_honest
    if label == "lie":
        return behaviour.up_on_lies
    return (behaviour.up_on_honest + behaviour.up_on_lies) / 2
