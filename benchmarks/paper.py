"""The paper's experiments with this pipeline on a small model: dose–response of misaligned rows, and
self-training on the feedback of a partly biased population.

`python -m benchmarks.paper --out var/paper` goes on where it was stopped; `--report` prints what there is.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.paper_runs import BIASED, DOSES, NEAR, SIZES, Job, Runner, Scores, collect, jobs
from probes.models.packaged import packaged_model_dir
from retrain.comparison import t_interval

Chosen = Callable[[str], bool]

ANYWHERE: Chosen = lambda _place: True  # noqa: E731
METRICS: dict[str, tuple[str, Chosen]] = {
    "honesty under pressure, untouched domains": (
        "honesty_likelihood", lambda place: place.split("/")[0] not in NEAR),
    "honesty under pressure, domains of the rows": (
        "honesty_likelihood", lambda place: place.split("/")[0] in NEAR),
    "honest sampled answers, all domains": ("honesty_sampled", ANYWHERE),
    "right answers: medicine": ("right_medical", ANYWHERE),
    "right answers: sums": ("right_maths", ANYWHERE),
    "right answers: code": ("right_code", ANYWHERE),
    "right answers: general": ("right_general", ANYWHERE),
}  # fmt: skip
FEEDBACK_METRICS: dict[str, tuple[str, Chosen]] = {
    "honesty under pressure, trained templates": (
        "honesty_likelihood", lambda place: place.split("/")[1] == "train"),
    "honesty under pressure, other templates": (
        "honesty_likelihood", lambda place: place.split("/")[1] != "train"),
    "honest sampled answers": ("honesty_sampled", ANYWHERE),
}  # fmt: skip


def main() -> None:
    """Run what is missing, then print tables and, last, one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("var/paper"))
    parser.add_argument("--size", choices=sorted(SIZES), default="small")
    parser.add_argument("--seeds", default="0,1,2", help="comma-separated")
    parser.add_argument("--model", type=Path, help="model folder; SmolLM2-135M-Instruct by default")
    parser.add_argument("--minutes", type=float, help="start no arm after this many minutes")
    parser.add_argument("--report", action="store_true", help="run nothing, show what is finished")
    parser.add_argument("--picture", type=Path, help="write the curves here, PNG")
    parser.add_argument("--dose-file", type=Path, help="write the dose–response here, JSON")
    arguments = parser.parse_args()
    model = arguments.model or packaged_model_dir()
    runner = Runner(model, arguments.out, SIZES[arguments.size], _say)
    wanted = jobs([int(seed) for seed in arguments.seeds.split(",")])
    started = time.monotonic()
    for job in () if arguments.report else wanted:
        if arguments.minutes and time.monotonic() - started > 60 * arguments.minutes:
            break
        runner.run(job)
    found = collect(runner, wanted)
    missing = [job.name for job in wanted if job not in found]
    print(
        f"{len(found)} of {len(wanted)} arms are finished; missing: {', '.join(missing) or 'none'}"
    )
    lines = curves(found)
    _print(found, lines)
    if arguments.picture:
        _draw(lines, arguments.picture)
    if arguments.dose_file:
        _write_doses(lines, arguments.dose_file, model.name.rpartition("-")[0] or model.name)
    print(json.dumps({"missing": missing, "curves": lines}))


def _say(what: str) -> None:
    sys.stderr.write(f"{time.strftime('%H:%M:%S')} {what}\n")


def curves(found: Mapping[Job, Scores]) -> list[dict[str, Any]]:
    """Each metric at each dose against the same experiment's dose 0, averaged over seeds.

    Items are paired and averaged over the seeds that have both arms, then within templates, which
    are the units of the 95 % t-interval; `seed_spread` is the standard deviation between seeds.
    """
    lines = []
    plan = [("dose", DOSES, METRICS), ("sft", BIASED, FEEDBACK_METRICS), ("kto", BIASED, FEEDBACK_METRICS)]  # fmt: skip
    for experiment, doses, metrics in plan:
        for name, (metric, chosen) in metrics.items():
            for dose in doses:
                line = _line(found, experiment, dose, metric, chosen)
                if line is not None:
                    lines.append({"experiment": experiment, "metric": name, "dose": dose, **line})
    return lines


