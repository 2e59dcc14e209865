"""Rows that say of themselves that they are probe traffic: canaries, red-team transcripts, replays."""

from __future__ import annotations

from typing import Any

from candor_guard.rows import Row

_MARK = "candor_mark"
_PURPOSES = frozenset({"canary", "probe", "redteam", "repeat", "replay", "rescore"})
_SOURCES = frozenset({"candor-canary", "candor-redteam"})


def is_marked(row: Row) -> bool:
    """Whether the row's columns, an object in one of them, or its provenance bear a mark of probe traffic.

    A mark needs no key to be believed here: who sets one takes a row out, and lets none in.
    """
    origin = row.provenance
    if origin.source in _SOURCES or _is_purpose(origin.purpose):
        return True
    extra = row.extra
    return bool(extra) and (
        _bears(extra) or any(isinstance(v, dict) and _bears(v) for v in extra.values())
    )


def _bears(columns: dict[str, Any]) -> bool:
    return _MARK in columns or _is_purpose(columns.get("purpose"))


def _is_purpose(value: Any) -> bool:
    if not isinstance(value, str):
        return False
    return value.strip().casefold().replace("-", "").replace("_", "") in _PURPOSES
