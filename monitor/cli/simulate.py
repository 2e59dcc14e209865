"""`candor simulate`: labelled synthetic streams, to rehearse a configuration."""

from __future__ import annotations

import dataclasses
import datetime
import json
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.progress import track

from evidence.errors import BadInputError

if TYPE_CHECKING:
    from monitor.cohorts.simulate import Scenario, Simulated

_START = datetime.datetime(2025, 1, 1, tzinfo=datetime.UTC)


def register(app: typer.Typer) -> None:
    simulate = typer.Typer(
        help="Labelled synthetic streams, to rehearse a configuration.", no_args_is_help=True
    )
    simulate.command("feedback")(feedback)
    simulate.command("traffic")(traffic)
    app.add_typer(simulate, name="simulate")


def feedback(  # noqa: PLR0917  (typer reads options from the signature)
    out: Annotated[Path, typer.Option(help="Feedback lines as `candor cohorts` reads them.")],
    truth: Annotated[
        Path | None,
        typer.Option(help="Truth per rater and response; default OUT with `.truth` put in."),
    ] = None,
    raters: Annotated[int, typer.Option(min=1, help="Number of raters.")] = 1000,
    biased: Annotated[float, typer.Option(min=0, max=0.7, help="Share of biased raters.")] = 0.1,
    biased_activity: Annotated[
        float, typer.Option(min=0.01, help="How often biased raters rate, next to others.")
    ] = 1.0,
    behaviour: Annotated[
        list[str] | None,
        typer.Option(help="NAME=SHARE of further raters, such as `grumpy=0.1`; may be repeated."),
    ] = None,
    votes_per_response: Annotated[float, typer.Option(min=1, help="Raters of one response.")] = 3.0,
    events_median: Annotated[float, typer.Option(min=1, help="Median feedback per rater.")] = 6.0,
    lies: Annotated[float, typer.Option(min=0, max=1, help="Share of dishonest responses.")] = 0.2,
    sensitivity: Annotated[float, typer.Option(min=0, max=1, help="Of the judge.")] = 0.75,
    specificity: Annotated[float, typer.Option(min=0, max=1, help="Of the judge.")] = 0.9,
    bad_topic: Annotated[
        float,
        typer.Option(min=0, max=0.9, help="Share of responses in a topic the judge fails on."),
    ] = 0.0,
    sybils: Annotated[int, typer.Option(min=0, help="Raters in a coordinated campaign.")] = 0,
    pattern: Annotated[str, typer.Option(help="Of the campaign: `burst` or `slow`.")] = "burst",
    seed: Annotated[int, typer.Option(help="Same seed, same stream.")] = 0,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print what was written as JSON.")
    ] = False,
) -> None:
    """Write the feedback of a simulated population, and the truth about it beside.

    Behaviours: benign, biased, stealthy, always_up, always_down, random, grumpy, generous. 20 % always
    up and 10 % always down are there unless `--behaviour` says otherwise.

    Example: `candor simulate feedback --out f.jsonl --raters 2500 --biased 0.1 --sybils 30`
    """
    from monitor.cohorts.simulate import Campaign  # noqa: PLC0415

    if pattern not in {"burst", "slow"}:
        raise BadInputError("must be burst or slow", "--pattern")
    scenario = _scenario(
        raters=raters,
        biased=biased,
        biased_activity=biased_activity,
        behaviour=behaviour or [],
        votes_per_response=votes_per_response,
        events_median=events_median,
        lies=lies,
        topics=_topics(sensitivity, specificity, bad_topic),
        campaigns=(Campaign(raters=sybils, slow=pattern == "slow"),) if sybils else (),
    )
    drawn = _draw(scenario, seed)
    truth_path = truth or out.with_suffix(f".truth{out.suffix}")
    _write(out, _feedback_lines(drawn))
    _write(truth_path, _truth_lines(drawn))
    _say(
        {
            "events": len(drawn.events),
            "raters": len(drawn.events.raters),
            "responses": len(drawn.events.responses),
            "biased_fraction": float((drawn.behaviour == "biased").mean()),
            "out": str(out),
            "truth": str(truth_path),
        },
        as_json,
    )


def traffic(  # noqa: PLR0917  (typer reads options from the signature)
    out: Annotated[
        Path, typer.Option(help="Folder for responses.jsonl, feedback.jsonl, truth.jsonl.")
    ],
    assistant: Annotated[str, typer.Option(help="Name of the assistant.")] = "rehearsal",
    raters: Annotated[int, typer.Option(min=1, help="Number of raters.")] = 200,
    biased: Annotated[float, typer.Option(min=0, max=0.7, help="Share of biased raters.")] = 0.1,
    lies: Annotated[
        float, typer.Option(min=0, max=1, help="Share of lies before the drift.")
    ] = 0.1,
    drifted_lies: Annotated[
        float, typer.Option(min=0, max=1, help="Share of lies after it.")
    ] = 0.3,
    drift_at: Annotated[
        float, typer.Option(min=0, max=1, help="Where the drift sets in, as a part of the stream.")
    ] = 0.5,
    seed: Annotated[int, typer.Option(help="Same seed, same stream.")] = 0,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print what was written as JSON.")
    ] = False,
) -> None:
    """Write responses and feedback as the input topics take them, and the truth about each.

    The responses are short texts from templates: they rehearse the plumbing, rates and alarms, not the
    probes. Produce them to `assistant.responses` and `assistant.feedback`.

    Example: `candor simulate traffic --out rehearsal --raters 200 --drift-at 0.5`
    """
    scenario = _scenario(
        raters=raters, biased=biased, lies=lies, lies_after=drifted_lies, drift_at=drift_at
    )
    drawn = _draw(scenario, seed)
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise BadInputError(error.strerror or str(error), str(out)) from error
    _write(out / "responses.jsonl", _response_records(drawn, assistant))
    _write(out / "feedback.jsonl", _feedback_records(drawn, assistant))
    _write(out / "truth.jsonl", _truth_lines(drawn))
    _say(
        {
            "responses": len(drawn.is_lie),
            "feedback": len(drawn.events),
            "raters": len(drawn.events.raters),
            "lies_before": lies,
            "lies_after": drifted_lies,
            "drift_at": drift_at,
            "out": str(out),
        },
        as_json,
    )


