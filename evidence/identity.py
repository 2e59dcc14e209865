"""Keys, pseudonyms, digests and the sampling hash: who and what a record is, without saying who."""

from __future__ import annotations

import hashlib
import hmac
import json
import re
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from candor_guard.messages import Message

_encode = msgspec.json.Encoder().encode


def digest(*parts: str | bytes) -> str:
    """SHA-256 of length-prefixed parts as 64 hex digits; no two part lists collide by concatenation.

    >>> digest("ab", "c") == digest("a", "bc")
    False
    """
    return _digest(*parts).hexdigest()


def _digest(*parts: str | bytes) -> hashlib._Hash:
    whole = bytearray()
    for part in parts:
        data = part.encode("utf-8", "surrogatepass") if isinstance(part, str) else part
        whole += len(data).to_bytes(8, "big")
        whole += data
    return hashlib.sha256(whole)


def canonical_json(value: Any) -> bytes:
    """JSON with sorted keys and no spaces, for digests and signatures. Raises ValueError on NaN.

    >>> canonical_json({"b": 1, "a": [True, None]})
    b'{"a":[true,null],"b":1}'
    """
    return json.dumps(
        value, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False
    ).encode("ascii")


def words_digest(messages: Iterable[Message]) -> bytes:
    """16 bytes that tell by role and text, and by nothing else, whether messages are the same."""
    said = _encode([(message.role, message.content) for message in messages])
    return hashlib.blake2b(said, digest_size=16).digest()


def shortened(name: str, most: int) -> str:
    """A name of at most `most` characters; one that is cut ends with a digest, so that none collide.

    >>> shortened("short", 32), shortened("a" * 40, 20)
    ('short', 'aaaaaaaaaaa~5c1abfad')
    """
    return name if len(name) <= most else f"{name[: most - 9]}~{digest(name)[:8]}"


def key_chain(key: bytes) -> list[bytes]:
    """The links of a pseudonym key: the first one made, then one of 64 hex digits for each rotation.

    >>> len(key_chain(b"the first of all keys" + bytes([10]) + b"0" * 64))
    2
    """
    if b"\n" not in key:
        return [key]
    first, *later = key.split(b"\n")
    rotated = all(re.fullmatch(rb"[0-9a-f]{64}", link) for link in later)
    return [first, *later] if rotated else [key]


def pseudonym(user_id: str, key: bytes) -> str:
    """HMAC-SHA-256 pseudonym of a user id: 32 hex digits, stable under one key, not reversible.

    A rotated key is a chain: each later link makes a new pseudonym of the last (`next_pseudonym`).
    Raises ValueError when a link is shorter than 16 bytes.
    """
    name = user_id
    for link in key_chain(key):
        name = next_pseudonym(name, link)
    return name


def next_pseudonym(name: str, link: bytes) -> str:
    """The pseudonym of a user id, or of an earlier pseudonym, under one link of a key.

    Raises ValueError when the link is shorter than 16 bytes.
    """
    if len(link) < 16:
        raise ValueError("a pseudonym key has at least 16 bytes")
    data = name.encode("utf-8", "surrogatepass")
    return hmac.digest(link, data, "sha256").hex()[:32]


def sampling_hash(assistant: str, response_id: str, key: bytes) -> float:
    """The keyed hash u in [0, 1) of one response, uniform and independent of its content.

    One u serves both phases: arrival takes u <= pi_0, feedback takes u <= pi_1, so the samples nest.
    """
    data = _digest(assistant, response_id).digest()
    return int.from_bytes(hmac.digest(key, data, "sha256")[:7], "big") / 2.0**56


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
