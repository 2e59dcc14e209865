"""Records in a request: all are taken, or none."""

from __future__ import annotations

from http import HTTPStatus

from monitor.http.problems import ProblemError
from monitor.ingest import batch


def refuse_wrong(checked: batch.Checked) -> None:
    """Raises ProblemError (422) when a record is wrong: all of a request are taken, or none."""
    if checked.errors:
        shown = "; ".join(f"{field}: {message}" for field, message in checked.errors[:3])
        raise ProblemError(
            HTTPStatus.UNPROCESSABLE_ENTITY,
            f"nothing was taken: {shown}",
            errors=checked.errors[:100],
        )
