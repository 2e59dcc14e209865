"""The leased job that says of each open alarm where it is, how large, and what tells most."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

import msgspec
from sqlalchemy import Connection, Engine

from evidence import Alarm, AlarmState, AlarmSubject, Response
from monitor.detect.localise import Localisation, LocatedVerdict, localise, since_of
from monitor.detect.topics import Embed
from monitor.jobs.job import LeasedJob
from monitor.store import localisations
from monitor.store.alarms import list_alarms
from monitor.store.engine import reading

_BEFORE, _SINCE = 300, 600
_FIRST_LOOK = 10
_NOT_CLOSED = tuple(state for state in AlarmState if state is not AlarmState.CLOSED)


class Localiser(LeasedJob):
    """Says of each open alarm of a stratum where it is.

    An alarm is localised when it is seen first, and again whenever the verdicts after it have
    doubled, since those tell its size.

    Parameters
    ----------
    embed
        Unit vectors of texts, for topics; without it there are none, and the record says so.
    """

    name: ClassVar[str] = "localise"

    def __init__(
        self, engine: Engine, *, embed: Embed | None, owner: str, clock: Callable[[], float]
    ) -> None:
        super().__init__(engine, owner=owner, clock=clock)
        self._embed = embed
        self._stale: list[Alarm] = []

    def _is_due(self) -> bool:
        with reading(self._engine) as connection:
            found = list_alarms(connection, states=_NOT_CLOSED)
            self._stale = [
                alarm
                for alarm in found
                if alarm.subject is AlarmSubject.STRATUM
                and "evaluator_version" in alarm.details
                and self._is_stale(connection, alarm)
            ]
        return bool(self._stale)

    def _work(self) -> list[Alarm]:
        for alarm in self._stale:
            self._localise(alarm)
        return []

    @staticmethod
    def _is_stale(connection: Connection, alarm: Alarm) -> bool:
        record = localisations.read_localisation(connection, alarm.alarm_id)
        if record is None:
            return True
        size = msgspec.json.decode(record, type=Localisation).size
        after = localisations.count_after(
            connection,
            alarm.scope,
            alarm.details["evaluator_version"],
            after=alarm.log_position,
        )
        return after >= _FIRST_LOOK and after >= 2 * (size.n if size else 0) and after < _SINCE

    def _localise(self, alarm: Alarm) -> None:
        with reading(self._engine) as connection:
            entries = localisations.entries_around(
                connection,
                alarm.scope,
                alarm.details["evaluator_version"],
                position=since_of(alarm),
                before=_BEFORE,
                since=_SINCE,
                with_text=self._embed is not None,
            )
        located = [
            LocatedVerdict(
                entry=item.entry,
                key=item.key,
                response_id=item.response_id,
                text=_text(item.response) if item.response else None,
            )
            for item in entries
        ]
        now_s = self._clock()
        made = localise(alarm, located, embed=self._embed, at_s=now_s)
        with self._lease.writing() as connection:
            localisations.save_localisation(
                connection, alarm.alarm_id, msgspec.json.encode(made).decode(), now_s=now_s
            )


def _text(response: Response) -> str:
    """What was asked last, and the answer: what a topic is read from."""
    asked = [m.content for m in response.messages if m.role == "user"]
    return "\n".join((*asked[-1:], response.messages[-1].content))
