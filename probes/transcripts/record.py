"""One conversation of an input file, or why there is none."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from evidence import Message
from probes.probe import Transcript
from probes.transcripts.turns import Turn


class Record(NamedTuple):
    """One conversation: its transcript, or why there is none.

    `fields` holds the other columns, such as labels. `where` is `file:line`. `share` is how much of
    the file was read for it, in [0, 1]; 0 where that is not known. `unread` names what the
    conversation holds that has no text, such as a tool call or a picture.
    """

    id: str
    transcript: Transcript | None
    fields: dict[str, Any]
    where: str
    error: str | None = None
    share: float = 0.0
    unread: tuple[str, ...] = ()


def made(
    name: str, turns: Sequence[Turn], fields: dict[str, Any], where: str, *, model: str = ""
) -> Record:
    """The record of these turns; an error unless they end with an answer of the assistant.

    What is measured is the answer; the reasoning before it goes to `fields["reasoning"]`. What earlier
    turns called is told in words; calls of the measured turn are no part of what it says.
    """
    last = turns[-1] if turns else Turn("", "")
    parts = [what for turn in turns for what in turn.unread] + ["tool call"] * bool(last.calls)
    unread = tuple(dict.fromkeys(parts))
    if last.reasoning and not fields.get("reasoning"):
        fields = {**fields, "reasoning": last.reasoning}
    problem = None
    if last.role != "assistant":
        problem = f"the conversation does not end with the assistant but with `{last.role}`"
    elif last.reasoning and not last.content.strip() and not last.calls:
        problem = "the last turn is reasoning without an answer"
    if problem is not None:
        return Record(name, None, fields, where, problem, unread=unread)
    earlier = [
        Message(turn.role, "\n".join(filter(None, (turn.content, *turn.calls))))
        for turn in turns[:-1]
    ]
    messages = (*earlier, Message(last.role, last.content))
    transcript = Transcript(id=name, messages=messages, model=model)
    return Record(name, transcript, fields, where, unread=unread)
