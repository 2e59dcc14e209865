"""The command's manners: help, version, one line for every error, and which extra is missing."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import typer.main

from evidence import BadInputError, CandorError, UnreachableError
from monitor.cli import app as command_line
from monitor.cli.app import build
from monitor.cli.extras import EXTRA_OF
from tests.monitor.cli.conftest import Candor

ROOT = Path(__file__).parents[3]
WITHOUT = """
import sys

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "{absent}":
            raise ModuleNotFoundError("No module named {absent}", name="{absent}")

sys.meta_path.insert(0, Absent())
from monitor.cli import main
main()
"""
DISTRIBUTION_OF = {
    "grpc": "grpcio",
    "sklearn": "scikit-learn",
    "inspect_ai": "inspect-ai",
    "model_signing": "model-signing",
    "OpenSSL": "pyopenssl",
}


def commands(
    command: Any = None, path: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Every command and family of commands, with the words that lead to it."""
    command = command or typer.main.get_command(build())
    yield path, command
    for name, child in getattr(command, "commands", {}).items():
        yield from commands(child, (*path, name))


def test_version(candor: Candor) -> None:
    said = candor("--version")
    assert (said.code, said.err) == (0, "")
    assert re.fullmatch(r"candor \d+\.\d+\.\d+\S*\n", said.out)
    assert candor("version").out == said.out
    assert said.out.split()[1] == candor("version", "--json").json["version"]


@pytest.mark.parametrize("path", [(), ("gate",), ("gate", "check"), ("doctor",)])
def test_short_help_is_help(candor: Candor, path: tuple[str, ...]) -> None:
    short, long = candor(*path, "-h"), candor(*path, "--help")
    assert short.code == 0
    assert "Usage:" in short.out
    assert short.out == long.out


def test_help_swallows_nothing_between_angle_brackets(candor: Candor) -> None:
    looked = 0
    for path, command in commands():
        texts = [command.help or ""]
        texts += [getattr(option, "help", None) or "" for option in command.params]
        tags = {tag for text in texts for tag in re.findall(r"<\w+>", text)}
        shown = candor(*path, "--help").out if tags else ""
        for tag in tags:
            assert tag in shown, path
            looked += 1
    assert looked


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (BadInputError("no such thing", "rows.jsonl:3"), 2, "rows.jsonl:3: no such thing"),
        (BadInputError("two\nlines", "x"), 2, "x: two lines"),
        (UnreachableError("Kafka", "refused"), 3, "Kafka is unreachable: refused"),
        (CandorError("odd"), 1, "odd"),
        (ModuleNotFoundError("no", name="torch"), 2, "pip install 'candor-monitor[local]'"),
        (ModuleNotFoundError("no", name="trl.trainer"), 2, "the extra `retrain` (trl is missing)"),
        (ModuleNotFoundError("No module named 'x'", name="x"), 1, "internal error"),
        (ZeroDivisionError("division\nby zero"), 1, "CANDOR_DEBUG=1"),
        (RecursionError(), 1, "RecursionError"),
    ],
)
def test_every_error_is_one_line(
    candor: Candor, monkeypatch: pytest.MonkeyPatch, error: Exception, code: int, said: str
) -> None:
    monkeypatch.setattr(command_line, "build", lambda: raising(error))
    ran = candor("anything")
    assert ran.code == code
    assert ran.err.startswith("candor: ")
    assert ran.err.count("\n") == 1
    assert said in ran.err


def raising(error: Exception) -> Callable[[], None]:
    def run() -> None:
        raise error

    return run


def test_a_traceback_is_shown_on_request(candor: Candor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command_line, "build", lambda: raising(ZeroDivisionError("x")))
    assert "Traceback" in candor("anything", debug="1").err
    assert "Traceback" not in candor("anything", debug="0").err


def test_debug_is_an_option_too(candor: Candor) -> None:
    assert "Traceback" in candor("--debug", "score", "nowhere.jsonl", "--out", "o.jsonl").err


