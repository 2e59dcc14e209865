"""Assistants as configuration: sections, the environment, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from evidence import BadInputError
from monitor.assistants import AssistantOptions, JudgeOptions
from monitor.cli.scorer import panel_settings
from monitor.ingest.options import IngestOptions
from monitor.settings import Settings, load_settings, unknown_variables
from probes.opening import PanelOptions

SECTIONS = """
[judge]
url = "http://judge/v1"
model = "j"

[assistant]
url = "http://any/v1"
neutral = "frames"

[assistants.shop]
segments = ["refunds"]
url = "http://shop/v1"
api_key_variable = "SHOP_KEY"
approved = "shop-1"
probes = ["activation", "judge"]
versions = {shop-2 = "shop-2-lora"}
sensor = "var/sensors/shop"

[assistants.shop.judge]
url = "http://strict/v1"
model = "s"

[ingest.assistants]
shop = ["stock"]
desk = ["hardware"]
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "candor.toml").write_text(SECTIONS)
    return tmp_path


@pytest.mark.usefixtures("folder")
def test_a_named_assistant_has_a_section_of_its_own_and_others_share_one() -> None:
    settings = load_settings()
    shop = settings.assistant_of("shop")
    assert shop.versions == {"shop-2": "shop-2-lora"}
    assert shop.sensor == Path("var/sensors/shop")
    assert shop.neutral == "auto"
    assert settings.assistant_of("desk") is settings.assistant
    assert settings.assistant_of(None).neutral == "frames"
    assert settings.judge_of("shop").model == "s"
    assert settings.judge_of("desk").model == "j"


@pytest.mark.usefixtures("folder")
def test_a_section_declares_its_assistant_and_adds_segments() -> None:
    settings = load_settings()
    assert settings.intake.assistants == {"shop": ("stock", "refunds"), "desk": ("hardware",)}
    assert settings.intake.max_record_bytes == settings.ingest.max_record_bytes


def test_a_section_alone_declares_its_assistant() -> None:
    settings = Settings(assistants={"shop": AssistantOptions()})
    assert settings.intake.assistants == {"shop": ()}
    assert Settings().intake == IngestOptions()


@pytest.mark.usefixtures("folder")
def test_the_environment_reaches_every_part(monkeypatch: pytest.MonkeyPatch) -> None:
    named = {"shop": {"approved": "shop-3"}, "bank": {"judge": {"url": "u", "model": "b"}}}
    monkeypatch.setenv("CANDOR_ASSISTANTS", json.dumps(named))
    monkeypatch.setenv("CANDOR_ASSISTANT_API_KEY_VARIABLE", "ANY_KEY")
    monkeypatch.setenv("CANDOR_ASSISTANT_VERSIONS", '{"a": "b"}')
    settings = load_settings()
    assert settings.assistants["shop"].approved == "shop-3"
    assert settings.assistants["shop"].url == "http://shop/v1"
    assert settings.judge_of("bank") == JudgeOptions(url="u", model="b")
    assert settings.assistant.api_key_variable == "ANY_KEY"
    assert settings.assistant.versions == {"a": "b"}
    assert unknown_variables(["CANDOR_ASSISTANTS", "CANDOR_ASSISTANTSHIP"]) == [  # type: ignore[arg-type]
        "CANDOR_ASSISTANTSHIP"
    ]


@pytest.mark.usefixtures("folder")
def test_the_panel_of_each_assistant() -> None:
    settings = load_settings()
    shop, other = panel_settings(settings, "shop"), panel_settings(settings, "desk")
    assert (shop["judge_model"], other["judge_model"]) == ("s", "j")
    assert (shop["assistant_key_variable"], other["assistant_key_variable"]) == ("SHOP_KEY", None)
    assert shop["assistant_versions"] == {"shop-2": "shop-2-lora"}
    assert (shop["approved"], other["approved"]) == ("shop-1", None)
    assert (shop["probes"], other["probes"]) == (("activation", "judge"), ())
    assert shop["sensor_dir"] == Path("var/sensors/shop")
    assert (shop["neutral"], other["neutral"]) == ("auto", "frames")
    assert panel_settings(settings) == other


@pytest.mark.parametrize(
    ("sections", "said"),
    [
        ('{"desk": {"api_key_file": "k", "api_key_variable": "V"}}', "assistants.desk: .*not both"),
        ('{"desk": {"judge": {"modle": "m"}}}', "assistants.desk.judge.modle"),
        ('{"desk": {"versions": {"a": "b"}}}', "assistants.desk: .*url"),
        ('{"desk": {"url": "u", "versions": {"a": ""}}}', "assistants.desk: .*not empty"),
        ('{"desk": {"probes": ["mood"]}}', "assistants.desk.probes"),
        ('{"a/b": {}}', "a/b"),
        ('{"candor-canary": {}}', "candor-canary"),
        ("{", "assistants"),
    ],
)
def test_what_is_wrong_is_told_with_its_assistant(
    sections: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CANDOR_ASSISTANTS", sections)
    with pytest.raises(BadInputError, match=said):
        load_settings()


def test_segments_are_of_a_named_assistant(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CANDOR_ASSISTANT_SEGMENTS", '["a"]')
    with pytest.raises(BadInputError, match=r"assistant\.segments"):
        load_settings()


@pytest.mark.parametrize("options", [PanelOptions, AssistantOptions])
def test_the_probe_of_acts_is_not_asked_alone(options: type[Any]) -> None:
    """It would leave every reply that says nothing of acts an error."""
    with pytest.raises(ValidationError, match="name another probe beside it"):
        options(probes=("actions",))
    assert options(probes=("actions", "activation")).probes == ("actions", "activation")
