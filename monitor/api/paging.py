"""The query of every list: from which position on, within which time, how many."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Annotated

from fastapi import Depends, Query
from pydantic import AwareDatetime

from monitor.http.cursor import position_of
from monitor.store.pages import Page

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
            after=None if after is None else position_of(after, keys),
            since_s=_seconds(since),
            until_s=_seconds(until),
            limit=limit,
        )

    return page


OneKeyPage = Annotated[Page, Depends(page_of(1))]
ThreeKeyPage = Annotated[Page, Depends(page_of(3))]


def _seconds(moment: datetime | None) -> float | None:
    return None if moment is None else moment.timestamp()
