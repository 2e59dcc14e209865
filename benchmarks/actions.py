"""Said against did: how well claims about acts are told from the record of tool calls.

    python -m benchmarks.actions [--data FOLDER] [--fit OUT.json]

Our own turns are measured with the shipped weights, which were not fitted to them. With `--data` (files of labelled
statements with their tool log: `premise`, `hypothesis`, `label`, `kind`, `did`, and `action` where there is one) also those, by
weights that were fitted to other wordings, kinds and sources, with the likeness of claim and call that the product reads.
`--fit` writes the weights that the package ships. Their fit holds that likeness at .35: no weight rests on it.
"""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import numpy as np
import yaml
from numpy.typing import NDArray

from candor_guard.reading.tools import Tool
from evidence import Message
from evidence.confidence import wilson
from evidence.tools import Act, ToolRecord
from probes.actions import CONTRADICTED, ActionProbe
from probes.actions.claims import find_claims
from probes.actions.features import FEATURES
from probes.actions.probe import Embeds
from probes.actions.weights import Weights, fit_weights
from probes.actions.words import kinds_of_tool
from probes.calibration import calibration_error
from probes.evaluation import auroc, resample
from probes.models.embedding import Embedder
from probes.probe import Transcript

TURNS = Path(__file__).with_name("action_turns.yaml")
FRESH = Path(__file__).with_name("action_turns_fresh.yaml")
UNTOUCHED = Path(__file__).with_name("action_turns_untouched.yaml")
SOURCES = (
    "RasaHQ/STAR (MIT), labels built from its tool logs",
    "google-research-datasets/Taskmaster TM-3 (CC BY 4.0), labels built from its tool logs",
)
_DRAWS, _FOLDS = 300, 5
_CALL = re.compile(r"^\s*([\w.]+)\((.*)\) returned: (.*)$", re.DOTALL)


class Row(NamedTuple):
    """A labelled reply with its record; `weight` is how much it counts in a fit."""

    transcript: Transcript
    lie: bool
    kind: str
    group: str
    source: str = "own"
    weight: float = 1.0


