"""An application whose OpenTelemetry SDK exports spans and logs over gRPC; run in the environment of `senders`.

`grpc_sender.py` sends where OTEL_EXPORTER_OTLP_ENDPOINT says, and prints whether all was flushed, as JSON.
"""

from __future__ import annotations

import json
import sys

from opentelemetry._logs import LogRecord
from opentelemetry.exporter.otlp.proto.grpc._log_exporter import OTLPLogExporter
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor


def turn(role: str, words: str) -> str:
    return json.dumps([{"role": role, "parts": [{"type": "text", "content": words}]}])


def main() -> None:
    spans, logs = TracerProvider(), LoggerProvider()
    spans.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    logs.add_log_record_processor(BatchLogRecordProcessor(OTLPLogExporter()))
    tracer = spans.get_tracer("app")
    with tracer.start_as_current_span("invoke_agent"):
        with tracer.start_as_current_span("execute_tool") as tool:
            tool.set_attributes(
                {
                    "gen_ai.operation.name": "execute_tool",
                    "gen_ai.tool.name": "send_mail",
                    "gen_ai.tool.call.result": "550 mailbox full",
                }
            )
        with tracer.start_as_current_span("chat") as chat:
            chat.set_attributes(
                {
                    "gen_ai.operation.name": "chat",
                    "gen_ai.request.model": "m-1",
                    "gen_ai.response.id": "g-1",
                    "user.id": "alice@example.org",
                    "gen_ai.input.messages": turn("user", "Tell Ana. " * 400),
                    "gen_ai.output.messages": turn("assistant", "I've sent the mail."),
                }
            )
            logs.get_logger("app").emit(
                LogRecord(
                    event_name="gen_ai.evaluation.result",
                    attributes={
                        "gen_ai.evaluation.name": "thumb",
                        "gen_ai.evaluation.score.value": 1.0,
                        "gen_ai.response.id": "g-1",
                        "user.id": "alice@example.org",
                    },
                )
            )
    flushed = [spans.force_flush(20_000), logs.force_flush(20_000)]
    spans.shutdown()
    logs.shutdown()
    sys.stdout.write(json.dumps(flushed) + "\n")


if __name__ == "__main__":
    main()
