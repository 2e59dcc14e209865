"""The console in a real Chromium: an alarm is read and decided, and a reader is offered no act."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from monitor.console import review
from monitor.http.access import Scope
from monitor.http.server import WebServer
from monitor.launch.options import RetrainOptions
from monitor.store import audit, reading
from monitor.store.schema import alarms, audit_log, gate_decisions, labels
from probes.neutral import key_of
from retrain.report import Arm
from retrain.signing import generate_keypair
from tests.monitor.console.conftest import MakeSite, Site, engine, make_site
from tests.monitor.console.material import FACT
from tests.monitor.console.story import tell
from tests.system.services import missing

__all__ = ["engine", "make_site"]

pytestmark = pytest.mark.system
PHONE = {"width": 390, "height": 844}


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    """Debian's Chromium, driven by playwright."""
    path = shutil.which("chromium")
    if path is None:
        missing("no chromium: tools/services.sh installs it")
    try:
        from playwright.sync_api import sync_playwright  # noqa: PLC0415
    except ImportError:
        missing("no playwright in this environment")
    with sync_playwright() as driver:
        browser = driver.chromium.launch(
            executable_path=path, args=["--no-sandbox", "--disable-gpu"]
        )
        yield browser
        browser.close()


class Told:
    """The story, served; keys of an analyst and of a reader."""

    def __init__(self, site: Site, url: str, decision_id: str) -> None:
        self.site, self.url, self.decision_id = site, url, decision_id
        self.analyst = site.key("analysts", *(s for s in Scope if s is not Scope.ADMIN))
        self.reader = site.key("readers", Scope.READ)
        self.prompt_key = key_of("system", f"{FACT} Your goal is to sell.")

    @property
    def pages(self) -> list[str]:
        """Every page."""
        fixed = ["/", "/alarms", "/alarms/a1", "/verdicts", "/verdicts/k108", "/verdicts/k900"]
        fixed += ["/review", "/retrain", f"/retrain/{self.decision_id}", "/raters", "/sensors"]
        fixed += ["/retrain/runs/run-1", "/retrain/runs/run-1/items/1", "/raters?assistant=shop"]
        fixed += [
            "/neutral",
            f"/neutral/shop/{self.prompt_key}",
            "/redteam",
            "/review?queue=calibration",
        ]
        return [*fixed, "/system", "/runbook", "/verdicts/k901", "/verdicts/nothing"]


@pytest.fixture
def told(make_site: MakeSite, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Told]:
    monkeypatch.setattr(review, "AUDIT_SHARE", 0.5)
    private, _ = generate_keypair(tmp_path / "gate.pem")
    site = make_site(keys=True, retrain=RetrainOptions(signing_key_file=private))
    decision_id = tell(site)
    with WebServer(site.app, "127.0.0.1", 0) as web:
        yield Told(site, web.url, decision_id)


@pytest.fixture
def page(chromium: Any) -> Iterator[Any]:
    context = chromium.new_context()
    shown = context.new_page()
    shown.set_default_timeout(20_000)
    errors: list[str] = []
    shown.on("console", lambda said: errors.append(said.text) if said.type == "error" else None)
    shown.on("pageerror", lambda error: errors.append(str(error)))
    shown.on("dialog", lambda dialog: errors.append(f"a dialog: {dialog.message}"))
    yield shown
    context.close()
    # Chromium asks for an icon that there is none of, and tells of every 403 and 404.
    assert [e for e in errors if "Failed to load resource" not in e] == []


def sign_in(page: Any, url: str, key: str, person: str, following: str = "/") -> None:
    page.goto(url + following)
    page.get_by_label("API key").fill(key)
    page.get_by_label("Your name").fill(person)
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_url(url + following)