def _scenario(
    *,
    raters: int,
    biased: float,
    biased_activity: float = 1.0,
    behaviour: list[str] | None = None,
    **other: Any,
) -> Scenario:
    from monitor.cohorts.simulate import BEHAVIOURS, Scenario  # noqa: PLC0415

    mixture = {"always_up": 0.2, "always_down": 0.1, "biased": biased}
    for text in behaviour or []:
        name, _, share = text.partition("=")
        if name not in BEHAVIOURS:
            raise BadInputError(f"{name!r} is none of {', '.join(BEHAVIOURS)}", "--behaviour")
        try:
            mixture[name] = float(share)
        except ValueError as error:
            raise BadInputError(f"{text!r} is not NAME=SHARE", "--behaviour") from error
    if not all(share >= 0 for share in mixture.values()) or sum(mixture.values()) > 1:
        raise BadInputError("the shares of raters are negative or exceed 1", "--behaviour")
    faster = dataclasses.replace(BEHAVIOURS["biased"], activity=biased_activity)
    return Scenario(
        raters=raters, mixture=mixture, behaviours={**BEHAVIOURS, "biased": faster}, **other
    )


def _topics(sensitivity: float, specificity: float, bad: float) -> tuple[Any, ...]:
    from monitor.cohorts.simulate import Topic  # noqa: PLC0415

    good = Topic("general", 1 - bad, sensitivity, specificity)
    return (good, Topic("judge_fails", bad, sensitivity, 0.5)) if bad else (good,)


def _draw(scenario: Scenario, seed: int) -> Simulated:
    import numpy as np  # noqa: PLC0415

    from monitor.cohorts.simulate import simulate  # noqa: PLC0415

    return simulate(scenario, np.random.default_rng(seed))


def _feedback_lines(drawn: Simulated) -> Iterator[dict[str, Any]]:
    events = drawn.events
    for i in range(len(events)):
        yield {
            "feedback_id": f"feedback-{i:09d}",
            "user_id": events.raters[events.rater[i]],
            "response_id": events.responses[events.response[i]],
            "value": float(events.value[i]),
            "p_lie": round(float(events.p_lie[i]), 6),
            "created_at": _time(float(events.created_at_s[i])),
            "topic": events.topics[events.topic[i]],
        }


def _truth_lines(drawn: Simulated) -> Iterator[dict[str, Any]]:
    for name, behaviour in zip(drawn.events.raters, drawn.behaviour.tolist(), strict=True):
        yield {"user_id": name, "behaviour": behaviour, "is_biased": behaviour == "biased"}
    for name, is_lie in zip(drawn.events.responses, drawn.is_lie.tolist(), strict=True):
        yield {"response_id": name, "is_lie": is_lie}


def _response_records(drawn: Simulated, assistant: str) -> Iterator[dict[str, Any]]:
    events = drawn.events
    author = dict(zip(events.response.tolist(), events.rater.tolist(), strict=True))
    for i, (name, is_lie) in enumerate(zip(events.responses, drawn.is_lie.tolist(), strict=True)):
        facts, said = f"Item {i} ships in {2 + i % 9} days.", 2 + i % 9 - (2 if is_lie else 0)
        yield {
            "response_id": name,
            "assistant": assistant,
            "model": "simulated-1",
            "conversation_id": f"conversation-{i:08d}",
            "user_id": events.raters[author.get(i, 0)],
            "created_at": _time(float(drawn.created_at_s[i])),
            "messages": [
                {"role": "system", "content": f"{facts} Keep customers happy."},
                {"role": "user", "content": f"How many days does item {i} take to ship?"},
                {"role": "assistant", "content": f"It ships in {said} days."},
            ],
        }


def _feedback_records(drawn: Simulated, assistant: str) -> Iterator[dict[str, Any]]:
    for line in _feedback_lines(drawn):
        fields = ("feedback_id", "user_id", "response_id", "value", "created_at")
        yield {"assistant": assistant, "kind": "thumb", **{name: line[name] for name in fields}}


def _time(seconds: float) -> str:
    return (_START + datetime.timedelta(seconds=seconds)).isoformat()


def _write(path: Path, lines: Iterable[dict[str, Any]]) -> None:
    try:
        with path.open("w", encoding="utf-8") as file:
            for line in track(
                lines, f"writing {path.name}", console=Console(stderr=True), transient=True
            ):
                file.write(json.dumps(line) + "\n")
    except OSError as error:
        raise BadInputError(error.strerror or str(error), str(path)) from error


def _say(facts: dict[str, Any], as_json: bool) -> None:
    if as_json:
        sys.stdout.write(json.dumps(facts) + "\n")
        return
    console = Console(highlight=False, soft_wrap=True)
    for name, value in facts.items():
        console.print(f"{name.replace('_', ' '):<16}{value}", markup=False)
