"""What `candor doctor` looks at on the broker: the topics, and whether what is in them was read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import msgspec
from kafka import KafkaConsumer, TopicPartition
from kafka.errors import KafkaError
from sqlalchemy import func, select
from sqlalchemy.exc import DBAPIError

from evidence import BadInputError, UnreachableError
from monitor.doctor.finding import Finding, Status, present
from monitor.ingest.batches import missing_codecs
from monitor.ingest.connection import Connection, connect
from monitor.ingest.records import DeadLetterReason
from monitor.settings import Settings
from monitor.store.engine import HEAD_REVISION, current_revision, open_unchecked, reading
from monitor.store.schema import dead_letters, input_offsets


class _Ends(msgspec.Struct, frozen=True):
    """First kept and next offset of each partition of a topic."""

    first: Mapping[int, int]
    next: Mapping[int, int]

    @property
    def ever(self) -> int:
        return sum(self.next.values())

    def unread(self, reached: Mapping[int, int]) -> int:
        """Records that are kept and that no worker has accounted for."""
        return sum(
            max(0, end - max(reached.get(number, 0), self.first[number]))
            for number, end in self.next.items()
        )


class _Stored(msgspec.Struct, frozen=True):
    """Next offset by topic and partition, and how many records could not be unpacked."""

    reached: Mapping[str, Mapping[int, int]]
    unreadable: int


def broker_findings(settings: Settings) -> Iterator[Finding]:
    """The cluster, each input topic, and how far the workers have read it.

    Raises UnreachableError when the broker does not answer, BadInputError for settings that do not fit.
    """
    yield _codecs()
    options = settings.kafka
    if options.bootstrap_servers is None:
        yield Finding("broker", Status.OK, "embedded: started by `candor up`, forgets when it ends")
        return
    connection = connect(options)
    yield Finding("broker", Status.OK, f"cluster {connection.cluster_id}")
    names = {options.responses_topic: "responses_topic", options.feedback_topic: "feedback_topic"}
    ends = _ends(connection, list(names))
    stored = _stored(settings, connection.cluster_id)
    if stored.unreadable:
        advice = "see the worker's log for the codec and the offsets; they were passed over"
        what = f"{stored.unreadable} records were in batches that could not be unpacked"
        yield Finding("batches", Status.WARNING, what, advice)
    for name, setting in names.items():
        yield _topic(name, setting, ends.get(name), stored.reached.get(name, {}))


def _topic(name: str, setting: str, ends: _Ends | None, reached: Mapping[int, int]) -> Finding:
    part = f"topic {name}"
    if ends is None:
        advice = f"start `candor worker`, which creates it where it may, or correct kafka.{setting}"
        return Finding(part, Status.WARNING, "does not exist yet", advice)
    if ends.ever == 0:
        # A worker may have made a topic of a name that nobody else uses.
        advice = f"have the assistant produce to it, or correct kafka.{setting}"
        return Finding(part, Status.WARNING, "no record was ever produced to it", advice)
    waiting = ends.unread(reached)
    read = f"{ends.ever} records produced, {waiting} of them wait"
    if waiting == ends.ever:
        advice = "start `candor worker`, or let it and the doctor use one database.url"
        return Finding(part, Status.WARNING, f"{read}: no worker has read any", advice)
    return Finding(part, Status.OK, read)


def _ends(connection: Connection, names: list[str]) -> dict[str, _Ends]:
    """Of the topics that exist."""
    found: dict[str, _Ends] = {}
    try:
        consumer = KafkaConsumer(**connection.client)
        try:
            present = set(consumer.topics())
            for name in present.intersection(names):
                numbers = consumer.partitions_for_topic(name) or set()
                partitions = [TopicPartition(name, number) for number in numbers]
                first = consumer.beginning_offsets(partitions)
                newest = consumer.end_offsets(partitions)
                found[name] = _Ends(
                    {tp.partition: offset for tp, offset in first.items()},
                    {tp.partition: offset for tp, offset in newest.items()},
                )
        finally:
            consumer.close(autocommit=False)
    except (KafkaError, OSError) as error:
        raise UnreachableError("Kafka", str(error)) from error
    return found


def _codecs() -> Finding:
    """Producers choose how they compress; a worker has to read all of it."""
    missing = missing_codecs()
    if missing:
        advice = "install the packages of the lock; batches so compressed are passed over"
        return Finding("codecs", Status.FAILED, f"no library for {', '.join(missing)}", advice)
    return Finding("codecs", Status.OK, "every compression of Kafka's producers can be read")


def _stored(settings: Settings, cluster_id: str) -> _Stored:
    """How far the store has read; nothing where there is no store."""
    if not present(settings.database.url):
        return _Stored({}, 0)
    try:
        engine = open_unchecked(settings.database.url)
    except (BadInputError, UnreachableError):
        return _Stored({}, 0)  # The check of the database tells of it.
    reached: dict[str, dict[int, int]] = {}
    unreadable = 0
    try:
        if current_revision(engine) == HEAD_REVISION:
            c, letters = input_offsets.c, dead_letters.c
            query = select(c.topic, c.partition, c.next_offset).where(c.cluster_id == cluster_id)
            broken = select(func.count()).where(
                letters.cluster_id == cluster_id,
                letters.reason == DeadLetterReason.UNREADABLE_BATCH.value,
            )
            with reading(engine) as connection:
                for topic, number, offset in connection.execute(query):
                    reached.setdefault(topic, {})[number] = offset
                unreadable = connection.execute(broken).scalar_one()
    except DBAPIError:
        return _Stored({}, 0)  # The same.
    finally:
        engine.dispose()
    return _Stored(reached, unreadable)