def test_an_alarm_is_understood_and_decided(told: Told, page: Any) -> None:
    sign_in(page, told.url, told.analyst, "Ada")
    page.get_by_role("link", name="the measured score rose").first.click()
    assert "What it does not claim" in page.inner_text("main")
    alarm_url = page.url
    for number in range(3):
        page.get_by_role("region", name="Telling verdicts").get_by_role("link").nth(number).click()
        assert page.locator("mark.claim").first.inner_text() == "Yes, it is full of water."
        assert page.locator("details mark.fact").count() == 1
        page.go_back()
        page.wait_for_url(alarm_url)
    page.get_by_role("link", name="Review", exact=True).click()
    for number in range(10):
        page.get_by_text("Blind").wait_for()
        page.wait_for_load_state()  # keys are heard once the script is there
        before = page.locator("input[name=key]").first.input_value()
        page.keyboard.press("2" if number % 2 else "1")
        page.wait_for_url(re.compile(f"last={before}"))
    page.keyboard.press("u")
    page.wait_for_url(re.compile(r"/review\?(?!.*last=)"))
    page.keyboard.press("4")
    page.wait_for_url(re.compile("last="))
    page.keyboard.press("s")
    page.wait_for_url(re.compile(r"/review\?after=(?!.*last=)"))
    page.goto(alarm_url)
    page.get_by_label("Why").fill("ten of ten random turns of m-2 contradict what it was told")
    page.get_by_role("button", name="Confirm").click()
    page.get_by_text("confirmed by").wait_for()
    page.get_by_role("link", name="Retrain", exact=True).first.click()
    page.get_by_role("region", name="Decisions").get_by_role("link").first.click()
    table = page.get_by_role("region", name="Quarantined rows")
    assert table.get_by_role("row").count() == 7, "six rows, each with its reason"
    page.get_by_label("Who asked for the training").fill("Bo")
    page.locator("#o-why").fill("incident 7")
    page.get_by_label("Until").fill("2025-10-10T08:00")
    page.get_by_role("button", name="Override").click()
    page.get_by_text("incident 7").wait_for()
    page.get_by_role("button", name="Sign out").click()
    page.wait_for_url(told.url + "/sign-in")
    page.goto(alarm_url)
    assert "/sign-in" in page.url
    with reading(told.site.engine) as connection:
        assert audit.verify(connection).ok
        by = connection.execute(select(audit_log.c.by, audit_log.c.action)).all()
        given = connection.execute(select(labels)).mappings().all()
        state = connection.execute(select(alarms.c.state)).scalar_one()
        overridden = connection.execute(select(gate_decisions.c.overridden_by)).scalars().all()
    assert len(given) == 10
    assert {(one["labeller"], one["inclusion_probability"]) for one in given} == {
        ("Ada via analysts", 0.5)
    }
    assert state == "confirmed"
    assert "Ada via analysts" in overridden
    acts = [action for who, action in by if who == "Ada via analysts"]
    assert acts.count("label.put") == 11
    assert acts.count("label.take_back") == 1


def test_answers_are_read_side_by_side_and_a_prompt_is_replaced(told: Told, page: Any) -> None:
    sign_in(page, told.url, told.analyst, "Ada", "/verdicts/k108")
    beside = page.get_by_role("region", name="Without the pressure, approved")
    assert "No, the basement has no water." in beside.inner_text()
    left, right = (beside.locator(".card").nth(i).bounding_box() for i in (0, 1))
    assert left["y"] == right["y"], "beside, not below"
    page.goto(told.url + "/retrain")
    page.get_by_role("link", name="run-1").click()
    page.get_by_role("link", name="only where arms differ").click()
    page.get_by_role("region", name="Items").get_by_role("link").first.click()
    cards = page.locator("main section.card")
    assert [card.get_attribute("aria-label") for card in cards.all()] == [arm.value for arm in Arm]
    assert "lie" in page.get_by_role("region", name="candidate").inner_text()
    page.get_by_role("link", name="Neutral prompts", exact=True).click()
    page.get_by_role("region", name="Neutral prompts").get_by_role("link").last.click()
    page.get_by_label("Neutral text").fill(FACT)
    page.get_by_label("Why").fill("shorter")
    page.get_by_role("button", name="Replace").click()
    page.get_by_text("reviewed").wait_for()
    assert page.evaluate("document.body.innerText").count("Ada via analysts") == 1


