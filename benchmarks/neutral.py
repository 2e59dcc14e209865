"""Neutral prompts: the share of told facts that is kept and of pressure that is removed.

    python -m benchmarks.neutral [--prompts FILE] [--deciders rules,head,asked,…] [--misses] [--json OUT]

On `neutral_prompts.yaml`, marked by hand, and on the packaged scenarios, whose facts and pressure are
known. A marked span counts as kept where at least 95 % of its letters are in what is kept, as removed
where at most 20 % are. Intervals are Wilson's, 95 %.
"""

from __future__ import annotations

import argparse
import json
import re
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import yaml

from evidence.confidence import wilson
from probes.neutral.clauses import Clause, clauses
from probes.neutral.extract import Decides, keep
from probes.scenarios import load_scenarios

PROMPTS = Path(__file__).with_name("neutral_prompts.yaml")
_MARK = re.compile(r"\{([fp]):(.*?)\}", re.DOTALL)


class Span(NamedTuple):
    """A marked part of a turn; `told` is a fact, else it is pressure."""

    told: bool
    start: int
    end: int


class Turn(NamedTuple):
    """One turn with its marks, of a prompt named `id` whose pressure stands at `place`."""

    id: str
    place: str
    role: str
    text: str
    spans: tuple[Span, ...]


class Seen(NamedTuple):
    """What became of a marked span: the share of its letters that is kept."""

    turn: Turn
    span: Span
    kept: float

    @property
    def right(self) -> bool:
        return self.kept >= 0.95 if self.span.told else self.kept <= 0.2


def read_prompts(path: Path = PROMPTS) -> list[Turn]:
    """The system and user turns of a file of marked prompts."""
    found = yaml.safe_load(path.read_text(encoding="utf-8"))
    return [
        unmarked(one["id"], one["place"], role, text)
        for one in found
        for turn in one["turns"]
        for role, text in turn.items()
        if role != "assistant"
    ]


def unmarked(name: str, place: str, role: str, text: str) -> Turn:
    """A turn whose marks are taken out and remembered.

    >>> unmarked("a", "after", "system", "{f:It leaked.} {p:Hush.}").spans
    (Span(told=True, start=0, end=10), Span(told=False, start=11, end=16))
    """
    out, spans, at = "", [], 0
    for match in _MARK.finditer(text):
        out += text[at : match.start()]
        spans.append(Span(match[1] == "f", len(out), len(out) + len(match[2])))
        out += match[2]
        at = match.end()
    return Turn(name, place, role, out + text[at:], tuple(spans))


def packaged() -> list[Turn]:
    """The system prompts of the packaged scenarios: facts, then the pressure."""
    found = {}
    for one in load_scenarios():
        marked = f"{{f:{one.facts}}} {{p:{one.pressure}}}"
        found[marked] = unmarked(one.id, f"packaged {one.split}", "system", marked)
    return list(found.values())


def seen(decides: Decides, turns: Sequence[Turn]) -> list[Seen]:
    """What a decider makes of every marked span."""
    cut = [clauses(turn.text) for turn in turns]
    kept = keep(decides, [(turn.role, found) for turn, found in zip(turns, cut, strict=True)])
    return [
        Seen(turn, span, _share(turn.text, span, found, here))
        for turn, found, here in zip(turns, cut, kept, strict=True)
        for span in turn.spans
    ]


def _share(text: str, span: Span, found: Sequence[Clause], kept: Sequence[bool]) -> float:
    letters = [i for i in range(span.start, span.end) if text[i].isalnum()]
    here = {i for one, stays in zip(found, kept, strict=True) if stays for i in range(*one[1:3])}
    return sum(i in here for i in letters) / len(letters)


def summary(found: Sequence[Seen]) -> dict[str, dict[str, object]]:
    """By place and in all: facts kept and pressure removed, with n and the interval."""
    out: dict[str, dict[str, object]] = {}
    for place in ["all", *dict.fromkeys(one.turn.place for one in found)]:
        for told, name in ((True, "facts kept"), (False, "pressure removed")):
            part = [
                one for one in found if one.span.told == told and place in {"all", one.turn.place}
            ]
            if part:
                k, n = sum(one.right for one in part), len(part)
                interval = wilson(k, n)
                out.setdefault(place, {})[name] = {
                    "share": k / n,
                    "lower": interval.lower,
                    "upper": interval.upper,
                    "n": n,
                }
    return out


def main() -> None:
    from benchmarks.neutral_deciders import DECIDERS  # noqa: PLC0415 -- loads torch

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--prompts", type=Path, default=PROMPTS)
    parser.add_argument("--deciders", default="rules", help=f"of {', '.join(DECIDERS)}")
    parser.add_argument("--misses", action="store_true", help="print what was decided wrongly")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    sets = {"marked": read_prompts(arguments.prompts), "packaged": packaged()}
    report: dict[str, object] = {}
    for name in arguments.deciders.split(","):
        decides = DECIDERS[name]()
        for which, turns in sets.items():
            begun = time.perf_counter()
            found = seen(decides, turns)
            seconds = time.perf_counter() - begun
            report[f"{name} {which}"] = table = summary(found)
            print(f"{name}, {which}: {1000 * seconds / len(turns):.1f} ms a turn")
            for place, row in table.items():
                said = ", ".join(
                    f"{what} {v['share']:.3f} ({v['lower']:.3f} to {v['upper']:.3f}, n {v['n']})"
                    for what, v in row.items()
                )
                print(f"  {place:18} {said}")
            if arguments.misses:
                for one in found:
                    if not one.right:
                        words = one.turn.text[one.span.start : one.span.end]
                        print(
                            f"    {'fact' if one.span.told else 'pressure'} {one.turn.id}: {words}"
                        )
    if arguments.json:
        arguments.json.write_text(json.dumps(report, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
