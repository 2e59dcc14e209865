"""The chart under helm and kubeconform: valid for Kubernetes, hardened, and strict about its values."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.deploy.candor_cli import check_command, unknown_settings
from tests.system.services import missing

pytestmark = pytest.mark.system

DEPLOY = Path(__file__).parents[2] / "deploy"
CHART = DEPLOY / "helm/candor"
VALUES = sorted((CHART / "ci").glob("*.yaml"))
Manifest = dict[str, Any]


def tools() -> Path:
    cache = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache"))
    folder = Path(os.environ.get("CANDOR_SERVICES_DIR", cache / "candor/services")) / "kubernetes"
    if not (folder / "bin/helm").exists():
        missing("helm and kubeconform are not built (tools/services.sh, which needs Go)")
    return folder


def helm(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [str(tools() / "bin/helm"), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)


def render(values: Path, *arguments: str, chart: Path = CHART) -> str:
    done = helm("template", "candor", str(chart), "-f", str(values), *arguments)
    assert done.returncode == 0, done.stderr
    return done.stdout


def manifests(values: Path) -> list[Manifest]:
    return [document for document in yaml.safe_load_all(render(values)) if document]


def conform(text: str) -> None:
    schemas = tools() / "schemas" / "{{.ResourceKind}}{{.KindSuffix}}.json"
    command = [str(tools() / "bin/kubeconform"), "-strict", "-schema-location", str(schemas), "-"]
    done = subprocess.run(command, input=text, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def pods(documents: list[Manifest]) -> Iterator[tuple[str, Manifest]]:
    for document in documents:
        name = f"{document['kind']}/{document['metadata']['name']}"
        if document["kind"] in {"Deployment", "Job"}:
            yield name, document["spec"]["template"]["spec"]
        if document["kind"] == "RayJob":
            yield name, document["spec"]["rayClusterSpec"]["headGroupSpec"]["template"]["spec"]


def named(documents: list[Manifest], kind: str, name: str) -> Manifest:
    (found,) = [
        d for d in documents if (d["kind"], d["metadata"]["name"]) == (kind, f"candor-{name}")
    ]
    return found


@pytest.mark.parametrize("values", VALUES, ids=lambda path: path.stem)
def test_helm_lints_it(values: Path) -> None:
    done = helm("lint", "--strict", str(CHART), "-f", str(values))
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("values", VALUES, ids=lambda path: path.stem)
def test_every_manifest_is_valid_for_kubernetes(values: Path) -> None:
    conform(render(values))


def test_kubeconform_would_notice_an_unknown_field() -> None:
    text = render(CHART / "ci/complete.yaml")
    for right, wrong in (("maxUnavailable:", "maxUnavailabel:"), ("entrypoint:", "entrypiont:")):
        with pytest.raises(AssertionError, match=wrong.rstrip(":")):
            conform(text.replace(right, wrong))


@pytest.mark.parametrize("values", VALUES, ids=lambda path: path.stem)
def test_pods_have_no_rights(values: Path) -> None:
    found = list(pods(manifests(values)))
    assert found
    for name, pod in found:
        assert pod["automountServiceAccountToken"] is False, name
        assert pod["securityContext"]["runAsNonRoot"] is True, name
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}, name
        for container in pod["containers"]:
            context = container["securityContext"]
            assert context["readOnlyRootFilesystem"] is True, name
            assert context["allowPrivilegeEscalation"] is False, name
            assert context["capabilities"] == {"drop": ["ALL"]}, name
            assert {"requests", "limits"} <= set(container["resources"]), name
            assert re.search(r":[^:/]*\d[^:/]*$", container["image"]), container["image"]


@pytest.mark.parametrize("values", VALUES, ids=lambda path: path.stem)
def test_mounts_have_volumes_and_files_of_settings_are_mounted(values: Path) -> None:
    for name, pod in pods(manifests(values)):
        volumes = [volume["name"] for volume in pod["volumes"]]
        assert len(set(volumes)) == len(volumes), name
        for container in pod["containers"]:
            mounts = {mount["mountPath"]: mount["name"] for mount in container["volumeMounts"]}
            assert set(mounts.values()) <= set(volumes), name
            for variable in container.get("env", []):
                if variable["name"].endswith("_FILE"):
                    assert str(Path(variable["value"]).parent) in mounts, variable


@pytest.mark.parametrize("values", VALUES, ids=lambda path: path.stem)
def test_pods_run_commands_and_settings_that_exist(values: Path) -> None:
    ran = 0
    for name, pod in pods(manifests(values)):
        for container in pod["containers"]:
            if container["name"] in {"vllm", "ray-head"}:
                continue
            check_command(container["args"])
            names = [variable["name"] for variable in container["env"]]
            assert unknown_settings(names) == [], name
            assert len(set(names)) == len(names), name
            ran += 1
    assert ran >= 2


def test_no_secret_is_written_down() -> None:
    documents = manifests(CHART / "ci/complete.yaml")
    assert not [document for document in documents if document["kind"] == "Secret"]
    for _, pod in pods(documents):
        for container in pod["containers"]:
            for variable in container.get("env", []):
                if variable["name"] == "CANDOR_DATABASE_URL":
                    assert set(variable) == {"name", "valueFrom"}


def test_launcher_and_api_may_sign_and_a_ray_job_holds_no_credential() -> None:
    documents = manifests(CHART / "ci/complete.yaml")
    holders = {
        name
        for name, pod in pods(documents)
        for volume in pod["volumes"]
        if volume.get("secret", {}).get("secretName") == "candor-signing"
    }
    assert holders == {"Deployment/candor-launch", "Deployment/candor-api"}
    job = dict(pods(documents))["RayJob/candor-run-1"]
    assert not [volume for volume in job["volumes"] if "secret" in volume]
    (head,) = job["containers"]
    assert [variable["name"] for variable in head["env"]] == ["HF_HUB_OFFLINE"]
    entrypoint = named(documents, "RayJob", "run-1")["spec"]["entrypoint"]
    check_command(entrypoint.removeprefix("candor ").replace("'", "").split())


def test_the_launcher_may_use_a_ray_cluster_with_shared_storage() -> None:
    documents = manifests(CHART / "ci/complete.yaml")
    (container,) = dict(pods(documents))["Deployment/candor-launch"]["containers"]
    values = {variable["name"]: variable.get("value") for variable in container["env"]}
    assert values["CANDOR_RETRAIN_RUNNER"] == "ray"
    assert values["CANDOR_RETRAIN_RAY_ADDRESS"] == "http://ray-head:8265"
    claim = named(documents, "PersistentVolumeClaim", "confirm")
    assert claim["spec"]["accessModes"] == ["ReadWriteMany"]
    ports = [
        port["port"]
        for rule in named(documents, "NetworkPolicy", "launch")["spec"]["egress"]
        for port in rule["ports"]
    ]
    assert 8265 in ports


def test_an_api_that_measures_answers_has_the_probes() -> None:
    documents = manifests(CHART / "ci/external-judge.yaml")
    (container,) = dict(pods(documents))["Deployment/candor-api"]["containers"]
    assert container["image"].startswith("candor-local:")
    (container,) = dict(pods(manifests(CHART / "ci/minimal.yaml")))["Deployment/candor-api"][
        "containers"
    ]
    assert container["image"].startswith("candor:")


def test_settings_reach_every_process_as_it_reads_them(monkeypatch: pytest.MonkeyPatch) -> None:
    from monitor.settings import load_settings  # noqa: PLC0415 -- read under the pod's environment

    documents = manifests(CHART / "ci/complete.yaml")
    pod = dict(pods(documents))["Deployment/candor-worker"]
    for variable in pod["containers"][0]["env"]:
        monkeypatch.setenv(variable["name"], variable.get("value", "sqlite://"))
    settings = load_settings()
    assert settings.sampling.arrival_rate == 0.1
    assert settings.ingest.assistants == {"shop": ("refunds", "stock")}
    assert settings.ingest.max_record_bytes == 2_000_000
    assert settings.retrain.trigger == "propose"
    assert settings.kafka.security_protocol == "SASL_SSL"
    assert settings.judge.url == "http://candor-judge:8000/v1"
    mounts = {mount["mountPath"] for mount in pod["containers"][0]["volumeMounts"]}
    assert str(settings.retrain.webhook_secret_file.parent) in mounts


def test_the_schema_is_brought_up_before_anything_else() -> None:
    job = named(manifests(CHART / "ci/minimal.yaml"), "Job", "schema")
    assert job["metadata"]["annotations"]["helm.sh/hook"] == "pre-install,pre-upgrade"
    (container,) = job["spec"]["template"]["spec"]["containers"]
    assert container["args"] == ["db", "upgrade"]


def test_workers_are_scaled_by_backlog_with_headroom_in_either_way() -> None:
    rules = yaml.safe_load((DEPLOY / "prometheus/rules.yml").read_text())
    records = {r.get("record") for group in rules["groups"] for r in group["rules"]}
    keda = manifests(CHART / "ci/complete.yaml")
    (trigger,) = named(keda, "ScaledObject", "worker")["spec"]["triggers"]
    assert trigger["metadata"]["query"] in records
    assert "replicas" not in named(keda, "Deployment", "worker")["spec"]
    hpa = named(manifests(CHART / "ci/external-judge.yaml"), "HorizontalPodAutoscaler", "worker")
    (metric,) = hpa["spec"]["metrics"]
    assert metric["external"]["metric"]["name"] == "candor-workers-wanted"
    fixed = manifests(CHART / "ci/minimal.yaml")
    assert named(fixed, "Deployment", "worker")["spec"]["replicas"] == 2


def test_the_judge_has_time_to_load_and_is_asked_by_workers_alone() -> None:
    documents = manifests(CHART / "ci/complete.yaml")
    (server,) = named(documents, "Deployment", "judge")["spec"]["template"]["spec"]["containers"]
    probe = server["startupProbe"]
    assert probe["periodSeconds"] * probe["failureThreshold"] == 20 * 60
    assert server["resources"]["limits"]["nvidia.com/gpu"] == 2
    policy = named(documents, "NetworkPolicy", "judge")["spec"]
    assert policy["egress"] == []
    callers = [
        peer["podSelector"]["matchLabels"]["app.kubernetes.io/component"]
        for rule in policy["ingress"]
        for peer in rule["from"]
        if "podSelector" in peer
    ]
    assert callers == ["worker"]


def test_every_pod_that_stays_has_a_policy_and_declared_peers_are_kept() -> None:
    documents = manifests(CHART / "ci/complete.yaml")
    policies = {d["metadata"]["name"] for d in documents if d["kind"] == "NetworkPolicy"}
    deployments = {d["metadata"]["name"] for d in documents if d["kind"] == "Deployment"}
    assert deployments <= policies
    kafka = {"cidr": "192.0.2.0/24"}
    for name in ("worker", "api", "launch"):
        egress = named(documents, "NetworkPolicy", name)["spec"]["egress"]
        peers = [peer for rule in egress for peer in rule.get("to", [])]
        assert {"ipBlock": kafka} in peers, name


def test_selectors_find_their_pods() -> None:
    documents = manifests(CHART / "ci/complete.yaml")
    labels = [
        document["spec"]["template"]["metadata"]["labels"]
        for document in documents
        if document["kind"] in {"Deployment", "Job"}
    ]
    checked = 0
    for document in documents:
        spec = document.get("spec", {})
        selector = spec.get("podSelector") or spec.get("selector")
        if not selector or document["kind"] == "Deployment":
            continue
        wanted = selector.get("matchLabels", selector if document["kind"] == "Service" else {})
        matching = [found for found in labels if wanted.items() <= found.items()]
        assert matching, document["metadata"]["name"]
        checked += 1
    assert checked >= 10


def test_the_rules_are_those_of_prometheus() -> None:
    shipped = (DEPLOY / "prometheus/rules.yml").read_text()
    assert (CHART / "files/rules.yml").read_text() == shipped, "run deploy/grafana/build.py"
    (rule,) = [d for d in manifests(CHART / "ci/complete.yaml") if d["kind"] == "PrometheusRule"]
    linked = shipped.replace("https://docs.example.org/candor", "https://docs.test/candor")
    linked = linked.replace("https://grafana.example.org", "https://grafana.test")
    assert rule["spec"]["groups"] == yaml.safe_load(linked)["groups"]
    assert "example.org" not in str(rule["spec"])


@pytest.mark.parametrize(
    "setting",
    [
        "settings.sampling.arival_rate=0.1",
        "settings.sampling.arrival_rate=2",
        "settings.samplnig.arrival_rate=0.1",
        "settings.retrain.trigger=sometimes",
        "settings.cohorts=1",
        "monitoring.prometheusRule.docsUrl=docs/runbook.md",
    ],
)
def test_a_wrong_setting_is_refused_by_name(setting: str) -> None:
    done = helm("template", "candor", str(CHART), "-f", str(VALUES[-1]), "--set", setting)
    assert done.returncode != 0
    assert setting.rpartition("=")[0].rpartition(".")[2] in done.stderr or "samplnig" in done.stderr


def test_files_of_ones_own_reach_the_worker() -> None:
    documents = manifests(CHART / "ci/complete.yaml")
    pod = dict(pods(documents))["Deployment/candor-worker"]
    (mount,) = [m for m in pod["containers"][0]["volumeMounts"] if m["name"] == "sensor"]
    assert mount["mountPath"] == "/etc/candor/sensor"
    (volume,) = [v for v in pod["volumes"] if v["name"] == "sensor"]
    assert volume == {"name": "sensor", "configMap": {"name": "shop-sensor"}}


def test_the_dashboards_are_those_of_grafana() -> None:
    shipped = {path.name: path.read_text() for path in (DEPLOY / "grafana/dashboards").glob("*")}
    maps = [d for d in manifests(CHART / "ci/complete.yaml") if d["kind"] == "ConfigMap"]
    assert {name: text for d in maps for name, text in d["data"].items()} == shipped
    assert all(d["metadata"]["labels"]["grafana_dashboard"] == "1" for d in maps)


def test_the_sidecar_of_the_notes_is_the_examples(tmp_path: Path) -> None:
    chart = tmp_path / "candor"
    shutil.copytree(CHART, chart)
    shutil.copy(chart / "templates/NOTES.txt", chart / "files/notes.txt")
    show = 'notes: {{ tpl (.Files.Get "files/notes.txt") . | toJson }}'
    (chart / "templates/shown.yaml").write_text(show)
    text = render(CHART / "ci/minimal.yaml", "--show-only", "templates/shown.yaml", chart=chart)
    notes = yaml.safe_load(text)["notes"]
    printed = yaml.safe_load(notes[notes.index("initContainers:") :])
    example = (CHART / "examples/assistant-with-tap.yaml").read_text()
    conform(example)
    pod = yaml.safe_load(example)["spec"]["template"]["spec"]
    assert {name: pod[name] for name in ("initContainers", "volumes")} == printed
    (tap,) = printed["initContainers"]
    check_command(tap["args"])
    assert unknown_settings(variable["name"] for variable in tap["env"]) == []
    for command in re.findall(r"-- candor (.+)", notes):
        check_command(command.split())


REFUSED = [
    ("kafka.bootstrapServers=", "kafka.bootstrapServers"),
    ("kafka.bootstrapServers=kafka", "kafka.bootstrapServers"),
    ("workers.replicas=3", "workers"),
    ("worker.replicas=many", "worker.replicas"),
    ("worker.autoscaling.kind=always", "worker.autoscaling.kind"),
    ("worker.autoscaling.kind=keda", "worker.autoscaling.prometheusAddress"),
    ("kafka.securityProtocol=SASL_SSL", "kafka.saslMechanism"),
    ("judge.url=http://judge:8000", "judge.url"),
    ("image.tag=latest", "image.tag"),
    ("settings.Sampling.arrival_rate=1", "Sampling"),
    ("settings.sampling=1", "settings.sampling"),
    ("vllm.enabled=true", "vllm.model.claimName"),
    ("vllm.image=vllm/vllm-openai:latest", "vllm.image"),
    ("confirm.enabled=true", "confirm.claimName"),
    ("confirm.rows=../other/rows.jsonl", "confirm.rows"),
    ("api.target=base", "api.target"),
    ("launch.ray.address=ray-head:8265", "launch.ray.address"),
    ("podDisruptionBudget.maxUnavailable=0", "podDisruptionBudget.maxUnavailable"),
]


@pytest.mark.parametrize(("wrong", "named_field"), REFUSED, ids=[wrong for wrong, _ in REFUSED])
def test_wrong_values_are_refused_by_name(wrong: str, named_field: str) -> None:
    values = CHART / "ci" / ("external-judge.yaml" if "api.target" in wrong else "minimal.yaml")
    done = helm("template", "candor", str(CHART), "-f", str(values), "--set", wrong)
    assert done.returncode == 1
    told = done.stderr.replace("/", ".")
    assert named_field in told, done.stderr


def test_two_judges_are_refused() -> None:
    both = ["--set", "vllm.enabled=true,vllm.model.claimName=c,judge.url=http://judge/v1"]
    done = helm("template", "candor", str(CHART), "-f", str(CHART / "ci/minimal.yaml"), *both)
    assert done.returncode == 1
    assert "give one judge, not two" in done.stderr
