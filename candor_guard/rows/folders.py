"""A folder of rows: the shards of one table, or what `datasets` saved."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from candor_guard.errors import BadInputError

_PACKED = frozenset({".gz", ".bz2", ".xz", ".zst"})
_KINDS = {".parquet": "Parquet", ".jsonl": "JSON lines", ".ndjson": "JSON lines"}


def shards(folder: Path) -> list[Path]:
    """The files of a folder in the order of their names, numbers as numbers.

    Parquet or JSON lines (packed or not); other files, and names that begin with a dot or an underscore,
    are no shards. Raises BadInputError for folders within, none, or both kinds.
    """
    inner = sorted(p.name for p in folder.iterdir() if p.is_dir() and not _aside(p))
    if inner:
        raise BadInputError(f"holds folders ({', '.join(inner[:5])}); name one", str(folder))
    found = [p for p in folder.iterdir() if not _aside(p) and _kind(p)]
    kinds = sorted({_kind(path) for path in found})
    if len(kinds) > 1:
        raise BadInputError(f"holds {' and '.join(kinds)}; name the files of one kind", str(folder))
    if not found:
        raise BadInputError("holds no shards: .parquet or .jsonl files", str(folder))
    return sorted(found, key=_in_order)


def saved_dataset(folder: Path) -> Any | None:
    """What `Dataset.save_to_disk` wrote; None for another folder. Raises BadInputError."""
    if (folder / "dataset_dict.json").is_file():
        raise BadInputError("holds several splits; name the folder of one", str(folder))
    if not (folder / "state.json").is_file():
        return None
    try:
        import datasets  # noqa: PLC0415 -- an extra
    except ModuleNotFoundError as error:
        raise BadInputError(
            "was saved by `datasets`, which is not installed", str(folder)
        ) from error
    try:
        return datasets.load_from_disk(str(folder))
    except (OSError, ValueError, KeyError, TypeError) as error:
        reason = str(error).partition("\n")[0]
        raise BadInputError(f"cannot be read by `datasets`: {reason}", str(folder)) from error


def _aside(path: Path) -> bool:
    return path.name.startswith((".", "_"))


def _kind(path: Path) -> str:
    suffixes = [suffix.lower() for suffix in path.suffixes]
    if suffixes and suffixes[-1] in _PACKED:
        suffixes.pop()
    return _KINDS.get(suffixes[-1], "") if suffixes else ""


def _in_order(path: Path) -> list[tuple[int, str]]:
    """
    >>> [p.name for p in sorted([Path("p-10.parquet"), Path("p-9.parquet")], key=_in_order)]
    ['p-9.parquet', 'p-10.parquet']
    """
    parts = re.split(r"(\d+)", path.name)
    return [(int(part), "") if part.isdecimal() else (0, part) for part in parts]
