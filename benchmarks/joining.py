"""How fast spans are decoded and joined into turns, how long a turn waits, and what is held: one process, no models.

`python -m benchmarks.joining [--traces N] [--window S] [--seconds S] [--out FILE]`: agent traces of eight spans (two
chats, two tools, an agent, three of HTTP), shuffled over exports in protobuf as a Collector writes them. The store is a
new SQLite file. Processor time of the process, so a busy machine changes little; the waits are by the clock.
"""

from __future__ import annotations

import argparse
import json
import random
import resource
import tempfile
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from prometheus_client import CollectorRegistry

from evidence import Response
from evidence.tools import TOOL_SPANS
from monitor.ingest.options import IngestOptions, KafkaOptions
from monitor.ingest.source import Partition, Record
from monitor.sample.epochs import Epochs, Rates
from monitor.settings import DatabaseOptions
from monitor.store import open_store, upgrade
from monitor.telemetry import PrometheusWorkerMetrics
from monitor.worker.plan import Item, Planner
from monitor.worker.turns import Turns

SPANS = 8
_A_RECORD = 64
_TOPIC = Partition("assistant.responses", 0)


def _message(role: str, **part: Any) -> dict[str, Any]:
    return {"role": role, "parts": [part]}


_ASKED = [
    _message("system", type="text", content="You help with mail and bookings. " * 8),
    _message("user", type="text", content="Tell Ana that I am late."),
]
_CALLED = _message("assistant", type="tool_call", id="c1", name="send_mail", arguments={"to": "a"})
_TOLD = _message("assistant", type="text", content="I've sent the mail to Ana. " * 4)


class Sender:
    """Spans of agents, made from a seed."""

    def __init__(self, seed: int) -> None:
        self._rng = random.Random(seed)

    def trace(self, at_s: float) -> list[tuple[str, bytes, Callable[[Any], None]]]:
        """Eight spans: the operation, the trace, and what writes the span."""
        rng = self._rng
        trace, agent = rng.randbytes(16), rng.randbytes(8)
        end_ns = int(at_s * 1e9)

        def writer(operation: str, told: dict[str, Any], number: int) -> Callable[[Any], None]:
            own = agent if operation == "invoke_agent" else rng.randbytes(8)

            def write(span: Any) -> None:
                span.trace_id, span.span_id, span.name = trace, own, operation
                span.parent_span_id = b"" if operation == "invoke_agent" else agent
                span.start_time_unix_nano = end_ns - 2_000_000_000 + number * 10_000_000
                span.end_time_unix_nano = end_ns - 1_000_000_000 + number * 10_000_000
                for name, value in told.items():
                    held = span.attributes.add(key=name).value
                    if isinstance(value, int):
                        held.int_value = value
                    else:
                        held.string_value = value

            return write

        usage = {"gen_ai.usage.input_tokens": 812, "gen_ai.usage.output_tokens": 61}
        chat = {"gen_ai.request.model": "m1", "gen_ai.provider.name": "openai", **usage}
        tool = {"gen_ai.tool.name": "send_mail", "gen_ai.tool.call.arguments": '{"to": "a"}'}
        http = {f"http.attribute.{i}": f"value {i}" for i in range(8)}
        made: list[tuple[str, dict[str, Any]]] = [
            ("chat", chat | _messages(_ASKED, [_CALLED])),
            ("execute_tool", tool | {"gen_ai.tool.call.result": "queued"}),
            ("execute_tool", tool | {"gen_ai.tool.call.result": "550 mailbox full"}),
            ("chat", chat | _messages([*_ASKED, _CALLED], [_TOLD])),
            ("invoke_agent", {"gen_ai.agent.name": "mail"}),
            *[("GET /", http)] * 3,
        ]
        return [
            (name, trace, writer(name, _named(name, told), number))
            for number, (name, told) in enumerate(made)
        ]


def _messages(asked: Any, said: Any) -> dict[str, str]:
    return {
        "gen_ai.input.messages": json.dumps(asked),
        "gen_ai.output.messages": json.dumps(said),
    }


def _named(name: str, told: dict[str, Any]) -> dict[str, Any]:
    return told if name.startswith("GET") else {"gen_ai.operation.name": name, **told}


def export(spans: Sequence[tuple[str, bytes, Callable[[Any], None]]]) -> bytes:
    """One record as a Collector writes it."""
    request = ExportTraceServiceRequest()
    resource_spans = request.resource_spans.add()
    resource_spans.resource.attributes.add(key="service.name").value.string_value = "mail"
    scope = resource_spans.scope_spans.add()
    for _, _, write in spans:
        write(scope.spans.add())
    return bytes(request.SerializeToString())


