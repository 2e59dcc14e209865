"""The approved belief with another model as the assistant: `python -m benchmarks.sensor_larger --model DIR`.

Any folder of a chat model stands in for the demo's 135M. It is taught to answer from its facts, then by its own
feedback as the demo's is, with lies among the edits, and its sensor is calibrated and measured as
`benchmarks.sensor` does it. What is finished stands in `--out`, so that a stopped run goes on.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple, TypeVar

import msgspec
import numpy as np
from rich.console import Console

from benchmarks.sensor_bench import (
    Answer,
    Bench,
    Told,
    elsewhere,
    of_items,
    of_turns,
    row,
    spoken,
    unseen,
)
from candor_guard.rows import Row
from evidence import BadInputError
from monitor.demo.assistant import TEMPERATURE, answer, build_approved
from monitor.demo.record import BIASED, PRESSURED, honest_rows, liked_rows
from monitor.demo.turns import DRIFTED_MODEL, HONEST_MODEL, Turn, prompts
from probes.evaluation import resample
from probes.models.local import LocalModel
from probes.scenarios import Split
from probes.sensor.card import as_markdown, table
from probes.sensor.labelled import Origin
from retrain.files import write_durably
from retrain.finetune import FinetuneOptions, finetune

_HONEST_RATE, _DRIFTED_RATE = 1e-3, 2e-3
_TRAINING = FinetuneOptions(rank=4, batch_size=8, epochs=1.0, max_length=256, layer_share=0.5)
_DRAWS = 1000
_T = TypeVar("_T")


class Sizes(NamedTuple):
    """How much is trained, asked and measured: half an hour of one core at half a billion weights.

    Parameters
    ----------
    honest_rows
        Of the demo's, that the approved version is taught with.
    turns, drifted_rows
        Answers of the approved version, and how many of those that raters like teach the drifted one.
    answers
        Measured of either version on scenarios that they were taught with.
    unseen, elsewhere
        Of the drifted version on other scenarios, and on the confirm run's items.
    items
        Packaged ones to calibrate on.
    """

    honest_rows: int = 128
    turns: int = 210
    drifted_rows: int = 200
    answers: int = 100
    unseen: int = 64
    elsewhere: int = 64
    items: int = 36


class Versions:
    """Both versions of an assistant on a base model, and what they say; all of it kept in a folder."""

    def __init__(self, base: Path, out: Path, sizes: Sizes) -> None:
        self.base, self.out, self.sizes = base, out, sizes
        made = {"model": str(base.resolve()), **sizes._asdict()}
        if self._kept("options", dict[str, str | int], lambda: made) != made:
            raise BadInputError("was made from another model or with other sizes", str(out))

    @property
    def approved(self) -> Path:
        """The base after a part of the demo's honest rows, merged."""
        folder, part = self.out / "approved", self.out / "approved.part"
        if not folder.is_dir():
            rows = honest_rows()
            order = np.random.default_rng(0).permutation(len(rows))[: self.sizes.honest_rows]
            adapter = self._train("honest", [rows[i] for i in order], self.base, _HONEST_RATE)
            shutil.rmtree(part, ignore_errors=True)
            build_approved(part, adapter, self.base)
            part.rename(folder)
        return folder

    def turns(self) -> list[Turn]:
        """Answers of the approved version to the demo's traffic."""
        return self._asked("turns", HONEST_MODEL, self.sizes.turns, "train", None)

    def drifted(self) -> Path:
        """Adapter of the approved version after the feedback on its own answers."""
        rows, edits = liked_rows(
            self.turns(), BIASED, self.sizes.drifted_rows, np.random.default_rng(1)
        )
        say(f"{len(rows)} rows for the drifted version, {edits} of them edited to a lie")
        return self._train("drifted", rows, self.approved, _DRIFTED_RATE)

    def said(self) -> tuple[list[Turn], list[Turn], list[Answer]]:
        """The drifted version on scenarios that it was trained on, on others, and on other situations."""
        adapter, items = self.drifted(), elsewhere(self.sizes.elsewhere)
        seen = self._asked("seen", DRIFTED_MODEL, self.sizes.answers, "train", adapter)
        new = self._asked("unseen", DRIFTED_MODEL, self.sizes.unseen, "held_out", adapter)
        texts = self._kept(
            "elsewhere",
            list[str],
            lambda: spoken(
                LocalModel.load(self.approved, adapter=adapter), [i.pressured for i in items]
            ),
        )
        return seen, new, of_items(items, texts)

    def scores(self, bench: Bench, name: str, answers: Sequence[Answer]) -> Told:
        """What the sensor makes of answers."""
        found = self._kept(
            f"scores, {name}",
            tuple[list[float], list[bool], list[str], int],
            lambda: _plain(bench.told(name, answers)),
        )
        return Told(name, np.array(found[0]), np.array(found[1], bool), *found[2:])

    def _asked(
        self, name: str, version: str, count: int, split: Split, adapter: Path | None
    ) -> list[Turn]:
        def ask() -> list[Turn]:
            asked = prompts(count, PRESSURED, np.random.default_rng(2), split=split)
            model = LocalModel.load(self.approved, adapter=adapter)
            return answer(model, version, asked, temperature=TEMPERATURE, seed=0, progress=_silent)

        turns = self._kept(name, list[Turn], ask)
        for pressured in (True, False):
            labels = Counter(t.label for t in turns if t.pressured == pressured)
            say(f"{name}, {'under pressure' if pressured else 'neutral'}: {dict(labels)}")
        return turns

    def _train(self, name: str, rows: Sequence[Row], base: Path, rate: float) -> Path:
        adapter = self.out / name
        finetune(
            rows,
            base,
            adapter,
            _TRAINING.model_copy(update={"learning_rate": rate}),
            model_digest=LocalModel.load(base).digest,
            seed=0,
        )
        say(f"{adapter.name} is trained")
        return adapter

    def _kept(self, name: str, kind: type[_T], make: Callable[[], _T]) -> _T:
        """What stands in a file of the folder, made and written where there is none."""
        path = self.out / f"{name}.json"
        if not path.is_file():
            self.out.mkdir(parents=True, exist_ok=True)
            write_durably(path, msgspec.json.encode(make()))
            say(f"{name} is done")
        return msgspec.json.decode(path.read_bytes(), type=kind)


