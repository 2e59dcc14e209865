"""What `candor doctor` looks at: each part of a running set, and what to do about a failing one."""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable, Iterator
from email.utils import parsedate_to_datetime
from functools import partial
from typing import NamedTuple

from sqlalchemy import Engine, select, text

from evidence import BadInputError, CandorError, UnreachableError
from evidence.errors import WrongAnswerError
from monitor.assistants import AssistantOptions
from monitor.doctor import receivers
from monitor.doctor.broker import broker_findings
from monitor.doctor.finding import Finding, Status, present
from monitor.doctor.servers import (
    assistant_findings,
    assistant_part,
    assistant_section,
    judge_date,
    judge_findings,
    judge_part,
    judge_section,
)
from monitor.doctor.sight import sight_findings
from monitor.doctor.unnamed import unnamed_findings
from monitor.http.access import read_keys
from monitor.ingest.keys import load_key
from monitor.settings import Settings, unknown_variables
from monitor.store.approved import newest
from monitor.store.engine import HEAD_REVISION, current_revision, open_unchecked, reading
from monitor.store.faults import clear_errors
from monitor.store.schema import responses
from monitor.store.status import heartbeats, last_response_s
from retrain.signing import public_pem

_QUIET_S = 900.0
_SKEW_S = 60.0


Check = Callable[[Settings], Iterator[Finding]]


def examine(settings: Settings, progress: Callable[[str], None]) -> list[Finding]:
    """Look at every part; one that breaks down is a finding, never the end.

    Parameters
    ----------
    progress
        Told the name of each part before it is looked at.
    """
    found: list[Finding] = []
    for part in _parts(settings):
        progress(part.name)
        try:
            found.extend(part.check(settings))
        except WrongAnswerError as error:
            advice = (
                f"it answers: by what it says, correct {part.section}.url, its model or its key"
            )
            found.append(Finding(part.name, Status.FAILED, str(error), advice))
        except UnreachableError as error:
            found.append(Finding(part.name, Status.UNREACHABLE, str(error), part.advice))
        except CandorError as error:
            found.append(Finding(part.name, Status.FAILED, str(error), part.advice))
    return found


class _Part(NamedTuple):
    """One check, what to do where it breaks down, and the section of the settings that it is about."""

    name: str
    check: Check
    advice: str
    section: str


_ADVICE = {
    "settings": "correct candor.toml or the CANDOR_ variables; docs/configuration.md lists them",
    "keys": "make the key with `candor keys create`, and chmod 600 its file",
    "broker": "start Kafka, or correct kafka.bootstrap_servers and its TLS and SASL settings",
    "database": "start the database, or correct database.url",
    "results": receivers.ADVICE,
}


def _parts(settings: Settings) -> Iterator[_Part]:
    checks: dict[str, Check] = {
        "settings": _settings,
        "keys": _keys,
        "broker": broker_findings,
        "database": _database,
        "results": _results,
    }
    for name, check in checks.items():
        yield _Part(name, check, _ADVICE[name], name)
    yield _judge_part("")
    yield _assistant_part("")
    for whose, options in sorted(settings.assistants.items()):
        if options.judge is not None:
            yield _judge_part(whose)
        yield _assistant_part(whose)


def _judge_part(whose: str) -> _Part:
    section = judge_section(whose)
    advice = f"start the judge's server, or correct {section}.url and its key"
    return _Part(judge_part(whose), partial(_judge, whose=whose), advice, section)


def _assistant_part(whose: str) -> _Part:
    section = assistant_section(whose)
    advice = f"start the assistant's server, or correct {section}.url and its key"
    return _Part(assistant_part(whose), partial(_assistant, whose=whose), advice, section)


def _settings(_settings: Settings) -> Iterator[Finding]:
    unknown = unknown_variables(os.environ)
    if unknown:
        detail = f"no setting has the name {', '.join(unknown)}"
        yield Finding("settings", Status.WARNING, detail, _ADVICE["settings"])
    else:
        yield Finding("settings", Status.OK, "every CANDOR_ variable is a setting")


def _keys(settings: Settings) -> Iterator[Finding]:
    url = settings.database.url
    shared = not url.startswith("sqlite")
    for name, path in (
        ("pseudonym", settings.pseudonym.key_file),
        ("sampling", settings.sampling.key_file),
    ):
        if path is None and not shared:
            yield Finding(f"{name} key", Status.OK, "made beside the SQLite database when needed")
            continue
        try:
            load_key(path, name=name, database_url=url)
        except BadInputError as error:
            yield Finding(f"{name} key", Status.FAILED, str(error), _ADVICE["keys"])
        else:
            yield Finding(f"{name} key", Status.OK, str(path))
    yield _signing_key(settings)
    yield _api_keys(settings)


def _signing_key(settings: Settings) -> Finding:
    path = settings.retrain.signing_key_file
    if path is None:
        advice = "`candor keys create signing`, then set retrain.signing_key_file"
        return Finding("signing key", Status.WARNING, "none: no decision can be signed", advice)
    try:
        public_pem(path)
    except BadInputError as error:
        return Finding("signing key", Status.FAILED, str(error), _ADVICE["keys"])
    return Finding("signing key", Status.OK, str(path))


