"""Pictures of a console that is running: `python -m tools.shots --url URL --out docs/console`.

It needs playwright and Debian's Chromium. Where the console asks for keys, CANDOR_SHOTS_KEY holds one that may read
and review; it is typed in as a person would.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
from pathlib import Path
from typing import Any

_SIZE = {"width": 1200, "height": 900}
_WHOLE = {"response", "answers"}
"""Pages of which what lies below the first screen is the point."""
_PHONE = {"width": 390, "height": 844}


def main() -> int:
    """Take the pictures; the exit status says whether there was anything to take them with."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--url", default="http://127.0.0.1:8321")
    parser.add_argument("--out", type=Path, default=Path("docs/console"))
    asked = parser.parse_args()
    chromium = shutil.which("chromium")
    if chromium is None:
        sys.stderr.write("shots: no chromium; tools/services.sh installs it\n")
        return 1
    from playwright.sync_api import sync_playwright  # noqa: PLC0415 -- not needed to say what is missing

    asked.out.mkdir(parents=True, exist_ok=True)
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        for scheme in ("light", "dark"):
            page = browser.new_context(color_scheme=scheme, viewport=_SIZE).new_page()
            _sign_in(page, asked.url)
            for name, address in _pages(page, asked.url):
                page.goto(asked.url + address)
                page.screenshot(path=asked.out / f"{name}-{scheme}.png", full_page=name in _WHOLE)
        phone = browser.new_context(viewport=_PHONE).new_page()
        _sign_in(phone, asked.url)
        phone.screenshot(path=asked.out / "overview-phone.png")
        browser.close()
    return 0


def _sign_in(page: Any, url: str) -> None:
    page.goto(f"{url}/sign-in")
    key = page.get_by_label("API key")
    if key.count():
        key.fill(os.environ.get("CANDOR_SHOTS_KEY", ""))
    page.get_by_label("Your name").fill("Ada")
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_url(f"{url}/")


def _pages(page: Any, url: str) -> list[tuple[str, str]]:
    """The pages of a walk through the newest alarm."""
    page.goto(f"{url}/alarms")
    found = [("overview", "/"), ("review", "/review?queue=escalated"), ("raters", "/raters")]
    found += [("neutral", "/neutral"), ("redteam", "/redteam")]
    alarm = page.locator('td a[href^="/alarms/"]')
    if alarm.count():
        address = str(alarm.first.get_attribute("href"))
        found.append(("alarm", address))
        page.goto(url + address)
    telling = page.locator('td a[href^="/verdicts/"]')
    if telling.count():
        found.append(("response", str(telling.first.get_attribute("href"))))
    page.goto(f"{url}/retrain")
    run = page.locator('li a[href^="/retrain/runs/"]')
    run_address = str(run.first.get_attribute("href")) if run.count() else None
    decision = page.locator('td a[href^="/retrain/"]')
    if decision.count():
        found.append(("decision", str(decision.first.get_attribute("href"))))
    if run_address is not None:
        page.goto(f"{url}{run_address}?differing=1")
        item = page.locator('th a[href*="/items/"]')
        if item.count():
            found.append(("answers", str(item.first.get_attribute("href"))))
    return found


if __name__ == "__main__":
    sys.exit(main())
