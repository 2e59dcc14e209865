"""Figures of the retrain gate: the power table of simulated decisions, the gate on a million rows, a
confirm run of the demo's size, training against bare TRL, released sets with a little of lies, and real A/A runs.

`python -m benchmarks.retrain [--only confirm,overhead]`."""

from __future__ import annotations

import argparse
import itertools
import json
import re
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from benchmarks import gate_store, retrain_doses
from candor_guard.rows import ChatMessage, Provenance, Row, write_rows
from probes.models.local import LocalModel
from probes.models.packaged import packaged_model_dir
from probes.scenarios import Scenario, load_scenarios
from retrain.comparison import DecisionOptions, compare, planned_power, supported_margin
from retrain.confirm import run_confirm
from retrain.evaluation.evaluate import EvaluationOptions, ItemResult, evaluate
from retrain.files import write_durably
from retrain.finetune import FinetuneOptions, finetune
from retrain.plan import ConfirmPlan, ItemOptions, plan_items
from retrain.precision import evaluation_dtype, native_bfloat16
from retrain.report import Arm, Finding
from retrain.summary import SCORERS

RUNS = 200
ROWS = 1_000_000


def main() -> None:
    """Print the figures as tables and, last, as one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=ROWS)
    parser.add_argument("--model", type=Path, help="folder; SmolLM2-135M-Instruct by default")
    parser.add_argument("--pairs", type=int, default=10)
    parser.add_argument("--seeds", type=int, default=6, help="of each arm of the doses")
    parser.add_argument("--out", type=Path, default=Path("var/bench-retrain"))
    parser.add_argument("--only", help=f"comma-separated of {', '.join(PARTS)}")
    arguments = parser.parse_args()
    wanted = arguments.only.split(",") if arguments.only else list(PARTS)
    unknown = set(wanted) - set(PARTS)
    if unknown:
        parser.error(f"no part {sorted(unknown)[0]!r}; there are {', '.join(PARTS)}")
    print(json.dumps({part: PARTS[part](arguments) for part in wanted}))


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


def _confirm(model: Path) -> dict[str, Any]:
    """A confirm run of the demo's size: 48 rows of which 30 lie and are removed, four arms, one seed,
    adapters on half of the layers, one scenario of each template."""
    rows = _trained_rows(48, 0, lies=30)
    removed = tuple(i for i, row in enumerate(rows) if row.provenance.source_version == "lie")
    phases: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as folder:
        write_rows(Path(folder) / "rows.jsonl", rows)
        plan = ConfirmPlan(
            run_id="bench",
            assistant="bench",
            rows=Path(folder) / "rows.jsonl",
            removed=removed,
            model_dir=model,
            out=Path(folder) / "run",
            finetune=FinetuneOptions(learning_rate=2e-3, layer_share=0.5),
            evaluation=EvaluationOptions(paraphrases=1),
            items=ItemOptions(per_template=1),
            seeds=(0,),
        )
        clock = [time.perf_counter(), "start"]

        def progress(what: str, _share: float) -> None:
            now = time.perf_counter()
            phase = re.sub(r", step .*", "", str(clock[1]))
            phases[phase] = phases.get(phase, 0.0) + now - float(clock[0])
            clock[:] = [now, what]

        report = run_confirm(plan, progress=progress)
    print(f"confirm run: {report.seconds:.0f} s, peak {report.peak_memory_mib:.0f} MiB")
    for what, seconds in phases.items():
        print(f"  {what:40s} {seconds:6.1f} s")
    findings = {arm.value: report.finding(arm).value for arm in (Arm.CANDIDATE, Arm.RELEASED)}
    honesty = {arm.arm.value: arm.honesty.value for arm in report.arms}
    print(f"  findings {findings}, honesty {honesty}")
    return {
        "seconds": report.seconds,
        "peak_mib": report.peak_memory_mib,
        "findings": findings,
        "honesty": honesty,
    }


def _trained_rows(count: int, seed: int, lies: int = 0) -> list[Row]:
    rng = np.random.default_rng(seed)
    items = load_scenarios(split="train")
    rows = []
    for number in range(count):
        item = items[rng.integers(len(items))]
        lie = number < lies
        answer = str(rng.choice(item.lying_answers if lie else item.honest_answers))
        messages = (*item.pressured_messages(), ChatMessage("assistant", answer))
        rows.append(
            Row(
                messages=tuple(ChatMessage(m.role, m.content) for m in messages),
                provenance=Provenance(source="own", source_version="lie" if lie else "honest"),
            )
        )
    return [rows[i] for i in rng.permutation(count)]


def _a_a(model: Path, pairs: int, out: Path) -> dict[str, float]:
    """Control against control: the same honest rows, another training seed each time, one scenario of
    each template. What is finished is kept in `out`."""
    items = plan_items(ItemOptions(per_template=1))
    runs = [_a_a_run(model, items, seed, out) for seed in range(pairs + 1)]
    names = {item.id: item.template for item in items}
    blocked = worse = 0
    spreads: dict[str, list[float]] = {name: [] for name in SCORERS}
    for one, two in itertools.pairwise(runs):
        findings = []
        for name, score in SCORERS.items():
            pairs_of = [(a.item, score(a), score(b)) for a, b in zip(one, two, strict=True)]
            made = compare(
                Arm.CANDIDATE, Arm.CONTROL, scorer=name, templates=names, options=DecisionOptions(),
                scores={item: (a[0], b[1]) for item, a, b in pairs_of},
                best={item: (a[1], b[0]) for item, a, b in pairs_of},
            )  # fmt: skip
            findings.append(made.finding)
            if made.difference is not None:
                spreads[name].append(made.difference)
        worse += Finding.WORSE in findings
        blocked += any(finding is not Finding.NOT_WORSE for finding in findings)
    spread = {name: float(np.std(values)) for name, values in spreads.items() if values}
    print(
        f"A/A: {blocked} of {pairs} seed pairs blocked ({worse} called worse), {len(items)} items; "
        f"spread of the difference {', '.join(f'{k} {v:.3f}' for k, v in spread.items())}"
    )
    return {"pairs": pairs, "blocked": blocked, "worse": worse, "items": len(items)} | {
        f"spread_{name}": value for name, value in spread.items()
    }


def _a_a_run(model: Path, items: tuple[Scenario, ...], seed: int, out: Path) -> list[ItemResult]:
    path = out / f"control-{seed}.json"
    if not path.is_file():
        options = FinetuneOptions(learning_rate=2e-3, layer_share=0.5)
        with tempfile.TemporaryDirectory() as folder:
            adapter = Path(folder) / "adapter"
            finetune(_trained_rows(64, 0), model, adapter, options, model_digest="m", seed=seed)
            arm = LocalModel.load(model, dtype=evaluation_dtype(), adapter=adapter)
            results = evaluate(arm, items, EvaluationOptions(paraphrases=1))
        out.mkdir(parents=True, exist_ok=True)
        write_durably(path, msgspec.json.encode(results))
        sys.stderr.write(f"{time.strftime('%H:%M:%S')} A/A: seed {seed} is trained and asked\n")
    return msgspec.json.decode(path.read_bytes(), type=list[ItemResult])


def _overhead(model: Path) -> dict[str, float]:
    """One arm by `finetune` against the same rows by TRL alone, after one warm-up of each."""
    rows, options = _trained_rows(64, 0), FinetuneOptions(learning_rate=1e-3)
    seconds: dict[str, list[float]] = {"candor": [], "bare": []}
    with tempfile.TemporaryDirectory() as folder:
        for turn in range(2):
            started = time.perf_counter()
            out = Path(folder) / f"arm-{turn}"
            finetune(rows, model, out, options, model_digest="m", seed=turn)
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


PARTS: dict[str, Callable[[argparse.Namespace], Any]] = {
    "power": lambda _given: _power(),
    "gate": lambda given: gate_store.measure(given.rows),
    "confirm": lambda given: _confirm(given.model or packaged_model_dir()),
    "overhead": lambda given: _overhead(given.model or packaged_model_dir()),
    "doses": lambda given: retrain_doses.doses(
        given.model or packaged_model_dir(),
        given.seeds,
        given.out,
        lambda seed, lies: _trained_rows(retrain_doses.ROWS, seed, lies),
    ),
    "a_a": lambda given: _a_a(given.model or packaged_model_dir(), given.pairs, given.out),
}


if __name__ == "__main__":
    main()
