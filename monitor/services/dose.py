"""The project's own dose–response, from the file that settings name."""

from __future__ import annotations

from pathlib import Path

from evidence import BadInputError
from monitor.cohorts.forecast import DoseResponse


def read_dose_response(path: Path | None, metric: str) -> DoseResponse | None:
    """The curve of a metric in a file; None without one. Raises BadInputError when it cannot be read."""
    if path is None:
        return None
    try:
        return DoseResponse.decode(path.read_bytes(), str(path), metric=metric)
    except OSError as error:
        raise BadInputError(f"cannot be read: {error.strerror}", str(path)) from error
