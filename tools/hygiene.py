"""What the repository must not contain: registry hosts, paths of one machine, oversized files and functions."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
MAX_FILE_LINES = 400
MAX_FUNCTION_LINES = 70
TEXT = {".py", ".toml", ".yaml", ".yml", ".md", ".txt", ".in", ".cfg", ".sh", ".json", ".ini", ""}
MACHINE_PATH = re.compile(r"(?<![\w.])/(work|root|home/\w+)/\w")
REGISTRY_HOST = re.compile(
    r"https?://[^\s)\"']*(pypi|/simple|registry|files\.pythonhosted|maven2|deb\.debian)"
)


def tracked() -> list[Path]:
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard"],  # noqa: S607
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    paths = (ROOT / name for name in listed.stdout.splitlines())
    return [path for path in paths if path.is_file() and path.suffix in TEXT]


def text_findings(path: Path, text: str) -> Iterator[str]:
    name = path.relative_to(ROOT)
    for number, line in enumerate(text.splitlines(), 1):
        if MACHINE_PATH.search(line):
            yield f"{name}:{number}: a path of one machine"
        if REGISTRY_HOST.search(line):
            yield f"{name}:{number}: the host of a package registry"


def code_findings(path: Path, text: str) -> Iterator[str]:
    name = path.relative_to(ROOT)
    lines = text.count("\n")
    if lines > MAX_FILE_LINES:
        yield f"{name}: {lines} lines, the limit is {MAX_FILE_LINES}"
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            length = (node.end_lineno or node.lineno) - node.lineno + 1
            if length > MAX_FUNCTION_LINES:
                yield f"{name}:{node.lineno}: {node.name} has {length} lines, the limit is {MAX_FUNCTION_LINES}"


def main() -> int:
    findings: list[str] = []
    for path in tracked():
        text = path.read_text(encoding="utf-8", errors="replace")
        if path != Path(__file__).resolve():
            findings += text_findings(path, text)
        if path.suffix == ".py":
            findings += code_findings(path, text)
    for finding in findings:
        sys.stderr.write(finding + "\n")
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main())
