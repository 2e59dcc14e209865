"""Rows of a file for a command, with a bar on a terminal."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from candor_guard.reading import object_of, read_items

_EVERY = 2_000


class Row(NamedTuple):
    """One object, where it stands and its line."""

    where: str
    number: int
    values: dict[str, Any]


def read_rows(path: Path) -> Iterator[Row]:
    """Objects of a file, `-` for standard input. Raises BadInputError naming file and line."""
    columns = (TextColumn("reading"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
    err = Console(stderr=True)
    with Progress(*columns, console=err, transient=True, disable=not err.is_terminal) as progress:
        task = progress.add_task("reading", total=1.0)
        for k, item in enumerate(read_items(path)):
            if k % _EVERY == 0:
                progress.update(task, completed=item.share)
            yield Row(item.where, item.number, object_of(item))
