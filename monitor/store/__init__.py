"""The SQL store: the truth about everything accepted."""

from monitor.store.engine import open_store, opened_store, reading, upgrade

__all__ = ["open_store", "opened_store", "reading", "upgrade"]
