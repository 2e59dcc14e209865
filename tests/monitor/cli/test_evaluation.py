from __future__ import annotations

import json
from pathlib import Path

import typer
from typer.testing import CliRunner

from evidence import BadInputError
from monitor.cli.evaluation import add_commands

APP = typer.Typer()
add_commands(APP)


def _table(*arguments: str) -> dict[tuple[int, int], float]:
    result = CliRunner().invoke(APP, ["power", "--json", *arguments])
    assert result.exit_code == 0, result.output
    return {(row["items"], row["templates"]): row["margin"] for row in json.loads(result.output)}


def test_the_power_table_is_printed() -> None:
    bare, allowed = _table(), _table("--allowance", "0.02")
    assert bare[400, 100] == 0.1
    assert all(allowed[design] > bare[design] for design in bare)
    shown = CliRunner().invoke(APP, ["power"])
    assert "0.10" in shown.output
    assert "1600" in shown.output


def test_a_folder_without_evaluations_is_bad_input(tmp_path: Path) -> None:
    result = CliRunner().invoke(APP, ["inspect", str(tmp_path)])
    assert isinstance(result.exception, BadInputError)
