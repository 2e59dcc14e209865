"""Where a model in process computes, how exactly, and how much at once."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Literal, NamedTuple

from evidence import BadInputError
from probes.models.identity import weight_files
from probes.models.local import LocalModel

Device = Literal["auto", "cpu", "cuda"]

_BYTES = {"float32": 4, "bfloat16": 2, "float16": 2}
_USED = 0.9
_FEWEST, _MOST = 512, 65_536
_MAX_HEADER_BYTES = 100_000_000


class Hardware(NamedTuple):
    """What there is: a CUDA device, whether it computes in bfloat16, and its free memory."""

    cuda: bool = False
    bf16: bool = False
    free_bytes: int = 0


class Size(NamedTuple):
    """What a model takes: its parameters, and the numbers that it holds for each token."""

    parameters: int
    per_token: int


class Placement(NamedTuple):
    """Device and precision of the weights, and the cells of one padded batch."""

    device: str
    dtype: str
    max_batch_tokens: int


def place(
    wanted: Device, hardware: Hardware, size: Size, *, dtype: str | None, max_batch_tokens: int
) -> Placement:
    """Choose a device, a precision and a batch size.

    `auto` takes CUDA where the model fits with at least 512 tokens, in bfloat16 where the device
    has it; else the CPU in float32 with `max_batch_tokens`. A given `dtype` is kept: a probe reads
    states of the precision that it was fitted to. On CUDA the batch fills nine tenths of the free
    memory, up to 65 536 tokens.

    Raises BadInputError where `cuda` is wanted and is not there or is too small.

    >>> place("auto", Hardware(), Size(10, 10), dtype=None, max_batch_tokens=2048)
    Placement(device='cpu', dtype='float32', max_batch_tokens=2048)
    """
    if wanted == "cuda" and not hardware.cuda:
        raise BadInputError("cuda, but torch finds no CUDA device", "reader.device")
    if wanted == "cpu" or not hardware.cuda:
        return Placement("cpu", dtype or "float32", max_batch_tokens)
    kind = dtype or ("bfloat16" if hardware.bf16 else "float32")
    if kind == "bfloat16" and not hardware.bf16:
        raise BadInputError(
            "the probe was fitted in bfloat16, which this CUDA device does not compute in",
            "reader.device",
        )
    left = _USED * hardware.free_bytes - size.parameters * _BYTES[kind]
    cells = int(left // (size.per_token * _BYTES[kind]))
    if cells >= _FEWEST:
        return Placement("cuda", kind, min(cells, _MOST))
    if wanted == "cuda":
        need = size.parameters * _BYTES[kind] / 2**30
        raise BadInputError(
            f"the model takes {need:.1f} GiB in {kind} and room for a batch; the CUDA device has"
            f" {hardware.free_bytes / 2**30:.1f} GiB free",
            "reader.device",
        )
    return Placement("cpu", dtype or "float32", max_batch_tokens)


def load_placed(
    folder: Path, wanted: Device, *, dtype: str | None = None, max_batch_tokens: int = 2048
) -> LocalModel:
    """Load a model where `place` puts it. Raises BadInputError when the folder holds none."""
    if wanted == "cpu":
        found = Placement("cpu", dtype or "float32", max_batch_tokens)
    else:
        found = place(
            wanted,
            hardware(),
            model_size(folder),
            dtype=dtype,
            max_batch_tokens=max_batch_tokens,
        )
    return LocalModel.load(
        folder,
        dtype=found.dtype,
        device=found.device,
        max_batch_tokens=found.max_batch_tokens,
    )


def hardware() -> Hardware:
    """What torch finds on this machine."""
    import torch  # noqa: PLC0415 -- slow import

    if not torch.cuda.is_available():
        return Hardware()
    free_bytes, _total = torch.cuda.mem_get_info()
    return Hardware(True, torch.cuda.is_bf16_supported(including_emulation=False), free_bytes)


def model_size(folder: Path) -> Size:
    """Parameters by the headers of the weight files, and numbers for each token by `config.json`.

    A token holds the residual stream, its copies in attention, the inner layer of one block thrice,
    and the kept states in float32. Raises BadInputError when the folder holds no model.
    """
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        text = config.get("text_config", config)
        width = int(text["hidden_size"])
        inner = int(text.get("intermediate_size") or 4 * width)
        parameters = sum(map(_parameters, weight_files(folder)))
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise BadInputError(f"no model here: {error!r}", str(folder)) from error
    return Size(parameters, 16 * width + 3 * inner)


def _parameters(path: Path) -> int:
    """How many numbers a safetensors file holds, by its header: a length, then JSON."""
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if length > _MAX_HEADER_BYTES:
            raise ValueError(f"{path.name} is no safetensors file")
        header = json.loads(file.read(length))
    return sum(math.prod(part["shape"]) for name, part in header.items() if name != "__metadata__")
