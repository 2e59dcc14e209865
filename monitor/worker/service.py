"""A worker with all its parts, put together from settings."""

from __future__ import annotations

import gc
import logging
import os
import secrets
import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager

from kafka.errors import KafkaError
from sqlalchemy import Engine

from evidence import BadInputError, UnreachableError
from evidence.structs import build_types
from monitor.detect.topics import Embed
from monitor.ingest.connection import Connection, connect
from monitor.ingest.consumer import KafkaSource
from monitor.ingest.embedded import EmbeddedBroker
from monitor.ingest.keys import dead_letter_cipher, load_key
from monitor.ingest.options import OTHER
from monitor.jobs.canaries import CanarySender
from monitor.jobs.clock import SteadyClock
from monitor.jobs.cohort_refresh import CohortRefresh
from monitor.jobs.evaluators import EvaluatorWatch
from monitor.jobs.job import LeasedJob, Runner
from monitor.jobs.localiser import Localiser
from monitor.jobs.metrics import WorkerMetrics, start_from_zero
from monitor.jobs.publisher import Pruning, Publisher
from monitor.jobs.pulse import Pulse
from monitor.jobs.reporter import Reporter
from monitor.jobs.results import SENDERS
from monitor.jobs.sink import KafkaSink
from monitor.results.opening import open_sinks
from monitor.results.sink import ResultSink
from monitor.score import Scorer
from monitor.settings import Settings
from monitor.store.outbox import OUTPUT_TOPICS
from monitor.store.sensors import put_sensors
from monitor.worker.options import WorkerOptions
from monitor.worker.worker import Worker, WorkerKeys
from probes.names import ACTIONS
from probes.scorer import Evaluator

log = logging.getLogger(__name__)

_PUBLISH_S = 0.2
_PRUNE_S = 60.0
_CANARY_S = 5.0
_WATCH_S = 0.5
_EMBEDDED_PARTITIONS = 4
_COLLECT_AFTER_ALLOCATIONS = 50_000


class Broker:
    """The configured cluster, or an embedded broker of our own; topics exist.

    Attributes
    ----------
    connection
        How to reach it now; an embedded broker that was started again is another cluster.

    Raises UnreachableError when there is none.
    """

    def __init__(self, settings: Settings, embedded: EmbeddedBroker | None) -> None:
        self._settings = settings
        self._embedded = embedded
        self.connection = self._connect()

    @property
    def is_alive(self) -> bool:
        """False when the embedded broker died; a cluster's state is its clients' to notice."""
        return self._embedded is None or self._embedded.is_alive

    def restart(self) -> None:
        """Start the embedded broker again where it was. Raises UnreachableError."""
        if self._embedded is not None:
            self._embedded.restart()
            self.connection = self._connect()

    def _connect(self) -> Connection:
        kafka = self._settings.kafka
        servers = None if self._embedded is None else self._embedded.bootstrap_servers
        connection = connect(kafka, servers)
        topics = (kafka.responses_topic, kafka.feedback_topic, *OUTPUT_TOPICS)
        if connection.embedded:
            connection.ensure_topics(topics, _EMBEDDED_PARTITIONS)
        else:
            connection.ensure_topics(topics)
        return connection


@contextmanager
def broker(settings: Settings) -> Iterator[Broker]:
    """The configured cluster, or an embedded broker that lives as long as the context.

    Raises UnreachableError when there is none.
    """
    with ExitStack() as stack:
        embedded = None
        if settings.kafka.bootstrap_servers is None:
            embedded = stack.enter_context(EmbeddedBroker())
        yield Broker(settings, embedded)


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
    broker: Broker,
    *,
    metrics: WorkerMetrics,
    stop: threading.Event,
    embed: Embed | None = None,
    pulse: Pulse | None = None,
) -> None:
    """Run a worker and its jobs until `stop` is set. Raises UnreachableError when the broker is gone.

    An embedded broker that died is started again, and the worker with it: what it had not read back is
    published to it once more.

    Parameters
    ----------
    embed
        Unit vectors of texts, loaded when first called: the topics of an alarm are read from them.
    pulse
        Beaten at each turn of the poll loop.
    """
    clock = SteadyClock()
    build_types()
    while not stop.is_set():
        over = threading.Event()
        watching = threading.Thread(
            target=_watch, args=(broker, stop, over), name="broker-watch", daemon=True
        )
        watching.start()
        try:
            _run_once(
                settings,
                engine,
                scorer,
                broker,
                metrics=metrics,
                stop=over,
                embed=embed,
                pulse=pulse,
                clock=clock,
            )
        except (UnreachableError, KafkaError):
            if broker.is_alive:
                raise
        finally:
            over.set()
            watching.join()
        if not stop.is_set() and not broker.is_alive:
            log.error("the embedded broker died; starting it again")
            broker.restart()


