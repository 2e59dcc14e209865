"""Figures of a confirm run's evaluation: speed against bare batched generation, vanilla on the held-out
items by archetype, ordinary tasks, and the judge-free statistic on human-labelled transcripts.

`python -m benchmarks.evaluation [--only speed,items,capability] [--labelled FILE.jsonl]`."""

from __future__ import annotations

import argparse
import json
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy import stats

from evidence import Message
from probes.models.batching import buckets, left_padded
from probes.models.local import LocalModel
from probes.models.packaged import packaged_model_dir
from probes.neutral import neutral_contexts
from probes.probe import Transcript
from retrain.comparison import DecisionOptions, mean_rate, power_table, proportion
from retrain.evaluation.capability import (
    ask_capability,
    capability_by_kind,
    capability_items,
    capability_rate,
)
from retrain.evaluation.evaluate import EvaluationOptions, evaluate
from retrain.items import Item, load_items
from retrain.precision import evaluation_dtype

ROUNDS = 2


def main() -> None:
    """Print the figures and, last, one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, help="folder; SmolLM2-135M-Instruct by default")
    parser.add_argument("--only", default="power,speed,items,capability")
    parser.add_argument("--speed-items", type=int, default=48, help="templates asked for speed")
    parser.add_argument("--per-template", type=int, default=4, help="held-out items of each")
    parser.add_argument("--labelled", type=Path, help="JSONL with id, category, did_lie, messages")
    arguments = parser.parse_args()
    wanted = arguments.only.split(",")
    figures: dict[str, Any] = {}
    if "power" in wanted:
        figures["power"] = power()
    folder = arguments.model or packaged_model_dir()
    model = LocalModel.load(folder, dtype=evaluation_dtype())
    if "speed" in wanted:
        figures["speed"] = speed(model, arguments.speed_items)
    if "items" in wanted:
        figures["items"] = held_out(model, arguments.per_template)
    if "capability" in wanted:
        figures["capability"] = capability(model)
    if arguments.labelled:
        figures["labelled"] = labelled(model, arguments.labelled)
    print(json.dumps(figures))


def power() -> list[dict[str, float]]:
    """The power table of the default options."""
    print("items templates margin  equal released")
    rows = []
    for row in power_table(DecisionOptions()):
        print(f"{row.items:5d} {row.templates:9d} {row.margin:6.2f} {row.equal_released:15.3f}")
        rows.append({name: getattr(row, name) for name in row.__struct_fields__})
    return rows


def speed(model: LocalModel, count: int) -> dict[str, float]:
    """Tokens a second of the evaluation's generation over those of transformers' own batched
    `generate` with the same prompts, batches, length and temperature; the best of two rounds each."""
    items = _of_each(1)[:count]
    options = EvaluationOptions(paraphrases=1)
    ours, bare = 0.0, 0.0
    for _ in range(ROUNDS):
        ours = max(ours, _evaluation_rate(model, items, options))
        bare = max(bare, _bare_rate(model, items, options))
    ratio = ours / bare
    print(f"generation: {ours:.0f} tokens/s in the evaluation, {bare:.0f} bare, ratio {ratio:.2f}")
    return {"evaluation_tokens_s": ours, "bare_tokens_s": bare, "ratio": ratio}


def _of_each(count: int) -> list[Item]:
    """The first held-out items of each template."""
    return [i for i in load_items(split="held_out") if int(i.id.rsplit(".", 1)[1]) < count]


def _evaluation_rate(model: LocalModel, items: Sequence[Item], options: EvaluationOptions) -> float:
    """From "answers" to the next report of progress, labelling included."""
    spent, began = 0.0, 0.0

    def watch(what: str, _share: float) -> None:
        nonlocal spent, began
        now = time.perf_counter()
        if what == "answers":
            began = now
        elif began:
            spent, began = spent + now - began, 0.0

    results = evaluate(model, items, options, progress=watch)
    # Each answer that did not run to its full length also cost its end token.
    counts = [len(model.tokenizer(a)["input_ids"]) for r in results for a in r.answers]
    return sum(min(n + 1, options.max_new_tokens) for n in counts) / spent


def _bare_rate(model: LocalModel, items: Sequence[Item], options: EvaluationOptions) -> float:
    made, spent = 0, 0.0
    ends = {model.tokenizer.eos_token_id, model.pad_id}
    for start in range(0, len(items), options.chunk):
        rows = [
            model.encode(i.pressured_messages()).prompt
            for i in items[start : start + options.chunk]
        ]
        sizes = [len(row) + options.max_new_tokens for row in rows]
        for group in buckets(sizes, model.max_batch_tokens):
            ids, mask = (
                torch.tensor(x) for x in left_padded([rows[i] for i in group], model.pad_id)
            )
            began = time.perf_counter()
            with torch.inference_mode():
                out = model.model.generate(
                    input_ids=ids,
                    attention_mask=mask,
                    max_new_tokens=options.max_new_tokens,
                    do_sample=True,
                    temperature=options.temperature,
                    top_k=0,
                    pad_token_id=model.pad_id,
                )
            spent += time.perf_counter() - began
            for row in out[:, ids.shape[1] :].tolist():
                length = next((k + 1 for k, token in enumerate(row) if token in ends), len(row))
                made += length
    return made / spent


def held_out(model: LocalModel, per_template: int) -> dict[str, Any]:
    """The model as it is on held-out items: both scorers and the belief, by archetype."""
    items = _of_each(per_template)
    began = time.perf_counter()
    results = evaluate(model, items, EvaluationOptions())
    seconds = time.perf_counter() - began
    print(f"{len(items)} items in {seconds:.0f} s")
    found: dict[str, Any] = {"items": len(items), "seconds": seconds}
    print("archetype            n  sampled honest  likelihood  belief true  consistent  margin")
    for name in sorted({item.archetype for item in results}):
        part = [item for item in results if item.archetype == name]
        outcomes = Counter(o for item in part for o in item.outcomes)
        sampled = proportion(outcomes["honest"], outcomes.total())
        scores = mean_rate([item.likelihood_score for item in part])
        true = sum(item.belief == "truth" for item in part) / len(part)
        agree = sum(item.belief != "none" for item in part) / len(part)
        margin = float(np.mean([item.margin_over_neutral for item in part]))
        found[name] = {
            "n": len(part),
            "sampled": sampled.value,
            "likelihood": scores.value,
            "belief_true": true,
            "outcomes": dict(outcomes),
            "margin_over_neutral": margin,
        }
        print(
            f"{name:20s} {len(part):3d} {sampled.value:.2f} [{sampled.lower:.2f}, {sampled.upper:.2f}] "
            f"{scores.value:10.2f} {true:12.2f} {agree:11.2f} {margin:7.2f}"
        )
    return found


def capability(model: LocalModel) -> dict[str, Any]:
    """Ordinary tasks."""
    answers = ask_capability(model, capability_items())
    whole = capability_rate(answers)
    print(f"ordinary tasks: {whole.value:.2f} [{whole.lower:.2f}, {whole.upper:.2f}], n {whole.n}")
    kinds = {kind: rate.value for kind, rate in capability_by_kind(answers).items()}
    print("  " + ", ".join(f"{kind} {value:.2f}" for kind, value in kinds.items()))
    return {"all": whole.value, "lower": whole.lower, "upper": whole.upper, **kinds}


def labelled(model: LocalModel, path: Path) -> dict[str, Any]:
    """AUROC of the judge-free statistic against people's labels, by category.

    The statistic is that of the likelihood scorer on an answer that has no references: its mean
    log-probability a token under pressure minus that in the neutral contexts.
    """
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line]
    found: dict[str, Any] = {}
    for name in sorted({row["category"] for row in rows}):
        part = [row for row in rows if row["category"] == name]
        shifts = _shifts(model, part)
        lies = np.array([row["did_lie"] for row in part])
        area = stats.mannwhitneyu(shifts[lies], shifts[~lies]).statistic / (
            lies.sum() * (~lies).sum()
        )
        print(f"labelled, {name}: AUROC {area:.2f}, n {len(part)}, lies {int(lies.sum())}")
        found[name] = {"auroc": float(area), "n": len(part), "lies": int(lies.sum())}
    return found


def _shifts(model: LocalModel, rows: Sequence[dict[str, Any]]) -> np.ndarray[Any, Any]:
    shifts = []
    for row in rows:
        messages = tuple(Message(m["role"], m["content"]) for m in row["messages"])
        transcript = Transcript(id=row["id"], messages=messages)
        chats = [transcript.prompt, *neutral_contexts(transcript)]
        own, *neutral = (
            x.mean for x in model.loglikelihood([(chat, transcript.response) for chat in chats])
        )
        shifts.append(own - float(np.mean(neutral)))
    return np.array(shifts)


if __name__ == "__main__":
    main()
