"""The overview: honesty over time with its uncertainty, what happened, what waits."""

from __future__ import annotations

import html
import json
import re

import msgspec
import pytest
from sqlalchemy import event

from evidence import Alarm, AlarmSubject, Purpose, Stakes, Stratum, VerdictKind
from evidence.records import Accuracy, SensorFigures
from monitor.console.chart import HEIGHT, WIDTH, drawn
from monitor.console.templating import share
from monitor.console.timeline import Step, Timeline
from monitor.http.access import Scope
from monitor.services.honesty import stratum_figures
from monitor.store import detectors, reading
from monitor.store.labels import Label, audited_verdicts, put_label
from monitor.store.sensors import put_sensors
from monitor.store.timeline import step_counts
from monitor.store.verdicts import insert_verdicts
from monitor.telemetry import Bounded
from tests.monitor.api.conftest import NOW_S
from tests.monitor.api.test_reads import SHOP, put, verdict
from tests.monitor.api.test_review import make_alarm
from tests.monitor.console.conftest import MakeSite, Site, parsed, words
from tests.monitor.console.material import add
from tests.monitor.telemetry.test_exposition import alarm, full_state

HOSTILE = '"><script>alert(1)</script><img src=x onerror=alert(2)>\u202egnp'
DAY_S = 86_400.0


def latch(site: Site, *alarms: Alarm) -> None:
    with site.engine.begin() as connection:
        detectors.latch(connection, alarms, by="detection", topic=None, now_s=NOW_S)


def test_it_shows_what_is_known_with_its_uncertainty(make_site: MakeSite) -> None:
    text = words(make_site(state=full_state).client.get("/"))
    for shown in (
        "shop/refunds/high",
        "score rate",
        "measured accuracy",
        "94.0 % (81.0–100.0)",
        "90.0 % (80.0–95.0)",
        "the measured score rose",
        "10.0 of 9.0",
        "2.50 / 9.25",
        "contradicts 12.5 % (6.0–24.0) of the responses whose acts could be seen (6 of 48)",
        "10.0 % (5.0–20.0)",
        "98 of 110 expected evaluations made",
        "2 workers alive",
    ):
        assert shown in text, shown


def test_honesty_over_time_stands_in_steps_with_gaps(site: Site) -> None:
    kinds = [VerdictKind.HONEST] * 9 + [VerdictKind.LIE]
    for day in (6, 5, 2):
        at_s = NOW_S - day * DAY_S
        put(site, *(verdict(100 * day + i, k, scored_at_s=at_s) for i, k in enumerate(kinds)))  # type: ignore[arg-type]
    put(site, verdict(900, VerdictKind.LIE, scored_at_s=NOW_S - 40 * DAY_S))  # type: ignore[arg-type]
    put(site, verdict(901, VerdictKind.LIE, purpose=Purpose.CANARY))  # type: ignore[arg-type]
    answer = site.client.get("/?assistant=shop")
    text = words(answer)
    assert text.count("90.0 % (") == 3, "one row for each step with verdicts"
    assert answer.text.count('<circle class="dot"') == 3, "no line over what nobody measured"
    assert "the bare share of verdicts, not honesty" in text
    wider = words(site.client.get("/?assistant=shop&range=90d"))
    assert "0.0 % (" in wider, "the verdict of 40 days ago"


def test_a_measured_sensor_makes_it_honesty(site: Site) -> None:
    kinds = [VerdictKind.HONEST] * 80 + [VerdictKind.LIE] * 20
    put(site, *(verdict(i, k, scored_at_s=NOW_S - 3600) for i, k in enumerate(kinds)))  # type: ignore[arg-type]
    figures = SensorFigures(
        evaluator_version="e-1",
        assistant="shop",
        accuracy=Accuracy(sensitivity=0.8, n_lies=200, specificity=0.9, n_honest=300),
        prevalence=0.4,
    )
    before = words(site.client.get("/?assistant=shop"))
    with site.engine.begin() as connection:
        put_sensors(connection, [figures], now_s=NOW_S)
    after = words(site.client.get("/?assistant=shop"))
    assert "score rate by step" in before
    assert "honesty by step" in after, "a sensor that was measured since is used at once"
    # (0.2 + 0.9 - 1) / (0.8 + 0.9 - 1) = 14.3 % lies.
    assert "85.7 % (" in after


def labelled(site: Site, index: int, kind: VerdictKind, probability: float | None) -> Label:
    return Label(
        assistant="shop",
        response_id=f"r{index}",
        labeller="Ada",
        kind=kind,
        inclusion_probability=probability,
        at_s=NOW_S,
    )


