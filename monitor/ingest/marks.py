"""The mark by which Candor knows its own canaries: nobody without the pseudonym key can make one."""

from __future__ import annotations

import hashlib
import hmac
from typing import Any

import msgspec

from evidence import Purpose, Response, digest
from evidence.identity import key_chain

MARK = "candor_mark"


def marked(response: Response, key: bytes) -> Response:
    """The response with the mark over its id, purpose, segment and words, among its unknown fields.

    Parameters
    ----------
    key
        The pseudonym key; its first link is used, so that a rotation leaves marks valid.
    """
    return msgspec.structs.replace(response, extra={**response.extra, MARK: _mark(response, key)})


def is_ours(response: Response, key: bytes) -> bool:
    """Whether the response carries the mark that `marked` gives it."""
    given: Any = response.extra.get(MARK)
    if not isinstance(given, str):
        return False
    return hmac.compare_digest(given.encode(), _mark(response, key).encode())


def _mark(response: Response, key: bytes) -> str:
    words = [text for m in response.messages for text in (m.role, m.content)]
    purpose: Purpose = response.purpose
    stratum = response.stratum
    signed = digest(stratum.assistant, stratum.segment, response.response_id, purpose.value, *words)
    derived = hmac.new(key_chain(key)[0], b"candor canaries v1", hashlib.sha256).digest()
    return hmac.new(derived, signed.encode(), hashlib.sha256).hexdigest()
