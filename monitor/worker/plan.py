"""From polled records to a chunk of planned work: decoded, decided, and queued for scoring."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Sequence

import msgspec

from evidence import CANARY_ASSISTANT, Feedback, Purpose, Response, SampledBy
from monitor.ingest.decode import Decoded, decode_feedback, decode_responses
from monitor.ingest.joining import waits
from monitor.ingest.options import IngestOptions, KafkaOptions
from monitor.ingest.parts import Part
from monitor.ingest.records import DeadLetter, DeadLetterReason, or_letter
from monitor.ingest.source import Partition, Record
from monitor.sample import Decision, decide
from monitor.sample.epochs import Epochs, Rates
from monitor.sample.options import SamplingOptions
from monitor.score import Ticket

TOOL_STEP = "tool_step"
"""Why a turn that only calls tools is skipped."""


@dataclasses.dataclass(slots=True)
class Item:
    """What became of one record of a chunk; a trace export yields one item for each response and part.

    `raw` is kept for dead letters, and for what may become one while it waits. A response has a `decision`,
    and while it may be measured on arrival a `ticket`. One that `waits` for parts of its turn is not measured yet.
    """

    offset: int
    outcome: Response | Part | Feedback | DeadLetter
    raw: bytes | None = None
    decision: Decision | None = None
    ticket: Ticket | None = None
    waits: bool = False

    @property
    def key(self) -> tuple[str, str] | None:
        """(assistant, id) of an accepted record."""
        if isinstance(self.outcome, Response):
            return (self.outcome.stratum.assistant, self.outcome.response_id)
        if isinstance(self.outcome, Feedback):
            return (self.outcome.assistant, self.outcome.feedback_id)
        return None

    @property
    def is_canary(self) -> bool:
        """A canary of our own: measured, and kept apart from everything live."""
        return (
            isinstance(self.outcome, Response)
            and self.outcome.purpose is Purpose.CANARY
            and self.outcome.stratum.assistant == CANARY_ASSISTANT
        )

    @property
    def is_measured(self) -> bool:
        """Whether it is measured on arrival."""
        decision = self.decision
        if decision is None:
            return False
        return decision.sampled_by is SampledBy.ARRIVAL or self.is_canary


@dataclasses.dataclass(slots=True)
class Chunk:
    """Consecutive records of one partition that are written in one transaction."""

    partition: Partition
    items: list[Item]
    n_records: int
    next_offset: int
    n_bytes: int

    @property
    def waits(self) -> bool:
        """Whether a response of it waits for parts of its turn."""
        return any(item.waits for item in self.items)

    @property
    def ready(self) -> bool:
        """Whether nothing waits for its turn, and every response that is measured has its assessment."""
        return all(
            not item.waits and (item.ticket is None or item.ticket.done) for item in self.items
        )

    def tickets(self) -> list[Ticket]:
        return [item.ticket for item in self.items if item.ticket is not None]


@dataclasses.dataclass(frozen=True, slots=True)
class Planner:
    """Decodes and decides; pure but for the clock.

    Parameters
    ----------
    epochs
        The recorded sampling rates: those of the time at which a response was created decide on it.
    pseudonym_key, sampling_key
        Secrets of the two keyed hashes.
    """

    kafka: KafkaOptions
    ingest: IngestOptions
    epochs: Epochs
    pseudonym_key: bytes
    sampling_key: bytes
    clock: Callable[[], float]

    def plan(self, partition: Partition, records: Sequence[Record]) -> Chunk:
        """The chunk of these records, nothing submitted yet."""
        now_s = self.clock()
        return Chunk(
            partition=partition,
            items=[item for record in records for item in self._items(partition, record, now_s)],
            n_records=len(records),
            next_offset=records[-1].offset + 1,
            n_bytes=sum(len(record.value or b"") for record in records),
        )

    def _items(self, partition: Partition, record: Record, now_s: float) -> list[Item]:
        outcomes = or_letter(lambda: self._decode(partition.topic, record, now_s))
        if isinstance(outcomes, DeadLetter):
            outcomes = [outcomes]
        return [self._item(record, outcome) for outcome in outcomes]

    def _item(self, record: Record, outcome: Decoded) -> Item:
        if isinstance(outcome, DeadLetter):
            return Item(record.offset, outcome, raw=record.value)
        raw = record.value if waits(outcome) else None
        if not isinstance(outcome, Response):
            return Item(record.offset, outcome, raw=raw)
        return Item(record.offset, outcome, decision=self.decision(outcome), raw=raw)

    def decision(self, outcome: Response) -> Decision:
        """Whether it is measured."""
        options = _options(self.epochs.at(outcome.created_at_s))
        decision = decide(
            outcome.stratum.assistant,
            outcome.response_id,
            outcome.purpose,
            options=options,
            key=self.sampling_key,
        )
        if not outcome.messages[-1].content.strip():
            # A step of an agent that only calls tools says nothing that could be honest.
            decision = msgspec.structs.replace(
                decision, pi_arrival=0.0, pi_feedback=0.0, sampled_by=None, skip_reason=TOOL_STEP
            )
        return decision

    def _decode(self, topic: str, record: Record, now_s: float) -> Sequence[Decoded]:
        if record.unreadable is not None:
            return [DeadLetter(DeadLetterReason.UNREADABLE_BATCH, record.unreadable)]
        key, value = self.pseudonym_key, record.value
        if topic == self.kafka.responses_topic:
            return decode_responses(value, options=self.ingest, key=key, now_s=now_s)
        if topic == self.kafka.feedback_topic:
            return [decode_feedback(value, options=self.ingest, key=key, now_s=now_s)]
        return [DeadLetter(DeadLetterReason.UNKNOWN_TOPIC, "not an input topic")]


@functools.lru_cache(maxsize=16)
def _options(rates: Rates) -> SamplingOptions:
    return SamplingOptions(arrival_rate=rates.pi_arrival, feedback_rate=rates.pi_feedback)
