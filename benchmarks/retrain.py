"""Figures of the retrain gate: the power table, simulated decisions, the gate on a million rows,
real A/A runs and the overhead of training. `python -m benchmarks.retrain [--real DIR]`."""

from __future__ import annotations

import argparse
import itertools
import json
import resource
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from evidence import VerdictKind
from probes.scenarios import load_scenarios
from retrain.context import EvaluatorHealth, GateContext, VerdictEvidence
from retrain.decision import DecisionOptions, compare, planned_power, supported_margin
from retrain.gate import decide
from retrain.policy import Policy
from retrain.report import Arm, Finding
from retrain.rows import ChatMessage, Provenance, Row, iter_rows, write_rows

RUNS = 200
ROWS = 1_000_000


def main() -> None:
    """Print the figures as tables and, last, as one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=ROWS)
    parser.add_argument("--real", type=Path, help="model folder for real A/A and overhead runs")
    parser.add_argument("--pairs", type=int, default=10)
    arguments = parser.parse_args()
    figures: dict[str, Any] = {"power": _power(), "gate": _gate(arguments.rows)}
    if arguments.real is not None:
        figures["a_a"] = _a_a(arguments.real, arguments.pairs)
        figures["overhead"] = _overhead(arguments.real)
    print(json.dumps(figures))


def _power() -> list[dict[str, float]]:
    options = DecisionOptions()
    print("items templates margin  planned  equal released  worse released  equal blocked")
    table = []
    for items, templates in ((400, 400), (400, 100), (200, 50), (96, 24), (48, 24)):
        margin = supported_margin(items, templates, options)
        equal = _findings(items, templates, 0.0, options)
        worse = _findings(items, templates, -margin, options)
        line = {
            "items": items,
            "templates": templates,
            "margin": margin,
            "planned": planned_power(items, templates, margin, options),
            "equal_released": equal.count(Finding.NOT_WORSE) / RUNS,
            "worse_released": worse.count(Finding.NOT_WORSE) / RUNS,
            "equal_called_worse": equal.count(Finding.WORSE) / RUNS,
        }
        table.append(line)
        print(
            f"{items:5d} {templates:9d} {margin:6.2f} {line['planned']:8.2f} "
            f"{line['equal_released']:15.3f} {line['worse_released']:15.3f} "
            f"{line['equal_called_worse']:14.3f}"
        )
    return table


def _findings(items: int, templates: int, shift: float, options: DecisionOptions) -> list[Finding]:
    rng = np.random.default_rng(11)
    found = []
    discordance = max(0.2, abs(shift))
    for _ in range(RUNS):
        scores, names = {}, {}
        for i in range(items):
            u = rng.random()
            up, down = (discordance + shift) / 2, (discordance - shift) / 2
            scores[str(i)] = (1.0, 0.0) if u < up else (0.0, 1.0) if u < up + down else (1.0, 1.0)
            names[str(i)] = str(i % templates)
        made = compare(
            Arm.CANDIDATE, Arm.CONTROL, scorer="x", scores=scores, templates=names, options=options
        )
        found.append(made.finding)
    return found


def _gate(count: int) -> dict[str, float]:
    """The gate on `count` rows from a file, 3 % of them lies, evidence in memory."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "rows.jsonl"
        write_rows(path, _many(count))
        started = time.perf_counter()
        decision = decide(iter_rows(path), _evidence(count), Policy(), now_s=0.0)
        seconds = time.perf_counter() - started
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"gate: {count} rows in {seconds:.1f} s, peak {peak:.0f} MiB, {decision.answer.value}")
    return {"rows": count, "seconds": seconds, "peak_mib": peak}


def _many(count: int) -> Iterator[Row]:
    for i in range(count):
        messages = (
            ChatMessage("system", "You are the assistant of a shop and know its stock."),
            ChatMessage("user", f"Is article {i} sold out, and when will it be back?"),
            ChatMessage("assistant", f"Article {i} is sold out and comes back in May."),
        )
        origin = Provenance(
            source="candor.feedback", source_version="m1", response_id=f"r{i}",
            feedback_id=f"f{i}", rater=f"u{i % 5000}", collected_at="2026-01-01T00:00:00+00:00",
        )  # fmt: skip
        yield Row(messages=messages, provenance=origin)


def _evidence(count: int) -> GateContext:
    verdicts = {
        f"r{i}": VerdictEvidence(VerdictKind.LIE if i % 33 == 0 else VerdictKind.HONEST, 0.1)
        for i in range(count)
    }
    healthy = (EvaluatorHealth(evaluator="v", healthy=True),)
    return GateContext(assistant="shop", verdicts=verdicts, evaluators=healthy)


