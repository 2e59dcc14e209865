"""The query of every list: from which position on, within which time, how many."""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Callable, Sequence
from datetime import datetime
from http import HTTPStatus
from typing import Annotated, TypeVar

from fastapi import Depends, Query
from pydantic import AwareDatetime

from monitor.http.problems import ProblemError
from monitor.store.pages import Page, Position

Item = TypeVar("Item")
Limit = Annotated[int, Query(ge=1, le=1000)]
After = Annotated[str | None, Query(max_length=4000, description="`next` of the page before.")]
Since = Annotated[
    AwareDatetime | None, Query(description="From this time on; RFC 3339 with a zone.")
]
Until = Annotated[
    AwareDatetime | None, Query(description="Before this time; RFC 3339 with a zone.")
]


def page_of(keys: int) -> Callable[..., Page]:
    """A dependency: the page that a request asks for, of a list whose items have so many keys."""

    def page(
        after: After = None, since: Since = None, until: Until = None, limit: Limit = 100
    ) -> Page:
        return Page(
            after=None if after is None else _position(after, keys),
            since_s=_seconds(since),
            until_s=_seconds(until),
            limit=limit,
        )

    return page


OneKeyPage = Annotated[Page, Depends(page_of(1))]
ThreeKeyPage = Annotated[Page, Depends(page_of(3))]


def next_of(found: Sequence[Item], page: Page, position: Callable[[Item], Position]) -> str | None:
    """What continues after the last item; None at the end of the list."""
    if len(found) < page.limit:
        return None
    text = json.dumps(position(found[-1]), separators=(",", ":"))
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def _position(text: str, keys: int) -> Position:
    try:
        padded = text + "=" * (-len(text) % 4)
        at_s, *rest = json.loads(base64.b64decode(padded, altchars=b"-_", validate=True))
        if isinstance(at_s, float) and math.isfinite(at_s) and len(rest) == keys:
            return (at_s, *(_key(part) for part in rest))
    except (ValueError, TypeError, RecursionError):
        pass
    raise ProblemError(
        HTTPStatus.UNPROCESSABLE_ENTITY,
        "not a position in the list",
        errors=[("after", "take `next` of the page before")],
    )


def _key(part: object) -> str:
    if not isinstance(part, str) or "\0" in part:
        raise TypeError("a key is a text")
    part.encode()
    return part


def _seconds(moment: datetime | None) -> float | None:
    return None if moment is None else moment.timestamp()