def _watch(broker: Broker, stop: threading.Event, over: threading.Event) -> None:
    """End this run of the worker when it is told to stop or its broker died."""
    while not over.wait(_WATCH_S):
        if stop.is_set() or not broker.is_alive:
            over.set()


def _run_once(
    settings: Settings,
    engine: Engine,
    scorer: Scorer,
    broker: Broker,
    *,
    metrics: WorkerMetrics,
    stop: threading.Event,
    embed: Embed | None,
    pulse: Pulse | None,
    clock: Callable[[], float],
) -> None:
    name, connection = worker_name(settings), broker.connection
    keys = load_keys(settings)
    topics = (settings.kafka.responses_topic, settings.kafka.feedback_topic)
    start_from_zero(metrics, topics)
    collect_rarely()
    with ExitStack() as stack:
        sink = KafkaSink(connection)
        stack.callback(sink.close)
        source = KafkaSource(connection, topics, settings.kafka)
        worker = Worker(
            options_of(settings),
            engine,
            scorer,
            source,
            metrics=metrics,
            keys=keys,
            name=name,
            clock=clock,
            pulse=pulse,
        )
        stack.callback(worker.close)
        sinks = open_sinks(settings.results)
        for one in sinks:
            stack.callback(one.close)
        jobs = _jobs(
            settings, engine, scorer, sink, embed, key=keys.pseudonym, owner=name, clock=clock
        )
        jobs += _senders(settings, engine, sinks, metrics=metrics, owner=name, clock=clock)
        for job, interval_s in jobs:
            runner = Runner(job, interval_s=interval_s, metrics=metrics)
            runner.start()
            stack.callback(_end, runner, job)
        stack.callback(_give_up, broker, sink)
        worker.run(stop)


def _give_up(broker: Broker, sink: KafkaSink) -> None:
    """Whoever waits for a broker that died need not wait longer."""
    if not broker.is_alive:
        sink.abandon()


def _end(runner: Runner, job: LeasedJob) -> None:
    """Stop a job; one that has ended leaves its lease to whoever comes next."""
    if runner.stop():
        job.release()


def options_of(settings: Settings) -> WorkerOptions:
    """The sections that the poll loop reads."""
    return WorkerOptions(
        kafka=settings.kafka,
        ingest=settings.intake,
        sampling=settings.sampling,
        scoring=settings.scoring,
        detection=settings.detection,
        health=settings.health,
    )


def _jobs(
    settings: Settings,
    engine: Engine,
    scorer: Scorer,
    sink: KafkaSink,
    embed: Embed | None,
    *,
    key: bytes,
    owner: str,
    clock: Callable[[], float],
) -> list[tuple[LeasedJob, float]]:
    """The jobs beside the poll loop, each with its interval in seconds."""
    topics = (settings.kafka.responses_topic, settings.kafka.feedback_topic)
    health, detection, cohorts = settings.health, settings.detection, settings.cohorts
    watch = EvaluatorWatch(engine, options=health, owner=owner, clock=clock)
    for evaluator in scorer.evaluators:
        watch.begin(evaluator.version)
    with engine.begin() as connection:
        put_sensors(connection, scorer.figures, now_s=clock())
    return [
        (CohortRefresh(engine, options=cohorts, owner=owner, clock=clock), cohorts.refresh_s),
        (Publisher(engine, sink, input_topics=topics, owner=owner, clock=clock), _PUBLISH_S),
        (
            Pruning(
                engine,
                input_topics=topics,
                results_kept_s=settings.results.retention_s,
                owner=owner,
                clock=clock,
            ),
            _PRUNE_S,
        ),
        (
            CanarySender(
                engine,
                sent_for=[_first(one) for one in scorer.evaluators],
                acting=[_first(one) for one in scorer.evaluators if ACTIONS in one.probes],
                options=health,
                topic=topics[0],
                key=key,
                owner=owner,
                clock=clock,
            ),
            min(_CANARY_S, health.tick_s),
        ),
        (watch, health.tick_s),
        (Reporter(engine, options=detection, owner=owner, clock=clock), detection.report_s),
        (Localiser(engine, embed=embed, owner=owner, clock=clock), detection.report_s),
    ]


def _first(evaluator: Evaluator) -> str:
    """An assistant that it measures."""
    return next(iter(evaluator.assistants), OTHER)


def _senders(
    settings: Settings,
    engine: Engine,
    sinks: Sequence[ResultSink],
    *,
    metrics: WorkerMetrics,
    owner: str,
    clock: Callable[[], float],
) -> list[tuple[LeasedJob, float]]:
    """One for each receiver of results, so that one that is away delays no other."""
    options = settings.results
    return [
        (
            SENDERS[sink.name](
                engine, sink, options=options, metrics=metrics, owner=owner, clock=clock
            ),
            options.interval_s,
        )
        for sink in sinks
    ]
