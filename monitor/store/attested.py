"""Versions of which somebody showed the attested weights, and versions that answer without."""

from __future__ import annotations

from collections.abc import Collection

import msgspec
from sqlalchemy import Connection, func, insert, select

from evidence import SampledBy
from monitor.store import audit
from monitor.store.schema import approved_versions, attested_versions, responses

_SAMPLED = tuple(how.value for how in SampledBy)


class AttestedVersion(msgspec.Struct, frozen=True, kw_only=True):
    """A version, by its name in the records, with what released its weights.

    `weights_digest` is the SHA-256 over names and digests of the files.
    """

    assistant: str
    version: str
    decision_id: str
    weights_digest: str
    attested_by: str
    created_at_s: float


class UnattestedVersion(msgspec.Struct, frozen=True, order=True):
    """A version that answered without an attestation, with its sampled responses in the time looked at."""

    assistant: str
    version: str
    responses: int


def record(connection: Connection, attested: AttestedVersion) -> None:
    """Keep an attestation, and audit it."""
    connection.execute(insert(attested_versions).values(**msgspec.structs.asdict(attested)))
    audit.append(
        connection,
        by=attested.attested_by,
        action="model.attest",
        subject=attested.assistant,
        details={
            "version": attested.version,
            "decision_id": attested.decision_id,
            "weights_digest": attested.weights_digest,
        },
        at_s=attested.created_at_s,
    )


def unattested(
    connection: Connection, *, since_s: float, assistants: Collection[str] | None = None
) -> list[UnattestedVersion]:
    """Versions whose sampled responses came in since a time, and after the assistant's first attestation.

    An assistant of which no weights were ever attested has none: who does not attest is not asked to.
    A version that a person approved counts as attested. `assistants` narrows the look.
    """
    first = _first_attested(connection)
    if assistants is not None:
        first = {name: at_s for name, at_s in first.items() if name in assistants}
    if not first:
        return []
    known = _attested(connection, first)
    table = responses.c
    query = (
        select(table.assistant, table.model, func.count(), func.max(table.received_at_s))
        .where(
            table.sampled_by.in_(_SAMPLED),
            table.received_at_s >= max(since_s, min(first.values())),
            table.assistant.in_(sorted(first)),
        )
        .group_by(table.assistant, table.model)
    )
    return sorted(
        UnattestedVersion(assistant, model, n)
        for assistant, model, n, last_s in connection.execute(query)
        if (assistant, model) not in known and last_s >= first[assistant]
    )


def attesting_assistants(connection: Connection) -> list[str]:
    """Assistants of which some weights were attested."""
    return sorted(_first_attested(connection))


def _first_attested(connection: Connection) -> dict[str, float]:
    table = attested_versions.c
    query = select(table.assistant, func.min(table.created_at_s)).group_by(table.assistant)
    return {assistant: at_s for assistant, at_s in connection.execute(query)}  # noqa: C416 -- rows


def _attested(connection: Connection, assistants: Collection[str]) -> set[tuple[str, str]]:
    """The versions of these assistants that were attested or approved."""
    return {
        (assistant, version)
        for table in (attested_versions.c, approved_versions.c)
        for assistant, version in connection.execute(
            select(table.assistant, table.version).where(table.assistant.in_(sorted(assistants)))
        )
    }