def test_random_labels_estimate_honesty_beside_the_curve(site: Site) -> None:
    """Of 200 responses of one time 60 are labelled at random, of 100 of another 40: too few."""
    early, late = NOW_S - 5 * DAY_S, NOW_S - DAY_S
    for i in range(300):
        kind = VerdictKind.LIE if i % 4 == 0 else VerdictKind.HONEST
        add(site, i, kind, scored_at_s=early if i < 200 else late)
    given = [
        labelled(site, i, VerdictKind.LIE if i % 8 == 0 else VerdictKind.HONEST, 0.3)
        for i in (*range(60), *range(200, 240))
    ]
    # Read out of suspicion, or because the gate released it: all lies, none of them counts.
    given += [labelled(site, i, VerdictKind.LIE, None) for i in range(100, 160)]
    with site.engine.begin() as connection:
        for one in given:
            put_label(connection, one, by="Ada")
    with reading(site.engine) as connection:
        counts = step_counts(connection, start_s=early, end_s=early + 1, width_s=4 * 3600.0)
        audited = audited_verdicts(connection, since_s=early - 1, until_s=early + 1)
    expected = stratum_figures(Stratum("shop", "all", Stakes.NORMAL), counts, {}, audited)
    assert (expected.basis, expected.random_labels) == ("labels", 60)
    answer = site.client.get("/?assistant=shop")
    text = words(answer)
    assert f"60{share(expected.honesty)}" in text, "as the service estimates it"
    assert "40too few labels" in text
    assert answer.text.count('<line class="audit"') == 2, "one estimate and its interval"
    assert "honesty by random labels" not in words(site.client.get("/?assistant=shop&range=6h"))


def test_what_happened_stands_on_the_same_axis(site: Site) -> None:
    put(site, verdict(1, scored_at_s=NOW_S - 3 * DAY_S))  # type: ignore[arg-type]
    later = msgspec.structs.replace(verdict(2, scored_at_s=NOW_S - DAY_S), model="m-2")
    with site.engine.begin() as connection:
        insert_verdicts(connection, [later])
    trouble = msgspec.structs.replace(
        make_alarm("e1", scope="e-1"), subject=AlarmSubject.EVALUATOR, metric="silence"
    )
    latch(site, make_alarm("a1", scope=SHOP.key), trouble, make_alarm("a2", scope="bank/x/high"))
    site.clock.now_s += 1
    answer = site.client.get("/?assistant=shop")
    marks = re.findall(r'<line class="mark (\w+)"', answer.text)
    assert sorted(marks) == ["alarm", "evaluator", "version"]
    assert "version: m-2" in words(answer)
    assert 'href="/alarms/a1"' in answer.text


def test_what_is_over_is_counted_once(site: Site) -> None:
    timeline = Timeline(site.clock)
    put(site, verdict(1, scored_at_s=NOW_S - 5 * DAY_S))  # type: ignore[arg-type]

    def total() -> int:
        with reading(site.engine) as connection:
            counts = timeline.counts(connection, NOW_S - 7 * DAY_S, NOW_S, DAY_S)
        return sum(count.n for step in counts.values() for count in step)

    assert total() == 1
    put(site, verdict(2, scored_at_s=NOW_S - 5 * DAY_S))  # type: ignore[arg-type]
    put(site, verdict(3, scored_at_s=NOW_S - 1))  # type: ignore[arg-type]
    assert total() == 1, "both were read just now"
    site.clock.now_s += 6
    assert total() == 2, "the step in progress is read again"
    site.clock.now_s += DAY_S
    assert total() == 3, "and, once a tenth of its age has passed, what is over"


def test_hostile_names_stay_text(make_site: MakeSite) -> None:
    hostile = Stratum(HOSTILE, HOSTILE, Stakes.HIGH)
    state = full_state()
    state = msgspec.structs.replace(
        state,
        strata=(msgspec.structs.replace(state.strata[0], stratum=hostile),),
        detectors=(msgspec.structs.replace(state.detectors[0], stratum=hostile, metric=HOSTILE),),
        alarms=(
            msgspec.structs.replace(alarm(HOSTILE), scope=HOSTILE, metric=HOSTILE, claim=HOSTILE),
        ),
        cohorts=(msgspec.structs.replace(state.cohorts[0], assistant=HOSTILE),),
    )
    answer = make_site(state=lambda: state).client.get("/")
    tags = parsed(answer)
    assert "script" not in tags.seen
    assert "\u202e" not in words(answer)
    assert "⟨U+202E⟩" in answer.text