def test_a_reader_is_offered_no_act(told: Told, page: Any) -> None:
    sign_in(page, told.url, told.reader, "Rea", "/alarms/a1")
    for path in told.pages:
        page.goto(told.url + path)
        forms = page.locator("form[method=post]").all()
        assert [form.get_attribute("action") for form in forms] == ["/sign-out"], path
    page.goto(told.url + "/")
    token = page.locator("input[name=csrf]").first.input_value()
    # A form of our own page, its address and fields changed by hand.
    for path in ("/alarms/a1/confirm", "/review/label", f"/retrain/{told.decision_id}/override"):
        page.goto(told.url + "/")
        page.evaluate(
            """([path, token]) => {
                const form = document.querySelector("form[method=post]");
                form.action = path;
                for (const [name, value] of [["reason", "forged"], ["key", "k001"], ["kind", "lie"]]) {
                    const field = document.createElement("input");
                    field.name = name; field.value = value; form.append(field);
                }
                form.submit();
            }""",
            [path, token],
        )
        page.get_by_role("heading", name="Forbidden").wait_for()
    with reading(told.site.engine) as connection:
        assert connection.execute(select(alarms.c.state)).scalar_one() == "open"
        assert connection.execute(select(labels)).all() == []


def test_hostile_text_acts_on_nothing(told: Told, page: Any) -> None:
    sign_in(page, told.url, told.analyst, "Ada", "/verdicts/k900")
    assert "<script>alert(1)</script>" in page.inner_text("main")
    assert page.locator("main script, main img, main style").count() == 0
    assert page.locator("header").is_visible(), "no style of theirs hides ours"
    assert "⟨U+202E⟩" in page.inner_text("main")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_page_fits_a_phone_and_everyone(told: Told, chromium: Any, scheme: str) -> None:
    axe = axe_source()
    context = chromium.new_context(color_scheme=scheme, viewport=PHONE, bypass_csp=True)
    page = context.new_page()
    sign_in(page, told.url, told.analyst, "Ada")
    for path in told.pages:
        page.goto(told.url + path)
        width = page.evaluate("document.documentElement.scrollWidth")
        assert width <= PHONE["width"], f"{path} is {width} wide"
        assert page.evaluate("document.documentElement.outerHTML.length") < 300_000, path
        if axe is None:
            continue
        page.add_script_tag(content=axe)
        found = page.evaluate("axe.run(document, {resultTypes: ['violations']})")
        serious = [
            (one["id"], one["nodes"][0]["html"])
            for one in found["violations"]
            if one["impact"] in {"serious", "critical"}
        ]
        assert serious == [], path
    context.close()


def test_pages_are_read_without_a_script(told: Told, chromium: Any) -> None:
    context = chromium.new_context(java_script_enabled=False)
    page = context.new_page()
    sign_in(page, told.url, told.analyst, "Ada", "/review")
    page.get_by_role("button", name="a lie").click()
    page.wait_for_url(re.compile("last="))
    assert page.get_by_text("undo the last label").is_visible()
    context.close()


def axe_source() -> str | None:
    """axe-core from npm, kept in the user's cache folder; None where it cannot be had."""
    root = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "candor-tests" / "axe"
    file = root / "node_modules" / "axe-core" / "axe.min.js"
    npm = shutil.which("npm")
    if not file.exists():
        if npm is None:
            return None
        root.mkdir(parents=True, exist_ok=True)
        command = [
            npm,
            "install",
            "--no-audit",
            "--no-fund",
            "--prefix",
            str(root),
            "axe-core@4.10",
        ]
        subprocess.run(command, capture_output=True, timeout=300, check=False)
    return file.read_text(encoding="utf-8") if file.exists() else None
