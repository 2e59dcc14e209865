"""The reader's weights on disk: eight bits a weight, a card, checksums, no pickle."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load_file, save_file

from candor_guard.files import file_sha256
from evidence import BadInputError, digest

CARD, ARRAYS = "card.json", "weights.safetensors"
PACKAGED = Path(__file__).parent / "weights"
SHARED = ("encoder.embeddings.", "encoder.encoder.layer.0.")
"""What training leaves as it is in the encoder's own weights, and is read from there."""
_SCALE = ".scale"


class Card(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the weights are for.

    Parameters
    ----------
    encoder, encoder_sha256
        Name and checksum of the weights that they were trained from: embeddings and first layer are read there.
    premise_tokens, claim_tokens
        How much of either text is read; the rest is cut off.
    sha256
        Checksum of the arrays.
    """

    encoder: str
    encoder_sha256: str
    premise_tokens: int
    claim_tokens: int
    sha256: str
    schema_version: int = 1

    @property
    def version(self) -> str:
        """Digest of everything that changes a result, 16 hex digits."""
        return digest(msgspec.json.encode(self, order="sorted"))[:16]


def save(directory: Path, card: Card, state: dict[str, NDArray[Any]]) -> Card:
    """Write weights and card. A matrix is kept as int8 with a scale for each row, the rest as float16."""
    directory.mkdir(parents=True, exist_ok=True)
    arrays: dict[str, NDArray[Any]] = {}
    for name, values in state.items():
        if name.startswith(SHARED):
            continue
        if values.ndim < 2:
            arrays[name] = np.ascontiguousarray(values, np.float16)
            continue
        scale = np.abs(values).max(axis=1, keepdims=True) / 127.0
        scale[scale == 0.0] = 1.0
        arrays[name] = np.ascontiguousarray(np.round(values / scale), np.int8)
        arrays[name + _SCALE] = np.ascontiguousarray(scale, np.float32)
    save_file(arrays, directory / ARRAYS)
    written = msgspec.structs.replace(card, sha256=file_sha256(directory / ARRAYS))
    text = msgspec.json.format(msgspec.json.encode(written), indent=1)
    (directory / CARD).write_bytes(text + b"\n")
    return written


def load(directory: Path) -> tuple[Card, dict[str, NDArray[np.float32]]]:
    """Card and weights as float32, after the checksum was checked. Raises BadInputError for anything else."""
    try:
        card = msgspec.json.decode((directory / CARD).read_bytes(), type=Card)
        if file_sha256(directory / ARRAYS) != card.sha256:
            raise BadInputError("differs from the checksum in its card", str(directory / ARRAYS))
        arrays = load_file(directory / ARRAYS)
        return card, {
            name: values.astype(np.float32) * arrays.get(name + _SCALE, np.float32(1.0))
            for name, values in arrays.items()
            if not name.endswith(_SCALE)
        }
    except (OSError, ValueError, msgspec.MsgspecError) as error:
        raise BadInputError(f"not a reader of premises: {error}", str(directory)) from error
