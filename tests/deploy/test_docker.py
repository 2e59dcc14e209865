"""The images' recipe: what it copies exists, what it installs is locked, and it does not run as root."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import threading
import tomllib
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from tests.deploy.candor_cli import DEPLOY, ROOT

FOLDER = DEPLOY / "docker"
TARGETS = ("base", "local", "retrain")


def instructions() -> list[tuple[str, str]]:
    text = re.sub(r"^\s*#.*\n", "", (FOLDER / "Dockerfile").read_text(), flags=re.MULTILINE)
    lines = re.sub(r"\\\n\s*", " ", text).splitlines()
    return [(line.split(None, 1)[0], line.split(None, 1)[1]) for line in lines if line.strip()]


def stages() -> dict[str, tuple[str, list[tuple[str, str]]]]:
    """Stage → (what it builds on, its instructions)."""
    found: dict[str, tuple[str, list[tuple[str, str]]]] = {}
    current: list[tuple[str, str]] = []
    for name, rest in instructions():
        if name == "FROM":
            parent, _, stage = rest.partition(" AS ")
            current = []
            found[stage] = (parent, current)
        else:
            current.append((name, rest))
    return found


def test_every_image_ends_as_a_user_without_rights() -> None:
    tree = stages()
    for target in TARGETS:
        users, stage = [], target
        while stage in tree:
            parent, steps = tree[stage]
            users += [rest for name, rest in reversed(steps) if name == "USER"]
            stage = parent
        assert users, target
        assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", users[0]), target


def test_the_images_share_one_pinned_python() -> None:
    (pin,) = (rest for name, rest in instructions() if name == "ARG")
    assert re.fullmatch(r"PYTHON_IMAGE=python:3\.11\.\d+-slim-\w+", pin)
    foreign = {parent for parent, _ in stages().values()} - set(stages())
    assert foreign == {"${PYTHON_IMAGE}"}


def test_what_is_copied_exists_and_reaches_the_builder() -> None:
    allowed = [
        line.removeprefix("!")
        for line in (FOLDER / "Dockerfile.dockerignore").read_text().splitlines()
        if line.startswith("!")
    ]
    copied = 0
    for name, rest in instructions():
        words = [word for word in rest.split() if not word.startswith("--chmod")]
        if name != "COPY" or words[0].startswith("--from"):
            continue
        for source in words[:-1]:
            assert (ROOT / source).exists(), source
            assert any(source == a or source.startswith(f"{a}/") for a in allowed), source
            copied += 1
    assert copied > 8


def test_copies_between_stages_name_stages() -> None:
    tree = stages()
    named = re.findall(r"--from=(\S+)", (FOLDER / "Dockerfile").read_text())
    assert named
    assert set(named) <= set(tree)


def test_only_hashed_locks_are_installed() -> None:
    installs = re.findall(r"(?:uv )?pip install [^&\n\\]*", "\n".join(r for _, r in instructions()))
    assert len(installs) >= 7
    for install in installs:
        assert "--require-hashes" in install or install.rstrip().endswith("--no-deps /wheel/*.whl")


@pytest.mark.parametrize(
    "lock", sorted((FOLDER / "requirements").glob("*.txt")), ids=lambda p: p.name
)
def test_the_locks_hold_hashes_and_the_versions_that_tests_ran_with(lock: Path) -> None:
    pins = locked(lock)
    assert len(pins) > 5
    assert all(hashes for _, hashes in pins.values()), lock
    tested = {
        name: version
        for file in ("dev.txt", "uv.txt")
        for name, (version, _) in locked(ROOT / "requirements" / file).items()
    }
    differing = {
        name: (version, tested[name])
        for name, (version, _) in pins.items()
        if tested.get(name, version) != version
    }
    assert not differing, "run tools/lock.sh"


def test_every_image_has_what_the_package_needs() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    needed = {re.split(r"[\[<>=~]", wanted)[0] for wanted in project["dependencies"]}
    assert len(needed) > 15
    for target in TARGETS:
        missing = needed - set(locked(FOLDER / f"requirements/{target}.txt"))
        assert not missing, f"{target}: run tools/lock.sh"


def locked(path: Path) -> dict[str, tuple[str, int]]:
    entries = re.split(r"\n(?=[a-z0-9])", path.read_text())
    found: dict[str, tuple[str, int]] = {}
    for entry in entries:
        pin = re.match(r"([a-z0-9._-]+)(?:\[[a-z,]+\])?==(\S+)", entry)
        if pin:
            found[pin[1]] = (pin[2], entry.count("--hash=sha256:"))
    return found


def test_the_small_image_has_no_torch_and_the_others_do() -> None:
    packages = {target: locked(FOLDER / f"requirements/{target}.txt") for target in TARGETS}
    assert "torch" not in packages["base"]
    assert {"torch", "transformers", "psycopg"} <= set(packages["local"])
    assert {"torch", "trl", "peft", "ray", "psycopg"} <= set(packages["retrain"])
    assert "psycopg" in packages["base"]


def test_the_entrypoint_reads_the_database_url_from_a_file(tmp_path: Path) -> None:
    shown = tmp_path / "candor"
    shown.write_text(
        '#!/bin/sh\nprintf "%s|%s|%s" "$CANDOR_DATABASE_URL" "${DATABASE_URL_FILE-}" "$*"\n'
    )
    shown.chmod(0o755)
    secret = tmp_path / "url"
    secret.write_text("postgresql+psycopg://candor:a b$c@db/candor\n")
    environment = {"PATH": f"{tmp_path}:{os.environ['PATH']}", "DATABASE_URL_FILE": str(secret)}
    entrypoint = [str(FOLDER / "entrypoint.sh"), "db", "upgrade"]
    done = subprocess.run(entrypoint, env=environment, capture_output=True, text=True, check=True)
    assert done.stdout == "postgresql+psycopg://candor:a b$c@db/candor||db upgrade"
    environment["DATABASE_URL_FILE"] = str(tmp_path / "absent")
    assert subprocess.run(entrypoint, env=environment, capture_output=True, check=False).returncode


class _Answers(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200 if self.path == "/healthz" else 503)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Quiet."""


def test_the_health_check_tells_answering_from_not() -> None:
    def run(url: str) -> int:
        check = [sys.executable, str(FOLDER / "healthcheck.py"), url]
        return subprocess.run(check, capture_output=True, check=False).returncode

    with HTTPServer(("127.0.0.1", 0), _Answers) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{server.server_port}"
        assert run(f"{address}/healthz") == 0
        assert run(f"{address}/readyz") == 1
        server.shutdown()
    assert run(f"{address}/healthz") == 1
    assert run("http://192.0.2.1/healthz") == 2


def test_the_wheel_has_what_it_is_made_of() -> None:
    """Files from outside the packages go into the wheel: the stage that builds it has to copy them."""
    made = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]
    forced = made["targets"]["wheel"]["force-include"]
    copied = {
        source
        for name, rest in stages()["wheel"][1]
        if name == "COPY"
        for source in rest.split()[:-1]
    }
    allowed = (FOLDER / "Dockerfile.dockerignore").read_text().splitlines()
    for source in forced:
        assert (ROOT / source).exists(), source
        assert any(source == path or source.startswith(f"{path}/") for path in copied), source
        assert any(source == a[1:] or source.startswith(f"{a[1:]}/") for a in allowed), source
