"""A stratum's detectors as a fold over the canonical verdict log.

`advance` is a pure function of state and entries, so a replay of the log gives the same states and
alarms however it is cut into batches.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType

import msgspec

from evidence import Alarm
from evidence.errors import BadInputError
from evidence.multiplicity import run_length_of_each, total_run_length
from evidence.rank_detector import Past
from evidence.records import LoggedVerdict
from monitor.detect.finding import finding, mean_of
from monitor.detect.options import DetectionOptions
from monitor.detect.records import METRICS, Reference, StratumState, StreamState
from monitor.detect.scores import score_of
from monitor.detect.stream import Stream

EVALUATORS_KEPT = 4


def new_state(stratum: str, *, options: DetectionOptions, n_streams: int = 1) -> StratumState:
    """The state before the first verdict.

    Parameters
    ----------
    n_streams
        Strata that one response moves. A response belongs to one stratum, so 1 keeps the budget
        however many strata are watched; more is stricter than needed.

    Raises `BadInputError` when a declared reference leaves nothing to detect.
    """
    for metric in METRICS:
        declared = options.declared(metric)
        if declared is not None and not 0.0 < declared + options.tolerance < 1.0:
            raise BadInputError(
                f"the declared reference of {metric} and the tolerance must sum to a share in (0, 1)",
                "detection.reference, detection.tolerance",
            )
    total = total_run_length(options.false_alarms_per_month, options.responses_per_month)
    return StratumState(
        stratum=stratum,
        average_run_length=run_length_of_each(total, n_streams * len(METRICS)),
    )


def advance(
    state: StratumState, entries: Sequence[LoggedVerdict], *, options: DetectionOptions
) -> tuple[StratumState, list[Alarm]]:
    """Move the stratum's detectors by log entries in order; return the new state and new alarms.

    Entries at or before `state.log_position` were read already and are passed over. An evaluator
    version not seen before gets streams and references of its own: the declared reference, else a
    newly learned one; the streams of the old version stand still and keep their evidence. A new
    model version changes nothing: it is compared with its predecessor's reference.

    Raises `BadInputError` for an entry of another stratum.
    """
    work = _Work(state, options)
    alarms: list[Alarm] = []
    for entry in entries:
        if entry.stratum != state.stratum:
            raise BadInputError(f"a verdict of stratum {entry.stratum!r} in {state.stratum!r}")
        if entry.log_position > work.log_position:
            alarms.extend(work.take(entry))
    return work.state(), alarms


class _Work:
    """A `StratumState` being advanced."""

    def __init__(self, state: StratumState, options: DetectionOptions) -> None:
        self._was, self._options = state, options
        self.log_position = state.log_position
        self._evaluators = list(state.evaluators)
        self._latched = dict(state.latched)
        self._streams: dict[tuple[str, str], Stream] = {
            (s.evaluator_version, s.metric): Stream(s, state.average_run_length, options.tolerance)
            for s in state.streams
        }

    def take(self, entry: LoggedVerdict) -> list[Alarm]:
        self.log_position = entry.log_position
        self._meet(entry)
        believed_after = self._was.believed_after.get(entry.evaluator_version, -1)
        if entry.evaluator_version in self._was.frozen or entry.log_position <= believed_after:
            return []
        alarms = []
        for metric in METRICS:
            score = score_of(metric, entry)
            if score is None:
                continue
            stream = self._streams[entry.evaluator_version, metric]
            if stream.take(entry, score, self._options) and metric not in self._latched:
                alarm = finding(stream, entry)
                self._latched[metric] = alarm.alarm_id
                alarms.append(alarm)
        return alarms

    def _meet(self, entry: LoggedVerdict) -> None:
        """Make the entry's evaluator the latest, with streams of its own."""
        version = entry.evaluator_version
        if self._evaluators and self._evaluators[-1] == version:
            return
        if version in self._evaluators:
            self._evaluators.remove(version)
        else:
            for metric in METRICS:
                self._streams[version, metric] = _begin(
                    self._was, version, metric, entry.log_position, self._options
                )
        self._evaluators.append(version)
        for gone in self._evaluators[:-EVALUATORS_KEPT]:
            for metric in METRICS:
                del self._streams[gone, metric]
        del self._evaluators[:-EVALUATORS_KEPT]

    def state(self) -> StratumState:
        return msgspec.structs.replace(
            self._was,
            log_position=self.log_position,
            streams=tuple(stream.state() for stream in self._streams.values()),
            evaluators=tuple(self._evaluators),
            latched=self._latched,
        )


def _begin(
    state: StratumState, version: str, metric: str, log_position: int, options: DetectionOptions
) -> Stream:
    """A stream for an evaluator not seen before: with the declared reference, else learning."""
    empty = StreamState(metric=metric, evaluator_version=version)
    stream = Stream(empty, state.average_run_length, options.tolerance)
    declared = options.declared(metric)
    if declared is not None:
        stream.set_reference(
            Reference(value=declared, source="declared", log_position=log_position)
        )
    return stream


