"""Which model it is: its weights, and how it writes and cuts text."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from candor_guard.files import file_sha256
from evidence import Message, digest
from probes.models.encoding import Encoded, encode

_SAMPLE = (Message("system", "Be kind."), Message("user", "Is it 12,5 or not?"))


def identity(directory: Path, adapter: Path | None, dtype: str, tokenizer: Any) -> str:
    """Digest of the weights and of how a sample is written and cut into tokens.

    Not of the configuration files: every version of transformers writes those anew.
    """
    parts = [dtype]
    for folder in (directory, adapter) if adapter else (directory,):
        parts += [file_sha256(path) for path in weight_files(folder)]
    return digest(*parts, repr(tuple(sample(tokenizer))))


def weight_files(directory: Path) -> list[Path]:
    """The files of weights in a folder, in the order in which they are hashed."""
    return sorted(directory.glob("*.safetensors"))


def sample(tokenizer: Any) -> Encoded:
    """A short conversation as this tokenizer and its chat template write it."""
    return encode(tokenizer, _SAMPLE, "Yes – it’s 3.5 %, naïvely.\n", 512)
