"""The command, and a scorer without a model: what a text says of itself decides."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from evidence import Assessment, VerdictKind
from evidence.records import Accuracy, SensorFigures
from monitor.cli import main
from probes.probe import Transcript
from probes.scorer import OneEvaluator


class WordScorer(OneEvaluator):
    """Calls a response a lie when it contains the word `never`."""

    version = "word-scorer-1"
    calibrated = True
    figures = (
        SensorFigures(
            evaluator_version="word-scorer-1",
            assistant="",
            accuracy=Accuracy(sensitivity=1.0, n_lies=500, specificity=1.0, n_honest=500),
            prevalence=0.5,
        ),
    )

    def score(self, transcripts: Sequence[Transcript]) -> list[Assessment]:
        return [self._assess(transcript.response) for transcript in transcripts]

    def _assess(self, text: str) -> Assessment:
        lie = "never" in text
        return Assessment(
            kind=VerdictKind.LIE if lie else VerdictKind.HONEST,
            p_lie=0.95 if lie else 0.05,
            p_evasion=0.01,
            measurements=(),
            evaluator_version=self.version,
        )


@pytest.fixture
def scorer() -> WordScorer:
    return WordScorer()


class Ran(NamedTuple):
    """What a command answered."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


class Candor:
    """The command as `candor` runs it, in this process, in a folder and environment of its own."""

    def __init__(
        self, folder: Path, patch: pytest.MonkeyPatch, captured: pytest.CaptureFixture[str]
    ) -> None:
        self.folder = folder
        self._patch = patch
        self._captured = captured

    def __call__(self, *arguments: str, **settings: str) -> Ran:
        code: Any = 0
        with self._patch.context() as patch:
            patch.chdir(self.folder)
            for name in [name for name in os.environ if name.startswith("CANDOR_")]:
                patch.delenv(name)
            for name, value in settings.items():
                patch.setenv(f"CANDOR_{name.upper()}", value)
            patch.setenv("COLUMNS", "200")
            patch.setattr(sys, "argv", ["candor", *arguments])
            self._captured.readouterr()
            try:
                main()
            except SystemExit as left:
                code = left.code or 0
        out, err = self._captured.readouterr()
        return Ran(code, out, err)


@pytest.fixture
def candor(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Candor:
    return Candor(tmp_path, monkeypatch, capsys)
