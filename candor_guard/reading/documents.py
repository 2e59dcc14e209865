"""JSON values that take more than one line, one in memory at a time."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Iterator
from typing import Any

from candor_guard.errors import BadInputError
from candor_guard.reading.item import LARGEST, Item
from candor_guard.reading.packing import HEAD, Source
from candor_guard.reading.shapes import is_turn
from candor_guard.reading.text import TOO_DEEP, is_deeper, not_utf8, repaired

_NOT_UTF8 = re.compile("[\udc80-\udcff]")
_BLANK = " \t\r\n\ufeff"


def document_items(source: Source) -> Iterator[Item]:
    """Values that follow each other. Raises BadInputError at one that cannot be read."""
    text = _Text(source)
    while text.at():
        yield text.take_value()


def array_items(source: Source) -> Iterator[Item]:
    """Elements of a top-level array, or of several behind each other.

    An array of turns is one value, a conversation. Raises BadInputError where it does not end, and
    for whatever stands behind it.
    """
    text = _Text(source)
    whole, where = "", text.where
    while begins := text.at():
        if begins != "[" or whole == "elements":
            raise BadInputError("something stands behind the JSON array", where)
        where, line = text.where, text.line
        text.take(1)
        whole, turns = "", []
        while (mark := text.at(",")) != "]":
            if not mark:
                raise BadInputError("the JSON array does not end", text.where)
            item = text.take_value()
            whole = whole or ("turns" if is_turn(item.value) else "elements")
            if whole == "turns":
                turns.append(item.value)
            else:
                yield item
        text.take(1)
        whole = whole or "elements"
        if turns:
            yield Item(where, line, f"line-{line}", turns)
        where = text.where


class _Text:
    """Text that is read on as it is taken."""

    def __init__(self, source: Source) -> None:
        self._file = io.TextIOWrapper(source.file, "utf-8-sig", errors="surrogateescape")
        self._name, self._decoder = source.name, json.JSONDecoder()
        self._buffer, self._done = "", False
        self.line, self._begun = 1, (0, 0)

    @property
    def where(self) -> str:
        return f"{self._name}:{self.line}"

    def at(self, between: str = "") -> str:
        """The next character that is no blank and none of `between`; empty at the end."""
        while True:
            rest = self._buffer.lstrip(_BLANK + between)
            self.take(len(self._buffer) - len(rest))
            if rest or self._done:
                return rest[:1]
            self._read(HEAD)

    def take(self, n: int) -> None:
        self.line += self._buffer.count("\n", 0, n)
        self._buffer = self._buffer[n:]

    def take_value(self) -> Item:
        """The next value. Raises BadInputError where there is none that can be read."""
        if len(self._buffer) < HEAD // 2:
            self._read(HEAD)
        while (found := self._decoded()) is None:
            self._read(len(self._buffer))
        value, end = found
        item = self._item(value, self._buffer[:end])
        self.take(end)
        return item

    def _read(self, size: int) -> None:
        more = self._file.read(size)
        self._done = not more
        self._buffer += more

    def _decoded(self) -> tuple[Any, int] | None:
        try:
            value, end = self._decoder.raw_decode(self._buffer)
        except RecursionError as error:
            raise BadInputError(TOO_DEEP, self.where) from error
        except ValueError as error:
            if not self._done and len(self._buffer) <= LARGEST:
                return None
            broken = self._buffer[: getattr(error, "pos", 0) + 1]
            latin = _NOT_UTF8.search(broken)
            what = not_utf8(_bytes(broken)) if latin else f"not JSON: {error}"
            raise BadInputError(what or "", self.where) from error
        # A number at the end of the buffer may go on.
        return (value, end) if end < len(self._buffer) or self._done else None

    def _item(self, value: Any, text: str) -> Item:
        k = self._begun[1] + 1 if self._begun[0] == self.line else 1
        self._begun = (self.line, k)
        where = self.where + (f" value {k}" if k > 1 else "")
        name = f"line-{self.line}" + (f"-{k}" if k > 1 else "")
        if _NOT_UTF8.search(text):
            return Item(where, self.line, name, None, not_utf8(_bytes(text)))
        if is_deeper(value):
            return Item(where, self.line, name, None, TOO_DEEP)
        return Item(where, self.line, name, repaired(value))


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")
