"""Where a page of a list begins, as an opaque text in the address."""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Callable, Sequence
from http import HTTPStatus
from typing import TypeVar

from monitor.http.problems import ProblemError
from monitor.store.pages import Page, Position

Item = TypeVar("Item")


def next_of(found: Sequence[Item], page: Page, position: Callable[[Item], Position]) -> str | None:
    """What continues after the last item; None at the end of the list."""
    if len(found) < page.limit:
        return None
    text = json.dumps(position(found[-1]), separators=(",", ":"))
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def position_of(text: str, keys: int) -> Position:
    """The position that `next_of` wrote, of a list whose items have so many keys. Raises ProblemError (422)."""
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
