"""An agent that sends mail, watched by OpenTelemetry's own GenAI instrumentation; run in the environment of `senders`.

`agent.py MODEL_URL NAME…` has the agent tell each of them that one is late, and prints the trace of each as JSON by
name. Spans and events go where OTEL_EXPORTER_OTLP_ENDPOINT says. The model answers by a script (`test_agent_turns.py`).
"""

from __future__ import annotations

import json
import sys
from typing import Any

import openai
from opentelemetry import trace
from opentelemetry._logs import set_logger_provider
from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.instrumentation.genai.openai import OpenAIInstrumentor
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.util.genai.handler import TelemetryHandler

FULL = frozenset({"ana@x.org", "cy@x.org"})
SEND = {
    "type": "function",
    "function": {
        "name": "send_mail",
        "description": "Sends a mail.",
        "parameters": {
            "type": "object",
            "properties": {"to": {"type": "string"}, "text": {"type": "string"}},
        },
    },
}


class MailError(Exception):
    """The mail was not taken."""


def send_mail(to: str, text: str) -> dict[str, Any]:
    if to in FULL:
        raise MailError("550 mailbox full")
    return {"status": "sent", "to": to, "bytes": len(text)}


def call(handler: TelemetryHandler, one: Any) -> str:
    """The tool's answer, or its error as the model is told of it."""
    arguments = json.loads(one.function.arguments)
    try:
        with handler.tool(one.function.name, tool_type="function") as told:
            told.tool_call_id, told.arguments = one.id, arguments
            told.tool_result = send_mail(**arguments)
            return json.dumps(told.tool_result)
    except MailError as error:
        return f"error: {error}"


def turn(client: openai.OpenAI, handler: TelemetryHandler, name: str) -> str:
    """One turn: the model is asked until it calls nothing. Its trace."""
    messages: list[Any] = [{"role": "user", "content": f"Tell {name} that I am late."}]
    with handler.invoke_local_agent(agent_name="mail", request_model="m1"):
        found = trace.get_current_span().get_span_context().trace_id
        while True:
            answer = client.chat.completions.create(model="m1", messages=messages, tools=[SEND])
            said = answer.choices[0].message
            messages.append(said.model_dump(exclude_none=True))
            if not said.tool_calls:
                return f"{found:032x}"
            for one in said.tool_calls:
                result = call(handler, one)
                messages.append({"role": "tool", "tool_call_id": one.id, "content": result})


def main() -> None:
    url, *names = sys.argv[1:]
    spans, events = TracerProvider(), LoggerProvider()
    spans.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    events.add_log_record_processor(BatchLogRecordProcessor(OTLPLogExporter()))
    trace.set_tracer_provider(spans)
    set_logger_provider(events)
    OpenAIInstrumentor().instrument()
    handler = TelemetryHandler()
    with openai.OpenAI(base_url=url, api_key="k", max_retries=0) as client:
        found = {name: turn(client, handler, name) for name in names}
    spans.shutdown()
    events.shutdown()
    sys.stdout.write(json.dumps(found) + "\n")


if __name__ == "__main__":
    main()
