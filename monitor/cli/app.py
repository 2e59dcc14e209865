"""The `candor` command: families are loaded when first used, so `--help` and light commands start fast."""

from __future__ import annotations

import atexit
import importlib
import json
import logging
import os
import sys
import traceback
from importlib.metadata import version as installed_version
from typing import Annotated

import typer
from rich.console import Console

from evidence import BadInputError, CandorError, UnreachableError
from monitor.cli.extras import missing_extra

EXIT_INTERNAL, EXIT_BAD_INPUT, EXIT_UNREACHABLE = 1, 2, 3

FAMILIES = (
    "monitor.cli.demo",
    "monitor.cli.serve",
    "monitor.cli.tap",
    "monitor.cli.calibrate",
    "monitor.cli.score",
    "monitor.cli.imports",
    "monitor.cli.probe",
    "monitor.cli.detect",
    "monitor.cli.cohorts",
    "monitor.cli.redteam",
    "monitor.cli.alarms",
    "monitor.cli.references",
    "monitor.cli.neutral",
    "monitor.cli.gate",
    "monitor.cli.sources",
    "monitor.cli.retrain",
    "monitor.cli.simulate",
    "monitor.cli.operations",
    "monitor.cli.doctor",
    "monitor.cli.packaged",
)

_DEBUG = "CANDOR_DEBUG"
_DISTRIBUTION = "candor-monitor"


def build() -> typer.Typer:
    """The whole command tree. Each family module has `register(app)`."""
    app = typer.Typer(
        name="candor",
        help="A production runtime honesty monitor for LLM assistants.",
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        rich_markup_mode="markdown",
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback()(_root)
    app.command("version")(version)
    for name in FAMILIES:
        importlib.import_module(name).register(app)
    return app


def _hush() -> None:
    """What a library prints while the interpreter is taken down is for its own makers: triton's binding lists
    hundreds of functions that are still held then."""
    if "triton" in sys.modules:
        sys.stderr.flush()
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)


def main() -> None:
    """Run `candor`; every error becomes one line and an exit code, a bug with a way to its traceback."""
    # kafka-python reports each attempt; Candor's own line says what came of them.
    logging.getLogger("kafka").setLevel(logging.CRITICAL)
    # Threads of torch that spin while they wait take the cores from each other on a loaded machine: half
    # the processor time of a forward pass. Read when torch is loaded, so it is set before.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    atexit.register(_hush)
    try:
        build()()
    except Exception as error:
        said, code = explained(error)
        if debugging():
            traceback.print_exception(error)
        Console(stderr=True, highlight=False, soft_wrap=True).print(f"candor: {said}", markup=False)
        sys.exit(code)


def explained(error: Exception) -> tuple[str, int]:
    """What is said of an error on one line, and the exit code."""
    if isinstance(error, CandorError):
        code = EXIT_INTERNAL
        if isinstance(error, BadInputError):
            code = EXIT_BAD_INPUT
        elif isinstance(error, UnreachableError):
            code = EXIT_UNREACHABLE
        return _line(str(error)), code
    if isinstance(error, ImportError) and (extra := missing_extra(error)):
        return extra, EXIT_BAD_INPUT
    said = _line(f"internal error: {type(error).__name__}: {error}")
    return f"{said}; {_DEBUG}=1 shows the traceback", EXIT_INTERNAL


def debugging() -> bool:
    """Whether this process was asked for tracebacks and for the logs of libraries."""
    return os.environ.get(_DEBUG, "") not in {"", "0", "false"}


def version(
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Print the version of Candor.

    Example: `candor version`
    """
    found = installed_version(_DISTRIBUTION)
    sys.stdout.write((json.dumps({"version": found}) if as_json else f"candor {found}") + "\n")


def _show_version(wanted: bool) -> None:
    if wanted:
        version()
        raise typer.Exit


def _root(
    _version: Annotated[
        bool,
        typer.Option("--version", help="Print the version.", is_eager=True, callback=_show_version),
    ] = False,
    debug: Annotated[
        bool,
        typer.Option("--debug", help="Show tracebacks and libraries' logs, as `CANDOR_DEBUG=1`."),
    ] = False,
) -> None:
    if debug:
        os.environ[_DEBUG] = "1"
    if debugging():
        logging.getLogger("kafka").setLevel(logging.INFO)


def _line(text: str) -> str:
    """The text on one line."""
    return " ".join(text.split())
