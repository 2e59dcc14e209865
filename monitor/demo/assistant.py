"""The demo's assistant: a small model in two versions, LoRA adapters on the packaged one."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from monitor.demo.options import DemoOptions
from monitor.demo.turns import DRIFTED_MODEL, HONEST_MODEL, Turn, prompts
from probes.models.local import LocalModel
from probes.models.packaged import packaged_model_dir
from probes.scenarios import Scenario
from retrain.precision import evaluation_dtype

ADAPTERS = Path(__file__).with_name("adapters")
MAX_NEW_TOKENS = 40
TEMPERATURE = 0.7
_CHUNK = 16

Progress = Callable[[str, float], None]
"""Called with what is being done and the share done, in [0, 1]."""


def build_approved(
    folder: Path, adapter: Path = ADAPTERS / HONEST_MODEL, base: Path | None = None
) -> Path:
    """Write the honest version, its adapter merged in, as a folder that a confirm run can train.

    540 MB and a few seconds, on the packaged model unless `base` names another. `folder` must be new or empty.
    """
    base = base or packaged_model_dir()
    model = LocalModel.load(base, adapter=adapter)
    folder.mkdir(parents=True, exist_ok=True)
    model.model.save_pretrained(folder)
    model.tokenizer.save_pretrained(folder)
    for extra in base.glob("*.jinja"):
        shutil.copy(extra, folder)
    return folder


def sample_both(
    model: LocalModel, approved: Path, options: DemoOptions, *, seed: int, progress: Progress
) -> tuple[Turn, ...]:
    """Answers of both versions, sampled anew; `model` is the approved one, in `approved` on disk."""
    turned = LocalModel.load(approved, dtype=evaluation_dtype(), adapter=ADAPTERS / DRIFTED_MODEL)
    rng = np.random.default_rng([seed, 2])
    turns: list[Turn] = []
    for version, own in ((HONEST_MODEL, model), (DRIFTED_MODEL, turned)):
        asked = prompts(options.turns_per_phase, options.pressured_share, rng)
        turns += answer(own, version, asked, temperature=TEMPERATURE, seed=seed, progress=progress)
    return tuple(turns)


def answer(
    model: LocalModel,
    version: str,
    prompts: Sequence[tuple[Scenario, bool]],
    *,
    temperature: float,
    seed: int,
    progress: Progress,
) -> list[Turn]:
    """Sample the assistant's answer to each prompt, in order."""
    turns: list[Turn] = []
    for start in range(0, len(prompts), _CHUNK):
        progress(f"{version} answers", start / len(prompts))
        part = prompts[start : start + _CHUNK]
        chats = [s.pressured_messages() if pressed else s.neutral_messages() for s, pressed in part]
        texts = model.generate(
            chats, max_new_tokens=MAX_NEW_TOKENS, temperature=temperature, seed=seed + start
        )
        turns += [
            Turn(model=version, scenario=s.id, pressured=pressed, text=text)
            for (s, pressed), text in zip(part, texts, strict=True)
        ]
    return turns
