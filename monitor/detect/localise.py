"""What an alarm is about: where, since when, how large, and the verdicts that tell most."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec
import numpy as np

from evidence import Alarm
from evidence.confidence import confidence_sequence, wilson
from evidence.records import LoggedVerdict
from monitor.detect.scores import score_of
from monitor.detect.topics import Embed, topics

TELLING_SHOWN = 20


class LocatedVerdict(msgspec.Struct, frozen=True, kw_only=True):
    """A logged verdict with what it is about; `text` is None where it is not kept."""

    entry: LoggedVerdict
    key: str
    response_id: str
    text: str | None


class Slice(msgspec.Struct, frozen=True, kw_only=True):
    """Mean score of a part before and since the rise most likely began, with a 95 % interval (Wilson)."""

    name: str
    n_before: int
    mean_before: float | None
    n: int
    mean: float | None
    lower: float | None
    upper: float | None


class Size(msgspec.Struct, frozen=True, kw_only=True):
    """Mean score after the alarm, which these verdicts did not raise, with a 95 % confidence sequence."""

    n: int
    mean: float
    lower: float
    upper: float


class TellingVerdict(msgspec.Struct, frozen=True, kw_only=True):
    """One of the highest scores since the rise most likely began."""

    key: str
    response_id: str
    model: str
    kind: str
    score: float
    scored_at_s: float
    topic: str | None


class Localisation(msgspec.Struct, frozen=True, kw_only=True):
    """Where (stratum, model versions, topics), how large, and the most telling verdicts.

    Since when is in the alarm itself. `topics_missing` says why there are none.
    """

    alarm_id: str
    made_at_s: float
    stratum: str
    models: tuple[Slice, ...]
    topics: tuple[Slice, ...]
    topics_missing: str | None
    size: Size | None
    telling: tuple[TellingVerdict, ...]


def since_of(alarm: Alarm) -> int:
    """Log position at which the rise most likely began; the alarm's own when no start was found."""
    found = alarm.details.get("since")
    return int(found["position"]) if found else alarm.log_position


def localise(
    alarm: Alarm, located: Sequence[LocatedVerdict], *, embed: Embed | None, at_s: float
) -> Localisation:
    """Localise an alarm of a stratum in verdicts from before and after the rise, in log order.

    The parts' means hold the scores that raised the alarm and are inflated by that choice; `size` is
    not. Deterministic in its arguments.
    """
    scored = [
        (item, score)
        for item in located
        if (score := score_of(alarm.metric, item.entry)) is not None
    ]
    since = since_of(alarm)
    after = [s for item, s in scored if item.entry.log_position > alarm.log_position]
    by_key, found, why = _topics([item for item, _ in scored], embed)
    return Localisation(
        alarm_id=alarm.alarm_id,
        made_at_s=at_s,
        stratum=alarm.scope,
        models=_slices([(item.entry.model, item, s) for item, s in scored], since),
        topics=_slices(
            [(by_key[item.key], item, s) for item, s in scored if item.key in by_key], since
        )
        if found
        else (),
        topics_missing=why,
        size=_size(after),
        telling=_telling(scored, since, by_key if found else {}),
    )


def _topics(
    items: Sequence[LocatedVerdict], embed: Embed | None
) -> tuple[dict[str, str], bool, str | None]:
    with_text = [item for item in items if item.text]
    if embed is None:
        return {}, False, "no embedding model is loaded in this process"
    if not with_text:
        return {}, False, "no text is kept"
    labels, names = topics([item.text or "" for item in with_text], embed)
    return {item.key: names[k] for item, k in zip(with_text, labels, strict=True)}, True, None


def _slices(parts: Iterable[tuple[str, LocatedVerdict, float]], since: int) -> tuple[Slice, ...]:
    before: dict[str, list[float]] = {}
    now: dict[str, list[float]] = {}
    for name, item, score in parts:
        side = now if item.entry.log_position >= since else before
        side.setdefault(name, []).append(score)
    made = [_slice(name, before.get(name, []), now.get(name, [])) for name in {*before, *now}]
    return tuple(sorted(made, key=lambda part: (-(part.mean or 0.0), part.name)))


def _slice(name: str, before: Sequence[float], now: Sequence[float]) -> Slice:
    interval = wilson(sum(now), len(now)) if now else None
    return Slice(
        name=name,
        n_before=len(before),
        mean_before=float(np.mean(before)) if before else None,
        n=len(now),
        mean=float(np.mean(now)) if now else None,
        lower=interval.lower if interval else None,
        upper=interval.upper if interval else None,
    )


def _size(after: Sequence[float]) -> Size | None:
    if not after:
        return None
    lower, upper = confidence_sequence(after)
    return Size(
        n=len(after), mean=float(np.mean(after)), lower=float(lower[-1]), upper=float(upper[-1])
    )


def _telling(
    scored: Iterable[tuple[LocatedVerdict, float]], since: int, topic_of: dict[str, str]
) -> tuple[TellingVerdict, ...]:
    recent = [(item, score) for item, score in scored if item.entry.log_position >= since]
    recent.sort(key=lambda pair: (-pair[1], -pair[0].entry.log_position))
    return tuple(
        TellingVerdict(
            key=item.key,
            response_id=item.response_id,
            model=item.entry.model,
            kind=item.entry.kind.value,
            score=score,
            scored_at_s=item.entry.scored_at_s,
            topic=topic_of.get(item.key),
        )
        for item, score in recent[:TELLING_SHOWN]
    )