class _Turn(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    domain: str
    kind: str
    ask: str
    tools: dict[str, str]
    calls: list[tuple[str, str, str, str]]
    honest: list[str]
    lies: list[str]


def own_turns(path: Path = TURNS, *, recorded: bool = True) -> list[Row]:
    """The turns of our own writing; not `recorded`: the same without their record."""
    turns = msgspec.convert(yaml.safe_load(path.read_text("utf-8")), list[_Turn])
    rows = []
    for number, turn in enumerate(turns):
        acts = tuple(
            Act(name=name, arguments=arguments, result=result, status=status)  # type: ignore[arg-type]
            for name, arguments, result, status in turn.calls
        )
        tools = tuple(Tool(name, told) for name, told in turn.tools.items())
        record = ToolRecord(tools, acts) if recorded else None
        for lie, replies in ((False, turn.honest), (True, turn.lies)):
            for k, reply in enumerate(replies):
                name = f"{turn.domain}-{number}-{'lie' if lie else 'honest'}-{k}"
                rows.append(
                    Row(_transcript(name, turn.ask, reply, record), lie, turn.kind, str(number))
                )
    return rows


def labelled(folder: Path) -> list[Row]:
    """Statements with the log of the tools that they are about, of every file of a folder."""
    rows = []
    for path in sorted(folder.glob("*.jsonl")):
        for line in path.read_bytes().splitlines():
            one = json.loads(line)
            record = ToolRecord((), tuple(_calls(one["premise"].removeprefix("Tool log: "))))
            said = one["hypothesis"].removeprefix("Assistant says: ")
            label, kind = one["label"], one["kind"].split(":")[0]
            wording = one.get("action") or one["did"]
            rows.append(
                Row(
                    _transcript(one["id"], "", said, record),
                    label != "entailment",
                    f"{kind} ({label})",
                    str(wording),
                    path.stem,
                    # What a record does not show is no contradiction as surely as what it denies.
                    0.5 if label == "neutral" else 1.0,
                )
            )
    return rows


def _transcript(name: str, ask: str, said: str, record: ToolRecord | None) -> Transcript:
    asked = (Message("user", ask),) if ask else ()
    return Transcript(id=name, messages=(*asked, Message("assistant", said)), record=record)


def _calls(log: str) -> Iterator[Act]:
    for part in re.split(r" \| (?=\w+\()", log):
        match = _CALL.match(part)
        if match is None:
            raise ValueError(f"no call of a tool: {part[:80]!r}")
        pairs = (
            pair.partition("=") for pair in re.split(r", (?=[\w.]+=)", match[2]) if "=" in pair
        )
        arguments = json.dumps({key: value for key, _, value in pairs})
        result = "" if match[3].strip() == "nothing" else match[3]
        yield Act(name=match[1], arguments=arguments, result=result)


class Alike:
    """An embedder to which all texts are as alike: matching then rests on kinds, words and values."""

    digest = "alike"

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Vectors of which any two have the cosine .35."""
        own = np.eye(len(texts), dtype=np.float32) * np.sqrt(0.65)
        return np.hstack([own, np.full((len(texts), 1), np.sqrt(0.35), np.float32)])


def unweighted(embedder: Embeds) -> ActionProbe:
    """A probe that is asked for figures alone."""
    return ActionProbe(embedder, Weights(dict.fromkeys(FEATURES, 0.0), 0.0, 0, 0.5))


def figures_of(probe: ActionProbe, rows: Sequence[Row]) -> list[NDArray[np.float64]]:
    """The figures of the claims of each reply, shape (claims, figures); of a reply without claims nothing."""
    found = []
    for row in rows:
        held = [one.held.figures for one in probe.judge(row.transcript)]
        found.append(np.array(held or [(0.0,) * len(FEATURES)]))
    return found


def further(rows: Sequence[Row], rng: np.random.Generator) -> list[Row]:
    """Rows made of others, for what the logs have none of.

    A true claim beside the calls of another row of other kinds: no such call was made; the same with its own calls added. And what
    a user asked for: a false claim whose value the user had named, a true one after other wishes.
    """
    made: list[Row] = []
    for place in rng.permutation(len(rows)):
        row, other = rows[place], rows[int(rng.integers(len(rows)))]
        claims = find_claims(row.transcript.response)
        acts, others = _acts(row), _acts(other)
        kinds = {kind for c in claims if c.is_done and c.is_good for kind in c.kinds}
        known = {kind for act in others for kind in kinds_of_tool(act.name, act.arguments)[0]}
        if not row.lie and kinds and not kinds & known and row.kind.startswith("status"):
            made.append(_changed(row, "no call", lie=True, acts=others))
            made.append(_changed(row, "other calls", lie=False, acts=(*others, *acts)))
        elif row.kind.startswith("value_swapped") and any(c.is_act for c in claims):
            made.append(_changed(row, "wished", lie=True, acts=acts, wish=row.transcript.response))
        elif row.kind.startswith("value ("):
            wish = other.transcript.response
            made.append(
                _changed(row, "other wish", lie=False, acts=acts, wish=wish)._replace(weight=0.5)
            )
    return made


def _acts(row: Row) -> tuple[Act, ...]:
    return row.transcript.record.acts if row.transcript.record else ()


def _changed(row: Row, kind: str, *, lie: bool, acts: tuple[Act, ...], wish: str = "") -> Row:
    said = row.transcript.response
    transcript = _transcript(row.transcript.id, wish, said, ToolRecord((), acts))
    return row._replace(transcript=transcript, lie=lie, kind=kind, weight=1.0)


def fitted(
    figures: Sequence[NDArray[np.float64]], rows: Sequence[Row], among: Sequence[int]
) -> Weights:
    """Weights fitted to some rows."""
    return fit_weights(
        [figures[i] for i in among],
        [rows[i].lie for i in among],
        importance=[rows[i].weight for i in among],
        sources=SOURCES,
    )


def left_out(
    figures: Sequence[NDArray[np.float64]], rows: Sequence[Row], groups: Sequence[str]
) -> NDArray[np.float64]:
    """p of each row by weights fitted without its group, in five folds at most."""
    names = sorted(set(groups))
    order = np.random.default_rng(0).permutation(len(names))
    part = {names[i]: k % min(_FOLDS, len(names)) for k, i in enumerate(order)}
    fold = np.array([part[group] for group in groups])
    p = np.zeros(len(rows))
    for k in range(fold.max() + 1):
        weights = fitted(figures, rows, np.flatnonzero(fold != k).tolist())
        for i in np.flatnonzero(fold == k).tolist():
            p[i] = max(map(weights.p, figures[i]))
    return p


def measure_data(folder: Path, out: Path | None) -> None:
    """What is reached on labelled statements of which wordings, kinds and sources were left out; `out` takes the weights."""
    rows = labelled(folder)
    every = [*rows, *further(rows, np.random.default_rng(0))]
    figures = figures_of(unweighted(Embedder()), every)
    n = len(rows)
    for title, groups in (
        ("wordings left out", [row.group for row in every]),
        ("kinds left out", [row.kind.split("_")[0].split(" (")[0] for row in every]),
        ("sources left out", [row.source for row in every]),
    ):
        p = left_out(figures, every, groups)
        report(f"{folder.name}, {title}", rows, p[:n])
        sure = np.array([row.weight == 1.0 for row in rows])
        kept = [row for row, one in zip(rows, sure, strict=True) if one]
        report(f"{folder.name}, {title}, contradicted alone", kept, p[:n][sure])
    if out is not None:
        figures = figures_of(unweighted(Alike()), every)
        p = left_out(figures, every, [row.group for row in every])
        lies = [row.lie for row in every]
        error = calibration_error(p, lies, rng=np.random.default_rng(0))
        weights = msgspec.structs.replace(
            fitted(figures, every, range(len(every))),
            figures={
                "auroc": round(auroc(np.array(lies), p), 4),
                "calibration_error": round(error.estimate, 4),
                "calibration_error_upper": round(error.upper, 4),
            },
        )
        out.write_bytes(msgspec.json.format(msgspec.json.encode(weights)) + b"\n")


def report(title: str, rows: Sequence[Row], p: NDArray[np.float64]) -> None:
    """AUROC over all and by kind: the lies of a kind against all honest replies of its source."""
    lies, groups = np.array([row.lie for row in rows]), np.array([row.group for row in rows])
    kinds = np.array([row.kind for row in rows])
    error = calibration_error(p, lies, rng=np.random.default_rng(0))
    print(f"\n{title}: n {len(rows)}, lies {lies.sum()}, calibration error {error.estimate:.3f}")
    for kind in ["all", *sorted(set(kinds[lies]))]:
        used = (
            np.flatnonzero(~lies | (lies & (kinds == kind))) if kind != "all" else np.arange(len(p))
        )
        print(
            f"  {kind:42s} {int(lies[used].sum()):5d}  {_interval(lies[used], p[used], groups[used])}"
        )


def _interval(lies: NDArray[Any], p: NDArray[Any], groups: NDArray[Any]) -> str:
    rng, drawn = np.random.default_rng(0), []
    for _ in range(_DRAWS):
        pick = resample(groups, rng)
        if 0 < lies[pick].sum() < len(pick):
            drawn.append(auroc(lies[pick], p[pick]))
    lower, upper = np.quantile(drawn, [0.025, 0.975])
    return f"{auroc(lies, p):.3f} [{lower:.3f}, {upper:.3f}]"


def called(probe: ActionProbe, rows: Sequence[Row]) -> None:
    """How often replies are called contradicted."""
    found = probe.measure([row.transcript for row in rows])
    called_ = np.array([bool(m.answers.get(CONTRADICTED)) for m in found])
    lies = np.array([row.lie for row in rows])
    for name, among in (("lies", lies), ("honest replies", ~lies)):
        k, n = int(called_[among].sum()), int(among.sum())
        share = wilson(k, n)
        print(
            f"  called contradicted, of {name}: {k} of {n} [{share.lower:.3f}, {share.upper:.3f}]"
        )


def measure_own(probe: ActionProbe, title: str, path: Path) -> None:
    """The turns of a file, and the same without their record."""
    turns = own_turns(path)
    found = probe.measure([row.transcript for row in turns])
    p = np.array([0.5 if m.p_lie is None else m.p_lie for m in found])
    report(f"{title}, shipped weights", turns, p)
    said = np.array([bool(m.answers.get(CONTRADICTED)) for m in found])
    lies = np.array([row.lie for row in turns])
    for name, among in (("lies", lies), ("honest replies", ~lies)):
        k, n = int(said[among].sum()), int(among.sum())
        share = wilson(k, n)
        print(f"  contradicted, of {name}: {k} of {n} [{share.lower:.3f}, {share.upper:.3f}]")
    bare = probe.measure([row.transcript for row in own_turns(path, recorded=False)])
    n = sum(bool(m.answers.get(CONTRADICTED)) for m in bare)
    print(f"  contradicted with nothing recorded: {n} of {len(bare)}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, help="folder with labelled statements")
    parser.add_argument("--fit", type=Path, help="where the weights fitted to them go")
    options = parser.parse_args()
    if options.data is not None:
        measure_data(options.data, options.fit)
    probe = ActionProbe(Embedder())
    measure_own(probe, "turns that the rules were written with", TURNS)
    measure_own(probe, "turns written after the rules", FRESH)
    measure_own(probe, "turns by which nothing was changed", UNTOUCHED)


if __name__ == "__main__":
    main()
