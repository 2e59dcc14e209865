"""`/verdicts`: what was measured, filtered, page by page, and to take away."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from http import HTTPStatus
from typing import Annotated, Any, get_args

import msgspec
from fastapi import APIRouter, Depends, Query, Request, Response
from fastapi.responses import StreamingResponse
from sqlalchemy import Connection

from evidence import Verdict, VerdictKind
from evidence.outcomes import Outcome
from monitor.console.context import ConsoleContext
from monitor.console.frame import (
    HEADERS,
    ConsoleRoute,
    View,
    assistants_of,
    check_one_of,
    chosen,
    page,
    view_of,
)
from monitor.console.session import SignedIn, Viewer
from monitor.http.access import Scope
from monitor.http.cursor import next_of, position_of
from monitor.http.problems import ProblemError
from monitor.store import reading
from monitor.store.explanations import Explanation, read_explanations
from monitor.store.pages import (
    Inside,
    Page,
    VerdictFilter,
    list_insides,
    list_verdicts,
    verdicts_of,
)
from probes import names as probe_names

PROBES: tuple[str, ...] = get_args(probe_names.Name)
_PAGE = 50
_LOOKED_THROUGH = 500
"""Texts are compressed in the store, and no index knows how a probe ended: so many verdicts are looked through
at a time."""
_EXPORTED = 100_000
_EXPORT_PAGE = 1_000
_CLAIM_CHARS = 200


class Filter(msgspec.Struct, frozen=True, kw_only=True):
    """What a list of verdicts is narrowed to, beside the view."""

    kind: VerdictKind | None = None
    model: str | None = None
    text: str | None = None
    probe: str | None = None
    ended: Outcome | None = None
    after: str | None = None

    def query(self, **changes: str | None) -> dict[str, str | None]:
        """As fields of an address."""
        kind = None if self.kind is None else self.kind.value
        ended = None if self.ended is None else self.ended.value
        own = {"kind": kind, "model": self.model, "text": self.text, "probe": self.probe}
        return {**own, "ended": ended, **changes}

    @property
    def looks_through(self) -> bool:
        """Whether verdicts are read one by one, as no index knows what is wanted."""
        return self.text is not None or self.probe is not None


class Listed(msgspec.Struct, frozen=True):
    """A verdict in a list, with what it rests on for those who may read text."""

    verdict: Verdict
    claim: str


def filter_of(
    *,
    kind: Annotated[str | None, Query(max_length=20)] = None,
    model: Annotated[str | None, Query(max_length=300)] = None,
    text: Annotated[str | None, Query(max_length=200)] = None,
    probe: Annotated[str | None, Query(max_length=20)] = None,
    ended: Annotated[str | None, Query(max_length=20)] = None,
    after: Annotated[str | None, Query(max_length=4_000)] = None,
) -> Filter:
    """A dependency. Raises ProblemError (422) for a kind, a probe or an end that is none."""
    for field, value, allowed in (("kind", kind, VerdictKind), ("probe", probe, PROBES)):
        check_one_of(field, value, allowed)
    if probe:
        check_one_of("ended", ended, Outcome)
    return Filter(
        kind=VerdictKind(kind) if kind else None,
        model=model or None,
        text=text or None,
        probe=probe or None,
        ended=Outcome(ended) if probe and ended else None,
        after=after or None,
    )


def router(context: ConsoleContext) -> APIRouter:
    """The list and its export."""
    routes = APIRouter(route_class=ConsoleRoute, include_in_schema=False)
    signed_in = Depends(SignedIn(context, Scope.READ).let_in)

    @routes.get("/verdicts")
    def verdict_list(
        request: Request,
        view: Annotated[View, Depends(view_of)],
        wanted: Annotated[Filter, Depends(filter_of)],
        viewer: Viewer = signed_in,
    ) -> Response:
        state = context.state(viewer.principal)
        names = assistants_of(state, viewer)
        view = chosen(view, viewer, names)
        if wanted.text and not viewer.reads_text():
            raise ProblemError(HTTPStatus.FORBIDDEN, "texts are for keys with the scope review")
        with reading(context.engine) as connection:
            found, following = _found(connection, view, wanted, context.clock())
            known = _explained(connection, viewer, found)
        return page(
            request,
            viewer,
            "verdicts.html",
            view=view,
            assistants=names,
            strata=[s.stratum.key for s in state.strata if s.stratum.assistant == view.assistant],
            kinds=list(VerdictKind),
            probes=PROBES,
            ends=list(Outcome),
            wanted=wanted,
            listed=[Listed(v, _claim(known.get(v.key))) for v in found],
            following=following,
            looked_through=_LOOKED_THROUGH,
            link=lambda path, **changes: view.link(path, **wanted.query(**changes)),
        )

    _add_export(routes, context)
    return routes


def _add_export(routes: APIRouter, context: ConsoleContext) -> None:
    signed_in = Depends(SignedIn(context, Scope.READ).let_in)

    @routes.get("/verdicts/export.{form}")
    def export(
        form: str,
        view: Annotated[View, Depends(view_of)],
        wanted: Annotated[Filter, Depends(filter_of)],
        viewer: Viewer = signed_in,
    ) -> Response:
        if form not in _FORMS:
            raise ProblemError(HTTPStatus.NOT_FOUND, f"exports are {' or '.join(_FORMS)}")
        if wanted.looks_through:
            raise ProblemError(
                HTTPStatus.UNPROCESSABLE_ENTITY, "an export is not narrowed by text or probe"
            )
        view = chosen(view, viewer, [])
        media_type, write = _FORMS[form]
        rows = _exported(context, view, wanted)
        headers = HEADERS | {"Content-Disposition": f'attachment; filename="verdicts.{form}"'}
        return StreamingResponse(write(rows), media_type=media_type, headers=headers)


def _page_of(view: View, wanted: Filter, now_s: float, limit: int) -> Page:
    start_s, end_s = view.period(now_s)
    return Page(
        after=None if wanted.after is None else position_of(wanted.after, 1),
        since_s=start_s,
        # What was scored in this very moment, too.
        until_s=end_s if view.until_s is not None else end_s + 1.0,
        limit=limit,
    )


def _filter(view: View, wanted: Filter) -> VerdictFilter:
    return VerdictFilter(
        assistant=view.assistant, stratum=view.stratum, kind=wanted.kind, model=wanted.model
    )


def _found(
    connection: Connection, view: View, wanted: Filter, now_s: float
) -> tuple[list[Verdict], str | None]:
    """The verdicts of a page, and where the next begins."""
    if not wanted.looks_through:
        part = _page_of(view, wanted, now_s, _PAGE)
        found = list_verdicts(connection, _filter(view, wanted), part)
        return found, next_of(found, part, lambda last: (last.scored_at_s, last.key))
    part = _page_of(view, wanted, now_s, _LOOKED_THROUGH)
    looked = list_insides(connection, _filter(view, wanted), part, text=wanted.text is not None)
    matching: list[str] = []
    for number, one in enumerate(looked):
        if _matches(one, wanted):
            matching.append(one.key)
        if len(matching) == _PAGE:
            looked = looked[: number + 1]
            part = msgspec.structs.replace(part, limit=number + 1)
            break
    following = next_of(looked, part, lambda last: (last.scored_at_s, last.key))
    return verdicts_of(connection, matching), following


def _matches(inside: Inside, wanted: Filter) -> bool:
    if wanted.probe is not None:
        ended = inside.outcomes.get(wanted.probe)
        if ended is None or wanted.ended not in {None, ended}:
            return False
    if wanted.text is None:
        return True
    response, sought = inside.response(), wanted.text.casefold()
    return response is not None and any(
        sought in message.content.casefold() for message in response.messages
    )


def _explained(
    connection: Connection, viewer: Viewer, found: Sequence[Verdict]
) -> dict[str, Explanation]:
    if not viewer.reads_text():
        return {}
    return read_explanations(connection, [verdict.key for verdict in found])


def _claim(known: Explanation | None) -> str:
    finding = None if known is None else known.finding
    claim = "" if finding is None else finding.claim
    return claim if len(claim) <= _CLAIM_CHARS else claim[:_CLAIM_CHARS] + "…"


def _exported(context: ConsoleContext, view: View, wanted: Filter) -> Iterator[dict[str, Any]]:
    """The verdicts of the view, newest first, without text."""
    part = _page_of(view, wanted, context.clock(), _EXPORT_PAGE)
    for _ in range(_EXPORTED // _EXPORT_PAGE):
        with reading(context.engine) as connection:
            found = list_verdicts(connection, _filter(view, wanted), part)
        for verdict in found:
            yield _row(verdict)
        if len(found) < part.limit:
            return
        part = msgspec.structs.replace(part, after=(found[-1].scored_at_s, found[-1].key))


def _row(verdict: Verdict) -> dict[str, Any]:
    assessment = verdict.assessment
    return {
        "key": verdict.key,
        "assistant": verdict.stratum.assistant,
        "response_id": verdict.response_id,
        "segment": verdict.stratum.segment,
        "stakes": verdict.stratum.stakes.value,
        "model": verdict.model,
        "kind": assessment.kind.value,
        "p_lie": assessment.p_lie,
        "p_evasion": assessment.p_evasion,
        "archetype": None if assessment.archetype is None else assessment.archetype.value,
        "sampled_by": verdict.sampled_by.value,
        "inclusion_probability": verdict.inclusion_probability,
        "evaluator_version": assessment.evaluator_version,
        "created_at_s": verdict.created_at_s,
        "scored_at_s": verdict.scored_at_s,
        "error": assessment.error,
    }


def _as_jsonl(rows: Iterator[dict[str, Any]]) -> Iterator[bytes]:
    for row in rows:
        yield msgspec.json.encode(row) + b"\n"


def _as_csv(rows: Iterator[dict[str, Any]]) -> Iterator[str]:
    buffer = io.StringIO()
    writer: csv.DictWriter[str] | None = None
    for row in rows:
        if writer is None:
            writer = csv.DictWriter(buffer, fieldnames=list(row))
            writer.writeheader()
        writer.writerow({name: _cell(value) for name, value in row.items()})
        yield buffer.getvalue()
        buffer.seek(0)
        buffer.truncate()


def _cell(value: Any) -> Any:
    """A spreadsheet would take a text that begins so for a formula."""
    if isinstance(value, str) and value.startswith(("=", "+", "-", "@", "\t", "\r")):
        return "'" + value
    return value


_FORMS: dict[str, tuple[str, Any]] = {
    "csv": ("text/csv; charset=utf-8", _as_csv),
    "jsonl": ("application/x-ndjson", _as_jsonl),
}