@contextmanager
def reader(window_s: float) -> Iterator[tuple[Planner, Turns]]:
    """What a worker decodes and joins with, on a new store."""
    options = IngestOptions(join_window_s=window_s, max_waiting_turns=1_000_000)
    with tempfile.TemporaryDirectory() as folder:
        database = DatabaseOptions(url=f"sqlite:///{folder}/candor.db")
        upgrade(database)
        engine = open_store(database)
        metrics = PrometheusWorkerMetrics(CollectorRegistry())
        epochs = Epochs([Rates(0.0, 1.0, 1.0)])
        planner = Planner(KafkaOptions(), options, epochs, b"k" * 32, b"s" * 32, time.time)
        try:
            yield planner, Turns(engine, options, metrics, time.time, time.monotonic)
        finally:
            engine.dispose()


def throughput(n_traces: int, seed: int) -> dict[str, Any]:
    """Spans a second of processor time from bytes to joined turns; all parts stand before the join."""
    sender = Sender(seed)
    spans = [span for _ in range(n_traces) for span in sender.trace(time.time())]
    random.Random(seed).shuffle(spans)
    records = [export(spans[i : i + _A_RECORD]) for i in range(0, len(spans), _A_RECORD)]
    before_mb = _peak_mb()
    joined: list[Item] = []
    with reader(0.0) as (planner, turns):
        started = time.process_time()
        for first in range(0, len(records), 8):
            some = records[first : first + 8]
            made = [Record(first + i, raw) for i, raw in enumerate(some)]
            turns.take(planner.plan(_TOPIC, made).items)
        while found := turns.joined(planner, 1_000_000):
            joined += found
        seconds = time.process_time() - started
    whole = sum(_has_calls(item, 2) for item in joined)
    return {
        "spans": len(spans),
        "spans_per_cpu_s": len(spans) / seconds,
        "bytes_per_span": sum(map(len, records)) / len(spans),
        "turns": len(joined),
        "turns_with_both_calls": whole,
        "peak_growth_mb": _peak_mb() - before_mb,
    }


def waits(window_s: float, seconds: float, seed: int) -> dict[str, Any]:
    """Seconds from the last span of a turn to the joined turn, spans spread over half a window, by the clock."""
    rng = random.Random(seed)
    sender = Sender(seed)
    due: list[tuple[float, bytes, Any]] = []
    for k in range(int(40 * seconds)):
        due += [
            (k / 40 + rng.random() * window_s / 2, span[1], span)
            for span in sender.trace(time.time())
        ]
    queue = deque(sorted(due, key=lambda one: one[0]))
    last: dict[str, float] = {}
    took: list[float] = []
    offset = 0
    with reader(window_s) as (planner, turns):
        began = time.monotonic()
        while queue or len(took) < int(40 * seconds) * 2:
            now = time.monotonic() - began
            batch = []
            while queue and queue[0][0] <= now:
                _, trace, span = queue.popleft()
                last[trace.hex()] = time.monotonic()
                batch.append(span)
            if batch:
                record = Record(offset, export(batch))
                offset += 1
                turns.take(planner.plan(_TOPIC, [record]).items)
            took += [
                time.monotonic() - last[str(item.outcome.extra["trace_id"])]
                for item in turns.joined(planner, 1_000_000)
                if isinstance(item.outcome, Response)
            ]
            time.sleep(0.02)
    return {
        "turns": len(took),
        "window_s": window_s,
        "p50_s": float(np.quantile(took, 0.5)),
        "p99_s": float(np.quantile(took, 0.99)),
    }


def _has_calls(item: Item, n: int) -> bool:
    found = item.outcome
    return isinstance(found, Response) and len(found.extra.get(TOOL_SPANS, ())) == n


def _peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the figures, and write them as JSON."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--traces", type=int, default=5_000)
    parser.add_argument("--window", type=float, default=2.0)
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path)
    given = parser.parse_args(arguments)
    found = {
        "throughput": throughput(given.traces, given.seed),
        "waits": waits(given.window, given.seconds, given.seed),
    }
    for name, figures in found.items():
        print(name)
        for key, value in figures.items():
            print(
                f"  {key:24} {value:12,.3f}"
                if isinstance(value, float)
                else f"  {key:24} {value:12,}"
            )
    if given.out is not None:
        given.out.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
