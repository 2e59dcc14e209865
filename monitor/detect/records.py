"""What detection keeps: references and the state of a stratum."""

from __future__ import annotations

import msgspec

from evidence.change_point import Block
from evidence.e_detector import EDetectorState
from evidence.errors import BadInputError
from evidence.rank_detector import RankState
from evidence.start_weighted import StartWeightedState

STATE_VERSION = 1
METRICS = ("lie", "evasion", "worst_case", "own_actions")
RANKED = ("lie", "evasion")
"""Metrics whose scores are also ranked. The worst case counts failures, and acts are contradicted while a tool is
down: both come in clusters."""
PARTIAL = frozenset({"own_actions"})
"""Metrics of which most verdicts may say nothing: they wait until enough do, and hold nothing up meanwhile."""


class Reference(msgspec.Struct, frozen=True, kw_only=True):
    """What an honest assistant's mean score is at most, under one evaluator.

    Parameters
    ----------
    value
        The bound that scores are compared with (before the tolerance).
    source
        `declared`, `learned`, `rescored` (a new evaluator on the old window), `person` or `release`.
    n, estimate, error
        Of a learned or rescored reference: the window's size and mean, and the probability that `value` lies
        below the true mean.
    log_position
        Log position from which it applies.
    """

    value: float
    source: str
    log_position: int
    n: int = 0
    estimate: float | None = None
    error: float = 0.0


class Tally(msgspec.Struct, frozen=True, array_like=True):
    """Count and sum of scores, with the first log position."""

    n: int
    total: float
    first_position: int


class Telling(msgspec.Struct, frozen=True, array_like=True):
    """A score above the bound and where it stands in the log."""

    score: float
    log_position: int


class StreamState(msgspec.Struct, frozen=True, kw_only=True):
    """One metric of a stratum under one evaluator version.

    Without a reference the stream is learning and `window` fills; with one, `detector` runs. A
    reference so high that no mean could exceed it leaves `detector` None.
    `joint` is the same evidence as an e-value, for reports of several streams together.
    `ranks` holds the stream's past scores; they are bet on where `ranked`, which a declared reference
    never is. `hours` are then those of the reference (`monitor.detect.hours`), outside which the mean is
    not compared. `trace` is how the evidence of the ranks moved: the count of scores and its logarithm.
    """

    metric: str
    evaluator_version: str
    reference: Reference | None = None
    window: tuple[float, ...] = ()
    detector: EDetectorState | None = None
    joint: StartWeightedState | None = None
    blocks: tuple[Block, ...] = ()
    telling: tuple[Telling, ...] = ()
    models: dict[str, Tally] = {}
    after_alarm: Tally | None = None
    ranks: RankState | None = None
    ranked: bool = False
    hours: tuple[str, ...] = ()
    trace: tuple[tuple[int, float], ...] = ()


class StratumState(msgspec.Struct, frozen=True, kw_only=True):
    """Everything detection knows about a stratum after `log_position`.

    `latched` maps a metric to its open alarm's id; `frozen` an evaluator version to why its scores
    are not believed, `believed_after` one to the log position after which they are again; `evaluators`
    lists the versions seen, the last one the latest.
    """

    stratum: str
    average_run_length: float
    log_position: int = -1
    streams: tuple[StreamState, ...] = ()
    evaluators: tuple[str, ...] = ()
    latched: dict[str, str] = {}
    frozen: dict[str, str] = {}
    believed_after: dict[str, int] = {}
    schema_version: int = STATE_VERSION


def encode_state(state: StratumState) -> str:
    """The state as JSON text; `decode_state` gives it back to the last bit."""
    return msgspec.json.encode(state).decode()


def decode_state(text: str) -> StratumState:
    """Raises `BadInputError` for text that is no state, or one of another schema version."""
    try:
        state = msgspec.json.decode(text.encode(), type=StratumState)
    except msgspec.DecodeError as error:
        raise BadInputError(f"not a detector state: {error}") from error
    if state.schema_version != STATE_VERSION:
        raise BadInputError(
            f"a detector state of schema version {state.schema_version}, not {STATE_VERSION}"
        )
    return state