def test_an_empty_service_says_what_to_do_next(site: Site) -> None:
    text = words(site.client.get("/"))
    assert "Nothing was measured yet" in text
    page = html.unescape(site.client.get("/").text)
    sent = re.findall(r"curl -H 'content-type: application/json' (\S+) -d '(\{.*?\})'", page, re.S)
    assert [address for address, _ in sent] == [
        "http://127.0.0.1/v1/responses",
        "http://127.0.0.1/v1/feedback",
    ]
    for address, body in sent:
        answer = site.client.post(address, json=json.loads(body))
        assert answer.status_code == 202, answer.text
    for command in ("candor simulate traffic", "candor calibrate", "candor doctor"):
        assert command in text


@pytest.mark.parametrize(
    ("figures", "shown"),
    [
        ({"blind": None, "smallest_fall": None}, "learns"),
        ({"blind": True, "smallest_fall": None}, "blind: no fall"),
        ({"blind": True, "smallest_fall": 0.34, "sensitivity": 0.6}, "blind: 34 points"),
        ({"blind": False, "smallest_fall": 0.04, "sensitivity": None}, "4 points at best"),
    ],
)
def test_a_stratum_says_what_it_sees(
    make_site: MakeSite, figures: dict[str, float | None], shown: str
) -> None:
    state = full_state()
    stratum = msgspec.structs.replace(state.strata[0], **figures)
    state = msgspec.structs.replace(state, strata=(stratum,))
    assert shown in words(make_site(state=lambda: state).client.get("/"))


def test_a_key_sees_its_assistants_alone(make_site: MakeSite) -> None:
    site = make_site(keys=True)
    put(site, verdict(1))  # type: ignore[arg-type]
    browser = site.signed_in(site.key("bank", Scope.READ, assistants=("bank",)))
    assert "shop" not in browser.get("/").text
    assert browser.get("/?assistant=shop").status_code == 403
    assert browser.get("/?stratum=shop/refunds/high").status_code == 403
    assert (
        site.signed_in(site.key("shop", Scope.READ, assistants=("shop",)))
        .get("/")
        .text.count("shop/refunds/high")
    )


def test_a_view_is_in_its_address(site: Site) -> None:
    put(site, verdict(1, scored_at_s=NOW_S - 20 * DAY_S))  # type: ignore[arg-type]
    fixed = re.search(r'href="(/\?[^"]*until=[^"]*)"', site.client.get("/?range=30d").text)
    assert fixed is not None
    address = fixed[1].replace("&amp;", "&")
    site.clock.now_s += 300 * DAY_S
    assert "no verdict in this time" not in words(site.client.get(address + "&assistant=shop"))
    assert site.client.get("/?range=5y").status_code == 422
    assert site.client.get("/?until=yesterday").status_code == 422


@pytest.mark.parametrize("values", [(), (0.0,), (1.0, 1.0), (0.2, 0.9, 0.5), (0.99, 1.0)])
def test_a_curve_stays_within_its_frame(values: tuple[float, ...]) -> None:
    steps = [
        Step(float(i), 5, Bounded(v, max(0.0, v - 0.1), min(1.0, v + 0.1), 0.0, 1.0), Bounded())
        for i, v in enumerate(values)
    ]
    chart = drawn(steps, [], 0.0, 10.0, 1.0)
    assert chart.measure == ("score rate" if values else "honesty"), (
        "of nothing, what was asked for"
    )
    pairs = [p for points in (*chart.bands, *chart.bounds, *chart.lines) for p in points.split()]
    dots = [(x, end) for x, *ys in chart.dots for end in ys]
    for x, y in [tuple(map(float, pair.split(","))) for pair in pairs] + dots:
        assert 0.0 <= x <= WIDTH
        assert 0.0 <= y <= HEIGHT


def test_steps_are_read_by_index_and_from_it_alone(site: Site) -> None:
    with reading(site.engine) as connection:
        ran: list[tuple[str, tuple[object, ...]]] = []
        event.listen(
            site.engine,
            "before_cursor_execute",
            lambda _c, _cur, statement, parameters, *_: ran.append((statement, parameters)),
        )
        step_counts(connection, start_s=0.0, end_s=1.0, width_s=1.0)
        statement, parameters = ran[-1]
        plan = [
            row[3]
            for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters)
        ]
    assert plan[0].startswith("SEARCH verdicts USING COVERING INDEX ix_verdicts_live"), plan
