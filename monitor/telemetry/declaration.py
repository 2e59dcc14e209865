"""How a metric is declared."""

from __future__ import annotations

from typing import Literal

import msgspec

Kind = Literal["counter", "gauge", "histogram"]
Exporter = Literal["worker", "serve", "tap"]

STRATUM = ("assistant", "segment", "stakes")


class Declaration(msgspec.Struct, frozen=True):
    """One metric: its name, type, help, labels, and the process that exports it."""

    name: str
    kind: Kind
    help: str
    labels: tuple[str, ...] = ()
    exporter: Exporter = "serve"
