"""The judge over vLLM beside a bare load generator on the same prompts: requests a second.

    python -m benchmarks.judge [--url URL --model NAME] [--n 32] [--rounds 8] [--json OUT]

Without `--url` a vLLM server for the CPU is started on the packaged model (tools/services.sh installs
it). Both sides send the same bodies with the same number of requests in flight; the bare side only posts
them and reads the bytes. Rounds alternate, after one round of each that is not counted. The ratio is of
all rounds together, its interval a bootstrap over pairs of rounds. A client's own work is given in CPU
milliseconds a request, which other work on the machine does not touch.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import numpy as np
from numpy.typing import NDArray

from evidence import Message
from probes.judge import JudgeProbe, ServerJudge, judge_chat, quote
from probes.models.messages import plain
from probes.models.openai import OpenAIModel, json_settings
from probes.models.packaged import packaged_model_dir
from probes.models.server import ServerOptions
from probes.probe import Transcript
from probes.rubrics import load_rubric
from probes.scenarios import load_scenarios
from tests.system.vllm_server import serve

Array = NDArray[Any]
NAME = "smollm2-135m-instruct"
IN_FLIGHT = 16


def transcripts(n: int) -> list[Transcript]:
    """Honest and lying answers to the packaged scenarios, in turn."""
    scenarios = load_scenarios()
    return [
        Transcript(
            id=str(k),
            messages=(
                *scenario.pressured_messages(),
                Message("assistant", (scenario.lying_answers, scenario.honest_answers)[k % 2][0]),
            ),
        )
        for k, scenario in enumerate([*scenarios, *scenarios][:n])
    ]


def bare(url: str, bodies: Sequence[dict[str, Any]]) -> int:
    """Post every body, `IN_FLIGHT` at a time; the number that were answered."""
    with httpx.Client(timeout=300) as client, ThreadPoolExecutor(IN_FLIGHT) as pool:
        replies = pool.map(lambda body: client.post(f"{url}/chat/completions", json=body), bodies)
        return sum(reply.status_code == httpx.codes.OK for reply in replies)


def judged(probe: JudgeProbe, batch: Sequence[Transcript]) -> int:
    """Measure all; the number without an error."""
    return sum(found.error is None for found in probe.measure(batch))


class Took(NamedTuple):
    """Seconds of one run, and CPU seconds of this process."""

    wall: float
    cpu: float


def timed(run: Callable[[], int], n: int) -> Took:
    """Time one run; an unanswered request is not tolerated."""
    wall, cpu = time.perf_counter(), time.process_time()
    done = run()
    if done != n:
        raise SystemExit(f"{n - done} of {n} requests failed")
    return Took(time.perf_counter() - wall, time.process_time() - cpu)


def ratio(bare_s: Array, judge_s: Array, draws: int = 2000) -> list[float]:
    """The judge's request rate over the bare one, with its 95 % interval."""
    rng = np.random.default_rng(0)
    rows = rng.integers(0, len(bare_s), (draws, len(bare_s)))
    found = bare_s[rows].sum(1) / judge_s[rows].sum(1)
    return [float(bare_s.sum() / judge_s.sum()), *map(float, np.quantile(found, [0.025, 0.975]))]


def compare(url: str, model: str, n: int, rounds: int) -> dict[str, Any]:
    """Rates of both sides, their ratio and what each costs the client."""
    batch, rubric = transcripts(n), load_rubric()
    server = OpenAIModel(url, model, ServerOptions(timeout_s=300, max_concurrency=IN_FLIGHT))
    probe = JudgeProbe(ServerJudge(server), rubric)
    settings = json_settings(rubric.schema, ServerJudge.room(rubric))
    bodies = [
        {"model": model, "messages": plain(judge_chat(quote(t), rubric)), **settings} for t in batch
    ]
    sides = {"bare": lambda: bare(url, bodies), "judge": lambda: judged(probe, batch)}
    found: dict[str, list[Took]] = {name: [] for name in sides}
    for k in range(rounds + 1):
        for name in sides if k % 2 else reversed(sides):
            took = timed(sides[name], len(batch))
            if k:
                found[name].append(took)
    usage = server.usage
    walls = {name: np.array([took.wall for took in runs]) for name, runs in found.items()}
    return {
        "requests": len(batch),
        "rounds": rounds,
        "in_flight": IN_FLIGHT,
        "per_s": {name: (len(batch) / wall).tolist() for name, wall in walls.items()},
        "ratio": ratio(walls["bare"], walls["judge"]),
        "client_cpu_ms_each": {
            name: 1000 * sum(took.cpu for took in runs) / (rounds * len(batch))
            for name, runs in found.items()
        },
        "prompt_tokens_each": usage.prompt_tokens / usage.requests,
        "completion_tokens_each": usage.completion_tokens / usage.requests,
    }


@contextlib.contextmanager
def server(url: str | None, model: str | None) -> Iterator[tuple[str, str]]:
    """The server that is named, else one of our own."""
    if url:
        yield url, model or OpenAIModel(url, "").served_models()[0]
        return
    with (
        tempfile.TemporaryDirectory() as folder,
        serve(packaged_model_dir(), NAME, Path(folder) / "vllm.log") as own,
    ):
        yield own, NAME


def main() -> None:
    """Compare, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--url")
    parser.add_argument("--model")
    parser.add_argument("--n", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=8)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    with server(arguments.url, arguments.model) as (url, model):
        result = compare(url, model, arguments.n, arguments.rounds)
    for name, rates in result["per_s"].items():
        cpu = result["client_cpu_ms_each"][name]
        text = ", ".join(f"{value:.2f}" for value in rates)
        print(f"{name:>5}: {text} requests/s, {cpu:.2f} CPU ms of the client each")
    print(
        "ratio {:.3f} [{:.3f}, {:.3f}]".format(*result["ratio"]),
        f"over {result['rounds']} rounds of {result['requests']} requests of"
        f" {result['prompt_tokens_each']:.0f} + {result['completion_tokens_each']:.0f} tokens,"
        f" {result['in_flight']} in flight",
    )
    if arguments.json:
        arguments.json.write_text(json.dumps(result, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
