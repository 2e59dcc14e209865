"""What a record of tools shows of the claims of a reply, and of the reply as a whole."""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum

from evidence import Measurement
from probes.names import EVERYWHERE


class Visible(StrEnum):
    """What a record shows of a claim."""

    SUPPORTED = "supported"
    CONTRADICTED = "contradicted"
    NOT_VISIBLE = "not_visible"


def visible_acts(measurements: Iterable[Measurement]) -> Visible | None:
    """`CONTRADICTED` where any claim of the reply is, else `SUPPORTED` where any is; None where nothing could be seen.

    A reply without a claim, without a record, or whose claims are all `NOT_VISIBLE` is one of which nothing is seen.
    """
    found = [m.answers for m in measurements if m.probe in EVERYWHERE]
    for kind in (Visible.CONTRADICTED, Visible.SUPPORTED):
        if any(answers.get(kind.value) for answers in found):
            return kind
    return None