def rebase(
    state: StratumState,
    references: dict[str, Reference],
    *,
    options: DetectionOptions,
    evaluator_version: str | None = None,
    pasts: Mapping[str, Past] = MappingProxyType({}),
) -> StratumState:
    """Compare with `references` (by metric) from now on, as a person or a release decides.

    `pasts` holds, by metric, the scores that a reference was taken from (`monitor.detect.hours`), which
    later ones are ranked among; without it the mean alone is compared.

    Applies to the latest evaluator version unless another is named, which may be one not seen yet:
    so a re-scored reference is in place before its evaluator goes live. Evidence against the old
    reference is dropped; latched alarms stay, for only closing releases them.

    Raises `BadInputError` for an unknown metric, a value outside (0, 1), or no evaluator at all.
    """
    version = evaluator_version or (state.evaluators[-1] if state.evaluators else None)
    if version is None:
        raise BadInputError("the stratum has no evaluator yet: name its version")
    for metric, reference in references.items():
        if metric not in METRICS:
            raise BadInputError(f"unknown metric {metric!r}: one of {', '.join(METRICS)}")
        if not 0.0 < reference.value + options.tolerance < 1.0:
            raise BadInputError(f"reference + tolerance of {metric} must lie in (0, 1)")
    streams = {
        (s.evaluator_version, s.metric): Stream(s, state.average_run_length, options.tolerance)
        for s in state.streams
    }
    for metric in METRICS:
        if (version, metric) not in streams:
            streams[version, metric] = _begin(state, version, metric, state.log_position, options)
        if metric in references:
            streams[version, metric].set_reference(references[metric], pasts.get(metric))
    known = state.evaluators if version in state.evaluators else (version, *state.evaluators)
    states = tuple(stream.state() for stream in streams.values())
    return msgspec.structs.replace(state, streams=states, evaluators=known)


def close(state: StratumState, metric: str, *, options: DetectionOptions) -> StratumState:
    """Release the latch of `metric` and start its detectors anew against the same references.

    Raises `BadInputError` when the metric has no latched alarm.
    """
    if metric not in state.latched:
        raise BadInputError(f"{state.stratum} has no latched {metric} alarm")
    streams = []
    for held in state.streams:
        if held.metric == metric and held.reference is not None:
            stream = Stream(held, state.average_run_length, options.tolerance)
            stream.forget()
            streams.append(stream.state())
        else:
            streams.append(held)
    latched = {name: alarm for name, alarm in state.latched.items() if name != metric}
    return msgspec.structs.replace(state, streams=tuple(streams), latched=latched)


def freeze(state: StratumState, evaluator_version: str, reason: str) -> StratumState:
    """Stop believing an evaluator: its verdicts move nothing, its evidence is kept."""
    return msgspec.structs.replace(state, frozen={**state.frozen, evaluator_version: reason})


def thaw(state: StratumState, evaluator_version: str, *, after: int = -1) -> StratumState:
    """Believe the evaluator again, from the next verdict after this log position on."""
    rest = {name: why for name, why in state.frozen.items() if name != evaluator_version}
    believed = {name: at for name, at in state.believed_after.items() if name in state.evaluators}
    if after > state.log_position:
        believed[evaluator_version] = after
    return msgspec.structs.replace(state, frozen=rest, believed_after=believed)


def status(state: StratumState) -> dict[str, dict[str, object]]:
    """By metric, under the latest evaluator: what the detector does and how strong its evidence is.

    `phase` is `waiting` (no verdict yet), `learning`, `watching`, `blind` (no score can exceed the
    reference), `frozen` or `alarm`. `after_alarm` is the mean since the alarm with its interval: the
    size of the rise free of the selection that raised the alarm.
    """
    latest = state.evaluators[-1] if state.evaluators else None
    found: dict[str, dict[str, object]] = {m: {"phase": "waiting"} for m in METRICS}
    for held in state.streams:
        if held.evaluator_version != latest:
            continue
        entry: dict[str, object] = {
            "phase": _phase(state, held),
            "evaluator_version": held.evaluator_version,
            "reference": held.reference.value if held.reference else None,
            "reference_source": held.reference.source if held.reference else None,
            "learned": len(held.window),
            "alarm_id": state.latched.get(held.metric),
        }
        found_by = Stream(held, state.average_run_length, 0.0).evidence()
        if found_by is not None:
            entry |= {
                "n": found_by.n,
                "log_evidence": found_by.log_evidence if found_by.n else None,
                "log_threshold": found_by.log_threshold,
            }
        if held.after_alarm:
            entry["after_alarm"] = mean_of(held.after_alarm)
        found[held.metric] = entry
    return found


def _phase(state: StratumState, held: StreamState) -> str:
    if held.metric in state.latched:
        return "alarm"
    if held.evaluator_version in state.frozen:
        return "frozen"
    if held.reference is None:
        return "learning"
    return "watching" if held.detector or held.ranked else "blind"
