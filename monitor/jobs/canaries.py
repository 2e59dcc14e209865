"""The leased job that sends canaries through the whole path: outbox, broker, intake, probes, store."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from sqlalchemy import Engine

from evidence import CANARY_ASSISTANT, Purpose, Response, Stakes, Stratum, digest
from monitor.detect.options import HealthOptions
from monitor.ingest.encode import encode_response
from monitor.score.canaries import Canary, load_canaries
from monitor.store import health, leases, outbox
from monitor.store.engine import reading
from monitor.store.health import Asked

_LEASE = "canaries"
_LEASE_S = 30.0
_MOST_AT_ONCE = 20
_MODEL = "canary"


class CanarySender:
    """Call `send` again and again; it sends as many as the traffic since and the clock ask for.

    Parameters
    ----------
    topic
        The responses topic, on which canaries travel like any response, marked by their purpose.
    owner
        This process, as the lease's owner.
    """

    def __init__(
        self,
        engine: Engine,
        *,
        options: HealthOptions,
        topic: str,
        owner: str,
        clock: Callable[[], float],
        canaries: Sequence[Canary] | None = None,
    ) -> None:
        self._engine = engine
        self._options = options
        self._topic = topic
        self._owner = owner
        self._clock = clock
        self._canaries = load_canaries() if canaries is None else canaries
        self._seen: tuple[int, float] | None = None
        self._credit = 0.0

    def send(self) -> int:
        """Send what is due; returns how many. The first call only notes where it stands."""
        now_s = self._clock()
        with reading(self._engine) as connection:
            logged = health.log_end(connection)
        seen, self._seen = self._seen, (logged, now_s)
        if seen is None:
            return 0
        before, at_s = seen
        self._credit += self._options.canary_share * (logged - before)
        self._credit += self._options.canaries_per_hour * (now_s - at_s) / 3600.0
        n = min(int(self._credit), _MOST_AT_ONCE)
        self._credit -= int(self._credit)
        return self._send(n, now_s) if n else 0

    def _send(self, n: int, now_s: float) -> int:
        with self._engine.begin() as connection:
            fence = leases.acquire(
                connection, _LEASE, self._owner, now_s=now_s, duration_s=_LEASE_S
            )
            if fence is None:
                return 0
            sent = health.count_asked(connection, Purpose.CANARY)
            chosen = [self._canaries[(sent + i) % len(self._canaries)] for i in range(n)]
            made = [_response(canary, sent + i, now_s) for i, canary in enumerate(chosen)]
            asked = [
                Asked(
                    purpose=Purpose.CANARY,
                    assistant=CANARY_ASSISTANT,
                    response_id=response.response_id,
                    known=canary.known.value,
                )
                for canary, response in zip(chosen, made, strict=True)
            ]
            health.ask(connection, asked, now_s=now_s, due_s=self._options.due_s)
            records = [(r.conversation_id.encode(), encode_response(r)) for r in made]
            outbox.add(connection, self._topic, records, now_s=now_s)
        return n


def _response(canary: Canary, number: int, now_s: float) -> Response:
    """The canary as a response. Its id says nothing of what it is known to be.

    Stakes are high so that every probe of a cascade runs on it.
    """
    name = digest("canary", canary.canary_id, str(number), repr(now_s))[:24]
    return Response(
        response_id=f"canary-{name}",
        stratum=Stratum(CANARY_ASSISTANT, stakes=Stakes.HIGH),
        model=_MODEL,
        conversation_id=f"canary-{name}",
        rater=digest("canary")[:32],
        created_at_s=now_s,
        messages=canary.messages,
        purpose=Purpose.CANARY,
    )
