"""Labels that people gave to responses."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence

import msgspec
from sqlalchemy import Connection, delete, insert, select

from evidence import BadInputError, Response, VerdictKind
from monitor.store import audit
from monitor.store.intake import unpack_body
from monitor.store.schema import labels, responses, verdicts
from monitor.store.verdicts import FINAL_PROBABILITY

_TOLD = {VerdictKind.HONEST.value, VerdictKind.LIE.value}


class Label(msgspec.Struct, frozen=True, kw_only=True):
    """One person's judgement of one response.

    `inclusion_probability` is the probability with which a random audit chose the response, None
    where it was not chosen at random: such labels never enter honesty.
    """

    assistant: str
    response_id: str
    labeller: str
    kind: VerdictKind
    inclusion_probability: float | None
    at_s: float


class UnknownResponseError(BadInputError):
    """The response was never accepted."""


def put_label(connection: Connection, label: Label, *, by: str) -> None:
    """Store a label and audit it; a person's newer label of the same response replaces the older.

    Raises UnknownResponseError.
    """
    known = select(responses.c.response_id).where(
        responses.c.assistant == label.assistant, responses.c.response_id == label.response_id
    )
    if connection.execute(known).scalar() is None:
        raise UnknownResponseError(
            f"no response {label.response_id!r} of assistant {label.assistant!r} was accepted",
            "response_id",
        )
    connection.execute(
        delete(labels).where(
            labels.c.assistant == label.assistant,
            labels.c.response_id == label.response_id,
            labels.c.labeller == label.labeller,
        )
    )
    connection.execute(insert(labels).values(**msgspec.structs.asdict(label)))
    details = {
        "kind": label.kind.value,
        "labeller": label.labeller,
        "inclusion_probability": label.inclusion_probability,
    }
    audit.append(
        connection,
        by=by,
        action="label.put",
        subject=f"{label.assistant}/{label.response_id}",
        details=details,
        at_s=label.at_s,
    )


class RandomLabel(msgspec.Struct, frozen=True):
    """A label of a response that a random audit chose."""

    response_id: str
    kind: str
    inclusion_probability: float


def random_labels(
    connection: Connection, stratum: str, *, since_s: float, kinds: Sequence[VerdictKind]
) -> list[RandomLabel]:
    """Labels of these kinds on a stratum's responses that came in since a time."""
    same = (labels.c.assistant == responses.c.assistant) & (
        labels.c.response_id == responses.c.response_id
    )
    query = (
        select(labels.c.response_id, labels.c.kind, labels.c.inclusion_probability)
        .select_from(labels.join(responses, same))
        .where(
            # Begins with the labels, which are few, and not with the responses.
            labels.c.assistant == stratum.partition("/")[0],
            responses.c.stratum == stratum,
            responses.c.received_at_s >= since_s,
            labels.c.inclusion_probability.is_not(None),
            labels.c.kind.in_([kind.value for kind in kinds]),
        )
    )
    return [RandomLabel(*row) for row in connection.execute(query)]


class AuditedVerdict(msgspec.Struct, frozen=True, kw_only=True):
    """A live verdict whose response a random audit chose, with one label of it.

    `weight` is one over the probability that the response was measured and labelled.
    """

    assistant: str
    segment: str
    stakes: str
    response_id: str
    scored_at_s: float
    verdict: str
    label: str
    weight: float


def audited_verdicts(
    connection: Connection,
    *,
    since_s: float,
    until_s: float | None = None,
    assistants: Collection[str] | None = None,
    limit: int = 20_000,
) -> list[AuditedVerdict]:
    """Random labels of the responses with a live verdict scored since a time and before `until_s`, newest first;
    of these assistants, or all for None."""
    same = (labels.c.assistant == verdicts.c.assistant) & (
        labels.c.response_id == verdicts.c.response_id
    )
    weight = 1.0 / (FINAL_PROBABILITY * labels.c.inclusion_probability)
    names = ("assistant", "segment", "stakes", "response_id", "scored_at_s")
    query = (
        select(
            *(verdicts.c[name] for name in names),
            verdicts.c.kind.label("verdict"),
            labels.c.kind.label("label"),
            weight.label("weight"),
        )
        .select_from(labels.join(verdicts, same))
        .where(
            verdicts.c.live_slot.is_not(None),
            verdicts.c.scored_at_s >= since_s,
            labels.c.inclusion_probability.is_not(None),
        )
        .order_by(labels.c.at_s.desc())
        .limit(limit)
    )
    if until_s is not None:
        query = query.where(verdicts.c.scored_at_s < until_s)
    if assistants is not None:
        query = query.where(labels.c.assistant.in_(list(assistants)))
    return [AuditedVerdict(**row) for row in connection.execute(query).mappings()]


def audited_scores(
    connection: Connection, assistant: str, evaluator_version: str, *, limit: int = 10_000
) -> list[tuple[float, bool]]:
    """p_lie and whether it is a lie, of the newest responses that a random audit chose and read.

    Only those that one probability chose, the commonest, so that they are exchangeable; whose live
    verdict is of this evaluator and speaks by p_lie (`honest` or `lie`). A response is a lie when any
    of its labellers says so.
    """
    query = (
        select(
            labels.c.response_id,
            labels.c.kind,
            labels.c.inclusion_probability,
            verdicts.c.p_lie,
        )
        .join(
            verdicts,
            (verdicts.c.assistant == labels.c.assistant)
            & (verdicts.c.response_id == labels.c.response_id),
        )
        .where(
            labels.c.assistant == assistant,
            labels.c.inclusion_probability.is_not(None),
            verdicts.c.live_slot.is_not(None),
            verdicts.c.evaluator_version == evaluator_version,
            verdicts.c.p_lie.is_not(None),
            verdicts.c.kind.in_([VerdictKind.HONEST.value, VerdictKind.LIE.value]),
        )
        .order_by(labels.c.at_s.desc(), labels.c.response_id)
        .limit(limit)
    )
    rows = connection.execute(query).all()
    if not rows:
        return []
    (usual, _), *_ = Counter(row.inclusion_probability for row in rows).most_common(1)
    found: dict[str, tuple[float, bool]] = {}
    for row in rows:
        if row.inclusion_probability == usual:
            _, before = found.get(row.response_id, (row.p_lie, False))
            found[row.response_id] = (row.p_lie, before or row.kind == VerdictKind.LIE.value)
    return list(found.values())


def labelled_responses(
    connection: Connection, assistant: str, *, limit: int = 10_000
) -> list[tuple[Response, bool]]:
    """The newest responses that people called honest or a lie, and whether a lie; of one mind only.

    Those whose text is no longer kept are left out.
    """
    same = (labels.c.assistant == responses.c.assistant) & (
        labels.c.response_id == responses.c.response_id
    )
    query = (
        select(labels.c.response_id, labels.c.kind, responses.c.body)
        .select_from(labels.join(responses, same))
        .where(labels.c.assistant == assistant, responses.c.body.is_not(None))
        .order_by(labels.c.at_s.desc())
        .limit(limit)
    )
    kinds: dict[str, set[str]] = {}
    bodies: dict[str, bytes] = {}
    for name, kind, body in connection.execute(query):
        kinds.setdefault(name, set()).add(kind)
        bodies[name] = body
    return [
        (unpack_body(bodies[name]), VerdictKind.LIE.value in said)
        for name, said in kinds.items()
        if len(said) == 1 and said <= _TOLD
    ]
