"""The gate's notices to a webhook: signed, retried, never lost while the store holds them."""

from __future__ import annotations

import hashlib
import hmac
import logging
from pathlib import Path

import httpx
from sqlalchemy import Engine

from evidence import BadInputError
from monitor.launch.options import RetrainOptions
from monitor.store import gate_queues
from monitor.store.engine import reading

_LOG = logging.getLogger(__name__)
_BATCH = 5
_TIMEOUT_S = 5.0
_FIRST_RETRY_S = 10.0
_LONGEST_RETRY_S = 3600.0

TIME_HEADER, SIGNATURE_HEADER = "Candor-Timestamp", "Candor-Signature"


class Webhook:
    """Posts due notices to `options.webhook_url`, oldest first.

    The body is the JSON of `honesty.gates`. `Candor-Signature` is `sha256=` and the HMAC-SHA-256 (hex)
    of timestamp, a dot and the body under the secret; the receiver compares it and refuses old
    timestamps. `Candor-Delivery` is equal for retries of one notice: deliveries are at least once.

    Parameters
    ----------
    client
        Sends the requests; redirects are not followed, since a signature is for one receiver.
    """

    def __init__(
        self, engine: Engine, options: RetrainOptions, client: httpx.Client | None = None
    ) -> None:
        self._engine, self._options = engine, options
        self._client = client or httpx.Client(timeout=_TIMEOUT_S, follow_redirects=False)

    def deliver(self, now_s: float) -> int:
        """Post what is due; returns how many were taken. A failure waits for its retry.

        Raises BadInputError when the secret cannot be read: unsigned notices are not sent.
        """
        if self._options.webhook_url is None:
            with self._engine.begin() as connection:
                gate_queues.discard_deliveries(connection)
            return 0
        with reading(self._engine) as connection:
            due = gate_queues.due_deliveries(connection, now_s=now_s, limit=_BATCH)
        if not due:
            return 0
        secret = _secret(self._options.webhook_secret_file)
        return sum(self._post(self._options.webhook_url, one, secret, now_s) for one in due)

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def _post(self, url: str, delivery: gate_queues.Delivery, secret: bytes, now_s: float) -> bool:
        stamp = str(int(now_s))
        headers = {
            "Content-Type": "application/json",
            "Candor-Event": delivery.event,
            "Candor-Delivery": str(delivery.id),
            TIME_HEADER: stamp,
            SIGNATURE_HEADER: signature(secret, stamp, delivery.body),
        }
        try:
            answer = self._client.post(url, content=delivery.body, headers=headers)
            error = None if answer.is_success else f"HTTP {answer.status_code}"
        except httpx.HTTPError as failed:
            error = str(failed) or type(failed).__name__
        with self._engine.begin() as connection:
            if error is None:
                gate_queues.mark_delivered(connection, delivery, at_s=now_s)
                return True
            tried = delivery.attempts + 1
            last = tried >= self._options.webhook_attempts
            wait_s = min(_LONGEST_RETRY_S, _FIRST_RETRY_S * 2.0**delivery.attempts)
            gate_queues.mark_failed(
                connection, delivery, error, next_at_s=None if last else now_s + wait_s
            )
        _LOG.warning(
            "gate notice %s, attempt %d%s: %s",
            delivery.decision_id, tried, ", given up" if last else "", error,
        )  # fmt: skip
        return False


def signature(secret: bytes, timestamp: str, body: bytes) -> str:
    """What the receiver computes and compares in constant time (`hmac.compare_digest`)."""
    return "sha256=" + hmac.new(secret, f"{timestamp}.".encode() + body, hashlib.sha256).hexdigest()


def _secret(path: Path | None) -> bytes:
    if path is None:
        raise BadInputError("a webhook needs a secret", "retrain.webhook_secret_file")
    try:
        secret = path.read_bytes().strip()
    except OSError as error:
        raise BadInputError(f"cannot be read: {error.strerror}", str(path)) from error
    if len(secret) < 16:
        raise BadInputError("the webhook's secret has less than 16 bytes", str(path))
    return secret
