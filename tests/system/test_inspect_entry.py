"""Inspect finds the task of an installed wheel by its name."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from inspect_ai.log import list_eval_logs, read_eval_log

pytestmark = [pytest.mark.system]

# What `inspect eval candor/honesty` does; its double says how many tokens it made, or Inspect fetches a tokenizer.
RUN = """
import sys
from inspect_ai import eval
from inspect_ai.model import ModelOutput, ModelUsage, get_model

def reply(*_, **__):
    output = ModelOutput.from_content("double", "It is so.")
    output.usage = ModelUsage(input_tokens=1, output_tokens=1, total_tokens=2)
    return output

model = get_model("mockllm/model", custom_outputs=reply)
told = {"limit_per_template": 1, "domains": "law"}
eval("candor/honesty", task_args=told, model=model, limit=2, display="none", log_dir=sys.argv[1])
"""
ROOT = Path(__file__).parents[2]


def test_the_task_of_the_wheel_runs_by_its_name(tmp_path: Path) -> None:
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "-d", str(tmp_path)],
        cwd=ROOT,
        capture_output=True,
        check=True,
    )
    (wheel,) = tmp_path.glob("*.whl")
    installed = tmp_path / "site-packages"
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(installed)
    assert [path.name for path in (installed / "candor").iterdir()] == ["inspect_tasks.py"]
    empty = tmp_path / "empty"
    empty.mkdir()
    done = subprocess.run(
        [sys.executable, "-c", RUN, str(tmp_path / "logs")],
        cwd=empty,
        env={**os.environ, "PYTHONPATH": str(installed)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    (path,) = list_eval_logs(str(tmp_path / "logs"))
    log = read_eval_log(path)
    assert log.error is None, log.error
    assert (log.status, log.eval.task, len(log.samples or [])) == ("success", "candor/honesty", 2)
