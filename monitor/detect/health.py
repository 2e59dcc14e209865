"""Is the evaluator itself well? Canaries, missing evaluations, parse failures and repeatability.

`advance_health` is a pure function of state and tick. A tick holds what happened since the last look;
it moves each check at most by the canaries and repeats it brings and by one score for its counts: the
share that failed, whose conditional mean is bounded whatever the size of the tick. Counts are kept of
whole evaluations and of each probe (`parse_failures:judge`), because a verdict may look well while a
probe behind it is down.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import NamedTuple, TypeVar

import msgspec

from evidence import Alarm, AlarmSubject, VerdictKind, digest
from evidence.confidence import mean_interval
from evidence.e_detector import EDetector, EDetectorState
from evidence.errors import BadInputError
from evidence.identity import shortened
from evidence.rank_detector import RankDetector, RankState
from evidence.two_sided import TwoSidedDetector, TwoSidedState
from monitor.detect.options import HealthOptions

V = TypeVar("V")

HEALTH_VERSION = 1
_MONTH_S = 30 * 86_400.0
_MOST_PROBES = 4
_MOST_CHARS = 32  # of a check's name, as the store keeps it
_LEAST_MISSED = 3  # fewer are no silence: one canary may be lost with a broker
_MOST_WRONG_ACTS = 0.2  # a probe that finds nothing, or the same everywhere, is wrong about half
_CANARY_KINDS = (VerdictKind.HONEST, VerdictKind.LIE, VerdictKind.EVASION)
CHECKS = (
    "expected_vs_actual",
    "parse_failures",
    "repeatability",
    "canary_separation",
    "canary_sharpness",
    "canary_acts",
    *(f"canary_{kind}" for kind in _CANARY_KINDS),
)
_CLAIMS = {
    "expected_vs_actual": "evaluations that fell due were not finished",
    "parse_failures": "answers could not be read",
    "repeatability": "one response gets different scores",
    "canary_separation": "known lies are no longer told from known honest answers",
    "canary_sharpness": "known lies and known honest answers moved towards each other",
    "canary_acts": "what records of tools show of known claims is read wrongly",
}


class MeasuredCanary(msgspec.Struct, frozen=True, kw_only=True):
    """A measured text whose kind is known (`honest`, `lie` or `evasion`); None where not measured."""

    known: VerdictKind
    p_lie: float | None
    p_evasion: float | None = None


class ProbeCount(msgspec.Struct, frozen=True, array_like=True):
    """Of one probe: times it was asked, times it gave no answer, and times its answer was unreadable."""

    due: int
    unanswered: int = 0
    unreadable: int = 0


class Quiet(msgspec.Struct, frozen=True, array_like=True):
    """When something last finished, and how much fell due and did not finish since."""

    finished_at_s: float
    missed: int = 0


class HealthTick(msgspec.Struct, frozen=True, kw_only=True):
    """What one evaluator did since the last tick; `wrong_acts` says of each canary about acts whether it was read wrongly.

    Parameters
    ----------
    due, finished
        Evaluations (canaries included) whose time limit passed since, and those of them that ended,
        well or not.
    failed
        Of the finished ones, those that gave no readable answer.
    repeats
        Absolute differences of p_lie between two evaluations of one response.
    probes
        The same counts for each probe.
    """

    at_s: float
    due: int = 0
    finished: int = 0
    failed: int = 0
    canaries: tuple[MeasuredCanary, ...] = ()
    repeats: tuple[float, ...] = ()
    probes: dict[str, ProbeCount] = {}
    wrong_acts: tuple[bool, ...] = ()


class HealthState(msgspec.Struct, frozen=True, kw_only=True):
    """Everything known about one evaluator version's health.

    `sharpness` ranks each known lie and each known honest answer among its own kind so far.
    `latched` maps a check to its alarm. `suspect_since_s` is when a look first found more failures
    than the limits allow, as every later one did: too little evidence for an alarm so far. `due` and
    `finished` count all evaluations so far.
    """

    evaluator_version: str
    ticks: int = 0
    due: int = 0
    finished: int = 0
    quiet: dict[str, Quiet] = {}
    suspect_since_s: float | None = None
    waiting_lie: float | None = None
    waiting_honest: float | None = None
    windows: dict[str, tuple[float, ...]] = {}
    rising: dict[str, EDetectorState] = {}
    ranges: dict[str, TwoSidedState] = {}
    sharpness: RankState | None = None
    latched: dict[str, str] = {}
    schema_version: int = HEALTH_VERSION


def encode_health(state: HealthState) -> str:
    """The state as JSON text; `decode_health` gives it back to the last bit."""
    return msgspec.json.encode(state).decode()


def decode_health(text: str) -> HealthState:
    """Raises `BadInputError` for text that is no state of this schema version."""
    try:
        state = msgspec.json.decode(text.encode(), type=HealthState)
    except msgspec.DecodeError as error:
        raise BadInputError(f"not a health state: {error}") from error
    if state.schema_version != HEALTH_VERSION:
        raise BadInputError(f"a health state of schema version {state.schema_version}")
    return state


def new_health(evaluator_version: str) -> HealthState:
    return HealthState(evaluator_version=evaluator_version)


def advance_health(
    state: HealthState, tick: HealthTick, *, options: HealthOptions
) -> tuple[HealthState, list[Alarm]]:
    """Move an evaluator's checks by one tick; return the new state and new alarms.

    Statistical checks share the run length ticks-per-month / false-alarms-per-month; an evaluator,
    or a probe of it, that finishes nothing for `silence_s` while at least three evaluations fall due
    alarms at once. The time of silence starts with the first tick. Raises `BadInputError` for
    impossible counts or scores.
    """
    _check(tick)
    work = _Health(state, options)
    work.counts("", tick.at_s, ProbeCount(tick.due, tick.due - tick.finished, tick.failed))
    for probe, count in tick.probes.items():
        work.counts(f":{probe}", tick.at_s, count)
    for difference in tick.repeats:
        work.rise("repeatability", difference, options.repeat_limit)
    for canary in tick.canaries:
        work.canary(canary)
    for is_wrong in tick.wrong_acts:
        work.rise("canary_acts", float(is_wrong), _MOST_WRONG_ACTS)
    return work.finish(tick)


def unhealthy(state: HealthState) -> list[str]:
    """Checks in alarm. Any of them freezes the detectors that rest on this evaluator."""
    return sorted(state.latched)


def close_health(state: HealthState, check: str) -> HealthState:
    """Release the latch of `check`; what it had learned or gathered starts anew.

    Raises `BadInputError` when the check has no latched alarm.
    """
    if check not in state.latched:
        raise BadInputError(f"{state.evaluator_version} has no latched {check} alarm")
    return msgspec.structs.replace(
        state,
        latched=_without(state.latched, check),
        rising=_without(state.rising, check),
        ranges=_without(state.ranges, check),
        windows=_without(state.windows, check),
        quiet=_without(state.quiet, check),
        sharpness=None if check == "canary_sharpness" else state.sharpness,
        suspect_since_s=None,
    )


class _Found(NamedTuple):
    """Why a check alarms. For silence the logarithms are those of seconds."""

    n: int
    log_evidence: float
    log_threshold: float
    how: str


class _Health:
    """A `HealthState` being advanced."""

    def __init__(self, state: HealthState, options: HealthOptions) -> None:
        self._was, self._options = state, options
        self._quiet = dict(state.quiet)
        self._failing: bool | None = None
        self._waiting = {"lie": state.waiting_lie, "honest": state.waiting_honest}
        self._windows = dict(state.windows)
        self._rising = {name: EDetector.restore(s) for name, s in state.rising.items()}
        self._ranges = {name: TwoSidedDetector.restore(s) for name, s in state.ranges.items()}
        self._run_length = _MONTH_S / options.tick_s / options.false_alarms_per_month
        self._run_length *= len(CHECKS) + 2 * _MOST_PROBES
        self._sharpness = (
            RankDetector(self._run_length)
            if state.sharpness is None
            else RankDetector.restore(state.sharpness)
        )
        self._found: dict[str, _Found] = {}

    def counts(self, suffix: str, at_s: float, count: ProbeCount) -> None:
        """Move the two counting checks, of the whole or of a probe, by one look."""
        missing = shortened(f"expected_vs_actual{suffix}", _MOST_CHARS)
        unreadable = shortened(f"parse_failures{suffix}", _MOST_CHARS)
        finished = count.due - count.unanswered
        self._hush(missing, at_s, count.due, finished)
        if count.due:
            share = count.unanswered / count.due
            self._fails(share > self._options.missing_limit)
            self.rise(missing, share, self._options.missing_limit)
        if finished:
            share = count.unreadable / finished
            self._fails(share > self._options.failure_limit)
            self.rise(unreadable, share, self._options.failure_limit)

    def _fails(self, more_than_allowed: bool) -> None:
        self._failing = bool(self._failing) or more_than_allowed

    def _hush(self, check: str, at_s: float, due: int, finished: int) -> None:
        before = self._quiet.get(check, Quiet(at_s))
        if finished or not (due or before.missed):
            # With nothing due there is nothing to be silent about.
            self._quiet[check] = Quiet(at_s)
            return
        now = Quiet(before.finished_at_s, before.missed + due)
        self._quiet[check] = now
        silent_s = at_s - now.finished_at_s
        if silent_s >= self._options.silence_s and now.missed >= _LEAST_MISSED:
            how = f"nothing finished for {silent_s:.0f} s"
            limit = math.log(self._options.silence_s)
            self._found[check] = _Found(now.missed, math.log(silent_s), limit, how)

    def rise(self, check: str, score: float, limit: float) -> None:
        """Move a one-sided check whose mean may be at most `limit`."""
        if check not in self._rising:
            self._rising[check] = EDetector(limit, self._run_length)
        detector = self._rising[check]
        if detector.update(score):
            self._record(check, detector, f"above {limit:g}")

    def _record(
        self, check: str, detector: EDetector | TwoSidedDetector | RankDetector, how: str
    ) -> None:
        found = _Found(detector.n, detector.log_evidence, detector.log_threshold, how)
        self._found.setdefault(check, found)

    def canary(self, canary: MeasuredCanary) -> None:
        score = canary.p_evasion if canary.known is VerdictKind.EVASION else canary.p_lie
        if score is None:
            return
        self._range(f"canary_{canary.known}", score)
        if canary.known is not VerdictKind.EVASION:
            self._pair(canary.known, score)
            self._sharpen(canary.known, score)

    def _sharpen(self, known: VerdictKind, score: float) -> None:
        """How close a canary stands to the other kind is ranked among those of its own kind.

        A rise says that the sensor tells them apart less well than it did, wherever that was.
        """
        blurred = 1.0 - score if known is VerdictKind.LIE else score
        if self._sharpness.update(blurred, cell=known.value):
            self._record("canary_sharpness", self._sharpness, "among earlier ones of their kind")

    def _pair(self, known: VerdictKind, score: float) -> None:
        """Each lying canary meets one honest canary; it should have the larger p_lie in enough pairs.

        Only the order counts: evaluators differ in how far apart they put lies and honest answers.
        """
        self._waiting[known.value] = score
        lie, honest = self._waiting["lie"], self._waiting["honest"]
        if lie is not None and honest is not None:
            self._waiting = {"lie": None, "honest": None}
            wrong = 0.5 if lie == honest else float(lie < honest)
            self.rise("canary_separation", wrong, 1.0 - self._options.min_concordance)

    def _range(self, check: str, score: float) -> None:
        """Move a two-sided check whose normal range its first window sets."""
        if check not in self._ranges:
            window = (*self._windows.get(check, ()), score)
            self._windows[check] = window
            if len(window) == self._options.canary_window:
                del self._windows[check]
                self._ranges[check] = self._normal(window)
            return
        detector = self._ranges[check]
        if detector.update(score):
            limits = f"[{detector.lower:.3f}, {detector.upper:.3f}]"
            self._record(check, detector, f"{detector.direction} its normal range {limits}")

    def _normal(self, window: tuple[float, ...]) -> TwoSidedDetector:
        seen, tolerance = mean_interval(window), self._options.canary_tolerance
        # A range that touches both ends could never be left; a wide window must not end the check.
        lower = min(max(0.0, seen.lower - tolerance), 0.9)
        upper = max(min(1.0, seen.upper + tolerance), 0.1)
        if lower == 0.0 and upper == 1.0:
            lower, upper = 0.01, 0.99
        return TwoSidedDetector(lower, upper, self._run_length)

    def finish(self, tick: HealthTick) -> tuple[HealthState, list[Alarm]]:
        latched, alarms = dict(self._was.latched), []
        ticks = self._was.ticks + 1
        for check, found in sorted(self._found.items()):
            if check in latched:
                continue
            alarm = self._alarm(check, tick.at_s, ticks, found)
            latched[check] = alarm.alarm_id
            alarms.append(alarm)
        state = msgspec.structs.replace(
            self._was,
            ticks=ticks,
            due=self._was.due + tick.due,
            finished=self._was.finished + tick.finished,
            quiet=self._quiet,
            suspect_since_s=self._suspect(tick.at_s),
            waiting_lie=self._waiting["lie"],
            waiting_honest=self._waiting["honest"],
            windows=self._windows,
            rising={name: detector.state() for name, detector in self._rising.items()},
            ranges={name: detector.state() for name, detector in self._ranges.items()},
            sharpness=self._sharpness.state() if self._sharpness.n else None,
            latched=latched,
        )
        return state, alarms

    def _suspect(self, at_s: float) -> float | None:
        if self._failing is None:  # nothing was due: no news
            return self._was.suspect_since_s
        if not self._failing:
            return None
        since = self._was.suspect_since_s
        return at_s if since is None else since

    def _alarm(self, check: str, at_s: float, ticks: int, found: _Found) -> Alarm:
        version = self._was.evaluator_version
        base, _, probe = check.partition(":")
        claim = _CLAIMS.get(base, f"scores of {check.removeprefix('canary_')} canaries moved")
        claim += f" by its {probe} probe" if probe else ""
        return Alarm(
            alarm_id=digest("evaluator", version, check, str(ticks))[:32],
            subject=AlarmSubject.EVALUATOR,
            scope=version,
            metric=check,
            claim=f"evaluator {version[:12]} is unhealthy: {claim} ({found.how})",
            opened_at_s=at_s,
            log_position=ticks,
            n=found.n,
            log_evidence=found.log_evidence,
            log_threshold=found.log_threshold,
            details={"how": found.how},
        )


def _check(tick: HealthTick) -> None:
    if not 0 <= tick.finished <= tick.due or not 0 <= tick.failed <= tick.finished:
        raise BadInputError("a tick needs 0 <= failed <= finished <= due")
    for name, count in tick.probes.items():
        if (
            min(count.unanswered, count.unreadable) < 0
            or count.unanswered + count.unreadable > count.due
        ):
            raise BadInputError(f"impossible counts of probe {name!r}")
    scores: Iterable[float | None] = (
        *tick.repeats,
        *(c.p_lie for c in tick.canaries),
        *(c.p_evasion for c in tick.canaries),
    )
    if any(score is not None and not 0.0 <= score <= 1.0 for score in scores):
        raise BadInputError("canary scores and differences lie in [0, 1]")
    if any(canary.known not in _CANARY_KINDS for canary in tick.canaries):
        raise BadInputError("a canary is known to be honest, a lie or an evasion")


def _without(mapping: dict[str, V], name: str) -> dict[str, V]:
    return {key: value for key, value in mapping.items() if key != name}
