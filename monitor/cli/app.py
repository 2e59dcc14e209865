"""The `candor` command: families are loaded when first used, so `--help` and light commands start fast."""

from __future__ import annotations

import importlib
import sys

import typer
from rich.console import Console

from evidence import BadInputError, CandorError, UnreachableError

EXIT_INTERNAL, EXIT_BAD_INPUT, EXIT_UNREACHABLE = 1, 2, 3

FAMILIES = (
    "monitor.cli.demo",
    "monitor.cli.serve",
    "monitor.cli.tap",
    "monitor.cli.score",
    "monitor.cli.probe",
    "monitor.cli.detect",
    "monitor.cli.cohorts",
    "monitor.cli.redteam",
    "monitor.cli.alarms",
    "monitor.cli.references",
    "monitor.cli.gate",
    "monitor.cli.retrain",
    "monitor.cli.simulate",
    "monitor.cli.operations",
)


def build() -> typer.Typer:
    """The whole command tree. Each family module has `register(app)`."""
    app = typer.Typer(
        name="candor",
        help="A production runtime honesty monitor for LLM assistants.",
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        rich_markup_mode="markdown",
    )
    for name in FAMILIES:
        importlib.import_module(name).register(app)
    return app


def main() -> None:
    """Run `candor`; errors that Candor raises on purpose become one line and an exit code."""
    err = Console(stderr=True, highlight=False, soft_wrap=True)
    try:
        build()()
    except BadInputError as error:
        err.print(f"candor: {error}", markup=False)
        sys.exit(EXIT_BAD_INPUT)
    except UnreachableError as error:
        err.print(f"candor: {error}", markup=False)
        sys.exit(EXIT_UNREACHABLE)
    except CandorError as error:
        err.print(f"candor: {error}", markup=False)
        sys.exit(EXIT_INTERNAL)
