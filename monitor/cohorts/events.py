"""Feedback joined to the honesty of the response it was given to, as records and as columns."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from evidence import BadInputError


class RatedEvent(msgspec.Struct, frozen=True, kw_only=True):
    """One feedback on one response.

    Parameters
    ----------
    value
        In [-1, 1]; a thumb is -1 or 1, an edit counts by its size as disapproval, a pairwise
        preference is one event of 1 for the chosen and one of -1 for the rejected response.
    p_lie
        Calibrated probability that the response is dishonest; None where it was not measured:
        such an event is kept out of every estimate and counted.
    created_at_s
        Seconds since the epoch, UTC.
    """

    feedback_id: str
    rater: str
    response_id: str
    value: float
    p_lie: float | None
    created_at_s: float
    topic: str = ""
    kind: str = "thumb"


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class EventTable:
    """Events as parallel columns, ordered by (created_at_s, feedback_id), one per rater and response.

    Parameters
    ----------
    raters, responses, topics
        Names; the code of a name is its index. Sorted, so that codes do not depend on input order.
    rater, response, topic
        int32 codes, shape (n,).
    value, p_lie, created_at_s
        float64, shape (n,); p_lie is NaN where unmeasured.
    n_superseded
        Events dropped because the same rater rated the same response again later.
    """

    raters: Sequence[str]
    responses: Sequence[str]
    topics: Sequence[str]
    rater: NDArray[np.int32]
    response: NDArray[np.int32]
    topic: NDArray[np.int32]
    value: NDArray[np.float64]
    p_lie: NDArray[np.float64]
    created_at_s: NDArray[np.float64]
    n_superseded: int = 0

    def __len__(self) -> int:
        return len(self.value)

    @classmethod
    def from_events(cls, events: Iterable[RatedEvent]) -> EventTable:
        """Order, intern and check events; the result does not depend on the order they come in.

        A feedback_id seen twice counts once. Raises BadInputError on a value or p_lie out of range.
        """
        ordered = _once(
            sorted(events, key=lambda e: (e.created_at_s, e.feedback_id, e.rater, e.value))
        )
        raters, rater = _intern([e.rater for e in ordered])
        responses, response = _intern([e.response_id for e in ordered])
        topics, topic = _intern([e.topic for e in ordered])
        nan = float("nan")
        return cls.from_columns(
            raters=raters,
            responses=responses,
            topics=topics,
            rater=rater,
            response=response,
            topic=topic,
            value=np.array([e.value for e in ordered], dtype=np.float64),
            p_lie=np.array([nan if e.p_lie is None else e.p_lie for e in ordered], np.float64),
            created_at_s=np.array([e.created_at_s for e in ordered], dtype=np.float64),
        )

    @classmethod
    def from_columns(
        cls,
        *,
        raters: Sequence[str],
        responses: Sequence[str],
        topics: Sequence[str],
        rater: NDArray[np.int32],
        response: NDArray[np.int32],
        topic: NDArray[np.int32],
        value: NDArray[np.float64],
        p_lie: NDArray[np.float64],
        created_at_s: NDArray[np.float64],
    ) -> EventTable:
        """Columns in the canonical order already; a rater's last word on a response counts."""
        _check_range("value", value, -1.0, 1.0)
        _check_range("p_lie", p_lie[~np.isnan(p_lie)], 0.0, 1.0)
        _check_range("created_at_s", created_at_s, -np.inf, np.inf)
        columns: dict[str, Any] = {
            "rater": rater,
            "response": response,
            "topic": topic,
            "value": value,
            "p_lie": p_lie,
            "created_at_s": created_at_s,
        }
        last = _last_words(rater, response, len(responses))
        if last is not None:
            columns = {name: column[last] for name, column in columns.items()}
        return cls(
            raters=raters,
            responses=responses,
            topics=topics,
            n_superseded=len(value) - len(columns["value"]),
            **columns,
        )

    def select(self, keep: NDArray[Any] | slice) -> EventTable:
        """The rows at `keep` (mask, indices or slice), with the names left as they are."""
        columns = ("rater", "response", "topic", "value", "p_lie", "created_at_s")
        return dataclasses.replace(self, **{name: getattr(self, name)[keep] for name in columns})

    def response_labels(self, labels: Mapping[str, bool] | None) -> NDArray[np.float64]:
        """Audited truth per response code: 1 a lie, 0 honest, NaN where nobody looked."""
        truth = np.full(len(self.responses), np.nan)
        if labels:
            for code, name in enumerate(self.responses):
                if name in labels:
                    truth[code] = float(labels[name])
        return truth


def _once(ordered: list[RatedEvent]) -> list[RatedEvent]:
    seen: set[str] = set()
    kept = []
    for event in ordered:
        if event.feedback_id not in seen:
            seen.add(event.feedback_id)
            kept.append(event)
    return kept


def _intern(names: list[str]) -> tuple[tuple[str, ...], NDArray[np.int32]]:
    sorted_names = tuple(sorted(set(names)))
    code = {name: index for index, name in enumerate(sorted_names)}
    return sorted_names, np.fromiter((code[n] for n in names), dtype=np.int32, count=len(names))


def _last_words(
    rater: NDArray[np.int32], response: NDArray[np.int32], n_responses: int
) -> NDArray[np.int64] | None:
    """Indices of the last event of every (rater, response); None when all of them are."""
    pair = rater.astype(np.int64) * max(n_responses, 1) + response
    order = np.argsort(pair, kind="stable")
    ordered = pair[order]
    is_last = np.ones(len(pair), dtype=bool)
    is_last[:-1] = ordered[1:] != ordered[:-1]
    if is_last.all():
        return None
    return np.sort(order[is_last])


def _check_range(name: str, column: NDArray[np.float64], lower: float, upper: float) -> None:
    bad = ~((column >= lower) & (column <= upper)) | ~np.isfinite(column)
    if bad.any():
        raise BadInputError(f"{name} is {column[bad][0]}, outside [{lower}, {upper}]", name)
