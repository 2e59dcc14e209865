"""The leased job that says of each open alarm where it is, how large, and what tells most."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
from sqlalchemy import Connection, Engine

from evidence import Alarm, AlarmState, AlarmSubject, Response
from monitor.detect.localise import Localisation, LocatedVerdict, localise, since_of
from monitor.detect.topics import Embed
from monitor.services.logged import logged
from monitor.store import leases, localisations
from monitor.store.alarms import list_alarms
from monitor.store.engine import reading

_LEASE = "localiser"
_LEASE_S = 300.0
_BEFORE, _SINCE = 300, 600
_FIRST_LOOK = 10
_NOT_CLOSED = tuple(state for state in AlarmState if state is not AlarmState.CLOSED)


class Localiser:
    """Call `look` every `detection.report_s`.

    An alarm is localised when it is seen first, and again whenever the verdicts after it have
    doubled, since those tell its size.

    Parameters
    ----------
    embed
        Unit vectors of texts, for topics; without it there are none, and the record says so.
    owner
        This process, as the lease's owner.
    """

    def __init__(
        self, engine: Engine, *, embed: Embed | None, owner: str, clock: Callable[[], float]
    ) -> None:
        self._engine = engine
        self._embed = embed
        self._owner = owner
        self._clock = clock

    def look(self) -> int:
        """Localise what is new; returns how many alarms."""
        with reading(self._engine) as connection:
            found = list_alarms(connection, states=_NOT_CLOSED)
            stale = [
                alarm
                for alarm in found
                if alarm.subject is AlarmSubject.STRATUM
                and "evaluator_version" in alarm.details
                and self._is_stale(connection, alarm)
            ]
        if not stale or not self._lead():
            return 0
        for alarm in stale:
            self._localise(alarm)
        return len(stale)

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

    def _lead(self) -> bool:
        with self._engine.begin() as connection:
            fence = leases.acquire(
                connection, _LEASE, self._owner, now_s=self._clock(), duration_s=_LEASE_S
            )
        return fence is not None

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
                entry=logged(item.entry),
                key=item.key,
                response_id=item.response_id,
                text=_text(item.response) if item.response else None,
            )
            for item in entries
        ]
        now_s = self._clock()
        made = localise(alarm, located, embed=self._embed, at_s=now_s)
        with self._engine.begin() as connection:
            localisations.save_localisation(
                connection, alarm.alarm_id, msgspec.json.encode(made).decode(), now_s=now_s
            )


def _text(response: Response) -> str:
    """What was asked last, and the answer: what a topic is read from."""
    asked = [m.content for m in response.messages if m.role == "user"]
    return "\n".join((*asked[-1:], response.messages[-1].content))
