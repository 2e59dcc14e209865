"""Fixtures shared with `api`."""

from tests.monitor.api.conftest import (
    engine,
    feedback_record,
    make_service,
    response_record,
    service,
)

__all__ = ["engine", "feedback_record", "make_service", "response_record", "service"]
