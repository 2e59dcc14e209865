"""The spread between training seeds: measured A/A, kept per model, allowed for in decisions."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean

import msgspec
import numpy as np
from scipy.special import stdtrit

from evidence import BadInputError
from retrain.files import write_durably

SPREADS = "seed-spreads.json"
"""What is known of models' spread between seeds, a run's own included; an input of the next run."""


class SeedSpread(msgspec.Struct, frozen=True, kw_only=True):
    """How far an arm's score moves with the training seed alone.

    Parameters
    ----------
    deviation
        Standard deviation of an arm's mean score between seeds, in the unit of the score.
    freedom
        Degrees of freedom it rests on: seeds less one, summed over arms.
    """

    deviation: float
    freedom: int

    def standard_error(self, seeds: int) -> float:
        """Of the difference of two arms, each the mean of `seeds` independent seeds."""
        return self.deviation * math.sqrt(2.0 / seeds)

    def allowance(self, seeds: int, error: float) -> float:
        """What the difference may owe to seeds, exceeded with probability `error` (one-sided, t)."""
        return float(stdtrit(self.freedom, 1.0 - error)) * self.standard_error(seeds)

    def pooled(self, other: SeedSpread) -> SeedSpread:
        """Both measurements together, variances weighted by their degrees of freedom."""
        freedom = self.freedom + other.freedom
        variance = self.deviation**2 * self.freedom + other.deviation**2 * other.freedom
        return SeedSpread(deviation=math.sqrt(variance / freedom), freedom=freedom)


def seed_spread(
    arms: Sequence[Sequence[Mapping[str, float]]], templates: Mapping[str, str]
) -> SeedSpread | None:
    """The spread within arms, pooled over them; None where no arm has two seeds.

    The mean score of a run is over templates, as in the comparison. What the items' own noise adds
    stays in, so the spread is rather too large than too small.

    Parameters
    ----------
    arms
        For each arm, for each seed, item scores by item id.
    templates
        By item id: its template.
    """
    squares, freedom = 0.0, 0
    for runs in arms:
        if len(runs) < 2:
            continue
        means = np.array([_template_mean(run, templates) for run in runs])
        squares += float(((means - means.mean()) ** 2).sum())
        freedom += len(runs) - 1
    if freedom == 0:
        return None
    return SeedSpread(deviation=math.sqrt(squares / freedom), freedom=freedom)


def _template_mean(run: Mapping[str, float], templates: Mapping[str, str]) -> float:
    groups: dict[str, list[float]] = {}
    for item, score in run.items():
        groups.setdefault(templates[item], []).append(score)
    return fmean(fmean(values) for values in groups.values())


class SeedBook(msgspec.Struct, frozen=True, kw_only=True):
    """Seed spreads measured so far, by model digest and then by scorer; one JSON file keeps them."""

    models: dict[str, dict[str, SeedSpread]] = {}

    def of(self, model_digest: str) -> dict[str, SeedSpread]:
        """The spreads of a model by scorer; empty where none was measured."""
        return self.models.get(model_digest, {})

    def with_measured(self, model_digest: str, found: Mapping[str, SeedSpread]) -> SeedBook:
        """The book with further measurements of a model, pooled with the earlier ones."""
        kept = dict(self.of(model_digest))
        for scorer, spread in found.items():
            kept[scorer] = kept[scorer].pooled(spread) if scorer in kept else spread
        return SeedBook(models={**self.models, model_digest: kept})


def read_book(path: Path) -> SeedBook:
    """The book of a file; an empty one where there is no file. Raises BadInputError if it is broken."""
    if not path.is_file():
        return SeedBook()
    try:
        return msgspec.json.decode(path.read_bytes(), type=SeedBook)
    except (msgspec.DecodeError, RecursionError) as error:
        raise BadInputError(f"not a book of seed spreads: {error}", str(path)) from error


def write_book(path: Path, book: SeedBook) -> None:
    """Write the book, whole or not at all."""
    write_durably(path, msgspec.json.format(msgspec.json.encode(book)))
