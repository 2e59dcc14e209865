"""The receivers that the settings name."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from monitor.results.langfuse import LangfuseSink
from monitor.results.mlflow import MlflowSink
from monitor.results.options import ResultsOptions
from monitor.results.otlp import OtlpSink
from monitor.results.phoenix import PhoenixSink
from monitor.results.sink import Endpoint, ResultSink, basic_authorization, read_headers


def open_sinks(options: ResultsOptions) -> list[ResultSink]:
    """One for each address; nothing is asked of them yet. Raises BadInputError for a file that is wrong."""
    makers: list[tuple[str, str | None, Callable[[Endpoint], ResultSink], Mapping[str, str]]] = [
        ("OTLP receiver", options.otlp_url, OtlpSink, read_headers(options.otlp_headers_file)),
        ("Phoenix", options.phoenix_url, PhoenixSink, read_headers(options.phoenix_headers_file)),
        ("MLflow", options.mlflow_url, MlflowSink, read_headers(options.mlflow_headers_file)),
        ("Langfuse", options.langfuse_url, LangfuseSink, _langfuse(options)),
    ]
    return [
        make(Endpoint(name, url, headers, options.timeout_s))
        for name, url, make, headers in makers
        if url is not None
    ]


def _langfuse(options: ResultsOptions) -> dict[str, str]:
    public, secret = options.langfuse_public_key, options.langfuse_secret_key_file
    return {} if public is None or secret is None else basic_authorization(public, secret)
