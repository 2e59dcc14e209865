"""Neutral prompts as a person reviews them: what was made of each system prompt, and replacing it."""

from __future__ import annotations

import msgspec
from sqlalchemy import Connection

from evidence import BadInputError
from evidence.person import Person
from monitor.services.person import Sees, sees_all
from monitor.store import audit
from monitor.store import neutral_prompts as store
from monitor.store.neutral_prompts import StoredNeutral
from probes.neutral import NeutralText, WordCheck, Worded

SHORT = 12
"""Digits of a key that people are shown."""
_LEAST = 4
_MAX_CHARS = 100_000


class Reviewed(msgspec.Struct, frozen=True, kw_only=True):
    """A kept neutral text with what the word check says of it.

    Parameters
    ----------
    key
        Whole; its first digits name it.
    facts_kept, facts_told
        Clauses of the original that are taken to be told, and how many of them the text still tells.
    removed
        Clauses of the original that the text does not tell.
    missing
        Those of them that are taken to be told.
    problem
        Why the check would refuse it; None where it would not.
    """

    assistant: str
    key: str
    state: str
    reason: str
    made_by: str
    at_s: float
    original: str
    neutral: str
    facts_kept: int
    facts_told: int
    removed: tuple[str, ...]
    missing: tuple[str, ...]
    problem: str | None


class Replacement(msgspec.Struct, frozen=True, kw_only=True):
    """What a person wants to serve in place of a prompt: its text, for whom, and why."""

    key: str
    text: str
    reason: str
    assistant: str | None = None


def list_texts(
    connection: Connection,
    assistant: str | None = None,
    *,
    state: str | None = None,
    offset: int = 0,
    limit: int | None = None,
    sees: Sees = sees_all,
) -> list[Reviewed]:
    """The neutral texts, refused ones first; of a state, and a part of them, where that is asked for."""
    found = store.list_neutral(connection, assistant, state=state, offset=offset, limit=limit)
    return [_reviewed(one) for one in found if sees(one.assistant)]


def find_text(
    connection: Connection, key: str, assistant: str | None = None, *, sees: Sees = sees_all
) -> Reviewed:
    """The one neutral text whose key begins so. Raises BadInputError where there is none, or several."""
    return _reviewed(_find(connection, key, assistant, sees))


def replace_text(
    connection: Connection,
    wanted: Replacement,
    by: Person,
    *,
    now_s: float,
    sees: Sees = sees_all,
) -> Reviewed:
    """Serve a person's text from now on, and audit it; what the check objects to is said, not refused.

    Raises BadInputError without a reason or a text, for a text that is too long, and as `find_text`.
    """
    text = wanted.text.strip()
    if not wanted.reason.strip():
        raise BadInputError("a neutral text is replaced for a reason", wanted.key)
    if not text:
        raise BadInputError("the neutral text is empty", wanted.key)
    if len(text) > _MAX_CHARS:
        raise BadInputError(f"a neutral text has at most {_MAX_CHARS} characters", wanted.key)
    old = _find(connection, wanted.key, wanted.assistant, sees)
    made = NeutralText(
        original=old.text.original,
        neutral=text,
        role=old.text.role,
        state="reviewed",
        reason=wanted.reason,
        made_by=by.signed,
    )
    store.write(connection, old.assistant, [made], at_s=now_s)
    shown = _reviewed(StoredNeutral(assistant=old.assistant, text=made, at_s=now_s))
    audit.append(
        connection,
        by=by.signed,
        action="neutral.set",
        subject=f"{old.assistant}/{made.key}",
        details={
            "reason": wanted.reason,
            "was": old.text.state,
            "before": old.text.neutral,
            "after": text,
            "problem": shown.problem,
        },
        at_s=now_s,
    )
    return shown


def _find(connection: Connection, key: str, assistant: str | None, sees: Sees) -> StoredNeutral:
    if len(key) < _LEAST:
        raise BadInputError(f"give at least {_LEAST} digits of the prompt's key", key)
    found = [one for one in store.beginning(connection, key, assistant) if sees(one.assistant)]
    if not found:
        raise BadInputError("no neutral text has a key that begins so", key)
    if len(found) > 1:
        whose = ", ".join(f"{one.assistant} {one.text.key[:SHORT]}" for one in found)
        raise BadInputError(f"several have a key that begins so ({whose}): name the assistant", key)
    return found[0]


def _reviewed(one: StoredNeutral) -> Reviewed:
    check, text = WordCheck(Worded()), one.text
    covered = check.coverage(text.role, text.original, text.neutral)
    return Reviewed(
        assistant=one.assistant,
        key=text.key,
        state=text.state,
        reason=text.reason,
        made_by=text.made_by,
        at_s=one.at_s,
        original=text.original,
        neutral=text.neutral,
        facts_kept=covered.kept,
        facts_told=covered.told,
        removed=check.removed(text.original, text.neutral),
        missing=covered.missing,
        problem=check.problem(text.role, text.original, text.neutral),
    )
