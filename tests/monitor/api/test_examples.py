"""The examples of the HTTP page work as they are printed."""

from __future__ import annotations

import json
import re
from pathlib import Path

from tests.monitor.api.conftest import Service

PAGE = Path(__file__).parents[3] / "docs/http.md"


def test_the_example_records_are_accepted(service: Service) -> None:
    text = PAGE.read_text()
    found = re.findall(r"http://127\.0\.0\.1:8321(/v1/\w+) -d '(\{.*?\})'", text, re.DOTALL)
    assert [path for path, _ in found] == ["/v1/responses", "/v1/feedback"]
    for path, body in found:
        record = json.loads(body)
        record["created_at"] = "2025-10-09T08:00:00Z"  # the clock of these tests stands still
        answer = service.client.post(path, json=record)
        assert answer.status_code == 202, answer.text
