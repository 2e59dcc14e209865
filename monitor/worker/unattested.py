"""A worker's word on versions that answer without an attestation of their weights."""

from __future__ import annotations

import logging

from sqlalchemy import Connection

from monitor.store.attested import unattested

log = logging.getLogger(__name__)

_SINCE_S = 600.0
"""How far back one look goes; the gauge and the gate look over all of their window."""


class UnattestedVersions:
    """Names each version once, in the log of the worker that sees it."""

    def __init__(self) -> None:
        self._named: set[tuple[str, str]] = set()

    def look(self, connection: Connection, now_s: float) -> None:
        for one in unattested(connection, since_s=now_s - _SINCE_S):
            named = (one.assistant, one.version)
            if named not in self._named:
                log.warning("%s answers with %s, of which no weights were attested", *named)
                self._named.add(named)