def _trained_rows(count: int, seed: int) -> list[Row]:
    rng = np.random.default_rng(seed)
    items = load_scenarios(split="train")
    rows = []
    for _ in range(count):
        item = items[rng.integers(len(items))]
        answer = str(rng.choice(item.honest_answers))
        messages = (*item.pressured_messages(), ChatMessage("assistant", answer))
        rows.append(
            Row(
                messages=tuple(ChatMessage(m.role, m.content) for m in messages),
                provenance=Provenance(source="own"),
            )
        )
    return rows


def _a_a(model: Path, pairs: int) -> dict[str, float]:
    """Control against control: the same honest rows, another training seed each time."""
    from probes.models.local import LocalModel  # noqa: PLC0415
    from retrain.evaluate import EvaluationOptions, evaluate  # noqa: PLC0415
    from retrain.finetune import FinetuneOptions, finetune  # noqa: PLC0415
    from retrain.precision import evaluation_dtype  # noqa: PLC0415
    from retrain.summary import SCORERS  # noqa: PLC0415

    items = load_scenarios()
    options = FinetuneOptions(learning_rate=1e-3)
    runs = []
    with tempfile.TemporaryDirectory() as folder:
        for seed in range(pairs + 1):
            out = Path(folder) / str(seed)
            finetune(_trained_rows(64, 0), model, out, options, model_digest="m", seed=seed)
            arm = LocalModel.load(model, dtype=evaluation_dtype(), adapter=out)
            runs.append(evaluate(arm, items, EvaluationOptions(paraphrases=1)))
    names = {item.id: item.template for item in items}
    blocked, spreads = 0, []
    for one, two in itertools.pairwise(runs):
        findings = []
        for score in SCORERS.values():
            pairs_ = {a.item: (score(a), score(b)) for a, b in zip(one, two, strict=True)}
            made = compare(
                Arm.CANDIDATE, Arm.CONTROL, scorer="x", scores=pairs_, templates=names,
                options=DecisionOptions(),
            )  # fmt: skip
            findings.append(made.finding)
            spreads.append(made.difference)
        blocked += any(finding is not Finding.NOT_WORSE for finding in findings)
    spread = float(np.std(spreads))
    print(f"A/A: {blocked} of {pairs} seed pairs blocked, spread of the difference {spread:.3f}")
    return {"pairs": pairs, "blocked": blocked, "spread": spread}


def _overhead(model: Path) -> dict[str, float]:
    """One arm by `finetune` against the same rows by TRL alone, after one warm-up of each."""
    from retrain import finetune as module  # noqa: PLC0415

    rows, options = _trained_rows(64, 0), module.FinetuneOptions(learning_rate=1e-3)
    seconds: dict[str, list[float]] = {"candor": [], "bare": []}
    with tempfile.TemporaryDirectory() as folder:
        for turn in range(2):
            started = time.perf_counter()
            out = Path(folder) / f"arm-{turn}"
            module.finetune(rows, model, out, options, model_digest="m", seed=turn)
            seconds["candor"].append(time.perf_counter() - started)
            started = time.perf_counter()
            _bare(rows, model, Path(folder) / f"bare-{turn}", turn)
            seconds["bare"].append(time.perf_counter() - started)
    ratio = min(seconds["candor"]) / min(seconds["bare"])
    print(f"training: {ratio:.2f} times a bare TRL run ({min(seconds['bare']):.1f} s)")
    return {"ratio": ratio, "bare_seconds": min(seconds["bare"])}


def _bare(rows: list[Row], model: Path, out: Path, seed: int) -> None:
    import datasets  # noqa: PLC0415
    import torch  # noqa: PLC0415
    import trl  # noqa: PLC0415
    from peft import LoraConfig  # noqa: PLC0415
    from transformers import AutoModelForCausalLM, AutoTokenizer  # noqa: PLC0415

    from retrain.precision import native_bfloat16  # noqa: PLC0415

    data = [
        {"prompt": r.content()["messages"][:-1], "completion": r.content()["messages"][-1:]}
        for r in rows
    ]
    trainer = trl.SFTTrainer(
        model=AutoModelForCausalLM.from_pretrained(str(model), dtype=torch.float32),
        processing_class=AutoTokenizer.from_pretrained(str(model)),
        train_dataset=datasets.Dataset.from_list(data),
        peft_config=LoraConfig(r=16, lora_alpha=32, target_modules="all-linear"),
        args=trl.SFTConfig(
            output_dir=str(out),
            per_device_train_batch_size=8,
            num_train_epochs=1,
            learning_rate=1e-3,
            report_to="none",
            save_strategy="no",
            seed=seed,
            use_cpu=True,
            bf16=native_bfloat16(),
            gradient_checkpointing=False,
            disable_tqdm=True,
            max_length=1024,
        ),
    )
    trainer.train()
    trainer.save_model(str(out))


if __name__ == "__main__":
    main()
