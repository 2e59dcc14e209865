"""deploy/compose.yaml: commands and settings that exist, pinned images, and nothing that runs as root."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.deploy.candor_cli import DEPLOY, ROOT, check_command, unknown_settings
from tests.deploy.test_docker import stages

FILE = DEPLOY / "compose.yaml"
COMPOSE: dict[str, Any] = yaml.safe_load(FILE.read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
OURS = {name: s for name, s in SERVICES.items() if s["image"].startswith("candor")}
ONCE = {"keys", "schema"}
OWN_USER = {"grafana", "kafka"}
"""Images that name a user without rights themselves."""


def strings(value: Any) -> list[str]:
    if isinstance(value, dict):
        return [s for item in value.values() for s in strings(item)]
    if isinstance(value, list):
        return [s for item in value for s in strings(item)]
    return [str(value)]


def test_it_has_every_part() -> None:
    parts = {"worker", "api", "launch", "schema", "keys", "judge", "kafka", "postgres"}
    assert set(SERVICES) == parts | {"prometheus", "alertmanager", "grafana"}


@pytest.mark.parametrize("name", sorted(set(OURS) - {"keys"}))
def test_commands_exist(name: str) -> None:
    check_command(OURS[name]["command"])


def test_the_keys_service_makes_keys_by_commands_that_exist() -> None:
    (script,) = SERVICES["keys"]["command"]
    made = re.findall(r"candor (keys create .*)$", script, re.MULTILINE)
    assert len(made) == 3
    for command in made:
        check_command(command.split())


@pytest.mark.parametrize("name", sorted(OURS))
def test_every_variable_is_a_setting(name: str) -> None:
    assert unknown_settings(OURS[name].get("environment", {})) == []


@pytest.mark.parametrize("name", sorted(SERVICES))
def test_images_are_pinned_to_a_version(name: str) -> None:
    repository, _, tag = SERVICES[name]["image"].rpartition(":")
    assert repository
    assert re.search(r"\d+\.\d+", tag), tag


def test_our_images_are_built_from_a_stage_of_the_recipe() -> None:
    version = re.search(r'^version = "(.+)"', (ROOT / "pyproject.toml").read_text(), re.MULTILINE)
    assert version is not None
    for name, service in OURS.items():
        build = service["build"]
        assert build["target"] in stages(), name
        assert (FILE.parent / build["context"] / build["dockerfile"]).is_file()
        suffix = "" if build["target"] == "base" else f"-{build['target']}"
        assert service["image"] == f"candor{suffix}:{version[1]}"


@pytest.mark.parametrize("name", sorted(SERVICES))
def test_services_are_hardened(name: str) -> None:
    service = SERVICES[name]
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service.get("read_only") is True or name == "kafka"
    assert not service.get("privileged")
    if name not in OWN_USER:
        assert str(service["user"]).partition(":")[0] not in {"", "0", "root"}


@pytest.mark.parametrize("name", sorted(SERVICES))
def test_no_service_may_take_all_memory(name: str) -> None:
    assert re.fullmatch(r"[1-9]\d*[mg]", SERVICES[name]["mem_limit"])


@pytest.mark.parametrize("name", sorted(set(SERVICES) - ONCE))
def test_long_running_services_have_a_health_check(name: str) -> None:
    check = SERVICES[name]["healthcheck"]
    assert check["test"][0] == "CMD"
    assert {"interval", "timeout", "retries"} <= set(check)


@pytest.mark.parametrize("name", sorted(SERVICES))
def test_dependencies_wait_for_a_state_that_the_service_can_reach(name: str) -> None:
    wanted = SERVICES[name].get("depends_on", {})
    for other, condition in wanted.items() if isinstance(wanted, dict) else ():
        expected = "service_completed_successfully" if other in ONCE else "service_healthy"
        assert condition == {"condition": expected}


def test_ports_are_published_on_loopback_alone() -> None:
    published = [port for service in SERVICES.values() for port in service.get("ports", [])]
    assert published
    assert all(port.startswith("127.0.0.1:") for port in published)


def test_published_services_have_a_network_that_leads_out_and_the_store_has_none() -> None:
    assert COMPOSE["networks"]["inside"] == {"internal": True}
    for name, service in SERVICES.items():
        networks = service.get("networks", [])
        assert ("outside" in networks) == bool(service.get("ports")), name


def test_volumes_and_mounted_files_exist() -> None:
    for name, service in SERVICES.items():
        for volume in service.get("volumes", []):
            source = re.sub(r"\$\{\w+:\?[^}]*\}", "MODEL", volume).partition(":")[0]
            if source.startswith("."):
                assert (FILE.parent / source).exists(), f"{name}: {source}"
            elif source != "MODEL":
                assert source in COMPOSE["volumes"], f"{name}: {source}"


def test_no_secret_is_written_down() -> None:
    for service in SERVICES.values():
        for key, value in (service.get("environment") or {}).items():
            if re.search("PASSWORD|TOKEN|DATABASE_URL", key):
                assert str(value).startswith("/run/secrets/"), key
    used = {secret for service in SERVICES.values() for secret in service.get("secrets", [])}
    assert used == set(COMPOSE["secrets"])
    for path in re.findall(r"/run/secrets/(\w+)", "\n".join(strings(SERVICES))):
        assert path in used


def test_the_judge_reserves_a_gpu() -> None:
    (device,) = SERVICES["judge"]["deploy"]["resources"]["reservations"]["devices"]
    assert device == {"driver": "nvidia", "count": 1, "capabilities": ["gpu"]}


def test_prometheus_scrapes_services_of_the_file_on_ports_that_they_serve() -> None:
    config = yaml.safe_load((DEPLOY / "prometheus/prometheus.yml").read_text())
    hosts = set()
    for job in config["scrape_configs"]:
        for static in job.get("static_configs", []):
            hosts |= {target.partition(":")[0] for target in static["targets"]}
        hosts |= {name for sd in job.get("dns_sd_configs", []) for name in sd["names"]}
    assert hosts == {"api", "worker", "launch", "judge"}
    (managers,) = config["alerting"]["alertmanagers"]
    assert managers["static_configs"] == [{"targets": ["alertmanager:9093"]}]


def test_prepare_makes_every_secret_once(tmp_path: Path) -> None:
    script = tmp_path / "prepare.sh"
    script.write_text((DEPLOY / "prepare.sh").read_text())
    command = ["sh", str(script), "https://hooks.example.org/candor"]
    subprocess.run(command, check=True, capture_output=True)
    secrets = tmp_path / "secrets"
    assert {path.name for path in secrets.iterdir()} == set(COMPOSE["secrets"])
    assert secrets.stat().st_mode & 0o077 == 0
    password = (secrets / "postgres_password").read_text()
    assert len(password) == 48
    url = (secrets / "database_url").read_text()
    assert url == f"postgresql+psycopg://candor:{password}@postgres/candor"
    again = subprocess.run(command, check=False, capture_output=True, text=True)
    assert again.returncode == 2
    assert (secrets / "postgres_password").read_text() == password


def test_secrets_are_not_tracked() -> None:
    assert "/secrets/" in (DEPLOY / ".gitignore").read_text().splitlines()
    tracked = subprocess.check_output(["git", "ls-files", "deploy"], cwd=ROOT, text=True)
    assert "secrets/" not in tracked
