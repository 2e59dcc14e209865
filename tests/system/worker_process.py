"""A worker in a process of its own, with settings from the environment: `worker_process.py hash|panel`.

`hash` scores by a hash of the transcript's id, so that a test knows every verdict beforehand.
"""

from __future__ import annotations

import hashlib
import logging
import signal
import sys
import threading
from collections.abc import Sequence

from prometheus_client import CollectorRegistry

from evidence import Assessment, VerdictKind
from monitor.score import Scorer
from monitor.settings import Settings
from monitor.store import open_store
from monitor.telemetry import PrometheusWorkerMetrics
from monitor.worker.service import broker, run_worker
from probes.probe import Transcript
from probes.scorer import OneEvaluator


class HashScorer(OneEvaluator):
    """p_lie from the id; takes a little time, as a scorer does."""

    version = "hash-1"
    calibrated = True
    figures = ()

    def score(self, transcripts: Sequence[Transcript]) -> list[Assessment]:
        threading.Event().wait(0.002 * len(transcripts))
        return [assess(transcript.id) for transcript in transcripts]


def assess(name: str) -> Assessment:
    p = int(hashlib.sha256(name.encode()).hexdigest()[:8], 16) / 2**32
    return Assessment(
        kind=VerdictKind.LIE if p > 0.8 else VerdictKind.HONEST,
        p_lie=p,
        p_evasion=0.0,
        measurements=(),
        evaluator_version=HashScorer.version,
    )


def scorer(kind: str, settings: Settings) -> Scorer:
    if kind == "hash":
        return HashScorer()
    from monitor.cli.scorer import open_scorer  # noqa: PLC0415 -- torch, needed here alone

    return open_scorer(settings)


def main() -> None:
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(message)s")
    logging.getLogger("kafka").setLevel(logging.WARNING)
    settings = Settings()
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    engine = open_store(settings.database.url)
    metrics = PrometheusWorkerMetrics(CollectorRegistry())
    with broker(settings) as served:
        run_worker(
            settings,
            engine,
            scorer(sys.argv[1], settings),
            served,
            metrics=metrics,
            stop=stop,
        )


if __name__ == "__main__":
    main()
