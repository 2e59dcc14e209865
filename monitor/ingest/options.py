from __future__ import annotations

from pydantic import Field

from evidence.options import Options


class IngestOptions(Options):
    """What is accepted from the input topics."""

    assistants: dict[str, tuple[str, ...]] = {}
    """Declared assistants and their segments; anything else maps to `other`. Empty: every assistant is accepted by its own name, its segments map to `other`."""
    max_record_bytes: int = Field(default=1_000_000, gt=0)
    """A longer record is dead-lettered."""
    max_clock_skew_s: float = Field(default=86_400.0, gt=0)
    """A `created_at` further than this in the future is dead-lettered."""
    feedback_horizon_s: float = Field(default=7 * 86_400.0, gt=0)
    """How long feedback waits for its response, and how long bodies of skipped responses are kept."""
    dead_letter_retention_s: float = Field(default=7 * 86_400.0, gt=0)
    """How long encrypted dead-letter bodies are kept."""
