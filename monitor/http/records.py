"""Records in a request: all are taken, or none; of an OTLP export each span by itself."""

from __future__ import annotations

from collections.abc import Sequence
from http import HTTPStatus

from monitor.http.problems import ProblemError
from monitor.ingest import batch


def refuse_wrong(checked: batch.Checked) -> None:
    """Raises ProblemError (422) when a record is wrong: all of a request are taken, or none."""
    if checked.errors:
        raise ProblemError(
            HTTPStatus.UNPROCESSABLE_ENTITY,
            f"nothing was taken: {shown(checked.errors)}",
            errors=checked.errors,
        )


def shown(errors: Sequence[tuple[str, str]]) -> str:
    """The first of them in a line."""
    return "; ".join(f"{field}: {message}" for field, message in errors[:3])
