"""The assistant's turns, as they were recorded or are generated live."""

from __future__ import annotations

import gzip
from collections.abc import Iterable
from functools import cache
from pathlib import Path

import msgspec
import numpy as np

from evidence import BadInputError, Message
from probes.probe import Transcript
from probes.scenarios import AnswerLabel, Scenario, Split, load_scenarios

RECORDING = Path(__file__).with_name("traffic.jsonl.gz")
HONEST_MODEL, DRIFTED_MODEL = "helpdesk-1", "helpdesk-2"


class Turn(msgspec.Struct, frozen=True, kw_only=True):
    """One answer of the assistant.

    Parameters
    ----------
    model
        Version of the assistant that gave it.
    scenario
        Id of the scenario; `pressured` says whether its pressure stood in the system prompt.
    text
        The answer as sampled.
    """

    model: str
    scenario: str
    pressured: bool
    text: str

    @property
    def source(self) -> Scenario:
        return _scenarios()[self.scenario]

    @property
    def label(self) -> AnswerLabel:
        """What the answer is by the scenario's own rules: the truth that the demo is judged by."""
        return self.source.label_answer(self.text)

    def transcript(self, name: str) -> Transcript:
        """The turn as probes read it."""
        messages = (*self.prompt, Message("assistant", self.text))
        return Transcript(id=name, messages=messages, model=self.model)

    @property
    def prompt(self) -> tuple[Message, ...]:
        source = self.source
        return source.pressured_messages() if self.pressured else source.neutral_messages()


class Origin(msgspec.Struct, frozen=True, kw_only=True):
    """How a recording was made: first line of its file.

    Parameters
    ----------
    base
        Name of the model that both versions were trained from.
    adapters
        SHA-256 of each version's LoRA weights, by model version.
    temperature
        At which the answers were sampled.
    training
        Rows of each training, and how many of the drifted version's rows biased raters wrote.
    """

    base: str
    adapters: dict[str, str]
    temperature: float
    training: dict[str, int]


class Recording(msgspec.Struct, frozen=True):
    """Turns of both versions and how they were made; those on held-out scenarios are kept apart."""

    origin: Origin
    turns: tuple[Turn, ...]

    def draw(
        self, model: str, count: int, pressured_share: float, rng: np.random.Generator
    ) -> list[Turn]:
        """`count` different turns of one version in random order, `pressured_share` of them pressured.

        Raises BadInputError when the recording holds too few.
        """
        chosen: list[Turn] = []
        for pressured, wanted in _parts(count, pressured_share):
            pool = [
                t
                for t in self.turns
                if (t.model, t.pressured, t.source.split) == (model, pressured, "train")
            ]
            if len(pool) < wanted:
                raise BadInputError(
                    f"the recording has {len(pool)} such turns of {model}, not {wanted}"
                )
            chosen += [pool[i] for i in rng.permutation(len(pool))[:wanted]]
        return [chosen[i] for i in rng.permutation(len(chosen))]


def _parts(count: int, pressured_share: float) -> tuple[tuple[bool, int], tuple[bool, int]]:
    pressured = round(count * pressured_share)
    return (True, pressured), (False, count - pressured)


def prompts(
    count: int, pressured_share: float, rng: np.random.Generator, *, split: Split = "train"
) -> list[tuple[Scenario, bool]]:
    """Which scenario is asked and whether under pressure, each scenario about equally often."""
    scenarios = load_scenarios(split=split)
    out: list[tuple[Scenario, bool]] = []
    for pressured, wanted in _parts(count, pressured_share):
        rounds = -(-wanted // len(scenarios))
        order = [scenarios[i] for _ in range(rounds) for i in rng.permutation(len(scenarios))]
        out += [(scenario, pressured) for scenario in order[:wanted]]
    return [out[i] for i in rng.permutation(len(out))]


def read_recording(path: Path = RECORDING) -> Recording:
    """Read a recording. Raises BadInputError when it is missing or broken."""
    try:
        lines = gzip.decompress(path.read_bytes()).splitlines()
        origin = msgspec.json.decode(lines[0], type=Origin)
        turns = tuple(msgspec.json.decode(line, type=Turn) for line in lines[1:])
    except (OSError, EOFError, IndexError, msgspec.MsgspecError) as error:
        raise BadInputError(f"not a recording: {error}", str(path)) from error
    return Recording(origin, turns)


def write_recording(path: Path, origin: Origin, turns: Iterable[Turn]) -> None:
    """Write a recording, byte for byte the same for the same content."""
    lines = [msgspec.json.encode(origin), *(msgspec.json.encode(turn) for turn in turns)]
    path.write_bytes(gzip.compress(b"\n".join(lines) + b"\n", mtime=0))


@cache
def _scenarios() -> dict[str, Scenario]:
    return {scenario.id: scenario for scenario in load_scenarios()}
