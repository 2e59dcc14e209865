"""Moving a stratum's reference: only a person does it, or a release that a person names."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec
from sqlalchemy import Connection

from evidence import BadInputError
from evidence.person import Person
from evidence.rank_detector import Past
from monitor.detect.hours import pasts_of
from monitor.detect.options import DetectionOptions
from monitor.detect.records import PARTIAL, Reference, StratumState, decode_state, encode_state
from monitor.detect.reference import LEAST, reference_of
from monitor.detect.scores import scores_of
from monitor.detect.stratum import rebase
from monitor.services.decisions import find
from monitor.services.person import Sees, sees_all
from monitor.store import detectors, references
from monitor.store.references import MovedReference


class Move(msgspec.Struct, frozen=True, kw_only=True):
    """What a person wants: values by metric, or upper bounds of the newest `from_last` verdicts.

    With `decision_id` the source is `release`: this gate decision released what the assistant was
    trained on since.
    """

    stratum: str
    values: Mapping[str, float] = {}
    from_last: int | None = None
    by: Person
    reason: str
    decision_id: str | None = None


def move_reference(
    connection: Connection,
    move: Move,
    *,
    options: DetectionOptions,
    now_s: float,
    sees: Sees = sees_all,
) -> list[MovedReference]:
    """Compare the stratum with new references from now on; audited with person, reason and log position.

    Evidence against the old references is dropped; latched alarms stay until they are closed.
    Raises BadInputError for an unknown stratum or metric, a value out of range, too few verdicts, or
    a decision that did not release.
    """
    if not move.reason.strip():
        raise BadInputError("a reference is moved for a reason", move.stratum)
    if bool(move.values) == (move.from_last is not None):
        raise BadInputError("give values by metric, or a number of newest verdicts", move.stratum)
    read = detectors.read_detector(connection, move.stratum)
    if not read.state or not sees(move.stratum.partition("/")[0]):
        raise BadInputError("no such stratum has been measured", move.stratum)
    source = "person"
    if move.decision_id is not None:
        check_released(connection, move.decision_id, move.stratum.partition("/")[0])
        source = "release"
    state = decode_state(read.state)
    new, pasts = _wanted(connection, state, move, source, options)
    after = encode_state(rebase(state, new, options=options, pasts=pasts))
    if not detectors.save_detector(connection, read, after, read.log_position, now_s=now_s):
        raise BadInputError("its detectors moved just now; try again", move.stratum)
    moved = [
        MovedReference(
            stratum=move.stratum,
            metric=metric,
            evaluator_version=state.evaluators[-1],
            value=reference.value,
            n=reference.n,
            source=source,
            approved_by=move.by.signed,
            created_at_s=now_s,
        )
        for metric, reference in new.items()
    ]
    details = {
        "reason": move.reason,
        "log_position": read.log_position,
        "decision_id": move.decision_id,
    }
    references.record(connection, moved, by=move.by.signed, details=details)
    return moved


def _wanted(
    connection: Connection,
    state: StratumState,
    move: Move,
    source: str,
    options: DetectionOptions,
) -> tuple[dict[str, Reference], dict[str, Past]]:
    """References by metric, and the scores that they were taken from where they were not just named."""
    if move.from_last is None:
        named = {
            metric: Reference(value=value, source=source, log_position=state.log_position)
            for metric, value in move.values.items()
        }
        return named, {}
    entries = references.newest_entries(
        connection, state.stratum, state.evaluators[-1], limit=move.from_last
    )
    made = {}
    for metric, scores in scores_of(entries).items():
        if len(scores) < LEAST and metric in PARTIAL:
            continue
        if len(scores) < LEAST:
            raise BadInputError(
                f"{len(scores)} verdicts say something about {metric}, {LEAST} are needed",
                move.stratum,
            )
        made[metric] = reference_of(
            scores, source=source, log_position=state.log_position, options=options
        )
    return made, {**pasts_of(entries, options)}


def check_released(connection: Connection, decision_id: str, assistant: str) -> None:
    """Raises BadInputError for a decision that is about another assistant, or released nothing."""
    stored, decision = find(connection, decision_id)
    if stored.assistant != assistant:
        raise BadInputError("that decision is about another assistant", decision_id)
    if not decision.releases or stored.revoked_at_s is not None:
        raise BadInputError("that decision releases nothing", decision_id)
