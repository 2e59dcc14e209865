"""`candor worker` and `candor launch` as they are, but for the model: `stand_ins.py COMMAND [OPTION…]`.

The worker scores by a word instead of a panel, and the launcher's job writes the report of a confirm
run that found the candidate worse instead of training. Models and trainings have tests of their own.
"""

from __future__ import annotations

import importlib.util
import sys
import time
from collections.abc import Mapping
from functools import partial
from pathlib import Path

import monitor.cli.launching
import monitor.cli.scorer
from monitor.cli import main
from monitor.launch.launcher import Launcher
from monitor.score import Scorer

TESTS = Path(__file__).parents[1]
JOB = TESTS / "monitor" / "launch" / "stand_in_job.py"


def word_scorer() -> Scorer:
    """The scorer of the command's own tests; read by its path, since `tests` is no package here."""
    spec = importlib.util.spec_from_file_location("word", TESTS / "monitor" / "cli" / "conftest.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    made: Scorer = module.WordScorer()
    return made


def command(
    directory: Path, _assistant: str, _model: Path, _options: Mapping[str, str]
) -> list[str]:
    return [sys.executable, str(JOB), str(directory), "worse", str(time.time())]


if __name__ == "__main__":
    monitor.cli.scorer.open_scorer = lambda *_, **__: word_scorer()
    monitor.cli.launching.Launcher = partial(Launcher, command=command)  # type: ignore[misc,assignment]
    main()
