"""What a manifest may say to Candor: commands, options and settings that exist."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import typer.main

from monitor.cli.app import build
from monitor.settings import sections

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"


@functools.cache
def commands() -> Any:
    """The command tree, built once."""
    return typer.main.get_command(build())


def check_command(words: Sequence[str]) -> None:
    """Fail unless `candor WORDS…` names a command and only options that it has."""
    command = commands()
    rest = list(words)
    while hasattr(command, "commands"):
        assert rest, f"candor {' '.join(words)}: a command is missing"
        name = rest.pop(0)
        assert name in command.commands, f"candor {' '.join(words)}"
        command = command.commands[name]
    known = {option for p in command.params for option in p.opts}
    options = {word.partition("=")[0] for word in rest if word.startswith("--")}
    assert options <= known, f"candor {' '.join(words)}"


def unknown_settings(names: Iterable[str]) -> list[str]:
    """`CANDOR_` variables that are no setting, to the letter."""
    known = {
        f"CANDOR_{section}_{name}".upper()
        for section, options in sections().items()
        for name in options.model_fields
    } | {"CANDOR_ASSISTANTS"}
    return sorted(name for name in names if name.startswith("CANDOR_") and name not in known)
