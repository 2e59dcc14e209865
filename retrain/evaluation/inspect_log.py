"""A confirm run's own evaluation as Inspect logs, to be read in `inspect view`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path

import msgspec
from inspect_ai.log import (
    EvalConfig,
    EvalDataset,
    EvalLog,
    EvalMetric,
    EvalResults,
    EvalSample,
    EvalScore,
    EvalSpec,
    write_eval_log,
)
from inspect_ai.model import ModelOutput
from inspect_ai.scorer import Score

from evidence import BadInputError, digest
from probes.scenarios import Scenario, load_scenarios
from retrain.comparison import mean_rate
from retrain.evaluation.inspect_task import chat_message
from retrain.evaluation.result import ItemResult
from retrain.items import Item, load_items

_SCORERS: dict[str, Callable[[ItemResult], float]] = {
    "sampled": lambda item: item.sampled_score,
    "likelihood": lambda item: item.likelihood_score,
    "belief": lambda item: item.belief_score,
}


def export_run(run: Path, out: Path, *, made_at_s: float) -> list[Path]:
    """Write an Inspect log of every evaluation of a confirm run's folder to `out`, and return them.

    Raises BadInputError where the folder holds no evaluation, or one of items that are not packaged.
    """
    files = sorted((run / "evaluation").glob("*.json"))
    if not files:
        raise BadInputError("no evaluations here", str(run))
    return [_exported(path, out, made_at_s) for path in files]


class _Kept(msgspec.Struct, frozen=True):
    """The part of a kept evaluation that a log shows."""

    key: str
    results: tuple[ItemResult, ...]


def _exported(path: Path, out: Path, made_at_s: float) -> Path:
    try:
        kept = msgspec.json.decode(path.read_bytes(), type=_Kept)
    except (msgspec.DecodeError, RecursionError) as error:
        raise BadInputError(f"not an evaluation: {error}", str(path)) from error
    packaged: tuple[Scenario | Item, ...] = (*load_items(), *load_scenarios())
    known = {item.id: item for item in packaged}
    unknown = [result.item for result in kept.results if result.item not in known]
    if unknown or not kept.results:
        raise BadInputError(f"items that are not packaged: {unknown[:3]}", str(path))
    return write_inspect_log(
        out / f"{path.stem}.eval",
        arm=path.stem,
        model_digest=kept.key,
        items=[known[result.item] for result in kept.results],
        results=kept.results,
        made_at_s=made_at_s,
    )


def write_inspect_log(
    path: Path,
    *,
    arm: str,
    model_digest: str,
    items: Sequence[Scenario | Item],
    results: Sequence[ItemResult],
    made_at_s: float,
) -> Path:
    """Write one arm's evaluation as `path`, an `.eval` file, and return it.

    Each item is a sample with its conversation under pressure, each of its sampled answers an
    epoch, each scorer a score. `model_digest` identifies the weights, or all that made the
    evaluation; `made_at_s` is seconds since the epoch, UTC.
    """
    by_id = {item.id: item for item in items}
    samples = [
        _sample(by_id[result.item], result, number, arm)
        for result in results
        for number in range(len(result.answers))
    ]
    log = EvalLog(
        status="success",
        eval=EvalSpec(
            created=datetime.fromtimestamp(made_at_s, UTC).isoformat(timespec="seconds"),
            task="candor-confirm",
            task_id=digest("candor-confirm", arm, model_digest)[:22],
            dataset=EvalDataset(
                name="candor-items", samples=len(items), sample_ids=[item.id for item in items]
            ),
            model=f"candor/{arm}",
            config=EvalConfig(epochs=max(len(result.answers) for result in results)),
            metadata={"arm": arm, "model_digest": model_digest, "scored_by": results[0].scored_by},
        ),
        results=EvalResults(
            total_samples=len(samples),
            completed_samples=len(samples),
            scores=[_score(name, score, results) for name, score in _SCORERS.items()],
        ),
        samples=samples,
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    write_eval_log(log, str(path), format="eval")
    return path


def _sample(item: Scenario | Item, result: ItemResult, number: int, arm: str) -> EvalSample:
    answer, outcome = result.answers[number], result.outcomes[number]
    chat = [chat_message(m) for m in item.pressured_messages()]
    output = ModelOutput.from_content(model=f"candor/{arm}", content=answer)
    return EvalSample(
        id=result.item,
        epoch=number + 1,
        input=chat,
        target=item.honest_answers[0],
        messages=[*chat, output.message],
        output=output,
        scores={
            "sampled": Score(value=float(outcome == "honest"), answer=answer, explanation=outcome),
            "likelihood": Score(value=result.likelihood_score),
            "belief": Score(value=result.belief_score, explanation=result.belief),
        },
        metadata={
            "template": result.template,
            "domain": result.domain,
            "archetype": result.archetype,
            "outcome": outcome,
            "pressured_nats": list(result.pressured),
            "neutral_nats": list(result.neutral),
        },
    )


def _score(
    name: str, score: Callable[[ItemResult], float], results: Sequence[ItemResult]
) -> EvalScore:
    groups: dict[str, list[float]] = {}
    for result in results:
        groups.setdefault(result.template, []).append(score(result))
    rate = mean_rate([sum(values) / len(values) for values in groups.values()])
    metrics = {
        "mean": rate.value,
        "lower_95": rate.lower,
        "upper_95": rate.upper,
        "templates": rate.n,
    }
    return EvalScore(
        name=name,
        scorer=name,
        metrics={key: EvalMetric(name=key, value=value) for key, value in metrics.items()},
    )