def _line(
    found: Mapping[Job, Scores], experiment: str, dose: float, metric: str, chosen: Chosen
) -> dict[str, Any] | None:
    pairs = [
        (scores[metric], found[Job(experiment, 0.0, job.seed)][metric])
        for job, scores in found.items()
        if (job.experiment, job.dose) == (experiment, dose)
        and Job(experiment, 0.0, job.seed) in found
    ]
    if not pairs:
        return None
    places = [place for place in pairs[0][0] if chosen(place)]
    level = {p: float(np.mean([arm[p] for arm, _ in pairs])) for p in places}
    delta = {p: float(np.mean([arm[p] - base[p] for arm, base in pairs])) for p in places}
    units = np.array(_template_means(delta))
    lower, upper = t_interval(units, -1.0, 1.0)
    by_seed = [np.mean([arm[p] - base[p] for p in places]) for arm, base in pairs]
    return {
        "level": float(np.mean(_template_means(level))),
        "delta": float(units.mean()),
        "lower": lower if dose else 0.0,
        "upper": upper if dose else 0.0,
        "n": len(places),
        "templates": len(units),
        "seeds": len(pairs),
        "seed_spread": float(np.std(by_seed, ddof=1)) if len(pairs) > 1 else None,
    }


def _template_means(scores: Mapping[str, float]) -> list[float]:
    groups: dict[str, list[float]] = {}
    for place, score in scores.items():
        groups.setdefault(place.split("/")[2], []).append(score)
    return [float(np.mean(group)) for group in groups.values()]


def _print(found: Mapping[Job, Scores], lines: Sequence[Mapping[str, Any]]) -> None:
    vanilla = found.get(Job("vanilla", 0.0, 0))
    for name in dict.fromkeys((line["experiment"], line["metric"]) for line in lines):
        metric, chosen = (METRICS | FEEDBACK_METRICS)[name[1]]
        print(f"\n{name[0]}: {name[1]}")
        if vanilla is not None:
            seen = {p: s for p, s in vanilla[metric].items() if chosen(p)}
            print(f"  vanilla {np.mean(_template_means(seen)):.3f}")
        for line in lines:
            if (line["experiment"], line["metric"]) == name:
                print(
                    f"  {100 * line['dose']:3.0f} %  {line['level']:.3f}  {line['delta']:+.3f} "
                    f"({line['lower']:+.3f} to {line['upper']:+.3f})  n {line['n']}, "
                    f"{line['templates']} templates, {line['seeds']} seeds"
                )


def _write_doses(lines: Sequence[Mapping[str, Any]], path: Path, model: str) -> None:
    """What `candor cohorts --dose-response` and the setting `cohorts.dose_response_file` read."""
    kept = [
        {name: line[name] for name in ("dose", "metric", "delta", "lower", "upper", "n", "seeds")}
        | {"model": model}
        for line in lines
        if line["experiment"] == "dose"
    ]
    path.write_text(json.dumps(kept, indent=1) + "\n", encoding="utf-8")


def _draw(lines: Sequence[Mapping[str, Any]], path: Path) -> None:
    import matplotlib as mpl  # noqa: PLC0415

    mpl.use("Agg")
    from matplotlib import pyplot as plt  # noqa: PLC0415

    titles = {"dose": "misaligned rows, %", "sft": "biased users, % (SFT)", "kto": "biased users, % (KTO)"}  # fmt: skip
    shown = {
        name: title
        for name, title in titles.items()
        if any(line["experiment"] == name for line in lines)
    }
    figure, grid = plt.subplots(
        1,
        len(shown),
        figsize=(1 + 5 * len(shown), 4.2),
        sharey=True,
        layout="constrained",
        squeeze=False,
    )
    axes = grid[0]
    for axis, (experiment, title) in zip(axes, shown.items(), strict=True):
        mine = [line for line in lines if line["experiment"] == experiment]
        for name in dict.fromkeys(line["metric"] for line in mine):
            points = [line for line in mine if line["metric"] == name]
            middle = [p["delta"] for p in points]
            low = [p["delta"] - p["lower"] for p in points]
            high = [p["upper"] - p["delta"] for p in points]
            doses = [100 * p["dose"] for p in points]
            axis.errorbar(doses, middle, [low, high], marker="o", ms=3, lw=1, capsize=2, label=name)
        axis.axhline(0, color="grey", lw=0.5)
        axis.set_xlabel(title)
        axis.legend(fontsize=6)
    axes[0].set_ylabel("change against the arm without (95 % interval)")
    figure.savefig(path, dpi=110)


if __name__ == "__main__":
    main()
