"""The guard's tests take their decisions and their model from the gate's."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "retrain"))


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a random model of two layers."""
    from tiny import make_tiny_model  # noqa: PLC0415 -- torch takes seconds

    return make_tiny_model(tmp_path_factory.mktemp("tiny-model"))
