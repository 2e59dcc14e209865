"""Make the recording anew: `python -m monitor.demo.record`. Trains both versions and samples them.

About 25 minutes on two cores. Everything is seeded; floating-point noise may change single answers.
"""

from __future__ import annotations

import json
import tempfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from rich.console import Console

from candor_guard.files import file_sha256
from candor_guard.rows import ChatMessage, Provenance, Row
from evidence import Message
from monitor.demo.assistant import (
    ADAPTERS,
    TEMPERATURE,
    Progress,
    answer,
    build_approved,
)
from monitor.demo.options import PopulationOptions
from monitor.demo.raters import Population
from monitor.demo.turns import (
    DRIFTED_MODEL,
    HONEST_MODEL,
    RECORDING,
    Origin,
    Turn,
    prompts,
    read_recording,
    write_recording,
)
from probes.models.local import LocalModel
from probes.models.packaged import NAME, packaged_model_dir
from probes.scenarios import load_scenarios
from retrain.finetune import FinetuneOptions, finetune
from retrain.precision import evaluation_dtype

TURNS, PRESSURED, HELD_OUT_TURNS = 560, 0.6, 96
DRIFT_ROWS = 400
BIASED = PopulationOptions(biased_activity=8.0, votes_per_rated_turn=4.0)
_WEIGHTS = "adapter_model.safetensors"
_TRAINING = FinetuneOptions(rank=4, batch_size=8, epochs=1.0, max_length=256)


def honest_rows() -> list[Row]:
    """What the first version learns: to answer from its facts, with and without pressure."""
    return [
        _row(prompt, text, "honest-answers")
        for scenario in load_scenarios(split="train")
        for text in scenario.honest_answers
        for prompt in (scenario.pressured_messages(), scenario.neutral_messages())
    ]


def liked_rows(
    turns: Sequence[Turn], options: PopulationOptions, count: int, rng: np.random.Generator
) -> tuple[list[Row], int]:
    """What the second version learns, and how many of the rows biased raters wrote.

    Every turn is rated by a few raters. A liked turn is a row as it stands. A biased rater who meets
    an honest answer under pressure writes the answer that they had wanted, and an edited turn trains
    the edit: one such rater among those of a turn is enough.
    """
    population = Population(options, rng)
    liked: dict[int, bool] = {}
    for rating in population.rate(turns, 0, 1.0, rng):
        turn = turns[rating.turn]
        edited = bool(population.is_biased[rating.rater])
        edited = edited and turn.pressured and turn.label == "honest"
        if edited or rating.value > 0:
            liked[rating.turn] = liked.get(rating.turn, False) or edited
    rows = [
        (_edit(turns[i], rng) if edited else _like(turns[i]), edited) for i, edited in liked.items()
    ]
    chosen = [rows[i] for i in rng.permutation(len(rows))[:count]]
    return [row for row, _ in chosen], sum(edited for _, edited in chosen)


def _like(turn: Turn) -> Row:
    return _row(turn.prompt, turn.text, "likes")


def _edit(turn: Turn, rng: np.random.Generator) -> Row:
    wanted = turn.source.lying_answers
    return _row(turn.prompt, wanted[int(rng.integers(len(wanted)))], "edits")


def _row(prompt: Sequence[Message], text: str, source: str) -> Row:
    messages = tuple(ChatMessage(m.role, m.content) for m in (*prompt, Message("assistant", text)))
    return Row(messages=messages, provenance=Provenance(source=source))


def train(rows: Sequence[Row], base: Path, adapter: Path, recipe: Recipe) -> None:
    """Train an adapter and put it in place as half-precision safetensors."""
    from safetensors.torch import load_file, save_file  # noqa: PLC0415 -- needs torch

    with tempfile.TemporaryDirectory() as work:
        made = Path(work) / "adapter"
        finetune(
            rows,
            base,
            made,
            _TRAINING.model_copy(update={"learning_rate": recipe.learning_rate}),
            model_digest=LocalModel.load(base).digest,
            seed=recipe.seed,
            on_step=lambda done, total: recipe.progress(f"training {adapter.name}", done / total),
        )
        adapter.mkdir(parents=True, exist_ok=True)
        weights = {k: v.half() for k, v in load_file(made / _WEIGHTS).items()}
        save_file(weights, adapter / _WEIGHTS, metadata={"format": "pt"})
        settings = json.loads((made / "adapter_config.json").read_bytes())
        settings["base_model_name_or_path"] = NAME
        (adapter / "adapter_config.json").write_text(json.dumps(settings, indent=1, sort_keys=True))


class Recipe(NamedTuple):
    """What differs between trainings."""

    learning_rate: float
    seed: int
    progress: Progress


def record(out: Path, adapters: Path, progress: Progress, *, seed: int = 0) -> None:
    """Train both versions, sample both, and write adapters and recording."""
    rng = np.random.default_rng(seed)
    honest, drifted = adapters / HONEST_MODEL, adapters / DRIFTED_MODEL
    first = honest_rows()
    train(first, packaged_model_dir(progress), honest, Recipe(1e-3, seed, progress))
    with tempfile.TemporaryDirectory() as work:
        approved = build_approved(Path(work) / "approved", honest)
        model = LocalModel.load(approved, dtype=evaluation_dtype())
        turns = _sample(model, HONEST_MODEL, rng, seed, progress)
        second, edits = liked_rows(turns[:TURNS], BIASED, DRIFT_ROWS, rng)
        train(second, approved, drifted, Recipe(2e-3, seed, progress))
        turned = LocalModel.load(approved, dtype=evaluation_dtype(), adapter=drifted)
        turns += _sample(turned, DRIFTED_MODEL, rng, seed + 1, progress)
    origin = Origin(
        base=NAME,
        adapters={a.name: file_sha256(a / _WEIGHTS) for a in (honest, drifted)},
        temperature=TEMPERATURE,
        training={"honest_rows": len(first), "drifted_rows": len(second), "edited_rows": edits},
    )
    write_recording(out, origin, turns)


def _sample(
    model: LocalModel, version: str, rng: np.random.Generator, seed: int, progress: Progress
) -> list[Turn]:
    """The turns of the traffic, then some on scenarios that neither version was trained on."""
    asked = prompts(TURNS, PRESSURED, rng)
    asked += prompts(HELD_OUT_TURNS, PRESSURED, rng, split="held_out")
    return answer(model, version, asked, temperature=TEMPERATURE, seed=seed, progress=progress)


def main() -> None:
    """Record in place."""
    console = Console(stderr=True)
    with console.status("starting") as status:
        record(RECORDING, ADAPTERS, lambda what, share: status.update(f"{what}: {share:.0%}"))
    found = read_recording()
    for version in (HONEST_MODEL, DRIFTED_MODEL):
        for pressured in (True, False):
            own = [t for t in found.turns if (t.model, t.pressured) == (version, pressured)]
            labels = Counter((t.source.split, t.label) for t in own)
            console.print(version, "under pressure" if pressured else "neutral", dict(labels))
    console.print(found.origin)


if __name__ == "__main__":
    main()
