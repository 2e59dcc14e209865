"""Runs the commands of a page as a reader would: in one shell, block after block, services beside it."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self

ROOT = Path(__file__).parents[2]
_SERVICE = re.compile(r"^(?:\w+=\S+ )*candor (up|worker|serve|launch)\b")
_BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)


class Block(NamedTuple):
    """A fenced block: its language, its text, and whether the page says that it is not run."""

    language: str
    text: str
    run: bool


class Ended(NamedTuple):
    code: int
    out: str
    err: str


def blocks(page: Path, heading: str = "") -> list[Block]:
    """Blocks of a page, or of its sections whose heading begins so."""
    text = page.read_text(encoding="utf-8")
    if heading:
        text = text.split(f"\n## {heading}", 1)[1].split("\n## ", 1)[0]
    found, end = [], 0
    for match in _BLOCK.finditer(text):
        before = text[end : match.start()].strip().rpartition("\n\n")[2].lower()
        found.append(Block(match[1], match[2], "not run" not in before))
        end = match.end()
    return found


class Session:
    """One shell over several blocks; `replaced` puts addresses of the test where the page has its own."""

    def __init__(self, folder: Path, replaced: Mapping[str, str], **environment: str) -> None:
        self.folder, self._replaced = folder, replaced
        clean = {n: v for n, v in os.environ.items() if not n.startswith("CANDOR_")}
        path = f"{Path(sys.executable).parent}:{clean['PATH']}"
        self._environment = {**clean, "PATH": path, **environment}
        self._exported = folder / ".exported"
        self._exported.touch()
        self._services: dict[str, subprocess.Popen[str]] = {}

    def run(self, text: str) -> Ended:
        """Run a block to its end; a service in it is started and left running."""
        for old, new in self._replaced.items():
            text = text.replace(old, new)
        ended = Ended(0, "", "")
        waiting: list[str] = []
        for line in text.splitlines():
            service = _SERVICE.match(line)
            if service is None:
                waiting.append(line)
                continue
            self._bash("\n".join(waiting))
            waiting = []
            self._start(service[1], line)
        if any(line.strip() for line in waiting):
            ended = self._bash("\n".join(waiting))
        return ended

    def log(self, name: str) -> str:
        return (self.folder / f"{name}.log").read_text(errors="replace")

    def _bash(self, script: str) -> Ended:
        exported = shlex.quote(str(self._exported))
        whole = f"set -euo pipefail\n. {exported}\n{script}\nexport -p > {exported}"
        done = subprocess.run(
            ["bash", "-c", whole],
            cwd=self.folder,
            env=self._environment,
            capture_output=True,
            text=True,
            check=False,
        )
        return Ended(done.returncode, done.stdout, done.stderr)

    def _start(self, name: str, line: str) -> None:
        """Start a service and wait until it says where it answers; one of its name ends first."""
        self._stop(name)
        with (self.folder / f"{name}.log").open("a") as log:
            process = subprocess.Popen(
                ["bash", "-c", f". {shlex.quote(str(self._exported))}\nexec env {line}"],
                cwd=self.folder,
                env=self._environment,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )
        self._services[name] = process
        assert process.stdout is not None
        assert process.stdout.readline(), self.log(name)[-3000:]

    def _stop(self, name: str) -> None:
        process = self._services.pop(name, None)
        if process is None:
            return
        process.terminate()
        try:
            process.wait(60)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        for name in list(self._services):
            self._stop(name)
