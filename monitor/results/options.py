from __future__ import annotations

from pathlib import Path
from typing import Annotated, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, model_validator

from evidence.options import Options


def _address(url: str) -> str:
    """An address without anything secret in it. Raises ValueError."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("an address begins with http:// or https:// and names a host")
    if parts.username is not None or parts.query or parts.fragment:
        raise ValueError("an address holds no user, password or query; keys are in files")
    return url.rstrip("/")


Address = Annotated[str, AfterValidator(_address)]


class ResultsOptions(Options):
    """Where verdicts, alarms and gate decisions are sent beside the topics. Nothing is sent without an address."""

    otlp_url: Address | None = None
    """OTLP/HTTP receiver, such as a Collector's `http://collector:4318`; events go to `/v1/logs` below it."""
    otlp_headers_file: Path | None = None
    """File with a header a line, `Name: value`, for that receiver; that is where its key stands."""
    phoenix_url: Address | None = None
    """Arize Phoenix, such as `http://phoenix:6006`: verdicts become annotations of their spans."""
    phoenix_headers_file: Path | None = None
    """File with headers for Phoenix, such as `Authorization: Bearer …`."""
    mlflow_url: Address | None = None
    """MLflow tracking server, such as `http://mlflow:5000`: verdicts become assessments of their traces."""
    mlflow_headers_file: Path | None = None
    """File with headers for MLflow."""
    langfuse_url: Address | None = None
    """Langfuse, such as `https://langfuse.example.org`: verdicts become scores of their observations."""
    langfuse_public_key: str | None = Field(default=None, min_length=1)
    """Public key of the Langfuse project."""
    langfuse_secret_key_file: Path | None = None
    """File with the secret key of the Langfuse project."""
    send_text: bool = False
    """Whether the claim and what it contradicts are sent too. They quote conversations, which the receiver then keeps by rules of its own."""
    batch: int = Field(default=100, ge=1, le=1_000)
    """Results in one request, where the receiver takes several."""
    interval_s: float = Field(default=1.0, gt=0)
    """How often a sender looks for what is new."""
    timeout_s: float = Field(default=10.0, gt=0)
    """Time for one request."""
    span_wait_s: float = Field(default=600.0, ge=0)
    """How long a verdict waits for its span or trace to reach the receiver. Then it is given up and counted: tracing may have left the span out."""
    retention_s: float = Field(default=3 * 86_400.0, gt=0)
    """How long results are kept for a receiver that is away. What is older is given up and counted."""

    @model_validator(mode="after")
    def _langfuse_has_keys(self) -> Self:
        keys = (self.langfuse_public_key, self.langfuse_secret_key_file)
        if self.langfuse_url is not None and None in keys:
            raise ValueError("langfuse_url needs langfuse_public_key and langfuse_secret_key_file")
        return self
