"""deploy/pipelines: commands that exist, and a GitHub action whose script does what its outputs say."""

from __future__ import annotations

import ast
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from monitor.store import open_store
from retrain.signing import generate_keypair
from tests.deploy.candor_cli import DEPLOY, check_command

FOLDER = DEPLOY / "pipelines"
ACTION: dict[str, Any] = yaml.safe_load((FOLDER / "github/action.yml").read_text())
(STEP,) = ACTION["runs"]["steps"]
ARGO: dict[str, Any] = yaml.safe_load((FOLDER / "argo.yaml").read_text())


def _airflow_commands() -> list[str]:
    tree = ast.parse((FOLDER / "airflow_retrain.py").read_text())
    return [
        str(ast.literal_eval(word.value))
        for call in ast.walk(tree)
        if isinstance(call, ast.Call)
        for word in call.keywords
        if word.arg == "bash_command"
    ]


def test_every_command_exists() -> None:
    (gate,) = [t["container"] for t in ARGO["spec"]["templates"] if t["name"] == "gate"]
    scripts = [
        STEP["run"].replace("given=(", "candor gate check ("),
        *gate["args"],
        *_airflow_commands(),
    ]
    found = [line for text in scripts for line in re.findall(r"candor (.+?)(?:\)|\|\||\n|$)", text)]
    assert len(found) == 4
    for line in found:
        check_command(shlex.split(line.replace("(", "")))


def _run(folder: Path, path: str, **given: str) -> tuple[int, str]:
    """The action's script as GitHub runs it."""
    output = folder / "output"
    output.write_text("")
    names = {"CONFIRM": "", "DECISION": "decision.json", "RELEASED": "released.jsonl", **given}
    done = subprocess.run(
        ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", STEP["run"]],
        cwd=folder,
        env={
            "PATH": path, "HOME": str(folder), "GITHUB_OUTPUT": str(output), "ASSISTANT": "shop",
            "ROWS": "rows.jsonl", "KEY_FILE": "gate.pem", **names,
        },
        check=False,
    )  # fmt: skip
    return done.returncode, output.read_text()


@pytest.mark.parametrize(
    ("code", "ends", "answer"),
    [(0, 0, "allow"), (10, 0, "quarantine"), (11, 11, "hold"), (12, 12, "block"), (2, 2, "")],
)
def test_the_step_fails_unless_rows_are_released(
    tmp_path: Path, code: int, ends: int, answer: str
) -> None:
    stand_in = tmp_path / "candor"
    stand_in.write_text(f'#!/bin/sh\nprintf "%s\\n" "$@" > said\nexit {code}\n')
    stand_in.chmod(0o700)
    given = _run(tmp_path, f"{tmp_path}:/usr/bin:/bin", CONFIRM="$(touch hacked)")
    assert given == (ends, f"answer={answer}\n" if answer else "")
    said = (tmp_path / "said").read_text().splitlines()
    assert said[said.index("--confirm") + 1] == "$(touch hacked)"
    assert not (tmp_path / "hacked").exists()


def test_the_step_holds_on_a_store_where_nothing_was_measured(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/candor.db"
    open_store(url).dispose()
    generate_keypair(tmp_path / "gate.pem")
    (tmp_path / "rows.jsonl").write_text('{"prompt": "Is it so?", "completion": "Yes."}\n')
    path = f"{Path(sys.executable).parent}{os.pathsep}/usr/bin:/bin"
    code, output = _run(tmp_path, path, CANDOR_DATABASE_URL=url)
    assert code in {11, 12}
    assert output.strip() in {"answer=hold", "answer=block"}
    assert (tmp_path / "decision.json").is_file()
