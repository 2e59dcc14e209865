"""Throughput of the activation probe and of scoring, against a bare batched forward pass."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import torch

from probes.activation import ActivationProbe
from probes.activation.workflow import repeatability
from probes.fusion import Fusion
from probes.models.batching import buckets, left_padded
from probes.models.encoding import Encoded
from probes.models.hidden import hidden_states
from probes.models.local import LocalModel
from probes.panel import Panel
from probes.probe import Transcript
from probes.scoring import Scoring

SAMPLE = 48
REPEATS = 3


def measure_speed(folder: Path, transcripts: Sequence[Transcript]) -> dict[str, Any]:
    """Tokens per CPU second of each, the best of three runs in turn, and their ratios.

    CPU time, so that other work on the machine does not enter. The sample is drawn with a seed.

    The bare pass runs the same blocks over the same batches, ready as token ids. The probe adds
    encoding, pooling, heads; the panel adds the guard's tidying and further readings, ordering, fusion
    and verdicts; the file adds reading and writing JSON lines.
    """
    pick = np.random.default_rng(0).permutation(len(transcripts))[:SAMPLE]
    sample = [transcripts[i] for i in sorted(pick)]
    model = LocalModel.load(folder)
    probe = ActivationProbe.open(model)
    panel = Panel([probe], Fusion.load(), None)
    encoded = [model.encode(t.prompt, t.response, max_tokens=probe.card.max_tokens) for t in sample]
    tokens = sum(len(item) for item in encoded)
    with tempfile.TemporaryDirectory() as work:
        source = Path(work, "in.jsonl")
        source.write_bytes(b"".join(map(_line, sample)))
        runs: dict[str, Callable[[], object]] = {
            "bare forward": lambda: bare_forward(model, encoded, probe.card.layer),
            "activation probe": lambda: probe.measure(sample),
            "scoring": lambda: panel.score(sample),
            "scoring a file": lambda: _score_file(panel, source),
        }
        best = _best(runs)
    bare = best["bare forward"]
    return {
        "threads": torch.get_num_threads(),
        "tokens": tokens,
        **{f"{name}, tokens per CPU second": round(tokens / took) for name, took in best.items()},
        **{f"{name} / bare": round(bare / took, 3) for name, took in list(best.items())[1:]},
        "same text alone or in a batch, max |Δp|": repeatability(probe, sample[:16]),
    }


def _best(runs: Mapping[str, Callable[[], object]]) -> dict[str, float]:
    """CPU seconds of each, the least of the rounds."""
    best = dict.fromkeys(runs, float("inf"))
    for _ in range(REPEATS):
        for name, run in runs.items():
            start = time.process_time()
            run()
            best[name] = min(best[name], time.process_time() - start)
    return best


def _score_file(panel: Panel, source: Path) -> None:
    out = source.with_suffix(".out")
    Scoring(panel).run(
        source, out, resume=False, advanced=lambda _share: None, complain=lambda _text: None
    )


def _line(transcript: Transcript) -> bytes:
    row = {"id": transcript.id, "messages": transcript.messages}
    return msgspec.json.encode(row) + b"\n"


def bare_forward(model: LocalModel, encoded: Sequence[Encoded], layer: int) -> None:
    """The reader's blocks up to `layer` over padded batches, with nothing done to the states."""
    for group in buckets([len(item) for item in encoded], model.max_batch_tokens):
        rows = [[*encoded[i].prompt, *encoded[i].response] for i in group]
        ids, mask = left_padded(rows, model.pad_id)
        with torch.inference_mode():
            hidden_states(model.model, torch.tensor(ids), torch.tensor(mask), (layer,), 1)
