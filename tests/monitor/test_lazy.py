"""Packages load their parts when first used, and light commands load none of the heavy ones."""

from __future__ import annotations

import importlib
import subprocess
import sys
from types import ModuleType

import pytest

LAZY = ("monitor.abstain", "monitor.api", "monitor.cohorts", "monitor.detect", "monitor.launch")
HEAVY = {"scipy", "matplotlib", "networkx", "torch", "sqlalchemy", "kafka", "fastapi", "boto3"}


@pytest.mark.parametrize("name", LAZY)
def test_every_public_name_is_there(name: str) -> None:
    package = importlib.import_module(name)
    for public in package.__all__:
        assert not isinstance(getattr(package, public), ModuleType), public


def test_a_name_that_a_module_shares_stays_the_public_one() -> None:
    importlib.import_module("monitor.cohorts.estimate")
    package = importlib.import_module("monitor.cohorts")
    assert callable(package.estimate)
    with pytest.raises(AttributeError, match="nothing_of_that_name"):
        _ = package.nothing_of_that_name


@pytest.mark.parametrize("module", ["monitor.cli", "monitor.settings"])
def test_heavy_libraries_stay_out_of_light_commands(module: str) -> None:
    code = f"import sys, {module}; print(*{{n.partition('.')[0] for n in sys.modules}})"
    loaded = subprocess.check_output([sys.executable, "-c", code], text=True).split()
    assert HEAVY & set(loaded) == set()
