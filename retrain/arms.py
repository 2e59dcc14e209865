"""The rows of each arm: equal in number and order, so that arms differ in the rows alone."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

import msgspec

from candor_guard.rows import ChatMessage, Provenance, Row, RowKind, Text, manifest
from evidence import BadInputError
from retrain.report import Arm, ControlRows

APPROVED_MODEL = "approved_model"
"""Source of control rows that the last approved model answered."""


class ArmRows(msgspec.Struct, frozen=True, kw_only=True):
    """What an arm trains on, and the digest of the rows that it stands for."""

    arm: Arm
    rows: tuple[Row, ...]
    subject_digest: str
    replaced: int = 0


def check_kinds(rows: Sequence[Row]) -> None:
    """Raise BadInputError for rows of several kinds, which no trainer takes together."""
    kinds = sorted({row.kind.value for row in rows})
    if len(kinds) > 1:
        raise BadInputError(f"rows of several kinds cannot be trained together: {', '.join(kinds)}")


def build_arms(
    candidate: Sequence[Row], removed: Collection[int], control: Sequence[Row]
) -> tuple[ArmRows, ...]:
    """Arms `control`, `candidate` and, where rows are removed, `released`.

    `control` has one row for each candidate row (`align_control`). In `released` each removed row
    is replaced in place by the control row of its position, so that every arm takes equal steps in
    the same order. Raises BadInputError for no rows, mixed kinds or a position that is not there.
    """
    if not candidate:
        raise BadInputError("a confirm run needs rows")
    check_kinds([*candidate, *control])
    if len(control) != len(candidate):
        raise BadInputError(f"{len(control)} control rows for {len(candidate)} candidate rows")
    gone = set(removed)
    if any(not 0 <= index < len(candidate) for index in gone):
        raise BadInputError("a removed row's position is outside the rows")
    arms = [
        _arm(Arm.CONTROL, control, control),
        _arm(Arm.CANDIDATE, candidate, candidate),
    ]
    if gone:
        kept = [row for i, row in enumerate(candidate) if i not in gone]
        trained = [control[i] if i in gone else row for i, row in enumerate(candidate)]
        arms.append(_arm(Arm.RELEASED, trained, kept, replaced=len(gone)))
    return tuple(arms)


def _arm(arm: Arm, trained: Sequence[Row], subject: Sequence[Row], replaced: int = 0) -> ArmRows:
    return ArmRows(
        arm=arm, rows=tuple(trained), subject_digest=manifest(subject).digest, replaced=replaced
    )


def control_rows(control: Sequence[Row], candidate: Sequence[Row]) -> ControlRows:
    """What the control arm rests on, for a gate that looks whether it is independent."""
    made = manifest(control)
    texts = {_said(row) for row in control}
    raters = {row.provenance.rater for row in control} - {None}
    shared = [row for row in candidate if _said(row) in texts]
    return ControlRows(
        digest=made.digest,
        rows=made.rows,
        sources=made.sources,
        shared=manifest(shared).sources,
        shared_raters=len(raters & {row.provenance.rater for row in candidate}),
    )


def _said(row: Row) -> tuple[str, ...]:
    """Prompt and answer as people read them: neither case nor blanks make another row."""
    texts = (*(message.content for message in row.prompt_messages()), row.response_text())
    return tuple(" ".join(text.casefold().split()) for text in texts)


def align_control(candidate: Sequence[Row], pool: Sequence[Row]) -> tuple[Row, ...]:
    """One control row for each candidate row: of the same prompt where the pool has one, else the
    next unused row of the pool, which starts again when it is used up.

    Raises BadInputError when the pool is empty.
    """
    if not pool:
        raise BadInputError("the control file has no rows")
    by_prompt: dict[tuple[tuple[str, str], ...], list[Row]] = {}
    for row in pool:
        by_prompt.setdefault(_prompt_key(row), []).append(row)
    used: dict[tuple[tuple[str, str], ...], int] = {}
    matched = {
        row for key in map(_prompt_key, candidate) for row in map(id, by_prompt.get(key, []))
    }
    spare = [row for row in pool if id(row) not in matched] or list(pool)
    chosen: list[Row] = []
    taken = 0
    for row in candidate:
        key = _prompt_key(row)
        same = by_prompt.get(key)
        if same:
            chosen.append(same[used.get(key, 0) % len(same)])
            used[key] = used.get(key, 0) + 1
        else:
            chosen.append(spare[taken % len(spare)])
            taken += 1
    return tuple(chosen)


def _prompt_key(row: Row) -> tuple[tuple[str, str], ...]:
    return tuple((m.role, m.content) for m in row.prompt_messages())


def answered_row(row: Row, answer: str, model: str) -> Row:
    """A control row: the candidate row's prompt, answered by the last approved model.

    A KTO row is labelled desirable; of a pair the answer becomes the chosen side and the pair's
    rejected side stays.
    """
    changed: dict[str, Any] = {
        "provenance": Provenance(source=APPROVED_MODEL, source_version=model)
    }
    message = ChatMessage("assistant", answer)
    if row.messages is not None:
        changed["messages"] = (*row.messages[:-1], message)
    elif row.kind is RowKind.DPO:
        changed["chosen"] = _answered(row.chosen, message, alone=row.prompt is not None)
    else:
        changed["completion"] = _answered(row.completion, message, alone=True)
        changed["label"] = None if row.kind is RowKind.SFT else True
    return msgspec.structs.replace(row, **changed)


def _answered(side: Text | None, message: ChatMessage, *, alone: bool) -> Text:
    """The side with another answer, behind its own prompt where it has one."""
    if side is None or isinstance(side, str):
        return message.content
    return (message,) if alone else (*side[:-1], message)
