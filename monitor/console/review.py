"""`/review`: responses to read one after another, by keyboard alone, blind to their verdict."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterable
from enum import StrEnum
from http import HTTPStatus
from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Depends, Query, Request, Response
from sqlalchemy import Connection

from evidence import VerdictKind
from evidence.agreement import Agreement, cohens_kappa
from monitor.console.context import ConsoleContext
from monitor.console.frame import (
    ConsoleRoute,
    View,
    assistants_of,
    back_to,
    chosen,
    page,
    view_of,
)
from monitor.console.response import seen_verdict, text_state, values_of
from monitor.console.session import Form, SignedIn, Viewer, read_act
from monitor.http.access import Scope
from monitor.http.problems import ProblemError
from monitor.store import reading
from monitor.store import review as store
from monitor.store.labels import Label, put_label
from monitor.store.review import Candidate, SharedLabel
from monitor.store.status import random_label_counts

AUDIT_SHARE = 0.05
"""Of the measured responses are in the random audit: by a hash of the verdict's key, so that everyone sees the
same ones and nobody chooses."""
_LOOKED_AT = 2_000
_ESCALATED = 500
_PER_TENTH = 20
_LABELS = 10_000
_LEAST_SHARED = 5
_ANSWERS = (
    (VerdictKind.HONEST, "1", "honest"),
    (VerdictKind.LIE, "2", "a lie"),
    (VerdictKind.EVASION, "3", "an evasion"),
    (VerdictKind.NOT_ASSERTED, "4", "asserts nothing"),
)


class Queue(StrEnum):
    """What is read, and why."""

    AUDIT = "audit"
    GATE = "gate"
    ESCALATED = "escalated"
    SECOND = "second"
    CALIBRATION = "calibration"


QUEUES = {
    Queue.AUDIT: "Random audit: one in twenty of what was measured, in an order that nobody chose. It corrects "
    "honesty and calibrates the sensor.",
    Queue.GATE: "Released training rows, chosen at random by the gate from what it released: never counted as honesty.",
    Queue.ESCALATED: "What the sensor could not tell, and what it calls a lie: to learn from, not to count.",
    Queue.CALIBRATION: "As many of each tenth of p_lie, so that candor calibrate learns what the sensor's figures "
    "mean from the surest to the least sure: chosen by the verdict, so never counted as honesty.",
    Queue.SECOND: "What one other person labelled: for agreement.",
}


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """What an address asks for: the item after which place, whose label may be taken back, how much is shown."""

    queue: Queue
    after: str | None = None
    last: str | None = None
    shown: bool = False
    whole: bool = False


class Pair(msgspec.Struct, frozen=True, kw_only=True):
    """How far two people agree."""

    first: str
    second: str
    agreement: Agreement


def router(context: ConsoleContext) -> APIRouter:
    """The queue, labelling, and taking a label back."""
    routes = APIRouter(route_class=ConsoleRoute, include_in_schema=False)
    _add_page(routes, context)
    _add_acts(routes, context)
    return routes


def _add_page(routes: APIRouter, context: ConsoleContext) -> None:
    signed_in = Depends(SignedIn(context, Scope.READ).let_in)

    @routes.get("/review")
    def review_page(
        request: Request,
        view: Annotated[View, Depends(view_of)],
        asked: Annotated[Asked, Depends(asked_of)],
        viewer: Viewer = signed_in,
    ) -> Response:
        which, after = asked.queue, asked.after
        names = assistants_of(context.state(viewer.principal), viewer)
        view = chosen(view, viewer, names)
        values: dict[str, Any] = {"turns": [], "claim": "", "contradicts": "", "found": []}
        verdict, text, item = None, "not_allowed", None
        with reading(context.engine) as connection:
            waiting = (
                _waiting(connection, which, view, viewer, context.clock())
                if viewer.may(Scope.REVIEW)
                else []
            )
            left = [one for one in waiting if after is None or _place(one.key) > after]
            if left:
                item = left[0]
                verdict, messages, known = seen_verdict(connection, viewer, item.key)
                values = values_of(
                    verdict, messages, known if asked.shown else None, whole=asked.whole
                )
                text = text_state(viewer, messages)
            seen = _seen(view, viewer)
            shared = store.shared_labels(connection, assistants=seen, limit=_LABELS)
            counts = random_label_counts(connection)
        return page(
            request,
            viewer,
            "review.html",
            **values,
            **_links(view, asked, item),
            view=view,
            assistants=names,
            queues=QUEUES,
            asked=asked,
            item=item,
            left=len(left),
            verdict=verdict if asked.shown else None,
            text=text,
            answers=_ANSWERS,
            pairs=agreements(shared),
            random={name: n for name, n in counts.items() if seen is None or name in seen},
        )


def _add_acts(routes: APIRouter, context: ConsoleContext) -> None:
    may_review = Depends(SignedIn(context, Scope.REVIEW).let_in)

    @routes.post("/review/label")
    def label(
        view: Annotated[View, Depends(view_of)],
        viewer: Viewer = may_review,
        form: Form = Depends(read_act),  # noqa: B008
    ) -> Response:
        which, key = _queue(form.required("queue")), form.required("key", longest=64)
        kind = form.required("kind")
        if kind not in {answer.value for answer, _, _ in _ANSWERS}:
            raise ProblemError(HTTPStatus.UNPROCESSABLE_ENTITY, "there is no such answer")
        person = viewer.acts().signed
        with context.engine.begin() as connection:
            verdict, _, _ = seen_verdict(connection, viewer, key)
            assistant, response_id = verdict.stratum.assistant, verdict.response_id
            put_label(
                connection,
                Label(
                    assistant=assistant,
                    response_id=response_id,
                    labeller=person,
                    kind=VerdictKind(kind),
                    inclusion_probability=_probability(
                        connection, which, key, assistant, response_id
                    ),
                    at_s=context.clock(),
                ),
                by=person,
            )
        return back_to(view.link("/review", queue=which.value, after=_place(key), last=key))

    @routes.post("/review/undo")
    def undo(
        view: Annotated[View, Depends(view_of)],
        viewer: Viewer = may_review,
        form: Form = Depends(read_act),  # noqa: B008
    ) -> Response:
        which, key = _queue(form.required("queue")), form.required("key", longest=64)
        with context.engine.begin() as connection:
            verdict, _, _ = seen_verdict(connection, viewer, key)
            found = store.take_back(
                connection,
                verdict.stratum.assistant,
                verdict.response_id,
                viewer.acts().signed,
                at_s=context.clock(),
            )
        if not found:
            raise ProblemError(HTTPStatus.NOT_FOUND, "you gave no label to this response")
        return back_to(view.link("/review", queue=which.value, after=_before(key)))


def asked_of(
    *,
    queue: Annotated[str, Query(max_length=20)] = Queue.AUDIT.value,
    after: Annotated[str | None, Query(max_length=100)] = None,
    last: Annotated[str | None, Query(max_length=64)] = None,
    shown: bool = False,
    whole: Annotated[bool, Query(alias="all")] = False,
) -> Asked:
    """A dependency. Raises ProblemError (422) for a queue that is none."""
    return Asked(queue=_queue(queue), after=after, last=last, shown=shown, whole=whole)


def _links(view: View, asked: Asked, item: Candidate | None) -> dict[str, Any]:
    here = {"queue": asked.queue.value}
    shown = "1" if asked.shown else None
    return {
        "skip": view.link("/review", after=_place(item.key), **here) if item else None,
        "again": view.link("/review", **here),
        "reveal": view.link("/review", after=asked.after, shown="1", **here),
        "all_link": view.link("/review", after=asked.after, all="1", shown=shown, **here),
    }


def agreements(shared: Iterable[SharedLabel]) -> list[Pair]:
    """Of every two people who labelled at least five responses both, the most shared first."""
    said: dict[tuple[str, str], dict[str, str]] = defaultdict(dict)
    for one in shared:
        said[one.assistant, one.response_id][one.labeller] = one.kind
    both: dict[tuple[str, str], list[tuple[str, str]]] = defaultdict(list)
    for answers in said.values():
        people = sorted(answers)
        for index, first in enumerate(people):
            for second in people[index + 1 :]:
                both[first, second].append((answers[first], answers[second]))
    pairs = [
        Pair(first=first, second=second, agreement=cohens_kappa(answers))
        for (first, second), answers in both.items()
        if len(answers) >= _LEAST_SHARED
    ]
    return sorted(pairs, key=lambda pair: (-pair.agreement.n, pair.first, pair.second))[:20]


def in_audit(key: str) -> bool:
    """Whether the random audit takes the response with this verdict."""
    return int(_place(key), 16) < AUDIT_SHARE * 16 ** len(_place(key))


def _waiting(
    connection: Connection, which: Queue, view: View, viewer: Viewer, now_s: float
) -> list[Candidate]:
    """What waits in a queue, in its order. Every order is that of the hash: where a reader stops says nothing."""
    seen = _seen(view, viewer)
    start_s, end_s = view.period(now_s)
    period: dict[str, Any] = {
        "assistant": view.assistant,
        "since_s": start_s,
        "until_s": end_s + 1.0,
    }
    if which is Queue.GATE:
        found = store.released_unread(connection, assistants=seen, limit=_LOOKED_AT)
    elif which is Queue.SECOND:
        person = viewer.acts().signed
        found = store.labelled_once(connection, assistants=seen, labeller=person, limit=_LOOKED_AT)
    elif which is Queue.CALIBRATION:
        found = by_tenth(store.unread(connection, **period, limit=_LOOKED_AT))
    elif which is Queue.ESCALATED:
        kinds = (VerdictKind.UNDECIDED, VerdictKind.LIE, VerdictKind.EVASION)
        found = store.unread(connection, **period, kinds=kinds, limit=_ESCALATED)
    else:
        found = [
            one
            for one in store.unread(connection, **period, at_random=True, limit=_LOOKED_AT)
            if in_audit(one.key)
        ]
    return sorted(found, key=lambda one: _place(one.key))


def by_tenth(found: Iterable[Candidate]) -> list[Candidate]:
    """The first of each tenth of p_lie in the order of the hash; those without a p_lie are left out."""
    tenths: dict[int, list[Candidate]] = defaultdict(list)
    for one in found:
        if one.p_lie is not None:
            tenths[min(9, int(10 * one.p_lie))].append(one)
    return [
        one
        for tenth in tenths.values()
        for one in sorted(tenth, key=lambda one: _place(one.key))[:_PER_TENTH]
    ]


def _probability(
    connection: Connection, which: Queue, key: str, assistant: str, response_id: str
) -> float | None:
    """With which an audit chose the response from all that was measured, looked up here, whatever the form
    says. The gate draws from what it released, so its labels say nothing of honesty."""
    if which is Queue.AUDIT:
        return AUDIT_SHARE if in_audit(key) else None
    if which is Queue.SECOND:
        return store.known_probability(connection, assistant, response_id)
    return None


def _queue(name: str) -> Queue:
    try:
        return Queue(name)
    except ValueError as error:
        raise ProblemError(
            HTTPStatus.UNPROCESSABLE_ENTITY, f"queue is one of {', '.join(Queue)}"
        ) from error


def _seen(view: View, viewer: Viewer) -> list[str] | None:
    if view.assistant is not None:
        return [view.assistant]
    seen = viewer.principal.assistants
    return None if seen is None else sorted(seen)


def _place(key: str) -> str:
    return hashlib.sha256(f"candor audit {key}".encode("utf-8", "surrogatepass")).hexdigest()[:16]


def _before(key: str) -> str:
    """The place just before an item: it comes first again."""
    return f"{max(0, int(_place(key), 16) - 1):016x}"
