"""The console: one read-only page, rendered here, that needs no script."""

from monitor.console.page import render
from monitor.console.routes import router

__all__ = ["render", "router"]
