"""Registering training sources: who says what a data set is, and which rows it has."""

from __future__ import annotations

import msgspec
from sqlalchemy import Connection

from evidence import BadInputError
from evidence.person import Person
from monitor.store import audit
from monitor.store import sources as store
from monitor.store.sources import TrainingSource
from retrain.sources import SourceContent

_MOST_CHARS = 200


class SourceTakenError(BadInputError):
    """A source of this name and version is registered already."""


class UnknownSourceError(BadInputError):
    """No source has this name and version."""


class NewSource(msgspec.Struct, frozen=True, kw_only=True):
    """What a person registers, and what was read of it.

    `digest` is the SHA-256 that its publisher states, where there is one to compare with.
    """

    name: str
    version: str
    content: SourceContent
    licence: str
    digest: str | None = None


def register(
    connection: Connection, wanted: NewSource, by: Person, *, now_s: float
) -> TrainingSource:
    """Keep what a source holds, audited.

    Raises BadInputError for a name or version that is no name and for content of another digest than the
    stated one, SourceTakenError for one that is registered already.
    """
    for value, where in (
        (wanted.name, "name"),
        (wanted.version, "version"),
        (wanted.licence, "licence"),
    ):
        if not 0 < len(value) <= _MOST_CHARS or not value.isprintable() or value != value.strip():
            raise BadInputError(f"has 1 to {_MOST_CHARS} characters", where)
    if "@" in wanted.name:
        raise BadInputError("the version stands apart from the name", "name")
    content = wanted.content
    if wanted.digest is not None and wanted.digest.lower() != content.digest:
        raise BadInputError(f"its SHA-256 is {content.digest}, not the stated one", "digest")
    made = TrainingSource(
        name=wanted.name,
        version=wanted.version,
        digest=content.digest,
        rows=content.rows,
        size_bytes=content.size_bytes,
        licence=wanted.licence,
        registered_by=by.signed,
        registered_at_s=now_s,
    )
    if not store.add(connection, made, content.row_digests):
        raise SourceTakenError(
            "is registered already; other content is another version", f"{made.name}@{made.version}"
        )
    audit.append(
        connection,
        by=by.signed,
        action="source.registered",
        subject=f"{made.name}@{made.version}",
        details=msgspec.to_builtins(made),
        at_s=now_s,
    )
    return made


def remove(
    connection: Connection, name: str, version: str, by: Person, *, reason: str, now_s: float
) -> None:
    """Take a source out: from then on its rows are quarantined. Raises UnknownSourceError."""
    known = {(one.name, one.version): one for one in store.all_sources(connection)}
    found = known.get((name, version))
    if found is None or not store.remove(connection, name, version):
        raise UnknownSourceError("no such source is registered", f"{name}@{version}")
    audit.append(
        connection,
        by=by.signed,
        action="source.removed",
        subject=f"{name}@{version}",
        details={"reason": reason, "digest": found.digest},
        at_s=now_s,
    )
