"""The receivers of results: would verdicts arrive?"""

from __future__ import annotations

from collections.abc import Iterator

from evidence import UnreachableError
from monitor.doctor.finding import Finding, Status
from monitor.results.opening import open_sinks
from monitor.results.options import ResultsOptions
from monitor.results.sink import ResultSink

ADVICE = "correct the file of headers or keys that [results] names"


def receiver_findings(options: ResultsOptions) -> Iterator[Finding]:
    """One for each receiver that is configured, by a harmless request with its key."""
    for sink in open_sinks(options):
        try:
            yield _finding(sink)
        finally:
            sink.close()


def _finding(sink: ResultSink) -> Finding:
    part = f"results {sink.name}"
    try:
        sink.check()
    except UnreachableError as error:
        advice = f"start it, or correct results.{sink.name}_url and its key"
        return Finding(part, Status.UNREACHABLE, str(error), advice)
    return Finding(part, Status.OK, "takes results")
