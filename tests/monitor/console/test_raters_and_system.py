"""Raters with the caution that belongs to them; sensors; workers, settings without secrets, the runbook."""

from __future__ import annotations

import re

import msgspec
import pytest

from evidence import VerdictKind
from evidence.records import Accuracy, SensorFigures
from monitor.cohorts.cells import plane_of
from monitor.cohorts.results import Share
from monitor.http.access import Scope
from monitor.settings import DatabaseOptions, JudgeOptions, Settings, shown_settings
from monitor.store.cohorts import NewEstimate, newest_estimate, save_estimate
from monitor.store.sensors import put_sensors
from tests.monitor.api.conftest import NOW_S
from tests.monitor.console.conftest import MakeSite, Site, words
from tests.monitor.console.material import add, rate
from tests.monitor.console.story import rater

SHARE = Share(estimate=0.2, lower=0.1, upper=0.4, n=30)


def group(*raters: str) -> dict[str, object]:
    return {
        "group_id": "g" + str(len(raters)),
        "pattern": "burst",
        "direction": "up",
        "raters": raters,
        "responses": ["r1"],
        "p_lie": 0.9,
        "first_s": NOW_S - 100,
        "last_s": NOW_S,
    }


@pytest.fixture
def estimated(site: Site) -> Site:
    small, large = group("s1", "s2"), group(*(f"m{i}" for i in range(6)))
    record = {
        "biased_fraction": SHARE,
        "biased_weight": SHARE,
        "answer": "ok",
        "groups": [small, large],
        "bursts": [
            {
                "pattern": "burst",
                "direction": "up",
                "n_raters": n,
                "first_s": NOW_S,
                "last_s": NOW_S,
            }
            for n in (3, 9)
        ],
        "plane": plane_of(
            [rater("somebody", 0.93, 0.91, 0.9)] * 7
            + [rater("somebody", 0.9, 0.1, 0.01)] * 30
            + [rater("somebody", 0.1, 0.2, 0.02)] * 2,
            least=5,
            margin=0.1,
        ),
    }
    with site.engine.begin() as connection:
        new = NewEstimate(
            assistant="shop",
            cutoff_s=NOW_S,
            n_events=90,
            record=msgspec.json.encode(record).decode(),
            alarm_state="{}",
            raters=[
                {
                    "rater": f"p{i}",
                    "p_biased": i / 10,
                    "status": "suspect" if i > 7 else "benign",
                    "n_events": i,
                }
                for i in range(10)
            ],
            groups=[],
        )
        follows = newest_estimate(connection, "shop")
        assert save_estimate(connection, new, follows, now_s=NOW_S - 60)
    return site


def test_raters_stand_with_their_caution_and_small_groups_do_not(estimated: Site) -> None:
    answer = estimated.client.get("/raters?assistant=shop")
    text = words(answer)
    assert "never silence critics" in text
    assert "20.0 % (10.0–40.0)" in text
    assert answer.text.count('<circle class="dot"') == 2, "of raters, and of weight"
    assert "6 raters, burst" in text
    assert "2 raters, burst" not in text
    assert "s1" not in answer.text, "fewer than five are no group"
    suspects = estimated.client.get("/raters?assistant=shop&status=suspect").text
    assert "/raters/shop/p9" in suspects
    assert "/raters/shop/p1" not in suspects
    assert estimated.client.get("/raters?status=guilty").status_code == 422


def test_the_plane_shows_behaviour_and_nobody(estimated: Site) -> None:
    answer = estimated.client.get("/raters?assistant=shop")
    text = words(answer)
    assert answer.text.count('<circle class="spot ') == 2, "a cell of two raters is not drawn"
    assert answer.text.count('class="spot suspect"') == 1
    assert "2 raters in cells of too few are not shown" in text
    assert "90–95 %" in text
    assert "a critic, and no suspect" in text
    assert "9 raters 2025-10-09" in text, "a burst names its size alone"
    assert "3 raters 2025" not in text
    assert "somebody" not in text.partition("The plane of raters")[2].partition("Above the red")[0]


def test_a_share_of_a_few_per_cent_is_not_drawn_flat(estimated: Site) -> None:
    page = estimated.client.get("/raters?assistant=shop").text
    assert ">40 %</text>" in page, "the axis ends above the largest interval"
    assert ">100 %</text>" not in page.partition("The plane")[0]


def test_what_a_group_acted_on_is_read(estimated: Site) -> None:
    add(estimated, 1, VerdictKind.LIE)
    text = words(estimated.client.get("/raters?assistant=shop"))
    assert "1 responses that they acted on" in text
    assert re.search(r"r1\s*lie\s*0\.\d", text)


def test_one_rater_by_pseudonym(estimated: Site, make_site: MakeSite) -> None:
    add(estimated, 1)
    rate(estimated, 1, text="thanks a lot")
    page = estimated.client.get("/verdicts/k001").text
    address = "/raters/shop/" + page.partition('href="/raters/shop/')[2].partition('"')[0]
    text = words(estimated.client.get(address))
    assert "No estimate yet" in text
    assert "thanks a lot" in text
    assert "user-1" not in text
    assert "p_biased 0.900" in words(estimated.client.get("/raters/shop/p9"))
    assert estimated.client.get("/raters/shop/nobody").status_code == 404
    keyed = make_site(keys=True)
    reader = keyed.signed_in(keyed.key("ana", Scope.READ))
    assert "thanks a lot" not in reader.get(address).text
    bank = keyed.signed_in(keyed.key("bank", Scope.ADMIN, assistants=("bank",)))
    assert bank.get(address).status_code == 403


def test_sensors_with_their_card(site: Site) -> None:
    figures = SensorFigures(
        evaluator_version="e-1",
        assistant="shop",
        accuracy=Accuracy(sensitivity=0.8, n_lies=200, specificity=0.9, n_honest=300),
        prevalence=0.4,
        card={"auroc": 0.912, "by_kind": {"<b>": [1, None]}},
    )
    with site.engine.begin() as connection:
        put_sensors(connection, [figures], now_s=NOW_S)
    text = words(site.client.get("/sensors"))
    assert "80.0 % of 200.0 lies" in text
    assert "0.912" in text
    assert "<b>" in text


def test_settings_are_for_who_runs_the_service(make_site: MakeSite) -> None:
    site = make_site(keys=True)
    reader = site.signed_in(site.key("ana", Scope.READ, Scope.REVIEW))
    page = reader.get("/system")
    assert "Settings in force" not in page.text
    assert reader.get("/system?examine=1").status_code == 403
    admin = site.signed_in(site.key("root", Scope.ADMIN))
    text = words(admin.get("/system"))
    assert "Settings in force" in text
    assert "session_s43200.0" in text


def test_the_doctor_is_asked_by_hand(site: Site) -> None:
    assert "every CANDOR_ variable is a setting" not in words(site.client.get("/system"))
    assert "every CANDOR_ variable is a setting" in words(site.client.get("/system?examine=1"))


def test_no_secret_is_a_shown_setting() -> None:
    settings = Settings(
        database=DatabaseOptions(
            url="postgresql+psycopg://candor:hunter2@db/candor?password=hunter3"
        ),
        judge=JudgeOptions(url="https://user:hunter4@judge/v1?key=hunter5", model="m"),
    )
    hidden = Settings.model_validate(
        settings.model_dump()
        | {
            "retrain": {
                "webhook_url": "https://hooks.example/hunter6",
                "webhook_secret_file": "w.key",
            }
        }
    )
    text = str(shown_settings(hidden))
    assert "hunter" not in text
    for kept in ("candor:***@", "w.key", "user:***@"):
        assert kept in text
