"""An e-detector on ranks: is a score high among those of its own past?

A conformal test martingale inside a Shiryaev-Roberts statistic (Vovk, Petej, Nouretdinov, Ahlberg,
Carlsson, Gammerman 2021, "Retrain or not retrain"). The past grows with every score. If the scores of a
cell are exchangeable, the smoothed ranks are independent and uniform, so with M_t = (M_{t-1} + 1) L_t
M_t - t is a martingale in the filtration of the ranks: run length >= A and P(alarm by t) <= t / A.

Cells part what must not be compared, such as nights with days. Scores are kept as counts in bins of
equal width on the scale of log odds, so the state is small however long the past is.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping

import msgspec
import numpy as np

from evidence.e_detector import log_statistic, step
from evidence.e_process import Floats, log_mixture
from evidence.errors import BadInputError
from evidence.rank_bets import rank_bets

Past = Mapping[str, Mapping[int, int]]
"""Counts of scores by cell and bin."""

BIN_WIDTH = 0.1
"""Of the bins that scores are counted in, in log odds."""
OUTERMOST = 64
"""Bins go from -64 to 63."""


class RankState(msgspec.Struct, frozen=True, kw_only=True, tag="rank"):
    """Everything a `RankDetector` is; floats survive JSON exactly.

    `held` is the past as it was at the alarm, which a restart goes back to.
    """

    average_run_length: float
    n: int
    past: dict[str, dict[int, int]] = {}
    held: dict[str, dict[int, int]] | None = None
    log_one_plus: tuple[float, ...] = ()
    log_started: tuple[float, ...] = ()
    alarm: bool = False
    schema_version: int = 1


def bin_of(score: float) -> int:
    """The bin of a score in [0, 1], -64 to 63; those from 0 on hold scores of one half and more.

    Raises `BadInputError` for any other number.
    """
    if not 0.0 <= score <= 1.0:
        raise BadInputError(f"a score must lie in [0, 1], not {score!r}")
    if score in {0.0, 1.0}:
        return -OUTERMOST if score == 0.0 else OUTERMOST - 1
    odds = math.log(score) - math.log1p(-score)
    return max(-OUTERMOST, min(OUTERMOST - 1, math.floor(odds / BIN_WIDTH)))


def score_in(bin_: int) -> float:
    """The score in the middle of a bin; 0 and 1 for the outermost ones, which hold all beyond."""
    if bin_ in {-OUTERMOST, OUTERMOST - 1}:
        return 0.0 if bin_ < 0 else 1.0
    return 1.0 / (1.0 + math.exp(-(bin_ + 0.5) * BIN_WIDTH))


def tie_of(name: str) -> float:
    """A number in [0, 1) that breaks ties: a hash, so that a replay breaks them alike."""
    digest = hashlib.blake2b(name.encode(), digest_size=6).digest()
    return int.from_bytes(digest) / 2.0**48


class RankDetector:
    """Raises an alarm when scores in [0, 1] stand higher than exchangeable with their past allows.

    Parameters
    ----------
    average_run_length
        Expected scores to a false alarm are at least this many.
    past
        Scores known before the first update, by cell.
    """

    def __init__(self, average_run_length: float = 10_000, past: Past | None = None) -> None:
        if not (average_run_length > 1.0 and math.isfinite(average_run_length)):
            raise BadInputError(
                f"the average run length must be finite and above 1, not {average_run_length!r}"
            )
        self.average_run_length = float(average_run_length)
        self.log_threshold = math.log(self.average_run_length)
        self._bets = rank_bets()
        self._past = _copied(past or {})
        self._held: dict[str, dict[int, int]] | None = None
        self._forget()

    def reset(self) -> None:
        """Forget all evidence and the whole past."""
        self._past, self._held = {}, None
        self._forget()

    def restart(self) -> None:
        """Forget all evidence, as after an alarm was closed; the past is that before the alarm."""
        if self._held is not None:
            self._past, self._held = self._held, None
        self._forget()

    def _forget(self) -> None:
        self.n = 0
        self.alarm = False
        self._log_one_plus: Floats = np.zeros_like(self._bets.log_weights)
        self._log_started: Floats = np.full_like(self._bets.log_weights, -np.inf)

    @property
    def past(self) -> Past:
        """What the next score is ranked among."""
        return self._past

    @property
    def log_evidence(self) -> float:
        """Natural logarithm of the mixture statistic; -inf before the first score."""
        return float(log_statistic(self._log_one_plus, self._bets.log_weights))

    @property
    def log_e_value(self) -> float:
        """Natural logarithm of the start-weighted e-value (`evidence.start_weighted`); 0 at first."""
        started = float(log_mixture(self._log_started, self._bets.log_weights))
        return float(np.logaddexp(started, -math.log(self.n + 1.0)))

    def learn(self, score: float, cell: str = "") -> None:
        """Add a score to the past without betting on it."""
        counts, at = self._past.setdefault(cell, {}), bin_of(score)
        counts[at] = counts.get(at, 0) + 1

    def hold(self) -> None:
        """Keep the past as it is for a restart; the first call since the last restart counts."""
        if self._held is None:
            self._held = _copied(self._past)

    def update(
        self,
        score: float | None,
        propensity: float = 1.0,
        cheap: float | None = None,
        *,
        cell: str = "",
        tie: float | None = None,
    ) -> bool:
        """Take one score in and return whether the alarm has been raised since the last restart.

        `tie` in [0, 1) breaks ties and must not depend on the score; None takes it from the count of
        scores. Two-phase data are not supported: raises BadInputError for a propensity other than 1
        or a cheap score. O(bins + bets).
        """
        if propensity != 1.0 or cheap is not None:
            raise BadInputError("a detector on ranks takes fully observed scores only")
        if score is None:
            return self.alarm
        rank = self._rank(bin_of(score), cell, tie_of(str(self.n)) if tie is None else tie)
        factors = self._bets.at(rank)
        self.n += 1
        self._log_one_plus = step(self._log_one_plus, factors)
        start = -math.log(self.n * (self.n + 1.0))
        self._log_started = np.logaddexp(self._log_started, start) + factors
        if not self.alarm and self.log_evidence >= self.log_threshold:
            self.alarm = True
            self.hold()
        self.learn(score, cell)
        return self.alarm

    def _rank(self, at: int, cell: str, tie: float) -> float:
        """The smoothed share of the cell's scores, this one among them, that stand as high or higher."""
        counts = self._past.get(cell, {})
        above = sum(n for bin_, n in counts.items() if bin_ > at)
        equal = counts.get(at, 0) + 1
        return (above + tie * equal) / (sum(counts.values()) + 1)

    def state(self) -> RankState:
        return RankState(
            average_run_length=self.average_run_length,
            n=self.n,
            past=_copied(self._past),
            held=None if self._held is None else _copied(self._held),
            log_one_plus=tuple(self._log_one_plus.tolist()) if self.n else (),
            log_started=tuple(self._log_started.tolist()) if self.n else (),
            alarm=self.alarm,
        )

    @classmethod
    def restore(cls, state: RankState) -> RankDetector:
        """The detector as it was, to the last bit."""
        made = cls(state.average_run_length, state.past)
        made.n, made.alarm = state.n, state.alarm
        made._held = None if state.held is None else _copied(state.held)
        if state.n:
            made._log_one_plus = made._restored(state.log_one_plus)
            made._log_started = made._restored(state.log_started)
        return made

    def _restored(self, values: tuple[float, ...]) -> Floats:
        if len(values) != len(self._bets.log_weights):
            raise BadInputError(
                f"a stored state has {len(values)} bets where {len(self._bets.log_weights)} belong"
            )
        return np.array(values, dtype=np.float64)


def past_of(scores: Mapping[str, list[float]]) -> dict[str, dict[int, int]]:
    """The past that scores by cell make."""
    made = RankDetector()
    for cell, values in scores.items():
        for score in values:
            made.learn(score, cell)
    return _copied(made.past)


def _copied(past: Past) -> dict[str, dict[int, int]]:
    return {cell: dict(counts) for cell, counts in past.items()}
