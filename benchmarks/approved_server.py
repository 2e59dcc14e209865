"""Approved belief over vLLM beside a bare load generator on the same bodies: tokens a second.

    python -m benchmarks.approved_server [--url URL --model NAME] [--n 48] [--rounds 8] [--json OUT]

Without `--url` a vLLM server for the CPU is started on the packaged model (tools/services.sh installs
it). Both sides send the same bodies with the same number of requests in flight; the bare side only posts
them and reads the bytes. Rounds alternate, after one round of each that is not counted. The ratio is of
all rounds together, its interval a bootstrap over pairs of rounds. A client's own work is given in CPU
milliseconds a request, which other work on the machine does not touch.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.judge import IN_FLIGHT, Took, bare, ratio, server, timed
from evidence import CandorError
from probes.models.chat import Chat
from probes.models.openai import OpenAIModel
from probes.models.prompt_logprobs import PromptLogprobs, given, request
from probes.models.server import ServerOptions
from probes.scenarios import load_scenarios

Pair = tuple[Chat, str]


def pairs(n: int) -> list[Pair]:
    """Lying and honest answers to the packaged scenarios, in turn, without the pressure."""
    scenarios = load_scenarios()
    several = [scenarios[k % len(scenarios)] for k in range(n)]
    return [
        (
            scenario.neutral_messages(),
            (scenario.lying_answers, scenario.honest_answers)[k % 2][0],
        )
        for k, scenario in enumerate(several)
    ]


def weighed(model: PromptLogprobs, batch: Sequence[Pair]) -> int:
    """Weigh all; the number without an error."""
    return sum(not isinstance(one, CandorError) for one in model.token_likelihoods(batch))


def compare(url: str, name: str, n: int, rounds: int) -> dict[str, Any]:
    """Rates of both sides, their ratio and what each costs the client."""
    batch = pairs(n)
    served = OpenAIModel(url, name, ServerOptions(timeout_s=300, max_concurrency=IN_FLIGHT))
    model = PromptLogprobs(served)
    model.check()
    bodies = [{"model": name, **request(given(*pair))} for pair in batch]
    sides = {"bare": lambda: bare(url, bodies), "belief": lambda: weighed(model, batch)}
    found: dict[str, list[Took]] = {side: [] for side in sides}
    for k in range(rounds + 1):
        for side in sides if k % 2 else reversed(sides):
            took = timed(sides[side], len(batch))
            if k:
                found[side].append(took)
    tokens = sum(served.each(lambda body: served.ask("/chat/completions", body, _tokens), bodies))
    walls = {side: np.array([took.wall for took in runs]) for side, runs in found.items()}
    return {
        "requests": n,
        "rounds": rounds,
        "in_flight": IN_FLIGHT,
        "tokens": tokens,
        "tokens_per_s": {side: (tokens / wall).tolist() for side, wall in walls.items()},
        "ratio": ratio(walls["bare"], walls["belief"]),
        "client_cpu_ms_each": {
            side: 1000 * sum(took.cpu for took in runs) / (rounds * n)
            for side, runs in found.items()
        },
    }


def _tokens(data: bytes) -> int:
    return int(json.loads(data)["usage"]["prompt_tokens"])


def main() -> None:
    """Compare, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--url")
    parser.add_argument("--model")
    parser.add_argument("--n", type=int, default=48)
    parser.add_argument("--rounds", type=int, default=8)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    with server(arguments.url, arguments.model) as (url, name):
        result = compare(url, name, arguments.n, arguments.rounds)
    for side, rates in result["tokens_per_s"].items():
        cpu = result["client_cpu_ms_each"][side]
        text = ", ".join(f"{value:.0f}" for value in rates)
        print(f"{side:>6}: {text} tokens/s, {cpu:.2f} CPU ms of the client each")
    print(
        "ratio {:.3f} [{:.3f}, {:.3f}]".format(*result["ratio"]),
        f"over n = {result['rounds']} rounds of {result['requests']} requests,"
        f" {result['tokens'] / result['requests']:.0f} tokens each,"
        f" {result['in_flight']} in flight",
    )
    if arguments.json:
        arguments.json.write_text(json.dumps(result, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
