"""Which rows of a file were removed, as a bitmap, and the rows that were not."""

from __future__ import annotations

import base64
import binascii
import zlib
from collections.abc import Iterable, Iterator

from candor_guard.errors import BadInputError
from candor_guard.rows.row import Row


def removed_bitmap(removed: Iterable[int], rows: int) -> str:
    """Base64 of the zlib-compressed bitmap (bit i % 8 of byte i // 8, low bit first) of removed rows.

    >>> from candor_guard.rows.removed import removed_positions
    >>> sorted(removed_positions(removed_bitmap([1, 9], rows=10)))
    [1, 9]
    """
    bits = bytearray((rows + 7) // 8)
    for index in removed:
        bits[index // 8] |= 1 << (index % 8)
    return base64.b64encode(zlib.compress(bytes(bits), 9)).decode("ascii")


def removed_positions(bitmap: str) -> frozenset[int]:
    """The 0-based positions in a bitmap. Raises BadInputError for a text that is none."""
    try:
        bits = zlib.decompress(base64.b64decode(bitmap, validate=True))
    except (binascii.Error, zlib.error) as error:
        raise BadInputError("the list of removed rows cannot be read") from error
    return frozenset(
        8 * place + bit
        for place, byte in enumerate(bits)
        if byte
        for bit in range(8)
        if byte >> bit & 1
    )


def kept_rows(rows: Iterable[Row], bitmap: str) -> Iterator[Row]:
    """The rows that were not removed, in their order."""
    gone = removed_positions(bitmap)
    return (row for index, row in enumerate(rows) if index not in gone)
