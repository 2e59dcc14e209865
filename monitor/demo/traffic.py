"""Turns and thumbs as Kafka records, in the order and at the pace that the story wants."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec
from kafka import KafkaProducer
from kafka.errors import KafkaError

from evidence import UnreachableError
from monitor.demo.raters import Rating
from monitor.demo.turns import Turn

ASSISTANT = "helpdesk"


class Timeline(msgspec.Struct, frozen=True):
    """Simulated time: turn `i` was given at `start_s + i * step_s`; all is over at `end_s`.

    A thumb comes after an exponential delay with mean `delay_s`, given that it comes before the end:
    people rate an answer the same hour or days later.
    """

    start_s: float
    step_s: float
    end_s: float
    delay_s: float

    def turn_at_s(self, index: int) -> float:
        return self.start_s + index * self.step_s

    def rating_at_s(self, rating: Rating) -> float:
        given = self.turn_at_s(rating.turn)
        within = -math.expm1(-(self.end_s - given) / self.delay_s)
        return given - self.delay_s * math.log1p(-rating.lateness * within)


def response_record(turn: Turn, index: int, run: str, timeline: Timeline) -> dict[str, Any]:
    """The record of `assistant.responses` for the turn with this index."""
    messages = [msgspec.to_builtins(m) for m in turn.prompt]
    return {
        "response_id": response_id(run, index),
        "assistant": ASSISTANT,
        "model": turn.model,
        "conversation_id": f"{run}-c{index:05d}",
        "user_id": f"asker-{index % 97:02d}",
        "created_at": _rfc3339(timeline.turn_at_s(index)),
        "messages": [*messages, {"role": "assistant", "content": turn.text}],
    }


def feedback_record(rating: Rating, run: str, timeline: Timeline) -> dict[str, Any]:
    """The record of `assistant.feedback` for one thumb."""
    return {
        "feedback_id": f"{run}-f{rating.turn:05d}-{rating.rater:04d}",
        "assistant": ASSISTANT,
        "response_id": response_id(run, rating.turn),
        "user_id": f"rater-{rating.rater:04d}",
        "created_at": _rfc3339(timeline.rating_at_s(rating)),
        "value": float(rating.value),
        "kind": "thumb",
    }


def response_id(run: str, index: int) -> str:
    return f"{run}-r{index:05d}"


class Producer:
    """Writes JSON records to the two input topics and waits for the broker's word."""

    def __init__(self, bootstrap_servers: str, responses_topic: str, feedback_topic: str) -> None:
        self._responses, self._feedback = responses_topic, feedback_topic
        try:
            self._producer = KafkaProducer(
                bootstrap_servers=bootstrap_servers.split(","), acks="all", linger_ms=5
            )
        except KafkaError as error:
            raise UnreachableError("Kafka", f"{bootstrap_servers}: {error}") from error

    def responses(self, records: Iterable[dict[str, Any]]) -> int:
        """Send responses keyed by conversation; returns how many were acknowledged."""
        return self._send(self._responses, [(r["conversation_id"], r) for r in records])

    def feedback(self, records: Iterable[dict[str, Any]]) -> int:
        """Send feedback keyed by response; returns how many were acknowledged."""
        return self._send(self._feedback, [(r["response_id"], r) for r in records])

    def close(self) -> None:
        self._producer.close(timeout=10)

    def _send(self, topic: str, records: Sequence[tuple[str, dict[str, Any]]]) -> int:
        try:
            sent = [
                self._producer.send(topic, key=key.encode(), value=msgspec.json.encode(record))
                for key, record in records
            ]
            self._producer.flush(timeout=60)
            for future in sent:
                future.get(timeout=30)
        except KafkaError as error:
            raise UnreachableError("Kafka", str(error)) from error
        return len(sent)


def _rfc3339(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat()
