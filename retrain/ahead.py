"""Training of arms ahead, in a process of its own, while other arms are asked.

Training and asking alternate in a run, and neither fills the cores of a machine without a GPU: their
matrices are small. Side by side, with half of the cores each, they do.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable

import msgspec

from retrain.ahead_child import Heard, Wanted
from retrain.arm_run import adapter_dir
from retrain.finetune import MANIFEST
from retrain.memory import available_bytes
from retrain.plan import ConfirmPlan

_COPIES = 6
"""Memory that a second process may take, in float32 copies of the model: weights, activations, libraries."""
_LEAST_FREE_BYTES = 3 << 30

Said = Callable[[str, float], None]
"""Called with what is done and the share of the training that is done."""


def can_train_ahead(plan: ConfirmPlan) -> bool:
    """Whether arms are trained on a CPU with cores and memory for two processes."""
    import torch  # noqa: PLC0415 -- slow import

    if plan.finetune.device != "cpu" or torch.get_num_threads() < 2:
        return False
    free = available_bytes()
    return free is not None and free >= max(_LEAST_FREE_BYTES, _COPIES * _weight_bytes(plan))


def _weight_bytes(plan: ConfirmPlan) -> int:
    """In float32, were the files of half precision."""
    return 2 * sum(path.stat().st_size for path in plan.model_dir.glob("*.safetensors"))


class TrainingAhead:
    """Arms that are trained in the order in which they were asked for.

    Its process loads its libraries from the moment that this is made. One that dies costs time alone: the
    run then trains what is missing itself. While it trains this process computes with half
    of its threads. Close it.

    Parameters
    ----------
    plan
        As `retrain.arm_run.train_arm` takes it.
    """

    def __init__(self, plan: ConfirmPlan) -> None:
        import torch  # noqa: PLC0415 -- slow import

        self._plan = plan
        self._open: list[str] = []
        self._threads = torch.get_num_threads()
        self._process: subprocess.Popen[bytes] | None = self._started()
        self.peak_mib = 0.0
        """Largest resident size of the process, MiB, as of the last finished arm."""

    def want(self, name: str, seed: int, model_digest: str) -> None:
        """Train this arm, whose rows are in the run's folder, after those that were wanted before.

        One that is on disk already is not.
        """
        if name in self._open or (adapter_dir(self._plan, name) / MANIFEST).is_file():
            return
        import torch  # noqa: PLC0415 -- slow import

        if self._process is None:
            self._process = self._started()
        torch.set_num_threads(max(1, self._threads // 2))
        if _send(self._process, Wanted(name, seed, model_digest)):
            self._open.append(name)

    def wait(self, name: str, said: Said) -> None:
        """Return when the arm is no longer being trained; one that was not wanted is not waited for."""
        while name in self._open:
            heard = self._hear()
            if heard is None:
                self._open.clear()
            elif heard.finished:
                self._open.remove(heard.name)
                self.peak_mib = max(self.peak_mib, heard.peak_mib)
            elif heard.name == name:
                said(heard.what, heard.share)
        if not self._open:
            self.close()

    def close(self) -> None:
        """End the process, if it lives, and take its threads."""
        process, self._process = self._process, None
        if process is None:
            return
        import torch  # noqa: PLC0415 -- slow import

        self._open.clear()
        process.kill()
        process.communicate()
        torch.set_num_threads(self._threads)

    def _started(self) -> subprocess.Popen[bytes]:
        threads = str(max(1, self._threads - self._threads // 2))
        process = subprocess.Popen(
            [sys.executable, "-m", "retrain.ahead_child"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, "OMP_NUM_THREADS": threads, "MKL_NUM_THREADS": threads},
        )
        _send(process, msgspec.Raw(self._plan.model_dump_json().encode()))
        return process

    def _hear(self) -> Heard | None:
        """The next line of the process; None when it has ended or says what is no line of its own."""
        process = self._process
        line = b"" if process is None or process.stdout is None else process.stdout.readline()
        try:
            return msgspec.json.decode(line, type=Heard)
        except msgspec.DecodeError:
            return None


def _send(process: subprocess.Popen[bytes], what: msgspec.Raw | Wanted) -> bool:
    """Whether the process still takes lines."""
    try:
        if process.stdin is not None:
            process.stdin.write(msgspec.json.encode(what) + b"\n")
            process.stdin.flush()
    except BrokenPipeError:
        return False
    return True
