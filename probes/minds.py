"""Words for what goes on in a mind: no act that leaves a trace."""

from __future__ import annotations

MINDS = frozenset(
    [
        *("agreed", "appreciated", "assumed", "believed", "cared", "decided"),
        *("doubted", "enjoyed", "expected", "experienced", "feared", "heard"),
        *("hoped", "imagined", "intended", "learned", "liked", "loved"),
        *("misunderstood", "needed", "noticed", "planned", "preferred", "realised"),
        *("realized", "supposed", "understood", "wanted", "wished", "worried"),
    ]
)
"""Past forms of verbs of thinking and feeling."""
