from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Literal, Self

from pydantic import Field, model_validator

from evidence.options import Options

OTHER = "other"
"""What an assistant or a segment is called that is not declared."""


class IngestOptions(Options):
    """What is accepted from the input topics."""

    assistants: Mapping[str, tuple[str, ...]] = Field(default_factory=dict)
    """Declared assistants and their segments; anything else maps to `other`. Empty: every assistant is accepted by its own name, its segments map to `other`."""
    max_record_bytes: int = Field(default=1_000_000, gt=0)
    """A longer record is dead-lettered."""
    max_clock_skew_s: float = Field(default=86_400.0, gt=0)
    """A `created_at` further than this in the future is dead-lettered."""
    max_age_s: float = Field(default=5 * 365 * 86_400.0, gt=0)
    """A `created_at` older than this is dead-lettered: a clock years off."""
    feedback_horizon_s: float = Field(default=7 * 86_400.0, gt=0)
    """How long feedback waits for its response, and how long bodies of skipped responses are kept."""
    join_window_s: float = Field(default=10.0, ge=0)
    """How long a response whose span has others above it waits for calls of tools and agents of its turn that come later; 0 takes what is there at once."""
    turn_horizon_s: float = Field(default=900.0, gt=0)
    """How long spans of tools and agents wait for the response of their turn, which ends after them."""
    max_waiting_turns: int = Field(default=20_000, gt=0)
    """Responses that wait for parts in one worker; beyond it the oldest is taken as it is."""
    max_turn_parts: int = Field(default=200_000, gt=0)
    """Parts of turns in the store; beyond it the oldest are dropped."""
    max_export_bytes: int = Field(default=8_000_000, gt=0)
    """A longer OpenTelemetry export is dead-lettered; each response in it has `max_record_bytes`."""
    dead_letter_retention_s: float = Field(default=7 * 86_400.0, gt=0)
    """How long encrypted dead-letter bodies are kept."""

    @model_validator(mode="after")
    def _names_have_no_slash(self) -> Self:
        for assistant, segments in self.assistants.items():
            for name in (assistant, *segments):
                if not 0 < len(name) <= 200 or "/" in name:
                    raise ValueError(f"a name has 1 to 200 characters and no slash: {name!r}")
        return self


class KafkaOptions(Options):
    """The broker. Without `bootstrap_servers` an embedded one in memory is started."""

    bootstrap_servers: str | None = None
    """Comma-separated host:port list of the Kafka cluster."""
    group_id: str = "candor"
    """Consumer group of the workers."""
    instance_id: str | None = None
    """Stable name of this worker, such as its pod's (static membership): restarted under it, the worker has its partitions back at once. No two workers share one."""
    session_timeout_s: float = Field(default=10.0, ge=6.0)
    """Silence after which the group gives a worker's partitions to others; 6 s is the least that brokers allow by default."""
    responses_topic: str = "assistant.responses"
    """Topic with responses."""
    feedback_topic: str = "assistant.feedback"
    """Topic with feedback."""
    security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = "PLAINTEXT"
    """How to connect."""
    sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] | None = None
    """SASL mechanism, with `sasl_username` and `sasl_password_file`."""
    sasl_username: str | None = None
    """SASL user."""
    sasl_password_file: Path | None = None
    """File with the SASL password."""
    ssl_ca_file: Path | None = None
    """Certificate authorities, PEM."""
    ssl_cert_file: Path | None = None
    """Certificate of this client, PEM, where the broker asks for one; with `ssl_key_file`."""
    ssl_key_file: Path | None = None
    """Private key of `ssl_cert_file`, PEM without a passphrase."""
    max_poll_records: int = Field(default=2_000, gt=0)
    """Most records in one poll, and so in one transaction; it takes fewer where many of them are measured."""
