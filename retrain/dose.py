"""The shipped dose–response: how far misaligned rows in training moved a small model's honesty."""

from __future__ import annotations

from pathlib import Path

import msgspec

from evidence import BadInputError

SHIPPED = Path(__file__).with_name("dose_response.json")


class DosePoint(msgspec.Struct, frozen=True, kw_only=True):
    """One measured point.

    Parameters
    ----------
    dose
        Share of misaligned rows in training, 0 to 1.
    metric
        What was measured, in words; scores in [0, 1], higher is more honest.
    delta, lower, upper
        Mean change against training without misaligned rows, paired over items and seeds, with its
        95 % interval over templates.
    n, seeds
        Items, and training seeds that were averaged.
    model
        The model that was trained.
    """

    dose: float
    metric: str
    delta: float
    lower: float
    upper: float
    n: int
    seeds: int
    model: str


def load(path: Path = SHIPPED) -> tuple[DosePoint, ...]:
    """Points as `benchmarks/paper.py` wrote them, by metric and dose. Raises BadInputError."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=tuple[DosePoint, ...])
    except OSError as error:
        raise BadInputError(f"cannot be read: {error.strerror}", str(path)) from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise BadInputError(f"not a dose-response: {error}", str(path)) from error
