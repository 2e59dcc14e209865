"""The console: pages rendered here, in which people read what was found and act on it. They need no script to be read."""

from monitor.console.context import ConsoleContext
from monitor.console.routes import router

__all__ = ["ConsoleContext", "router"]
