"""What docs/deploy.md, guide.md and sizing.md name exists: files, services, values, settings."""

from __future__ import annotations

import re

import pytest
import yaml

from monitor.settings import Settings
from tests.deploy.candor_cli import DEPLOY, ROOT, check_command
from tests.deploy.test_compose import SERVICES

PAGES = {
    name: (ROOT / "docs" / name).read_text() for name in ("deploy.md", "guide.md", "sizing.md")
}
DEPLOYING = PAGES["deploy.md"]
MADE = {"deploy/secrets", "deploy/secrets/grafana_password"}


@pytest.mark.parametrize("page", sorted(PAGES))
def test_paths_exist(page: str) -> None:
    for path in re.findall(r"(?<![\w/])(?:deploy|tools)/[\w./-]*\w", PAGES[page]):
        assert path in MADE or (ROOT / path).exists(), path


@pytest.mark.parametrize("page", sorted(PAGES))
def test_anchors_of_other_pages_exist(page: str) -> None:
    for target, anchor in re.findall(r"\]\((\w+\.md)?#([\w-]+)\)", PAGES[page]):
        text = (ROOT / "docs" / (target or page)).read_text()
        titles = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
        slugs = {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles}
        assert anchor in slugs, f"{target}#{anchor}"


def test_compose_commands_name_services_and_commands() -> None:
    ran = re.findall(
        r"^docker compose .* (?:run(?: --\S+)*|exec) (\w+) (.+)$", DEPLOYING, re.MULTILINE
    )
    assert len(ran) == 2
    for service, command in ran:
        assert service in SERVICES
        check_command(command.removeprefix("candor-entrypoint ").split())
    (scaled,) = re.findall(r"--scale (\w+)=", DEPLOYING)
    assert scaled in SERVICES


def test_variables_of_the_compose_file_are_set_in_the_page() -> None:
    wanted = set(re.findall(r"\$\{([A-Z_]+)", (DEPLOY / "compose.yaml").read_text()))
    assert wanted == {"ASSISTANTS", "JUDGE_MODEL_DIR", "ASSISTANT_MODEL_DIR"}
    for name in wanted:
        assert re.search(rf"\b{name}=", DEPLOYING), name


def test_addresses_are_those_that_compose_publishes() -> None:
    table = DEPLOYING.split("| address")[1].split("\n\n")[0]
    told = {int(port) for port in re.findall(r":(\d{4})", table)}
    published = {
        int(port.split(":")[1])
        for service in SERVICES.values()
        for port in service.get("ports", [])
    }
    assert told == published


def test_values_and_secrets_of_the_chart_are_named_as_they_are() -> None:
    values = yaml.safe_load((DEPLOY / "helm/candor/values.yaml").read_text())
    named = re.findall(r"`((?:worker|vllm|judge|networkPolicy|confirm)\.[\w.]+)`", DEPLOYING)
    assert len(set(named)) >= 7
    sections = set(Settings.model_fields)
    for path in named:
        found = values
        for part in path.split("."):
            if part not in found:
                assert path.partition(".")[0] in sections, path
                break
            found = found[part]
    secrets = dict(re.findall(r"create secret generic (\S+) (.+)$", DEPLOYING, re.MULTILINE))
    assert values["keys"]["secretName"] in secrets
    for part in (values["signingKey"], values["apiKeys"], values["database"]["url"]):
        assert part["key"] in secrets[part["secretName"]]


def test_scaling_figures_are_those_of_the_rules() -> None:
    rules = (DEPLOY / "prometheus/rules.yml").read_text()
    assert "candor:scoring:backlog_records / 1000" in rules
    assert "(avg(vllm:num_requests_waiting) < bool 16)" in rules
    scaling = DEPLOYING.split("### Scaling workers")[1]
    assert "1000 records" in scaling
    assert "above 16 on average" in scaling
