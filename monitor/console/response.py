"""`/verdicts/KEY`: one response as its user saw it, and what its verdict rests on, marked in place."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from http import HTTPStatus
from typing import Annotated, Any
from urllib.parse import quote

import msgspec
from fastapi import APIRouter, Depends, Query, Request, Response
from sqlalchemy import Connection

from candor_guard.messages import Message
from evidence import Verdict
from evidence.records import Finding
from monitor.console.context import ConsoleContext
from monitor.console.frame import ConsoleRoute, back_to, page
from monitor.console.session import SignedIn, Viewer
from monitor.console.text import Shown, harmless, marked
from monitor.http.access import Scope
from monitor.http.problems import ProblemError
from monitor.store import reading
from monitor.store.explanations import Explanation, read_explanations
from monitor.store.gate_rows import RowUse, uses_of_response
from monitor.store.given import Given, given_on, live_verdict
from monitor.store.pages import Page, find_verdict, list_labels

_TOKENS, _FEEDBACK = 1_500, 100
_SURPRISE_NATS = (1.0, 2.5, 4.0, 6.0)
"""From here on a token is shaded, in four steps."""
_FOLDED = frozenset({"system", "developer", "tool", "function"})


class Turn(msgspec.Struct, frozen=True, kw_only=True):
    """One message as a page shows it; `folded` where the user did not see it."""

    role: str
    folded: bool
    content: Shown
    reasoning: Shown | None
    calls: tuple[tuple[str, Shown], ...]


class Token(msgspec.Struct, frozen=True):
    """A token and how surprising it was, from 0 to 4."""

    text: str
    step: int


class Unpressed(msgspec.Struct, frozen=True, kw_only=True):
    """What a probe asked without the pressure, and what was answered then."""

    probe: str
    turns: tuple[Turn, ...]
    answers: tuple[Shown, ...]
    answered_by: str


class Found(msgspec.Struct, frozen=True, kw_only=True):
    """What one probe found, in words and in figures."""

    probe: str
    words: str
    claim: str
    contradicts: str


def router(context: ConsoleContext) -> APIRouter:
    """The one page."""
    routes = APIRouter(route_class=ConsoleRoute, include_in_schema=False)
    signed_in = Depends(SignedIn(context, Scope.READ).let_in)

    @routes.get("/verdicts/{key}")
    def response_page(
        request: Request,
        key: str,
        whole: Annotated[bool, Query(alias="all")] = False,
        viewer: Viewer = signed_in,
    ) -> Response:
        with reading(context.engine) as connection:
            verdict, messages, known = seen_verdict(connection, viewer, key)
            assistant, response_id = verdict.stratum.assistant, verdict.response_id
            given = given_on(connection, assistant, response_id, limit=_FEEDBACK)
            labels = list_labels(connection, Page(), assistant=assistant, response_id=response_id)
            uses = uses_of_response(connection, assistant, response_id)
        return page(
            request,
            viewer,
            "response.html",
            **values_of(verdict, messages, known, whole=whole),
            key=key,
            verdict=verdict,
            given=given if viewer.reads_text() else [_without_text(one) for one in given],
            labels=labels,
            uses=[one for one in uses if one.feedback_id not in {g.feedback_id for g in given}],
            became=_became(given, uses),
            text=text_state(viewer, messages),
        )

    @routes.get("/responses/{assistant}/{response_id}")
    def response_of(assistant: str, response_id: str, viewer: Viewer = signed_in) -> Response:
        key = None
        if viewer.principal.sees(assistant):
            with reading(context.engine) as connection:
                key = live_verdict(connection, assistant, response_id)
        if key is None:
            raise ProblemError(HTTPStatus.NOT_FOUND, "this response has no verdict here")
        return back_to(f"/verdicts/{quote(key, safe='')}")

    return routes


def seen_verdict(
    connection: Connection, viewer: Viewer, key: str
) -> tuple[Verdict, tuple[Message, ...], Explanation | None]:
    """A verdict with its conversation and findings, as far as this person may read them.

    Raises ProblemError (404), also for one of an assistant that they may not see.
    """
    found = find_verdict(connection, key)
    if found is None or not viewer.principal.sees(found[0].stratum.assistant):
        raise ProblemError(HTTPStatus.NOT_FOUND, "no verdict has this key")
    verdict, response = found
    if response is None or not viewer.reads_text():
        return verdict, (), None
    return verdict, response.messages, read_explanations(connection, [key]).get(key)


def text_state(viewer: Viewer, messages: tuple[Message, ...]) -> str:
    """Whether the conversation is shown, and if not, why."""
    if not viewer.reads_text():
        return "not_allowed"
    return "shown" if messages else "gone"


def values_of(
    verdict: Verdict, messages: tuple[Message, ...], known: Explanation | None, *, whole: bool
) -> dict[str, Any]:
    """What the templates of a conversation ask for."""
    finding = known.finding if known is not None and known.finding is not None else Finding()
    return {
        "turns": turns_of(messages, finding, whole=whole),
        "claim": harmless(finding.claim),
        "contradicts": harmless(finding.contradicts),
        "tokens": _tokens(finding),
        "found": _found(verdict, known),
        "unpressed": _unpressed(known, whole=whole),
    }


def turns_of(
    messages: tuple[Message, ...], finding: Finding | None = None, *, whole: bool = False
) -> list[Turn]:
    """A conversation with the claim and what it contradicts marked where they stand."""
    finding = finding or Finding()
    turns = []
    for index, message in enumerate(messages):
        last = index == len(messages) - 1
        marks = [(finding.claim, "claim")] if last else [(finding.contradicts, "fact")]
        turns.append(
            Turn(
                role=message.role,
                folded=message.role in _FOLDED or not message.content.strip(),
                content=marked(message.content, marks, whole=whole),
                reasoning=marked(message.reasoning, (), whole=whole) if message.reasoning else None,
                calls=tuple(
                    (call.name, marked(call.arguments, (), whole=whole))
                    for call in message.tool_calls
                ),
            )
        )
    return turns


def _unpressed(known: Explanation | None, *, whole: bool) -> list[Unpressed]:
    """The approved version's comes first; without a conversation there is nothing to lay beside."""
    told = {} if known is None else known.probes
    return [
        Unpressed(
            probe=probe,
            turns=tuple(turns_of(one.neutral, whole=whole)),
            answers=tuple(marked(text, (), whole=whole) for text in one.answers),
            answered_by=one.answered_by,
        )
        for probe, one in sorted(told.items(), key=lambda item: (item[0] != "approved", item[0]))
        if one.neutral
    ]


