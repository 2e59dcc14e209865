"""The leased job that sends canaries through the whole path: outbox, broker, intake, probes, store."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import ClassVar

from sqlalchemy import Engine

from evidence import CANARY_ASSISTANT, Alarm, Purpose, Response, Stakes, Stratum, digest
from monitor.detect.options import HealthOptions
from monitor.ingest.encode import encode_response
from monitor.ingest.marks import marked
from monitor.ingest.options import OTHER
from monitor.jobs.job import LeasedJob
from monitor.score.canaries import Canary, load_act_canaries, load_canaries, with_acts
from monitor.store import health, outbox
from monitor.store.engine import reading
from monitor.store.health import Asked

_MOST_AT_ONCE = 20
_MODEL = "canary"


class CanarySender(LeasedJob):
    """Sends as many as the traffic since and the clock ask for; the first look only notes where it stands.

    All canaries have their turn, one after the other, each for every evaluator. Where the round begins differs from process to
    process, so that those that live short do not send the same few.

    Parameters
    ----------
    sent_for
        An assistant of each evaluator, for which its canaries are sent: every hour as many as the
        options say for each, and an equal part of those for the traffic.
    acting
        Those of them whose evaluator reads claims about acts: only they get canaries about acts.
    topic
        The responses topic, on which canaries travel like any response.
    key
        The pseudonym key, with which they are marked: a purpose is believed with the mark alone.
    """

    name: ClassVar[str] = "canaries"

    def __init__(
        self,
        engine: Engine,
        *,
        options: HealthOptions,
        topic: str,
        key: bytes,
        owner: str,
        clock: Callable[[], float],
        sent_for: Sequence[str] = (OTHER,),
        acting: Collection[str] = (),
        canaries: Sequence[Canary] | None = None,
    ) -> None:
        super().__init__(engine, owner=owner, clock=clock)
        self._options = options
        self._sent_for, self._acting = tuple(sent_for), frozenset(acting)
        self._topic = topic
        self._key = key
        self._canaries = load_canaries() if canaries is None else canaries
        self._with_acts = with_acts(self._canaries, load_act_canaries())
        self._seen: tuple[int, float] | None = None
        self._credit = 0.0
        self._n_due = 0
        self._next = int(digest("canaries", owner, repr(clock()))[:15], 16)

    def _is_due(self) -> bool:
        now_s = self._clock()
        with reading(self._engine) as connection:
            logged = health.log_end(connection)
        seen, self._seen = self._seen, (logged, now_s)
        if seen is None:
            return False
        before, at_s = seen
        self._credit += self._options.canary_share * (logged - before)
        each_hour = self._options.canaries_per_hour * len(self._sent_for)
        self._credit += each_hour * (now_s - at_s) / 3600.0
        self._n_due = min(int(self._credit), _MOST_AT_ONCE * len(self._sent_for))
        self._credit -= int(self._credit)
        return self._n_due > 0

    def _work(self) -> list[Alarm]:
        n, now_s = self._n_due, self._clock()
        with self._lease.writing() as connection:
            turns = range(self._next, self._next + n)
            chosen = [self._turn(turn) for turn in turns]
            made = [
                marked(_response(canary, assistant, turn, now_s), self._key)
                for (canary, assistant), turn in zip(chosen, turns, strict=True)
            ]
            asked = [
                Asked(
                    purpose=Purpose.CANARY,
                    assistant=CANARY_ASSISTANT,
                    response_id=response.response_id,
                    known=canary.known.value,
                    stratum=response.stratum.key,
                )
                for (canary, _), response in zip(chosen, made, strict=True)
            ]
            health.ask(connection, asked, now_s=now_s, due_s=self._options.due_s)
            records = [(r.conversation_id.encode(), encode_response(r)) for r in made]
            outbox.add(connection, self._topic, records, now_s=now_s)
        self._next += n
        return []

    def _turn(self, number: int) -> tuple[Canary, str]:
        """The canary of a turn, and the assistant for whose evaluator it is."""
        of_all, whose = divmod(number, len(self._sent_for))
        assistant = self._sent_for[whose]
        canaries = self._with_acts if assistant in self._acting else self._canaries
        return canaries[of_all % len(canaries)], assistant


def _response(canary: Canary, assistant: str, number: int, now_s: float) -> Response:
    """The canary as a response. Its id says nothing of what it is known to be.

    Stakes are high so that every probe of a cascade runs on it.
    """
    name = digest("canary", canary.canary_id, str(number), repr(now_s))[:24]
    return Response(
        response_id=f"canary-{name}",
        stratum=Stratum(CANARY_ASSISTANT, assistant, Stakes.HIGH),
        model=_MODEL,
        conversation_id=f"canary-{name}",
        rater=digest("canary")[:32],
        created_at_s=now_s,
        messages=canary.messages,
        purpose=Purpose.CANARY,
        extra=canary.beside,
    )
