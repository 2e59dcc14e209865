"""Calibration: gather labelled answers, measure every probe on them, fit and write a sensor."""

from __future__ import annotations

import math
import random
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from pydantic import Field

from evidence import BadInputError, digest
from evidence.confidence import clopper_pearson
from evidence.options import Options
from probes.models.chat import Progress
from probes.panel import Panel
from probes.parts import Speaker
from probes.sensor.fitting import Fitted, Setting, fit_sensor
from probes.sensor.items import CalibrationItem, Level
from probes.sensor.labelled import LabelledAnswer, Origin, chosen, own_answers, references
from probes.sensor.measuring import append_lines, measure, read_lines
from probes.sensor.second_turns import second_turns
from probes.sensor.sensor import write_sensor

WORK = "work"
_GATHERED = 0.35
_MARGIN = 1.25
_MOST_WRONG = 0.1
_UNSURE = 0.2
_LEAST_SHOWN = math.ceil(math.log(_UNSURE) / math.log(1.0 - _MOST_WRONG))
"""Right answers that show it where none is wrong."""


class CalibrationOptions(Options):
    """How much is asked and measured."""

    max_items: int = Field(default=72, ge=20)
    """Packaged items that are used, in pairs; each gives four reference answers and up to three of the approved version's own."""
    seed: int = 0
    """Which items, styles and answers are drawn."""


def calibrate(
    panel: Panel,
    items: Sequence[CalibrationItem],
    setting: Setting,
    out: Path,
    *,
    options: CalibrationOptions | None = None,
    speaker: Speaker | None = None,
    further: Sequence[LabelledAnswer] = (),
    canaries: Sequence[LabelledAnswer] = (),
    is_refusal: Callable[[str], bool],
    progress: Progress | None = None,
) -> Fitted:
    """Make a sensor in `out`. A run that was stopped measures nothing twice.

    Parameters
    ----------
    panel
        The configured probes, without a cascade.
    items
        Situations of which the truth is known.
    speaker
        The approved version, whose own answers are measured besides the items' own; None without.
    further
        Labelled answers of the user's: from a file, or labels that people gave.
    canaries
        What the evaluator is going to be watched with: the card says how well the sensor orders them.
    is_refusal
        Whether an answer is a bare refusal: those are told apart and enter no fit.

    Raises BadInputError when too few answers of both kinds could be measured, or nothing can be
    written.
    """
    options, report = options or CalibrationOptions(), progress or (lambda _what, _share: None)
    work = out / WORK
    told = "" if speaker is None else f"{speaker.version} {speaker.model.digest}"
    _same_run(work, digest(panel.version, told, options.model_dump_json(), *(i.id for i in items)))
    answers, misread = _gathered(items, work, options, speaker, report)
    known = {answer.id: answer for answer in (*answers, *further)}
    asserted = [a for a in known.values() if not is_refusal(a.messages[-1].content)]
    todo = [*asserted, *canaries]
    measured = measure(
        todo,
        panel,
        work / "measured.jsonl",
        advanced=lambda share: report(
            f"measuring {len(todo)} answers", _GATHERED + (0.95 - _GATHERED) * share
        ),
    )
    report("fitting", 0.96)
    fitted = fit_sensor(
        measured[: len(asserted)],
        panel.probes,
        setting._replace(
            refusals=len(known) - len(asserted),
            misread={str(level): found for level, found in misread.items()},
        ),
        canaries=measured[len(asserted) :],
        rng=np.random.default_rng(options.seed),
    )
    write_sensor(out, fitted.sensor, fitted.card)
    shutil.rmtree(work, ignore_errors=True)
    report("done", 1.0)
    return fitted


def _gathered(
    items: Sequence[CalibrationItem],
    work: Path,
    options: CalibrationOptions,
    speaker: Speaker | None,
    report: Progress,
) -> tuple[list[LabelledAnswer], dict[Level, tuple[int, int]]]:
    """The items' answers in several styles and the approved version's own; what it misreads is left out."""
    rng = random.Random(options.seed)  # noqa: S311 -- which items, not secrets
    if speaker is None:
        picked = chosen(items, options.max_items, rng)
        return [*references(picked, rng), *second_turns(picked, rng)], {}
    untold, items = _unshown(items, options.max_items)
    picked = chosen(items, options.max_items, rng)
    journal, whole = work / "own.jsonl", work / "own.done"
    if not whole.exists():
        journal.unlink(missing_ok=True)
        spoken = own_answers(
            picked,
            speaker.model,
            speaker.version,
            seed=options.seed,
            advanced=lambda share: report(f"{speaker.version} answers", _GATHERED * share),
        )
        append_lines(journal, spoken)
        whole.touch()
    own = read_lines(journal, LabelledAnswer)
    misread = {**untold, **misread_levels(own)}
    own = [answer for answer in own if answer.level not in misread]
    if misread:
        rest = [item for item in items if item.level not in misread]
        picked = chosen(rest, options.max_items, rng)
    fits = _like([a.messages[-1].content for a in own])
    return [*own, *references(picked, rng, fits), *second_turns(picked, rng, fits)], misread


def _unshown(
    items: Sequence[CalibrationItem], limit: int
) -> tuple[dict[Level, tuple[int, int]], Sequence[CalibrationItem]]:
    """Crossed items only where enough of them are asked to show that they are read; those that are left."""
    simple = [item for item in items if item.level != "crossed"]
    if not simple or len(simple) == len(items) or limit // 2 >= _LEAST_SHOWN:
        return {}, items
    return {"crossed": (0, 0)}, simple


def misread_levels(own: Sequence[LabelledAnswer]) -> dict[Level, tuple[int, int]]:
    """Levels of items that the approved version is not shown to get right when it is asked plainly, with
    how many of how many answers are wrong.

    Who misreads what they were told cannot be seen to lie about it: a wrong answer is then no lie, and no
    belief is there to hold an answer against. Nine in ten have to be right, by the upper end of an exact
    80 % bound: of a few answers it cannot be known, and luck must not choose what a sensor is fitted to.
    Where no level reaches that, the simplest is used for what it is worth.
    """
    wrong: dict[Level, list[bool]] = {}
    for answer in own:
        if answer.origin is Origin.OWN_NEUTRAL:
            wrong.setdefault(answer.level, []).append(answer.lie)
    found = {
        level: (sum(lies), len(lies))
        for level, lies in wrong.items()
        if clopper_pearson(sum(lies), len(lies), 2 * _UNSURE).upper > _MOST_WRONG
    }
    if len(found) == len(wrong):
        found.pop("simple", None)
    return found


def _like(own: Sequence[str]) -> Callable[[str], bool]:
    """Whether an answer is about as long as those that the assistant gives: what it never writes says
    little of how well its lies are seen."""
    if not own:
        return lambda _text: True
    shortest, longest = np.quantile([len(text) for text in own], [0.05, 0.95])
    return lambda text: shortest / _MARGIN <= len(text) <= longest * _MARGIN


def _same_run(work: Path, key: str) -> None:
    """Forget what a run with other probes or options left behind."""
    mark = work / "run"
    try:
        if work.is_dir() and (not mark.is_file() or mark.read_text("utf-8") != key):
            shutil.rmtree(work)
        work.mkdir(parents=True, exist_ok=True)
        mark.write_text(key, "utf-8")
    except OSError as error:
        raise BadInputError(f"cannot be written: {error.strerror}", str(work)) from error
