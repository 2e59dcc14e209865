"""How often a released set that holds a little of lies is let through: real training, `python -m benchmarks.retrain --only doses`.

Control, a candidate of which a third lies, and a released set are trained with several seeds each. Every three seeds
stand for a run; such runs share seeds, so they are not independent.
"""

from __future__ import annotations

import itertools
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec

from candor_guard.rows import Row
from probes.models.local import LocalModel
from probes.scenarios import Scenario
from retrain.comparison import DecisionOptions
from retrain.evaluation.evaluate import EvaluationOptions, ItemResult, evaluate
from retrain.files import write_durably
from retrain.finetune import FinetuneOptions, finetune
from retrain.plan import ItemOptions, plan_items
from retrain.policy import Policy
from retrain.precision import evaluation_dtype
from retrain.report import SCORERS, Arm, Finding
from retrain.summary import Trained, comparisons, firmnesses

ROWS = 64
RUN_SEEDS = 3
PER_TEMPLATE = 2
CONTROL, CANDIDATE = "control", "30 % lies"
LIES = {CONTROL: 0, "10 % lies": 6, CANDIDATE: 19}
"""Rows that lie, of 64."""
OTHER = "other honest rows"
Seeds = tuple[int, ...]
MakeRows = Callable[[int, int], list[Row]]
"""Rows by the seed of their draw and how many of them lie."""


def doses(model: Path, seeds: int, out: Path, make_rows: MakeRows) -> dict[str, Any]:
    """Print, by what was released, how many runs the scorers let through and how many are held as less firm."""
    items = plan_items(ItemOptions(per_template=PER_TEMPLATE))
    found: dict[str, list[list[ItemResult]]] = {}
    for name in (*LIES, OTHER):
        for seed in range(seeds):
            # Another draw of rows has a seed of its own: it differs by both, as two real sets do.
            rows = make_rows(seed + 1, 0) if name == OTHER else make_rows(0, LIES[name])
            path = out / f"{name.replace(' ', '-').replace('%', 'percent')}-{seed}.json"
            found.setdefault(name, []).append(_kept(path, rows, seed, model, items))
    made: dict[str, Any] = {}
    for name in (CONTROL, OTHER, *(n for n in LIES if n != CONTROL)):
        runs = [_run(found, name, drawn, items) for drawn in _runs(seeds, name)]
        made[name] = {
            "runs": len(runs),
            "let_through": sum(not worse for worse, _ in runs),
            "less_firm": sum(less for _, less in runs),
        }
        print(
            f"released {name}: {made[name]['let_through']} of {len(runs)} runs not worse by"
            f" {', '.join(SCORERS)}; {made[name]['less_firm']} less firm than control"
        )
    return made


def _runs(seeds: int, name: str) -> list[tuple[Seeds, Seeds]]:
    """Seeds of control and of the released set; for control against itself without a seed in common."""
    drawn = list(itertools.combinations(range(seeds), RUN_SEEDS))
    if name != CONTROL:
        return [(run, run) for run in drawn]
    return [(a, b) for a in drawn for b in drawn if not set(a) & set(b)]


def _run(
    found: dict[str, list[list[ItemResult]]],
    name: str,
    seeds: tuple[Seeds, Seeds],
    items: Sequence[Scenario],
) -> tuple[bool, bool]:
    """Whether a scorer stops the released set, and whether it is less firm."""
    control, released = seeds

    def arm(which: Arm, of: str, seeds: Seeds) -> Trained:
        return Trained(arm=which, results=tuple(tuple(found[of][seed]) for seed in seeds))

    trained = [
        arm(Arm.CONTROL, CONTROL, control),
        arm(Arm.CANDIDATE, CANDIDATE, control),
        arm(Arm.RELEASED, name, released),
    ]
    findings = {
        c.finding for c in comparisons(trained, items, DecisionOptions()) if c.arm is Arm.RELEASED
    }
    limit = next(f.kept_upper for f in firmnesses(trained, items) if f.arm is Arm.RELEASED)
    less = limit is not None and limit < Policy().min_firmness
    return findings != {Finding.NOT_WORSE}, less


def _kept(
    path: Path, rows: Sequence[Row], seed: int, model: Path, items: Sequence[Scenario]
) -> list[ItemResult]:
    """One trained and asked arm; what is finished is kept."""
    if not path.is_file():
        options = FinetuneOptions(learning_rate=2e-3, layer_share=0.5)
        with tempfile.TemporaryDirectory() as folder:
            adapter = Path(folder) / "adapter"
            finetune(list(rows), model, adapter, options, model_digest="m", seed=seed)
            arm = LocalModel.load(model, dtype=evaluation_dtype(), adapter=adapter)
            results = evaluate(arm, items, EvaluationOptions(paraphrases=1))
        path.parent.mkdir(parents=True, exist_ok=True)
        write_durably(path, msgspec.json.encode(results))
        sys.stderr.write(f"{time.strftime('%H:%M:%S')} doses: {path.stem} is trained and asked\n")
    return msgspec.json.decode(path.read_bytes(), type=list[ItemResult])
