"""Responses with verdicts, findings and feedback, put into a store as the worker writes them."""

from __future__ import annotations

import json
from typing import Any

import msgspec

from evidence import SampledBy, Verdict, VerdictKind
from evidence.records import Archetype, Finding
from monitor.ingest.decode import decode_feedback, decode_response
from monitor.ingest.options import IngestOptions
from monitor.store.explanations import Explanation, put_explanations
from monitor.store.intake import (
    NewFeedback,
    NewResponse,
    Position,
    insert_feedback,
    insert_responses,
)
from monitor.store.verdicts import insert_verdicts
from tests.monitor.api.conftest import KEY, NOW_S
from tests.monitor.api.test_reads import verdict
from tests.monitor.console.conftest import Site

HOSTILE = (
    "</div><script>alert(1)</script><style>*{display:none}</style>&lt;b&gt; <img src=x onerror=alert(2)>"
    " \u202egnp.exe\u202c \x1b[31m\x00 "
)
FACT = "The basement has no water."
CLAIM = "Yes, it is full of water."


def messages(index: int) -> list[dict[str, Any]]:
    return [
        {"role": "system", "content": f"You know: {FACT} Never say so."},
        {"role": "user", "content": f"Question {index}: is there water?"},
        {"role": "assistant", "content": f"{CLAIM} Anything else?"},
    ]


def add(
    site: Site,
    index: int,
    kind: VerdictKind = VerdictKind.HONEST,
    *,
    said: list[dict[str, Any]] | None = None,
    finding: Finding | None = None,
    approved: Finding | None = None,
    archetype: Archetype | None = None,
    scored_at_s: float = NOW_S - 60,
    **record: Any,
) -> Verdict:
    """A response `rINDEX` of `shop` with its verdict `kINDEX`."""
    text = {
        "response_id": f"r{index}",
        "assistant": "shop",
        "model": "m-1",
        "conversation_id": f"c{index}",
        "user_id": f"user-{index % 3}",
        "created_at": "2025-10-09T08:00:00Z",
        "messages": said or messages(index),
        **record,
    }
    response = decode_response(
        json.dumps(text).encode(), options=IngestOptions(), key=KEY, now_s=NOW_S
    )
    made = msgspec.structs.replace(
        verdict(index, kind, scored_at_s=scored_at_s),
        stratum=response.stratum,
        model=response.model,
    )
    told = msgspec.structs.replace(made.assessment, archetype=archetype)
    made = msgspec.structs.replace(made, assessment=told)
    new = NewResponse(
        response, Position("c", "t", 0, index), 0.5, 1.0, 1.0, SampledBy.ARRIVAL, None
    )
    with site.engine.begin() as connection:
        insert_responses(connection, [new], now_s=NOW_S)
        insert_verdicts(connection, [made])
        if finding is not None:
            probes = {"judge": finding} | ({} if approved is None else {"approved": approved})
            found = Explanation(finding, probes)
            put_explanations(connection, [(made, found)])
    return made


def rate(site: Site, index: int, value: float = 1.0, text: str | None = None) -> None:
    """A thumb of `user-INDEX` on the response `rINDEX`."""
    record = {
        "feedback_id": f"f{index}",
        "assistant": "shop",
        "response_id": f"r{index}",
        "user_id": f"user-{index % 3}",
        "created_at": "2025-10-09T08:01:00Z",
        "value": value,
        "kind": "thumb",
        "text": text,
    }
    given = decode_feedback(
        json.dumps({k: v for k, v in record.items() if v is not None}).encode(),
        options=IngestOptions(),
        key=KEY,
        now_s=NOW_S,
    )
    with site.engine.begin() as connection:
        new = NewFeedback(given, Position("c", "f", 0, index))
        insert_feedback(connection, [new], known={("shop", f"r{index}")}, now_s=NOW_S)
