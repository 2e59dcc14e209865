"""A worker with all its parts, put together from settings."""

from __future__ import annotations

import gc
import os
import secrets
import socket
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager

from sqlalchemy import Engine

from evidence import Alarm, BadInputError
from monitor.detect.topics import Embed
from monitor.ingest.connection import Connection, connect
from monitor.ingest.consumer import KafkaSource
from monitor.ingest.embedded import EmbeddedBroker
from monitor.ingest.keys import dead_letter_cipher, load_key
from monitor.jobs.canaries import CanarySender
from monitor.jobs.cohort_refresh import CohortRefresh
from monitor.jobs.evaluators import EvaluatorWatch
from monitor.jobs.job import Job
from monitor.jobs.localiser import Localiser
from monitor.jobs.metrics import WorkerMetrics, start_from_zero
from monitor.jobs.publisher import Publisher
from monitor.jobs.reporter import Reporter
from monitor.jobs.sink import KafkaSink
from monitor.score import Scorer
from monitor.settings import Settings
from monitor.store.outbox import OUTPUT_TOPICS
from monitor.worker.worker import Worker, WorkerKeys

_PUBLISH_S = 0.2
_PRUNE_S = 60.0
_CANARY_S = 5.0
_EMBEDDED_PARTITIONS = 4
_COLLECT_AFTER_ALLOCATIONS = 50_000


@contextmanager
def broker(settings: Settings) -> Iterator[Connection]:
    """The configured cluster, or an embedded broker that lives as long as the context; topics exist.

    Raises UnreachableError when there is none.
    """
    with ExitStack() as stack:
        servers = None
        if settings.kafka.bootstrap_servers is None:
            servers = stack.enter_context(EmbeddedBroker()).bootstrap_servers
        connection = connect(settings.kafka, servers)
        topics = (settings.kafka.responses_topic, settings.kafka.feedback_topic, *OUTPUT_TOPICS)
        if connection.embedded:
            connection.ensure_topics(topics, _EMBEDDED_PARTITIONS)
        else:
            connection.ensure_topics(topics)
        yield connection


def collect_rarely() -> None:
    """Let Python look for cycles less often, and not in what was loaded before.

    A chunk holds ten thousands of small records for a moment, none of which is in a cycle: looking for
    them again and again takes a quarter of the time of a backlog.
    """
    gc.freeze()
    gc.set_threshold(_COLLECT_AFTER_ALLOCATIONS, 20, 20)


def load_keys(settings: Settings) -> WorkerKeys:
    """The secrets of a worker, asked for before it connects. Raises BadInputError as `load_key` does.

    On a shared Kafka no key is made on the spot: a worker that lost its SQLite file would join the
    group with keys and a memory of its own.
    """
    url = settings.database.url
    given = (settings.pseudonym.key_file, settings.sampling.key_file)
    if settings.kafka.bootstrap_servers is not None and None in given and url.startswith("sqlite"):
        raise BadInputError(
            "Kafka is shared, a SQLite file and keys made beside it are not: make keys once "
            "(`candor keys create`) and set CANDOR_PSEUDONYM_KEY_FILE and CANDOR_SAMPLING_KEY_FILE, "
            "and for several workers CANDOR_DATABASE_URL of a PostgreSQL",
            "kafka.bootstrap_servers",
        )
    pseudonym = load_key(settings.pseudonym.key_file, name="pseudonym", database_url=url)
    sampling = load_key(settings.sampling.key_file, name="sampling", database_url=url)
    return WorkerKeys(pseudonym, sampling, dead_letter_cipher(pseudonym))


def worker_name(settings: Settings) -> str:
    """A name that no other worker has: the configured one, or host, process id and a random part.

    A worker that comes back under its own name has its leases back at once.
    """
    if settings.kafka.instance_id is not None:
        return settings.kafka.instance_id
    return f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(3)}"


def run_worker(
    settings: Settings,
    engine: Engine,
    scorer: Scorer,
    connection: Connection,
    *,
    metrics: WorkerMetrics,
    stop: threading.Event,
    embed: Embed | None = None,
) -> None:
    """Run a worker and its jobs until `stop` is set. Raises UnreachableError when the broker is gone.

    Parameters
    ----------
    embed
        Unit vectors of texts, loaded when first called: the topics of an alarm are read from them.
    """
    name = worker_name(settings)
    keys = load_keys(settings)
    topics = (settings.kafka.responses_topic, settings.kafka.feedback_topic)
    start_from_zero(metrics, topics)
    collect_rarely()
    with ExitStack() as stack:
        sink = KafkaSink(connection)
        stack.callback(sink.close)
        source = KafkaSource(connection, topics, settings.kafka)
        worker = Worker(settings, engine, scorer, source, metrics=metrics, keys=keys, name=name)
        stack.callback(worker.close)
        watch = EvaluatorWatch(engine, options=settings.health, owner=name, clock=time.time)
        watch.begin(scorer.version)
        publisher = Publisher(engine, sink, input_topics=topics, owner=name, clock=time.time)
        refresh = CohortRefresh(engine, options=settings.cohorts, owner=name, clock=time.time)
        canaries = CanarySender(
            engine, options=settings.health, topic=topics[0], owner=name, clock=time.time
        )
        reporter = Reporter(engine, options=settings.detection, owner=name, clock=time.time)
        localiser = Localiser(engine, embed=embed, owner=name, clock=time.time)
        tick_s, report_s = settings.health.tick_s, settings.detection.report_s
        for work_name, work, interval_s in (
            ("cohorts", refresh.refresh, settings.cohorts.refresh_s),
            ("publish", publisher.drain, _PUBLISH_S),
            ("prune", publisher.prune, _PRUNE_S),
            ("canaries", canaries.send, min(_CANARY_S, tick_s)),
            ("health", lambda: _counted(watch.look(), metrics), tick_s),
            ("report", reporter.report, report_s),
            ("localise", localiser.look, report_s),
        ):
            job = Job(work_name, work, interval_s=interval_s, metrics=metrics)
            job.start()
            stack.callback(job.stop)
        worker.run(stop)


def _counted(opened: Iterable[Alarm], metrics: WorkerMetrics) -> None:
    for alarm in opened:
        metrics.alarm(alarm.metric)