def _api_keys(settings: Settings) -> Finding:
    path = settings.api.keys_file
    if path is None:
        if settings.api.open_on_loopback:
            detail = "none: the API is open, and listens on this machine alone"
            return Finding("API keys", Status.OK, detail)
        detail = "none: `candor serve` and `candor up` will not start"
        advice = "`candor keys create api`, then set api.keys_file"
        return Finding("API keys", Status.WARNING, detail, advice)
    try:
        count = len(read_keys(path).keys)
    except BadInputError as error:
        return Finding("API keys", Status.FAILED, str(error), "`candor keys create api`")
    if count == 0:
        return Finding("API keys", Status.FAILED, f"{path} is empty", "`candor keys create api`")
    return Finding("API keys", Status.OK, f"{count} in {path}")


def _database(settings: Settings) -> Iterator[Finding]:
    url = settings.database.url
    if not present(url):
        yield Finding("database", Status.WARNING, f"{url} is not there yet", "`candor db upgrade`")
        return
    engine = open_unchecked(url)
    try:
        with clear_errors(engine):
            found = current_revision(engine)
            if found != HEAD_REVISION:
                advice = "`candor db upgrade`, with the version of Candor that is to run"
                detail = f"revision {found or 'none'}, {HEAD_REVISION} is needed"
                yield Finding("schema", Status.FAILED, detail, advice)
                return
            yield Finding("database", Status.OK, f"schema revision {found}")
            yield from _traffic(engine)
            yield from unnamed_findings(engine)
            yield from sight_findings(engine, settings.telemetry.visible_fall)
    finally:
        engine.dispose()


def _traffic(engine: Engine) -> Iterator[Finding]:
    now_s = time.time()
    recent = select(responses.c.received_at_s - responses.c.created_at_s)
    with reading(engine) as connection:
        newest_s = last_response_s(connection)
        beats = heartbeats(connection)
        recent = recent.order_by(responses.c.received_at_s.desc()).limit(101)
        delays_s = list(connection.execute(recent).scalars())
        database_s = now_s
        if engine.dialect.name == "postgresql":
            query = text("SELECT extract(epoch FROM clock_timestamp())")
            database_s = float(connection.execute(query).scalar_one())
    yield _recency(newest_s, now_s)
    yield _worker(max((beat.seen_at_s for beat in beats), default=None), now_s)
    yield _skew("clock of the database", database_s - now_s)
    if delays_s:
        # Negative: stamped in what is the future here. Positive may be a backlog, which lag shows.
        yield _skew("clock of the assistant", max(0.0, -statistics.median(delays_s)))


def _recency(newest_s: float | None, now_s: float) -> Finding:
    advice = (
        "look whether the assistant produces to kafka.responses_topic or posts to /v1/responses, "
        "and whether a worker runs"
    )
    if newest_s is None:
        return Finding("traffic", Status.WARNING, "no response was ever accepted", advice)
    age_s = now_s - newest_s
    if age_s > _QUIET_S:
        return Finding("traffic", Status.FAILED, f"no response for {age_s:.0f} s", advice)
    return Finding("traffic", Status.OK, f"newest response {age_s:.0f} s ago")


def _worker(newest_s: float | None, now_s: float) -> Finding:
    advice = "start `candor worker` (or `candor up`) and read its log"
    if newest_s is None:
        return Finding("worker", Status.WARNING, "none was ever seen", advice)
    age_s = now_s - newest_s
    if age_s > _SKEW_S:
        return Finding("worker", Status.FAILED, f"the last one was seen {age_s:.0f} s ago", advice)
    return Finding("worker", Status.OK, f"seen {age_s:.0f} s ago")


def _skew(part: str, seconds: float) -> Finding:
    detail = f"{abs(seconds):.0f} s {'ahead of' if seconds > 0 else 'behind'} this machine's"
    if abs(seconds) > _SKEW_S:
        return Finding(part, Status.FAILED, detail, "set both by NTP (chronyc tracking)")
    return Finding(part, Status.OK, detail if abs(seconds) >= 1 else "agrees with this machine's")


def _results(settings: Settings) -> Iterator[Finding]:
    yield from receivers.receiver_findings(settings.results)


def _judge(settings: Settings, *, whose: str) -> Iterator[Finding]:
    options = settings.judge_of(whose)
    if options.url is None:
        yield Finding("judge", Status.OK, "none configured: the other probes decide")
        return
    yield from judge_findings(options, whose=whose)
    yield from _judge_clock(judge_date(options))


def _assistant(settings: Settings, *, whose: str) -> Iterator[Finding]:
    options = settings.assistant_of(whose)
    if not whose and settings.assistants and options == AssistantOptions():
        return  # every assistant that matters has a section of its own
    yield from assistant_findings(options, whose=whose, approved=_approved(settings).get(whose))


def _approved(settings: Settings) -> dict[str, str]:
    """Approved versions on record; none where the store is not there or is of another schema."""
    if not present(settings.database.url):
        return {}
    engine = open_unchecked(settings.database.url)
    try:
        with clear_errors(engine):
            if current_revision(engine) != HEAD_REVISION:
                return {}
            with reading(engine) as connection:
                return {name: found.version for name, found in newest(connection).items()}
    except CandorError:
        return {}  # what is wrong with the store is another part's finding
    finally:
        engine.dispose()


def _judge_clock(date: str | None) -> Iterator[Finding]:
    if date is None:
        return
    try:
        seconds = parsedate_to_datetime(date).timestamp()
    except ValueError:
        return
    yield _skew("clock of the judge", seconds - time.time())
