"""Protobuf with texts that are not UTF-8, as SDKs write that cut attributes by bytes.

The parser refuses the whole message for one such text; here the text alone is spoiled.
"""

from __future__ import annotations

import re
from typing import Any

from google.protobuf.descriptor import (  # type: ignore[import-untyped]
    Descriptor,
    FieldDescriptor,
)

_BROKEN = re.compile("[\ud800-\udfff]")
_FIXED = {1: 8, 5: 4}
_MAX_DEPTH = 100


def repaired(data: bytes, message: Descriptor, depth: int = 0) -> bytes:
    """The message with NUL in place of each byte that is no UTF-8, in its fields of type string.

    NUL, and not U+FFFD, so that ids with it are refused: two broken ids must not become one.
    Raises ValueError for what is no protobuf or deeper than 100 messages.
    """
    if depth > _MAX_DEPTH:
        raise ValueError("nested too deep")
    out = bytearray()
    at = 0
    while at < len(data):
        start = at
        tag, at = _varint(data, at)
        kind = tag & 7
        if kind == 2:
            tag_end = at
            size, at = _varint(data, at)
            chunk = data[at : at + size]
            if len(chunk) < size:
                raise ValueError("cut")
            field = message.fields_by_number.get(tag >> 3)
            chunk = chunk if field is None else _field(chunk, field, depth)
            out += data[start:tag_end] + _encoded(len(chunk)) + chunk
            at += size
            continue
        if kind == 0:
            _, at = _varint(data, at)
        elif kind in _FIXED:
            at += _FIXED[kind]
        else:
            raise ValueError("no protobuf")
        out += data[start:at]
    return bytes(out)


def _field(chunk: bytes, field: Any, depth: int) -> bytes:
    if field.type == FieldDescriptor.TYPE_STRING:
        return _BROKEN.sub("\x00", chunk.decode("utf-8", "surrogateescape")).encode()
    if field.message_type is not None:
        return repaired(chunk, field.message_type, depth + 1)
    return chunk


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        if at >= len(data):
            break
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
    raise ValueError("no number")


def _encoded(number: int) -> bytes:
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)
