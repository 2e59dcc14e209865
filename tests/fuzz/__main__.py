"""`python -m tests.fuzz`: run targets for a time; exit 1 with a find, which is kept and told."""

from __future__ import annotations

import argparse
import logging
import os
import subprocess
import sys

from tests.fuzz.harness import (
    Ran,
    all_targets,
    keep,
    names,
    run_atheris,
    run_hypothesis,
    run_random,
)


def main() -> int:
    logging.disable()
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--target", default="all", choices=["all", *names()])
    parser.add_argument("--engine", default="random", choices=["random", "hypothesis", "atheris"])
    parser.add_argument(
        "--seconds", type=float, default=float(os.environ.get("FUZZ_SECONDS", "30"))
    )
    parser.add_argument("--seed", type=int, default=int(os.environ.get("FUZZ_SEED", "0")))
    given = parser.parse_args()
    chosen = names() if given.target == "all" else [given.target]
    share_s = given.seconds / len(chosen)
    if given.engine == "atheris":
        if len(chosen) > 1:
            return max(_apart(name, share_s) for name in chosen)
        run_atheris(chosen[0], limit_s=share_s)
        return 0
    targets = all_targets()
    failed = False
    total = 0
    for name in chosen:
        if given.engine == "random":
            ran = run_random(targets[name], seed=given.seed, limit_s=share_s)
        else:
            ran = run_hypothesis(targets[name], limit_s=share_s)
        _tell(name, ran)
        total += ran.n
        failed = failed or ran.found is not None
    print(f"{total} inputs in all")  # noqa: T201
    return 1 if failed else 0


def _apart(name: str, seconds: float) -> int:
    """atheris ends its process: each target gets one."""
    command = [sys.executable, "-m", "tests.fuzz", "--engine", "atheris", "--target", name]
    done = subprocess.run([*command, "--seconds", str(seconds)], check=False)
    return 1 if done.returncode else 0


def _tell(name: str, ran: Ran) -> None:
    shown = ", ".join(f"{what} {n}" for what, n in ran.outcomes.most_common())
    rate = ran.n / ran.seconds if ran.seconds else 0.0
    print(f"{name}: {ran.n} inputs, {rate:.0f} a second; {shown}", flush=True)  # noqa: T201
    if ran.found is not None:
        print(f"{name}: FOUND {ran.found.error}\n  kept as {keep(ran.found)}", flush=True)  # noqa: T201


if __name__ == "__main__":
    sys.exit(main())
