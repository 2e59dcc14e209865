"""Exports of Phoenix, Langfuse, MLflow and a Collector: the same agent's turn in each, and what users said of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from evidence import BadInputError, pseudonym
from evidence.tools import tool_record
from monitor.ingest.files import Form, Traffic, read_traffic
from monitor.ingest.options import IngestOptions
from tests.monitor.ingest.otlp.test_spans import KEY, NOW_S, attribute

START, END = "2026-09-21T10:00:00Z", "2026-09-21T10:00:01Z"
TRACE, AGENT, TOOL, CHAT = "t" * 32, "a1", "t1", "c1"
QUESTION, ANSWER, RESULT = "Tell Ana that I am late.", "I've told Ana.", "550 mailbox full"
ASKED, SAID = [{"role": "user", "content": QUESTION}], [{"role": "assistant", "content": ANSWER}]


def phoenix_span(own: str, above: str | None, kind: str, **told: Any) -> dict[str, Any]:
    return {
        "name": told.pop("name", kind.lower()),
        "context": {"trace_id": TRACE, "span_id": own},
        "span_kind": kind,
        "parent_id": above,
        "start_time": START,
        "end_time": END,
        "status_code": told.pop("status_code", "OK"),
        "attributes": told,
    }


PHOENIX = [
    phoenix_span(
        CHAT,
        AGENT,
        "LLM",
        llm={
            "model_name": "m1",
            "input_messages": [{"message": m} for m in ASKED],
            "output_messages": [{"message": m} for m in SAID],
        },
        user={"id": "alice"},
    ),
    phoenix_span(
        TOOL,
        AGENT,
        "TOOL",
        tool={"name": "send_mail"},
        input={"value": '{"to": "ana"}'},
        output={"value": RESULT},
        status_code="ERROR",
    ),
    phoenix_span(AGENT, None, "AGENT"),
]
PHOENIX_FRAME = [
    {
        "name": "chat",
        "span_kind": "LLM",
        "parent_id": AGENT,
        "start_time": START,
        "end_time": END,
        "status_code": "OK",
        "context.trace_id": TRACE,
        "context.span_id": CHAT,
        "attributes.llm.model_name": "m1",
        "attributes.llm.input_messages": [
            {"message.role": "user", "message.content": QUESTION},
        ],
        "attributes.llm.output_messages": json.dumps(
            [{"message.role": "assistant", "message.content": ANSWER}]
        ),
        "attributes.user.id": "alice",
    },
    *PHOENIX[1:],
]
PHOENIX_SAID = {
    "id": "n1",
    "span_id": CHAT,
    "name": "thumb",
    "annotator_kind": "HUMAN",
    "result": {"label": "thumbs-down", "score": 0.0, "explanation": "wrong"},
    "user_id": "alice",
    "created_at": END,
}
LANGFUSE = {
    "id": TRACE,
    "timestamp": START,
    "userId": "alice",
    "sessionId": "s1",
    "observations": [
        {"id": AGENT, "type": "AGENT", "name": "agent", "startTime": START, "endTime": END},
        {
            "id": CHAT,
            "type": "GENERATION",
            "parentObservationId": AGENT,
            "startTime": START,
            "endTime": END,
            "model": "m1",
            "input": {"messages": ASKED},
            "output": SAID[0],
        },
        {
            "id": TOOL,
            "type": "TOOL",
            "name": "send_mail",
            "parentObservationId": AGENT,
            "startTime": START,
            "endTime": START,
            "input": {"to": "ana"},
            "output": RESULT,
            "level": "ERROR",
        },
    ],
    "scores": [
        {
            "id": "n1",
            "name": "thumb",
            "value": 0,
            "dataType": "BOOLEAN",
            "source": "API",
            "observationId": CHAT,
            "authorUserId": "alice",
            "timestamp": END,
            "comment": "wrong",
        },
        {"id": "n2", "name": "toxic", "value": 1, "dataType": "NUMERIC", "source": "EVAL"},
    ],
}


def mlflow_span(own: str, above: str | None, kind: str, asked: Any, got: Any) -> dict[str, Any]:
    told = {"mlflow.spanType": kind, "mlflow.spanInputs": asked, "mlflow.spanOutputs": got}
    return {
        "trace_id": TRACE,
        "span_id": own,
        "parent_span_id": above,
        "name": "send_mail",
        "start_time_unix_nano": 1_790_000_000_000_000_000,
        "end_time_unix_nano": 1_790_000_001_000_000_000,
        "status": {"code": "STATUS_CODE_ERROR" if kind == "TOOL" else "STATUS_CODE_OK"},
        "attributes": {name: json.dumps(value) for name, value in told.items()},
    }


MLFLOW = {
    "info": {
        "trace_id": TRACE,
        "trace_metadata": {"mlflow.trace.user": "alice", "mlflow.trace.session": "s1"},
        "assessments": [
            {
                "assessment_id": "n1",
                "assessment_name": "thumb",
                "source": {"source_type": "HUMAN", "source_id": "alice"},
                "feedback": {"value": False},
                "rationale": "wrong",
                "create_time": END,
            },
            {
                "assessment_name": "judge",
                "source": {"source_type": "LLM_JUDGE"},
                "feedback": {"value": True},
            },
        ],
    },
    "data": {
        "spans": [
            mlflow_span(AGENT, None, "AGENT", {"q": QUESTION}, ANSWER),
            mlflow_span(TOOL, AGENT, "TOOL", {"to": "ana"}, RESULT),
            mlflow_span(
                CHAT,
                AGENT,
                "CHAT_MODEL",
                {"messages": ASKED, "model": "m1"},
                {"choices": [{"message": SAID[0]}]},
            ),
        ]
    },
}


def otlp_span(own: str, above: str, told: dict[str, Any], code: int = 0) -> dict[str, Any]:
    at = str(int((NOW_S - 5) * 1e9))
    return {
        "traceId": TRACE,
        "spanId": own,
        "parentSpanId": above,
        "endTimeUnixNano": at,
        "status": {"code": code},
        "attributes": [attribute(k, v) for k, v in told.items()],
    }


def otlp(*spans: dict[str, Any]) -> dict[str, Any]:
    return {"resourceSpans": [{"scopeSpans": [{"spans": list(spans)}]}]}


CHAT_SPAN = {
    "gen_ai.operation.name": "chat",
    "gen_ai.agent.name": "shop",
    "gen_ai.request.model": "m1",
    "user.id": "alice",
    "gen_ai.input.messages": json.dumps(ASKED),
    "gen_ai.output.messages": json.dumps(SAID),
}
TOOL_SPAN = {
    "gen_ai.operation.name": "execute_tool",
    "gen_ai.tool.name": "send_mail",
    "gen_ai.tool.call.result": RESULT,
}
OTLP = [
    otlp(otlp_span(CHAT, AGENT, CHAT_SPAN)),
    otlp(otlp_span(TOOL, AGENT, TOOL_SPAN, 2)),
    otlp(otlp_span(AGENT, "", {"gen_ai.operation.name": "invoke_agent"})),
]


def read(folder: Path, form: Form, *rows: Any) -> Traffic:
    path = folder / "export.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    given = {"options": IngestOptions(), "key": KEY, "now_s": NOW_S}
    return read_traffic(path, form, assistant="shop", **given)


@pytest.mark.parametrize(
    ("form", "rows"),
    [
        ("phoenix", PHOENIX),
        ("phoenix", PHOENIX_FRAME),
        ("langfuse", [LANGFUSE]),
        ("mlflow", [MLFLOW]),
        ("otlp", OTLP),
    ],
    ids=["phoenix", "phoenix frame", "langfuse", "mlflow", "otlp"],
)
def test_a_turn_is_joined_with_its_call(tmp_path: Path, form: Form, rows: list[Any]) -> None:
    found = read(tmp_path, form, *rows)
    assert found.refused == []
    ((_, response),) = found.responses
    assert [(m.role, m.content) for m in response.messages] == [
        ("user", QUESTION),
        ("assistant", ANSWER),
    ]
    assert (response.model, response.stratum.assistant) == ("m1", "shop")
    assert response.rater == pseudonym("alice", KEY)
    record = tool_record(response.messages, response.extra)
    assert record is not None
    (act,) = record.acts
    assert (act.name, act.result, act.status) == ("send_mail", RESULT, "failed")


@pytest.mark.parametrize(
    ("form", "rows"),
    [
        ("phoenix", [*PHOENIX, PHOENIX_SAID, PHOENIX_SAID | {"annotator_kind": "LLM"}]),
        ("langfuse", [LANGFUSE]),
        ("mlflow", [MLFLOW]),
    ],
)
def test_what_a_person_said_is_feedback_on_the_response(
    tmp_path: Path, form: Form, rows: list[Any]
) -> None:
    found = read(tmp_path, form, *rows)
    ((_, response),) = found.responses
    (said,) = found.feedback
    assert (said.response_id, said.assistant) == (response.response_id, "shop")
    assert (said.value, said.kind, said.text) == (-1.0, "thumb", "wrong")
    assert said.rater == pseudonym("alice", KEY)


def test_feedback_on_what_is_not_there_is_counted(tmp_path: Path) -> None:
    found = read(tmp_path, "phoenix", *PHOENIX, PHOENIX_SAID | {"span_id": "other"})
    assert (found.feedback, found.passed_over["no_response"]) == ([], 1)


def test_a_score_that_says_nothing_is_refused_alone(tmp_path: Path) -> None:
    stars = PHOENIX_SAID | {"result": {"score": 4}}
    found = read(tmp_path, "phoenix", *PHOENIX, stars)
    assert len(found.responses) == 1
    ((where, why),) = found.refused
    assert where.endswith("export.jsonl:4")
    assert why.startswith("wrong_value")


def test_spans_that_stand_twice_count_once(tmp_path: Path) -> None:
    found = read(tmp_path, "otlp", *OTLP, *OTLP)
    assert (len(found.responses), found.passed_over["repeated"]) == (1, 1)


@pytest.mark.parametrize(
    ("form", "rows", "what"),
    [
        ("otlp", [{"messages": ASKED}], "no OTLP export"),
        ("phoenix", [{"name": "x"}], "holds no response of the form phoenix"),
        ("langfuse", [{"id": "x"}], "holds no response of the form langfuse"),
        ("mlflow", [{"info": {}, "data": {"spans": [7]}}], "holds no response of the form mlflow"),
        ("mlflow", [[1]], "not a JSON object"),
    ],
)
def test_a_file_of_something_else_is_refused_in_one_line(
    tmp_path: Path, form: Form, rows: list[Any], what: str
) -> None:
    with pytest.raises(BadInputError, match=what):
        read(tmp_path, form, *rows)


def test_protobuf_as_a_file_is_read(tmp_path: Path) -> None:
    from google.protobuf.json_format import ParseDict  # type: ignore[import-untyped]  # noqa: PLC0415
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (  # noqa: PLC0415
        ExportTraceServiceRequest,
    )

    one = otlp_span("", "", CHAT_SPAN)
    request = ParseDict(otlp(one), ExportTraceServiceRequest())
    span = request.resource_spans[0].scope_spans[0].spans[0]
    span.trace_id, span.span_id = b"t" * 16, b"s" * 8
    path = tmp_path / "spans.bin"
    path.write_bytes(request.SerializeToString())
    given = {"options": IngestOptions(), "key": KEY, "now_s": NOW_S}
    assert len(read_traffic(path, "otlp", assistant="shop", **given).responses) == 1
    path.write_bytes(b"\n\xff\xff")
    with pytest.raises(BadInputError, match="neither JSON nor OTLP"):
        read_traffic(path, "otlp", assistant="shop", **given)
