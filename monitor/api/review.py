"""What people decide: alarms moved, responses labelled; every step named, reasoned and audited."""

from __future__ import annotations

from collections.abc import Collection
from http import HTTPStatus
from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Body, Depends, Query
from sqlalchemy import Connection

from evidence import Alarm, AlarmState
from monitor.api.context import Context
from monitor.api.findings import pictures_of, reported_alarms
from monitor.api.models import (
    AlarmDetail,
    AlarmEventOut,
    AlarmList,
    AlarmOut,
    LabelIn,
    LabelList,
    LabelOut,
    Step,
    at_known,
    with_times,
)
from monitor.api.paging import OneKeyPage, ThreeKeyPage
from monitor.api.reads import named_assistant
from monitor.http.access import Principal, Scope
from monitor.http.cursor import next_of
from monitor.http.problems import ProblemError, documented
from monitor.http.routes import DoorRoute
from monitor.services import alarms as services_alarms
from monitor.services.alarms import TransitionError, transition
from monitor.store import alarms as store_alarms
from monitor.store import labels as store_labels
from monitor.store import reading
from monitor.store.localisations import read_localisation
from monitor.store.pages import AlarmFilter, list_alarms, list_labels
from monitor.store.status import random_label_counts

STEPS = {
    "acknowledge": AlarmState.ACKNOWLEDGED,
    "confirm": AlarmState.CONFIRMED,
    "refute": AlarmState.REFUTED,
    "close": AlarmState.CLOSED,
}

_READ_PROBLEMS = documented(HTTPStatus.NOT_FOUND)
_STEP_PROBLEMS = documented(HTTPStatus.NOT_FOUND, HTTPStatus.CONFLICT)


def router(context: Context) -> APIRouter:
    """Alarms and labels."""
    routes = APIRouter(route_class=DoorRoute, prefix="/v1", responses=_READ_PROBLEMS)
    _add_alarms(routes, context)
    for name in STEPS:
        _add_step(routes, context, name)
    _add_labels(routes, context)
    return routes


def _add_alarms(routes: APIRouter, context: Context) -> None:
    may_read = Depends(context.access.require(Scope.READ))

    @routes.get("/alarms", tags=["alarms"], summary="Alarms, newest first")
    def get_alarms(
        *,
        principal: Principal = may_read,
        page: OneKeyPage,
        state: Annotated[list[AlarmState] | None, Query()] = None,
        assistant: str | None = None,
        scope: str | None = None,
        metric: str | None = None,
    ) -> AlarmList:
        """Of the given states, or of all; `assistant` leaves out alarms of evaluators. `since` and
        `until` are about `opened_at`."""
        if assistant is not None:
            principal.check(assistant)
        wanted = AlarmFilter(
            states=state or (),
            scope=scope,
            metric=metric,
            assistant=assistant,
            assistants=None if principal.assistants is None else sorted(principal.assistants),
        )
        with reading(context.engine) as connection:
            found = list_alarms(connection, wanted, page)
            reported = reported_alarms(connection)
        return AlarmList(
            alarms=[AlarmOut(**_fields(alarm, reported)) for alarm in found],
            next=next_of(found, page, lambda last: (last.opened_at_s, last.alarm_id)),
        )

    @routes.get("/alarms/{alarm_id}", tags=["alarms"], summary="One alarm with its history")
    def get_alarm(*, principal: Principal = may_read, alarm_id: str) -> AlarmDetail:
        """The alarm and every step that was taken."""
        with reading(context.engine) as connection:
            alarm = visible_alarm(connection, principal, alarm_id)
            return _detail(connection, alarm)


