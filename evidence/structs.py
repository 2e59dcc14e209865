"""What msgspec knows of record types, built before threads read records."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import suppress
from weakref import WeakSet

import msgspec

_lock = threading.Lock()
_built: WeakSet[type[msgspec.Struct]] = WeakSet()


def build_types() -> None:
    """Build it for every loaded `Struct`; to be called before threads are started that decode.

    msgspec builds what it knows of a class when it is first decoded, in steps between which other threads run. Two
    threads that first decode one class at the same time end the process with a segmentation fault (msgspec 0.22).
    """
    with _lock:
        for struct in _below(msgspec.Struct):
            if struct not in _built:
                # A class that msgspec cannot decode is decoded by nobody.
                with suppress(TypeError, NameError, ValueError):
                    msgspec.json.Decoder(struct)
                _built.add(struct)


def _below(struct: type[msgspec.Struct]) -> Iterator[type[msgspec.Struct]]:
    for one in struct.__subclasses__():
        yield one
        yield from _below(one)
