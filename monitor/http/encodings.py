"""Compressed request bodies, unpacked within a limit."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from http import HTTPStatus

import zstandard

from monitor.http.problems import ProblemError

_MAX_PARTS = 1_000
_MAX_WINDOW_BYTES = 8 << 20
_ZSTD_STEP_BYTES = 256
"""One block of zstd unpacks to 128 KiB from a few bytes, so little is fed at a time."""


def unpacked(body: bytes, encoding: str, max_bytes: int) -> bytes:
    """The body as it was before `Content-Encoding`.

    Raises ProblemError: 400 for a body that is not in its encoding or is cut off, 413 as soon as it
    unpacks to more than `max_bytes`, 415 for an encoding that is not known.
    """
    name = encoding.strip().lower()
    if name in ("", "identity"):
        return body
    unpack = _ENCODINGS.get(name)
    if unpack is None:
        raise ProblemError(
            HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
            f"the content encoding is {', '.join(sorted(_ENCODINGS))} or none",
            headers={"Accept-Encoding": ", ".join(sorted(_ENCODINGS))},
        )
    try:
        return unpack(body, max_bytes)
    except (zlib.error, zstandard.ZstdError, EOFError) as error:
        raise ProblemError(
            HTTPStatus.BAD_REQUEST, f"the body is not whole {name}: {error}"
        ) from error


def too_large(max_bytes: int) -> ProblemError:
    """The problem of a body that is too long."""
    return ProblemError(
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"the body is longer than {max_bytes} bytes"
    )


def _gzip(body: bytes, max_bytes: int) -> bytes:
    """Every member of the file, as RFC 1952 puts them one after another."""
    out = bytearray()
    rest = body
    for _ in range(_MAX_PARTS):
        rest = _inflate(rest, 16 + zlib.MAX_WBITS, out, max_bytes)
        if not rest.strip(b"\0"):
            return bytes(out)
    raise EOFError(f"more than {_MAX_PARTS} members")


def _deflate(body: bytes, max_bytes: int) -> bytes:
    """With zlib's frame, as RFC 9110 has it, or without, as some clients send it."""
    for wbits in (zlib.MAX_WBITS, -zlib.MAX_WBITS):
        out = bytearray()
        try:
            _inflate(body, wbits, out, max_bytes)
        except zlib.error:
            if wbits < 0:
                raise
        else:
            break
    return bytes(out)


def _inflate(body: bytes, wbits: int, out: bytearray, max_bytes: int) -> bytes:
    """Unpack one stream onto `out`; returns what stands behind it."""
    unpacker = zlib.decompressobj(wbits=wbits)
    out += unpacker.decompress(body, max_bytes + 1 - len(out))
    if len(out) > max_bytes:
        raise too_large(max_bytes)
    if not unpacker.eof:
        raise EOFError("it ends too early")
    return unpacker.unused_data


def _zstd(body: bytes, max_bytes: int) -> bytes:
    out = bytearray()
    rest = body
    for _ in range(_MAX_PARTS):
        unpacker = zstandard.ZstdDecompressor(max_window_size=_MAX_WINDOW_BYTES).decompressobj()
        at = 0
        while at < len(rest) and not unpacker.eof:
            out += unpacker.decompress(rest[at : at + _ZSTD_STEP_BYTES])
            at += _ZSTD_STEP_BYTES
            if len(out) > max_bytes:
                raise too_large(max_bytes)
        if not unpacker.eof:
            raise EOFError("it ends too early")
        rest = unpacker.unused_data + rest[at:]
        if not rest:
            return bytes(out)
    raise EOFError(f"more than {_MAX_PARTS} frames")


_ENCODINGS: dict[str, Callable[[bytes, int], bytes]] = {
    "deflate": _deflate,
    "gzip": _gzip,
    "x-gzip": _gzip,
    "zstd": _zstd,
}