def _add_step(routes: APIRouter, context: Context, name: str) -> None:
    may_review = Depends(context.access.require(Scope.REVIEW))
    target = STEPS[name]
    # Who acknowledges need not say why; every other step rests on what was found.
    body = Body(None) if target is AlarmState.ACKNOWLEDGED else Body()
    unsaid = Step(reason="acknowledged") if target is AlarmState.ACKNOWLEDGED else None

    def take_step(
        *, principal: Principal = may_review, alarm_id: str, step: Step | None = body
    ) -> AlarmDetail:
        given = step or unsaid
        if given is None:
            raise ProblemError(
                HTTPStatus.UNPROCESSABLE_ENTITY, "say why", errors=[("reason", "required")]
            )
        with context.engine.begin() as connection:
            try:
                alarm = transition(
                    connection,
                    alarm_id,
                    target,
                    principal.acts(given.by),
                    reason=given.reason,
                    options=context.settings.detection,
                    now_s=context.clock(),
                    sees=principal.sees,
                )
            except TransitionError as error:
                raise ProblemError(HTTPStatus.CONFLICT, error.what) from error
            except store_alarms.UnknownAlarmError as error:
                raise ProblemError(HTTPStatus.NOT_FOUND, error.what) from error
            return _detail(connection, alarm)

    routes.add_api_route(
        f"/alarms/{{alarm_id}}/{name}",
        take_step,
        methods=["POST"],
        tags=["alarms"],
        summary=f"{name.capitalize()} an alarm",
        description=f"Makes the alarm {target.value}; the step is recorded and audited.",
        operation_id=f"{name}_alarm",
        responses=_STEP_PROBLEMS,
    )


def _add_labels(routes: APIRouter, context: Context) -> None:
    may_read = Depends(context.access.require(Scope.READ))
    may_review = Depends(context.access.require(Scope.REVIEW))

    @routes.get("/labels", tags=["labels"], summary="Labels that people gave, newest first")
    def get_labels(
        *,
        principal: Principal = may_read,
        page: ThreeKeyPage,
        assistant: str | None = None,
        response_id: str | None = None,
    ) -> LabelList:
        """`since` and `until` are about `at`."""
        assistant = named_assistant(principal, assistant)
        with reading(context.engine) as connection:
            found = list_labels(connection, page, assistant=assistant, response_id=response_id)
            random = random_label_counts(connection)
        return LabelList(
            labels=[_label(label) for label in found],
            random={name: n for name, n in random.items() if assistant in (None, name)},
            next=next_of(
                found,
                page,
                lambda last: (last.at_s, last.assistant, last.response_id, last.labeller),
            ),
        )

    @routes.post(
        "/labels", tags=["labels"], status_code=HTTPStatus.CREATED, summary="Label a response"
    )
    def post_label(*, principal: Principal = may_review, label: LabelIn) -> LabelOut:
        """A person's newer label of the same response replaces the older one."""
        principal.check(label.assistant)
        labeller = principal.acts(label.labeller).signed
        stored = store_labels.Label(
            assistant=label.assistant,
            response_id=label.response_id,
            labeller=labeller,
            kind=label.kind,
            inclusion_probability=label.inclusion_probability,
            at_s=context.clock(),
        )
        with context.engine.begin() as connection:
            try:
                store_labels.put_label(connection, stored, by=labeller)
            except store_labels.UnknownResponseError as error:
                raise ProblemError(HTTPStatus.NOT_FOUND, error.what) from error
        return _label(stored)


def visible_alarm(connection: Connection, principal: Principal, alarm_id: str) -> Alarm:
    """The alarm, or 404: one of another's assistant is as absent as one that does not exist."""
    try:
        return services_alarms.visible_alarm(connection, alarm_id, principal.sees)
    except store_alarms.UnknownAlarmError as error:
        raise ProblemError(HTTPStatus.NOT_FOUND, error.what) from error


def _detail(connection: Connection, alarm: Alarm) -> AlarmDetail:
    steps = [
        AlarmEventOut(
            from_state=event.from_state,
            to_state=event.to_state,
            by=event.by,
            reason=event.reason,
            at=at_known(event.at_s),
        )
        for event in store_alarms.events(connection, alarm.alarm_id)
    ]
    record = read_localisation(connection, alarm.alarm_id)
    localisation = None if record is None else with_times(msgspec.json.decode(record))
    return AlarmDetail(
        **_fields(alarm, reported_alarms(connection)),
        events=steps,
        localisation=localisation,
        pictures=pictures_of(alarm),
    )


def _fields(alarm: Alarm, reported: Collection[str]) -> dict[str, Any]:
    fields = msgspec.structs.asdict(alarm)
    fields["reported"] = alarm.alarm_id in reported
    for name in ("schema_version", "log_position"):
        del fields[name]
    return dict(with_times(fields))


def _label(label: store_labels.Label) -> LabelOut:
    fields = msgspec.structs.asdict(label)
    fields["at"] = at_known(fields.pop("at_s"))
    return LabelOut(**fields)