def _tokens(finding: Finding) -> list[Token]:
    pairs = zip(finding.tokens[:_TOKENS], finding.nats[:_TOKENS], strict=False)
    return [
        Token(harmless(token), sum(nats >= limit for limit in _SURPRISE_NATS))
        for token, nats in pairs
    ]


def _found(verdict: Verdict, known: Explanation | None) -> list[Found]:
    said = {} if known is None else known.probes
    found = []
    for one in verdict.assessment.measurements:
        finding = said.get(one.probe, Finding())
        if one.error is not None:
            words = f"could not measure: {one.error}"
        elif one.abstained is not None:
            words = f"says nothing: {one.abstained}"
        else:
            words = "; ".join(
                _figures(
                    (
                        ("probability of a lie", one.p_lie),
                        ("of an evasion", one.p_evasion),
                        ("that it had no belief", one.p_no_belief),
                        ("that it asserted nothing", one.p_not_asserted),
                        *one.answers.items(),
                    )
                )
            )
        found.append(
            Found(
                probe=one.probe,
                words=words or "no figure",
                claim=harmless(finding.claim),
                contradicts=harmless(finding.contradicts),
            )
        )
    return found


def _became(given: Sequence[Given], uses: Sequence[RowUse]) -> dict[str, list[RowUse]]:
    """By signal the rows that it chose, with what was decided about them."""
    return {
        one.feedback_id: [use for use in uses if use.feedback_id == one.feedback_id]
        for one in given
    }


def _figures(named: Iterable[tuple[str, float | None]]) -> Iterable[str]:
    return (f"{name} {value:.3f}" for name, value in named if value is not None)


def _without_text(given: Given) -> Given:
    return msgspec.structs.replace(given, text=None)
