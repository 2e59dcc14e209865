"""Pages of a newcomer: short, their examples run, and what they say comes out."""

from __future__ import annotations

import re
import subprocess
import time
import tomllib
from pathlib import Path
from typing import Any

import httpx
import pytest

from monitor.cli.stack import start_stack
from monitor.results.opening import open_sinks
from monitor.results.otlp import event
from monitor.settings import ApiOptions, DatabaseOptions, Settings
from tests.docs.shell import ROOT, Session, blocks
from tests.monitor.cli.conftest import WordScorer
from tests.monitor.results.made import every
from tests.system.services import free_port

DOCS = ROOT / "docs"
SHORT = ("concepts.md", "sensors.md", "faq.md", "comparison.md", "architecture.md", "index.md")


def test_the_readme_is_under_three_screens() -> None:
    assert len((ROOT / "README.md").read_text().splitlines()) <= 120


@pytest.mark.parametrize("page", ["../README.md", *SHORT])
def test_a_cell_of_a_table_is_a_line(page: str) -> None:
    for line in (DOCS / page).read_text().splitlines():
        if line.startswith("|"):
            for cell in re.split(r"(?<!\\)\|", line):
                shown = re.sub(r"\]\([^)]*\)", "", cell).strip(" []`")
                assert len(shown) <= 110, shown


def test_the_two_commands_of_the_readme_are_targets() -> None:
    (block,) = [b for b in blocks(ROOT / "README.md") if b.language == "sh"]
    for line in block.text.splitlines():
        command = line.partition("#")[0].split()
        done = subprocess.run(
            [*command, "--dry-run", "ARGS=--exit"],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("folder", ["monitor", "probes", "retrain", "evidence", "candor_guard"])
def test_files_that_the_architecture_names_are_there(folder: str) -> None:
    text = (DOCS / "architecture.md").read_text()
    paths = re.findall(rf"`({folder}/[\w/]+(?:\.py|/))`", text)
    for path in paths:
        assert (ROOT / path).exists(), path
    for row in re.findall(rf"`({folder}/[\w/]*)/\w+\.py`((?:, `\w+\.py`)+)", text):
        for name in re.findall(r"`(\w+\.py)`", row[1]):
            assert (ROOT / row[0] / name).exists(), f"{row[0]}/{name}"


def test_the_configurations_that_the_guide_shows_are_some() -> None:
    sensor, declared = (
        Settings(**tomllib.loads(b.text)) for b in blocks(DOCS / "guide.md") if b.language == "toml"
    )
    assert sensor.assistant_of("shop").approved == "models/shop-1"
    assert declared.ingest.assistants == {"shop": ("refunds", "stock")}


def test_the_configurations_of_the_sensor_page_are_some() -> None:
    one, several = (
        Settings(**tomllib.loads(b.text))
        for b in blocks(DOCS / "sensor.md")
        if b.language == "toml"
    )
    assert one.assistant_of("shop").sensor == several.assistant_of("shop").sensor
    assert several.judge_of("legal").model == "judge-large"


def test_the_set_ups_of_the_results_page_open_a_receiver_each(tmp_path: Path) -> None:
    found = []
    for block in blocks(DOCS / "results.md"):
        if block.language == "toml":
            text = block.text.replace("/run/secrets", str(tmp_path))
            for name in re.findall(rf"{re.escape(str(tmp_path))}/([\w-]+)", text):
                (tmp_path / name).write_text("Authorization: Bearer k\n")
            found += [sink.name for sink in open_sinks(Settings(**tomllib.loads(text)).results)]
    assert found == ["otlp", "phoenix", "mlflow", "langfuse"]


def test_the_attributes_of_the_results_page_are_those_that_are_sent() -> None:
    text = (DOCS / "results.md").read_text()
    for result in every():
        for pair in event(result).attributes:
            name = re.sub(r"^(candor\.(?:alarm|gate))\.", ".", pair.key)
            name = re.sub(r"(tivity|ficity)\.(lower|upper|n)$", r"\1", name)
            assert f"`{name}`" in text or f"`{pair.key}`" in text, pair.key
        assert f"`{event(result).event_name}`" in text


def test_the_wheel_of_the_guide_is_the_one_that_is_built() -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    assert f"dist/candor_monitor-{version}-py3-none-any.whl" in (DOCS / "guide.md").read_text()


def test_sending_from_python(tmp_path: Path, scorer: WordScorer) -> None:
    (block,) = [b for b in blocks(DOCS / "send.md") if b.language == "python"]
    settings = Settings(
        database=DatabaseOptions(url=f"sqlite:///{tmp_path}/candor.db"),
        api=ApiOptions(port=0, open_on_loopback=True),
    )
    with start_stack(settings, scorer=scorer, launch=False) as stack:
        shown: dict[str, Any] = {"API": stack.api_url, "KEY": "unused"}
        exec(compile(block.text, "send.md", "exec"), shown)  # noqa: S102 -- the page's own example
        assert shown["verdict"].response_id == shown["said"].response_id
        assert "user_id" in str(shown["refused"])
        with httpx.Client(base_url=stack.api_url, timeout=30) as api:
            assert [v["key"] for v in until_some(api)] == [shown["verdict"].key]


def until_some(api: httpx.Client) -> list[dict[str, Any]]:
    while True:
        verdicts: list[dict[str, Any]] = api.get("/v1/verdicts").json()["verdicts"]
        if verdicts:
            return verdicts
        time.sleep(0.2)


def test_every_block_of_the_guide_is_run_or_says_that_it_is_not() -> None:
    counted = {"1": 1, "2": 2, "3": 0, "4": 2, "5": 4, "6": 0, "7": 1}
    for number, count in counted.items():
        run = [b for b in blocks(DOCS / "guide.md", f"{number}. ") if b.language == "sh" and b.run]
        assert len(run) == count, number


@pytest.mark.model
@pytest.mark.slow
def test_step_two_of_the_guide(tmp_path: Path) -> None:
    start, send = [b for b in blocks(DOCS / "guide.md", "2. Run it") if b.language == "sh"]
    port = str(free_port())
    replaced = {"127.0.0.1:8321": f"127.0.0.1:{port}", "sleep 30": "true"}
    with Session(tmp_path, replaced, CANDOR_API_PORT=port) as session:
        session.run(start.text)
        assert "ready: http://127.0.0.1" in session.log("up")
        sent = session.run(send.text)
        assert sent.code == 0, sent.err
        assert "candor_store_up 1.0" in sent.out
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=30) as api:
            verdict = next(v for v in until_some(api) if v["assistant"] == "shop")
        assert verdict["response_id"] == "r-1"
        assert verdict["error"] is None
        assert (tmp_path / "var/candor.db").exists()
