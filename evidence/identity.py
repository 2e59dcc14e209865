"""Keys, pseudonyms, digests and the sampling hash: who and what a record is, without saying who."""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Iterable, Mapping
from typing import Any


def digest(*parts: str | bytes) -> str:
    """SHA-256 of length-prefixed parts as 64 hex digits; no two part lists collide by concatenation.

    >>> digest("ab", "c") == digest("a", "bc")
    False
    """
    h = hashlib.sha256()
    for part in parts:
        data = part.encode("utf-8", "surrogatepass") if isinstance(part, str) else part
        h.update(len(data).to_bytes(8, "big"))
        h.update(data)
    return h.hexdigest()


def canonical_json(value: Any) -> bytes:
    """JSON with sorted keys and no spaces, for digests and signatures. Raises ValueError on NaN.

    >>> canonical_json({"b": 1, "a": [True, None]})
    b'{"a":[true,null],"b":1}'
    """
    return json.dumps(
        value, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False
    ).encode("ascii")


def pseudonym(user_id: str, key: bytes) -> str:
    """HMAC-SHA-256 pseudonym of a user id: 32 hex digits, stable under one key, not reversible.

    Raises ValueError when the key is shorter than 16 bytes.
    """
    if len(key) < 16:
        raise ValueError("a pseudonym key has at least 16 bytes")
    data = user_id.encode("utf-8", "surrogatepass")
    return hmac.new(key, data, hashlib.sha256).hexdigest()[:32]


def sampling_hash(assistant: str, response_id: str, key: bytes) -> float:
    """The keyed hash u in [0, 1) of one response, uniform and independent of its content.

    One u serves both phases: arrival takes u <= pi_0, feedback takes u <= pi_1, so the samples nest.
    """
    data = bytes.fromhex(digest(assistant, response_id))
    return int.from_bytes(hmac.new(key, data, hashlib.sha256).digest()[:7], "big") / 2.0**56


def verdict_key(
    assistant: str,
    response_id: str,
    purpose: str,
    repeat: int,
    versions: Mapping[str, str] | Iterable[str],
) -> str:
    """Key of a verdict: a hash of the response, the purpose, the repeat and all versions that made it."""
    if isinstance(versions, Mapping):
        parts = [f"{name}={versions[name]}" for name in sorted(versions)]
    else:
        parts = sorted(versions)
    return digest(assistant, response_id, purpose, str(repeat), *parts)[:40]
