"""The HTTP API: records in, findings out, people's decisions recorded."""

from monitor.api.access import Access, Principal, Scope, add_key
from monitor.api.app import create_app
from monitor.api.context import Context
from monitor.api.state import StateReader

__all__ = ["Access", "Context", "Principal", "Scope", "StateReader", "add_key", "create_app"]