def test_the_table_of_extras_is_that_of_the_distribution() -> None:
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras: dict[str, list[str]] = declared["optional-dependencies"]
    wanted = {
        (re.split(r"[\[>=<; ]", requirement)[0], extra)
        for extra, requirements in extras.items()
        for requirement in requirements
        if extra != "models" and not requirement.startswith("candor-monitor")
    }
    table = {(DISTRIBUTION_OF.get(m, m), extra) for m, extra in EXTRA_OF.items()}
    assert table == wanted


@pytest.mark.parametrize(
    ("absent", "extra", "arguments"),
    [
        ("torch", "local", ("demo", "--exit")),
        ("torch", "local", ("score", "t.jsonl", "--out", "o.jsonl")),
        ("torch", "local", ("probe", "fit", "t.jsonl", "--labels", "lie", "--out", "p")),
        ("skops", "local", ("up",)),
        (
            "torch",
            "local",
            ("retrain", "confirm", "--rows", "r.jsonl", "--model", "m", "--out", "o"),
        ),
        ("torch", "local", ("redteam", "run", "--target", "m", "--out", "o")),
    ],
)
def test_a_missing_extra_is_one_line_that_names_it(
    tmp_path: Path, absent: str, extra: str, arguments: tuple[str, ...]
) -> None:
    line = {"id": "1", "lie": True, "messages": [{"role": "assistant", "content": "Yes."}]}
    (tmp_path / "t.jsonl").write_text(f"{line}\n".replace("'", '"').replace("True", "true"))
    (tmp_path / "m").mkdir()
    code = WITHOUT.format(absent=absent)
    clean = {name: v for name, v in os.environ.items() if not name.startswith("CANDOR_")}
    clean |= {"CANDOR_API_OPEN_ON_LOOPBACK": "true", "CANDOR_API_PORT": "0"}
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        cwd=tmp_path,
        env=clean,
        capture_output=True,
        text=True,
        check=False,
    )
    errors = [row for row in done.stderr.splitlines() if row.startswith("candor: ")]
    assert (done.returncode, len(errors)) == (2, 1), done.stderr
    assert f"the extra `{extra}`" in errors[0]
    assert absent in errors[0]
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("command", ["worker", "doctor"])
def test_a_broker_that_is_down_is_said_once(tmp_path: Path, command: str) -> None:
    (tmp_path / "pseudonym.key").write_text("k" * 40)
    (tmp_path / "pseudonym.key").chmod(0o600)
    clean = {name: v for name, v in os.environ.items() if not name.startswith("CANDOR_")}
    settings = {
        "CANDOR_KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1",
        "CANDOR_DATABASE_URL": f"sqlite:///{tmp_path}/candor.db",
        "CANDOR_PSEUDONYM_KEY_FILE": str(tmp_path / "pseudonym.key"),
        "CANDOR_SAMPLING_KEY_FILE": str(tmp_path / "pseudonym.key"),
    }
    done = subprocess.run(
        [sys.executable, "-m", "monitor.cli", command],
        cwd=tmp_path,
        env=clean | settings,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 3, done.stderr
    assert "kafka.net" not in done.stderr
    assert (done.stdout + done.stderr).count("Kafka is unreachable") == 1


@pytest.mark.parametrize("make", ["folder", "bytes"])
def test_a_configuration_that_cannot_be_read_is_an_error(candor: Candor, make: str) -> None:
    file = candor.folder / "candor.toml"
    if make == "folder":
        file.mkdir()
    else:
        file.write_bytes(b"[api]\n# \xff\xfe\n")
    ran = candor("alarms", "list")
    assert ran.code == 2
    assert "candor.toml" in ran.err
    assert ran.err.count("\n") == 1


LATE = """
import os, sys
import monitor.cli.app as app
class Late:
    def __del__(self, write=os.write):
        write(2, b"leaked")
late = Late()
if {loaded}:
    sys.modules["triton"] = sys
sys.argv = ["candor", "version"]
app.main()
"""


@pytest.mark.parametrize("loaded", [True, False])
def test_what_a_library_prints_at_the_very_end_is_not_shown(loaded: bool) -> None:
    code = LATE.format(loaded=loaded)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip()
    assert ("leaked" in done.stderr) is not loaded
