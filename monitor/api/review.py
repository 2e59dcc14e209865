"""What people decide: alarms moved, responses labelled; every step named, reasoned and audited."""

from __future__ import annotations

from collections.abc import Collection
from http import HTTPStatus
from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Depends, Query
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
)
from monitor.api.reads import named_assistant
from monitor.api.state import assistant_of
from monitor.http.access import Principal, Scope
from monitor.http.problems import ProblemError, documented
from monitor.services.closing import release
from monitor.store import alarms as store_alarms
from monitor.store import labels as store_labels
from monitor.store import reading
from monitor.store.localisations import read_localisation
from monitor.store.outbox import ALARMS_TOPIC
from monitor.store.status import random_label_counts

STEPS = {
    "acknowledge": AlarmState.ACKNOWLEDGED,
    "confirm": AlarmState.CONFIRMED,
    "refute": AlarmState.REFUTED,
    "close": AlarmState.CLOSED,
}

_READ_PROBLEMS = documented(
    HTTPStatus.UNAUTHORIZED,
    HTTPStatus.FORBIDDEN,
    HTTPStatus.NOT_FOUND,
    HTTPStatus.UNPROCESSABLE_ENTITY,
    HTTPStatus.SERVICE_UNAVAILABLE,
)
_STEP_PROBLEMS = _READ_PROBLEMS | documented(HTTPStatus.CONFLICT)
Limit = Annotated[int, Query(ge=1, le=1000)]


def router(context: Context) -> APIRouter:
    """Alarms and labels."""
    routes = APIRouter(prefix="/v1", responses=_READ_PROBLEMS)
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
        state: Annotated[list[AlarmState] | None, Query()] = None,
        scope: str | None = None,
        limit: Limit = 100,
    ) -> AlarmList:
        """Of the given states, or of all."""
        with reading(context.engine) as connection:
            found = store_alarms.list_alarms(
                connection, states=state or (), scope=scope, limit=limit
            )
            reported = reported_alarms(connection)
        shown = [alarm for alarm in found if _sees(principal, alarm)]
        return AlarmList(alarms=[AlarmOut(**_fields(alarm, reported)) for alarm in shown])

    @routes.get("/alarms/{alarm_id}", tags=["alarms"], summary="One alarm with its history")
    def get_alarm(*, principal: Principal = may_read, alarm_id: str) -> AlarmDetail:
        """The alarm and every step that was taken."""
        with reading(context.engine) as connection:
            alarm = visible_alarm(connection, principal, alarm_id)
            return _detail(connection, alarm)


def _add_step(routes: APIRouter, context: Context, name: str) -> None:
    may_review = Depends(context.access.require(Scope.REVIEW))
    target = STEPS[name]

    def take_step(*, principal: Principal = may_review, alarm_id: str, step: Step) -> AlarmDetail:
        with context.engine.begin() as connection:
            visible_alarm(connection, principal, alarm_id)
            try:
                alarm = store_alarms.transition(
                    connection,
                    alarm_id,
                    target,
                    by=principal.signs(step.by),
                    reason=step.reason,
                    at_s=context.clock(),
                    topic=ALARMS_TOPIC,
                )
                if alarm.state is AlarmState.CLOSED:
                    release(connection, alarm, context.settings.detection, context.clock())
            except store_alarms.TransitionError as error:
                raise ProblemError(HTTPStatus.CONFLICT, error.what) from error
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

    @routes.get("/labels", tags=["labels"], summary="Labels that people gave")
    def get_labels(
        *,
        principal: Principal = may_read,
        assistant: str | None = None,
        response_id: str | None = None,
        limit: Limit = 100,
    ) -> LabelList:
        """Newest first."""
        assistant = named_assistant(principal, assistant)
        only = None if assistant is None else [assistant]
        with reading(context.engine) as connection:
            found = store_labels.list_labels(
                connection, assistants=only, response_id=response_id, limit=limit
            )
            random = random_label_counts(connection)
        seen = {name: n for name, n in random.items() if only is None or name in only}
        return LabelList(labels=[_label(label) for label in found], random=seen)

    @routes.post(
        "/labels", tags=["labels"], status_code=HTTPStatus.CREATED, summary="Label a response"
    )
    def post_label(*, principal: Principal = may_review, label: LabelIn) -> LabelOut:
        """A person's newer label of the same response replaces the older one."""
        principal.check(label.assistant)
        labeller = principal.signs(label.labeller)
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


def _sees(principal: Principal, alarm: Alarm) -> bool:
    assistant = assistant_of(alarm)
    return assistant is None or principal.sees(assistant)


def visible_alarm(connection: Connection, principal: Principal, alarm_id: str) -> Alarm:
    """The alarm; one of another's assistant is as absent as one that does not exist."""
    try:
        alarm = store_alarms.get_alarm(connection, alarm_id)
    except store_alarms.UnknownAlarmError as error:
        raise ProblemError(HTTPStatus.NOT_FOUND, error.what) from error
    if not _sees(principal, alarm):
        raise ProblemError(HTTPStatus.NOT_FOUND, f"no alarm has the id {alarm_id!r}")
    return alarm


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
    return AlarmDetail(
        **_fields(alarm, reported_alarms(connection)),
        events=steps,
        localisation=None if record is None else msgspec.json.decode(record),
        pictures=pictures_of(alarm),
    )


def _fields(alarm: Alarm, reported: Collection[str]) -> dict[str, Any]:
    fields = msgspec.structs.asdict(alarm)
    fields["reported"] = alarm.alarm_id in reported
    for name in ("schema_version", "log_position"):
        del fields[name]
    fields["opened_at"] = at_known(fields.pop("opened_at_s"))
    return fields


def _label(label: store_labels.Label) -> LabelOut:
    fields = msgspec.structs.asdict(label)
    fields["at"] = at_known(fields.pop("at_s"))
    return LabelOut(**fields)
