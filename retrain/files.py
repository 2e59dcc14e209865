"""Files that appear whole or not at all."""

from __future__ import annotations

import os
from pathlib import Path


def write_durably(path: Path, data: bytes) -> None:
    """Write a file whole or not at all, on disk before it has its name."""
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    with partial.open("wb") as out:
        out.write(data)
        out.flush()
        os.fsync(out.fileno())
    partial.replace(path)
