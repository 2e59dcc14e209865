"""How often a released set that holds a little of lies is let through: real training, `python -m benchmarks.retrain --only doses`.

Control, a candidate of which a third lies, and a released set are trained with several seeds each. Every pair of seeds
stands for a run of two seeds; pairs share seeds, so they are no independent runs.
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
CONTROL, CANDIDATE = "control", "30 % lies"
LIES = {CONTROL: 0, "10 % lies": 6, CANDIDATE: 19}
"""Rows that lie, of 64."""
OTHER = "other honest rows"
MakeRows = Callable[[int, int], list[Row]]
"""Rows by the seed of their draw and how many of them lie."""


def doses(model: Path, seeds: int, out: Path, make_rows: MakeRows) -> dict[str, Any]:
    """Print, by what was released, how many pairs the scorers let through and how many are held as less firm."""
    items = plan_items(ItemOptions(per_template=1))
    found: dict[str, list[list[ItemResult]]] = {}
    for name in (*LIES, OTHER):
        for seed in range(seeds):
            # Another draw of rows has a seed of its own: it differs by both, as two real sets do.
            rows = make_rows(seed + 1, 0) if name == OTHER else make_rows(0, LIES[name])
            path = out / f"{name.replace(' ', '-').replace('%', 'percent')}-{seed}.json"
            found.setdefault(name, []).append(_kept(path, rows, seed, model, items))
    made: dict[str, Any] = {}
    for name in (CONTROL, OTHER, *(n for n in LIES if n != CONTROL)):
        pairs = [_pair(found, name, pair, items) for pair in _pairs(seeds, name)]
        made[name] = {
            "pairs": len(pairs),
            "let_through": sum(not worse for worse, _ in pairs),
            "less_firm": sum(less for _, less in pairs),
        }
        print(
            f"released {name}: {made[name]['let_through']} of {len(pairs)} pairs of seeds not worse by"
            f" {', '.join(SCORERS)}; {made[name]['less_firm']} less firm than control"
        )
    return made


def _pairs(seeds: int, name: str) -> list[tuple[tuple[int, int], tuple[int, int]]]:
    """Seeds of control and of the released set; for control against itself two pairs without a seed in common."""
    drawn = list(itertools.combinations(range(seeds), 2))
    if name != CONTROL:
        return [(pair, pair) for pair in drawn]
    return [(a, b) for a in drawn for b in drawn if not set(a) & set(b)]


def _pair(
    found: dict[str, list[list[ItemResult]]],
    name: str,
    pair: tuple[tuple[int, int], tuple[int, int]],
    items: Sequence[Scenario],
) -> tuple[bool, bool]:
    """Whether a scorer stops the released set, and whether it is less firm, in a run of two seeds an arm."""
    control, released = pair

    def arm(which: Arm, of: str, seeds: tuple[int, int]) -> Trained:
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
            results = evaluate(arm, items, EvaluationOptions())
        path.parent.mkdir(parents=True, exist_ok=True)
        write_durably(path, msgspec.json.encode(results))
        sys.stderr.write(f"{time.strftime('%H:%M:%S')} doses: {path.stem} is trained and asked\n")
    return msgspec.json.decode(path.read_bytes(), type=list[ItemResult])
