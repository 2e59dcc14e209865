"""The doctor on several assistants: their servers, approved versions and sensors."""

from __future__ import annotations

from pathlib import Path

import pytest

from evidence.person import Person
from monitor.assistants import AssistantOptions, JudgeOptions
from monitor.doctor.finding import Status
from monitor.services.approving import Approval, approve_version
from monitor.settings import Settings
from monitor.store import open_store
from probes.models.local import LocalModel
from tests.monitor.doctor.test_examine import judge, look, sane, settings
from tests.probes.conftest import tiny, tiny_dir
from tests.probes.models.prompt_server import prompt_server

__all__ = ["settings", "tiny", "tiny_dir"]


def test_each_assistant_is_asked_with_its_key_and_told_by_name(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SHOP_KEY", "sesame")
    with judge(sane, key="sesame") as url:
        shop = AssistantOptions(
            url=url,
            api_key_variable="SHOP_KEY",
            versions={"shop-1": "judge-1", "shop-2": "lora-2"},
            approved="shop-1",
            sensor=tmp_path,
            judge=JudgeOptions(url=url, model="judge-1", api_key_variable="SHOP_KEY"),
        )
        desk = AssistantOptions(url=url, approved="desk-1")
        found = look(settings, assistants={"shop": shop, "desk": desk})
    assert found["assistant shop"].status is Status.OK
    assert found["approved version of shop"].status is Status.FAILED
    assert "cannot weigh a reply" in found["approved version of shop"].detail
    assert found["sensor of shop"].status is Status.OK
    assert found["judge of shop"].status is Status.OK
    assert "lora-2" in found["version of shop"].detail
    assert "401" in found["assistant desk"].detail
    assert "assistants.desk.url" in found["assistant desk"].advice
    assert "candor calibrate --assistant desk" in found["sensor of desk"].advice
    assert "assistant" not in found


@pytest.mark.model
def test_a_served_approved_version_is_asked_to_weigh_a_reply(
    settings: Settings, tiny: LocalModel
) -> None:
    with prompt_server(tiny, names=("shop-1",)) as (url, sent):
        options = AssistantOptions(url=url, approved="shop-1")
        found = look(settings, assistants={"shop": options})
    assert found["approved version of shop"].status is Status.OK
    assert sent


def test_an_approved_version_that_is_nowhere(settings: Settings, tmp_path: Path) -> None:
    with judge(sane) as url:
        options = AssistantOptions(url=url, approved="shop-9", sensor=tmp_path / "none")
        found = look(settings, assistants={"shop": options})
    assert found["approved version of shop"].status is Status.FAILED
    assert "neither served nor a folder" in found["approved version of shop"].detail
    assert found["sensor of shop"].status is Status.FAILED
    empty = AssistantOptions(approved=str(tmp_path))
    found = look(settings, assistants={"shop": empty})
    assert "holds no model" in found["approved version of shop"].detail
    (tmp_path / "config.json").write_text("{}")
    found = look(settings, assistants={"shop": empty})
    assert found["approved version of shop"].status is Status.OK


def test_a_version_approved_on_record_goes_before_the_configured_one(settings: Settings) -> None:
    engine = open_store(settings.database)
    with engine.begin() as connection:
        wanted = Approval(assistant="shop", version="gone", by=Person("ada"), reason="tested")
        approve_version(connection, wanted, configured={"shop"}, now_s=1.0)
    engine.dispose()
    with judge(sane) as url:
        options = AssistantOptions(url=url, approved="judge-1")
        found = look(settings, assistants={"shop": options})
    assert "gone is neither" in found["approved version of shop"].detail
