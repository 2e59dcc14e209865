"""The process that trains arms ahead of the run that asks them: `python -m retrain.ahead_child`.

It reads the plan and then one wanted arm a line, and writes a line for every step and every finished
arm. When its input ends, the run has ended or died, and it ends at once.
"""

from __future__ import annotations

import importlib
import os
import queue
import sys
import threading
from typing import BinaryIO

import msgspec

from retrain.arm_run import Shared, shared, train_arm
from retrain.memory import peak_memory_mib
from retrain.plan import ConfirmPlan

_TOLD = 0.01
"""The share of an arm's steps between two lines: the run reads them when it waits, and a pipe holds little."""


class Wanted(msgspec.Struct, frozen=True):
    """An arm to train; its rows are in the run's folder."""

    name: str
    seed: int
    model_digest: str


class Heard(msgspec.Struct, frozen=True):
    """A line of the process: how far an arm is, or that it is on disk, or that it failed."""

    name: str
    share: float
    what: str
    finished: bool = False
    peak_mib: float = 0.0


def main() -> None:
    """Serve until the input ends. What libraries print goes to standard error."""
    out = os.fdopen(os.dup(1), "wb", buffering=0)
    os.dup2(2, 1)
    plan = ConfirmPlan.model_validate_json(sys.stdin.buffer.readline())
    wanted: queue.Queue[Wanted] = queue.Queue()
    threading.Thread(target=_read, args=(sys.stdin.buffer, wanted), daemon=True).start()
    _load_libraries()
    alike = shared(plan)
    while True:
        _train(plan, wanted.get(), alike, out)


def _load_libraries() -> None:
    """What training needs, while the run loads its own model."""
    for name in ("peft", "trl.trainer.sft_trainer"):
        importlib.import_module(name)


def _read(lines: BinaryIO, wanted: queue.Queue[Wanted]) -> None:
    for line in lines:
        wanted.put(msgspec.json.decode(line, type=Wanted))
    os._exit(0)


def _train(plan: ConfirmPlan, one: Wanted, alike: Shared, out: BinaryIO) -> None:
    """An arm that cannot be trained is reported as ended: the run tries it itself and says why."""
    told = -1.0

    def say(what: str, share: float, _evaluation: float) -> None:
        nonlocal told
        if share - told >= _TOLD or share >= 1.0:
            told = share
            _write(out, Heard(one.name, share, what))

    try:
        train_arm(plan, one.name, one.seed, one.model_digest, say, alike=alike)
    except Exception as error:
        sys.stderr.write(f"{one.name} was not trained ahead: {type(error).__name__}\n")
    _write(out, Heard(one.name, 1.0, "trained", finished=True, peak_mib=peak_memory_mib()))


def _write(out: BinaryIO, heard: Heard) -> None:
    out.write(msgspec.json.encode(heard) + b"\n")


if __name__ == "__main__":
    main()
