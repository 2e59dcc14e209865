"""The two forms of a response, and the figures of a probe: what measuring needs of training."""

from __future__ import annotations

from typing import Literal

import msgspec

Form = Literal["short", "long"]
FORMS: tuple[Form, ...] = ("short", "long")
SHORT = 8
"""A response of at most this many tokens is a pick (a letter, yes, a number); longer is prose.

The two forms have a head each: the mean over one token is that token, and means another thing than
the mean over a paragraph.
"""


class Quality(msgspec.Struct, frozen=True):
    """Figures on scenarios left out of the fit."""

    n: int
    auroc: float
    calibration_error: float
    auroc_restyled: float