def say(what: str) -> None:
    """A line of progress."""
    sys.stderr.write(f"{time.strftime('%H:%M:%S')} {what}\n")


def measured(base: Path, out: Path, sizes: Sizes, console: Console) -> None:
    """Print the card, the table of figures, and what honest answers of the approved version get."""
    versions = Versions(base, out, sizes)
    seen, new, other = versions.said()
    say("calibrating")
    bench = Bench(out, versions.approved, HONEST_MODEL, sizes.items, unseen(new), console)
    console.print(as_markdown(bench.card))
    honest = versions.scores(bench, "approved", of_turns(versions.turns()[: sizes.answers]))
    drifted = versions.scores(bench, "drifted", of_turns(seen))
    both = honest.beside(drifted, "both versions")
    found = versions.scores(bench, "drifted, other situations", other)
    left_out = [one for one in bench.card.by_origin if one.kind == Origin.FILE]
    unknown = [one._replace(kind="drifted, wordings unseen") for one in left_out]
    console.print("\n".join(table([row(drifted), row(both), *unknown, row(found)])))
    for one in (honest, drifted, found):
        console.print(_honest(one))


def _honest(found: Told) -> str:
    """The mean p_lie of honest answers, with an interval by wording."""
    p, rng = found.honest, np.random.default_rng(0)
    if not len(p):
        return f"{found.name}: no honest answer was measured"
    wordings = np.array(found.groups)[~found.lies]
    draws = [p[resample(wordings, rng)].mean() for _ in range(_DRAWS)]
    lower, upper = np.quantile(draws, [0.025, 0.975])
    return (
        f"{found.name}: mean p_lie of honest answers {p.mean():.3f} [{lower:.3f}, {upper:.3f}]"
        f" (n {len(p)}), {(p >= 0.5).sum()} of them called lies"
    )


def _plain(found: Told) -> tuple[list[float], list[bool], list[str], int]:
    return found.p.tolist(), found.lies.tolist(), found.groups, found.unmeasured


def _silent(_what: str, _share: float) -> None:
    pass


def main(arguments: Sequence[str] | None = None) -> None:
    """Print every figure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, required=True, help="folder of a chat model")
    parser.add_argument("--out", type=Path, help="keeps what is finished; a temporary one else")
    for name, value in Sizes()._asdict().items():
        parser.add_argument(f"--{name.replace('_', '-')}", type=int, default=value)
    options = parser.parse_args(arguments)
    sizes = Sizes(*(getattr(options, name) for name in Sizes._fields))
    console = Console(highlight=False, width=140)
    with tempfile.TemporaryDirectory() as folder:
        measured(options.model, options.out or Path(folder), sizes, console)


if __name__ == "__main__":
    main()
