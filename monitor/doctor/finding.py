"""What the doctor finds about one part of a running set."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path

import msgspec


class Status(StrEnum):
    """`WARNING` may be wanted; `FAILED` is wrong; `UNREACHABLE` does not answer."""

    OK = "ok"
    WARNING = "warning"
    FAILED = "failed"
    UNREACHABLE = "unreachable"


class Finding(msgspec.Struct, frozen=True):
    """What was found about one part; `advice` is empty where nothing needs doing."""

    part: str
    status: Status
    detail: str
    advice: str = ""


def present(database_url: str) -> bool:
    """False for a SQLite file that is not there: looking at it would create it."""
    name = database_url.removeprefix("sqlite:///")
    return name == database_url or Path(name).exists()
