"""What a vLLM server with the plugin vllm-lens answers: hidden states, and tokens of its own."""

from __future__ import annotations

import base64
import binascii
import math
import re
from typing import Any, NamedTuple

import msgspec
import numpy as np
import zstandard

from probes.models.server import AnsweredError
from probes.models.states import States

_STORED: dict[str, np.dtype[Any]] = {
    "float32": np.dtype("<f4"),
    "float16": np.dtype("<f2"),
    "int16": np.dtype("<i2"),
}
_BF16 = "torch.bfloat16"
_HANDLE = re.compile(r"[A-Za-z0-9_-]{1,128}")
_UNKNOWN_STATUS = 502


class Packed(msgspec.Struct, frozen=True):
    """A tensor as the plugin writes it.

    The bytes lie in `data` (base64), or behind `handle` where the binary transport was asked for.
    `dtype` is what numpy stores; bfloat16 is stored as int16, and `original_dtype` says so.
    """

    dtype: str
    shape: tuple[int, ...]
    data: str | None = None
    handle: str | None = None
    compression: str | None = None
    original_dtype: str = ""


class LensReply(NamedTuple):
    """One completion: its text, the prompt's token ids where they were asked for, the states."""

    text: str
    prompt: tuple[int, ...] | None
    states: Packed | None


class _Choice(msgspec.Struct):
    text: str = ""
    prompt_token_ids: tuple[int, ...] | None = None


class _Activations(msgspec.Struct):
    residual_stream: Packed | None = None


class _Body(msgspec.Struct):
    choices: list[_Choice] = []
    activations: _Activations | None = None
    error: Any = None


class _Card(msgspec.Struct):
    id: str
    max_model_len: int | None = None


class _Cards(msgspec.Struct):
    data: list[_Card]


def read_reply(body: bytes) -> LensReply:
    """Read a completion. Raises ValueError for another body, AnsweredError for one that failed."""
    found = msgspec.json.decode(body, type=_Body)
    if found.error is not None:
        raise AnsweredError(str(found.error)[:200], _UNKNOWN_STATUS)
    if not found.choices:
        raise ValueError("no choice")
    states = found.activations.residual_stream if found.activations else None
    return LensReply(found.choices[0].text, found.choices[0].prompt_token_ids, states)


def read_contexts(body: bytes) -> dict[str, int | None]:
    """The served models and how many tokens each takes, where the server says so."""
    return {card.id: card.max_model_len for card in msgspec.json.decode(body, type=_Cards).data}


def handle_path(packed: Packed) -> str:
    """Where the bytes of a tensor are fetched. Raises ValueError for what is no handle."""
    if packed.handle is None or not _HANDLE.fullmatch(packed.handle):
        raise ValueError("states with neither data nor a handle")
    return f"/activations/{packed.handle}"


def unpack(packed: Packed, raw: bytes | None, shape: tuple[int, int, int]) -> States:
    """The states as float32 of `shape` (layers, tokens, width), which they must have.

    `raw` are the fetched bytes, None where the tensor carries its own. No more is unpacked than
    the shape needs, whatever the header of the packed bytes claims. Raises ValueError.
    """
    if packed.shape != shape:
        raise ValueError(f"states of shape {list(packed.shape)}, not {list(shape)}")
    if packed.dtype not in _STORED:
        raise ValueError(f"states stored as {packed.dtype[:20]!r}")
    kind = _STORED[packed.dtype]
    if raw is None:
        raw = _from_base64(packed)
    if packed.compression == "zstd":
        raw = _inflated(raw, math.prod(shape) * kind.itemsize)
    elif packed.compression is not None:
        raise ValueError(f"states packed by {packed.compression[:20]!r}")
    if len(raw) != math.prod(shape) * kind.itemsize:
        raise ValueError(f"{len(raw)} bytes of states for shape {list(shape)}")
    stored = np.frombuffer(raw, kind).reshape(shape)
    if packed.dtype == "int16":
        if packed.original_dtype != _BF16:
            raise ValueError("whole numbers in place of states")
        stored = (stored.view("<u2").astype(np.uint32) << 16).view(np.float32)
    states = stored.astype(np.float32)
    if not np.isfinite(states).all():
        raise ValueError("states that are not finite numbers")
    return states


def _from_base64(packed: Packed) -> bytes:
    if packed.data is None:
        raise ValueError("states with neither data nor a handle")
    try:
        return base64.b64decode(packed.data, validate=True)
    except binascii.Error as error:
        raise ValueError(f"states that are not base64: {error}") from error


def _inflated(raw: bytes, size: int) -> bytes:
    """At most one byte more than `size`, so that the caller sees what is too long."""
    try:
        with zstandard.ZstdDecompressor(max_window_size=1 << 27).stream_reader(raw) as stream:
            return stream.read(size + 1)
    except zstandard.ZstdError as error:
        raise ValueError(f"states that are not zstd: {error}") from error
