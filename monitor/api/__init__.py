"""The HTTP API: records in, findings out, people's decisions recorded."""

from __future__ import annotations

from typing import TYPE_CHECKING

from monitor.lazy import load_on_first_use

# ruff: noqa: TC004 -- at run time the names come from _PARTS: the sidecar needs no statistics
if TYPE_CHECKING:
    from monitor.api.access import Access, Principal, Scope, add_key
    from monitor.api.app import create_app
    from monitor.api.context import Context
    from monitor.api.state import StateReader

__all__ = ["Access", "Context", "Principal", "Scope", "StateReader", "add_key", "create_app"]

_PARTS = {
    "Access": "access",
    "Context": "context",
    "Principal": "access",
    "Scope": "access",
    "StateReader": "state",
    "add_key": "access",
    "create_app": "app",
}

load_on_first_use(__name__, _PARTS)
