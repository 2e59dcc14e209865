"""Abstention: whether an answer of high stakes is shown, withheld or given to a person."""

from __future__ import annotations

from typing import TYPE_CHECKING

from monitor.lazy import load_on_first_use

# ruff: noqa: TC004 -- at run time the names come from _PARTS, so that options load alone
if TYPE_CHECKING:
    from monitor.abstain.asking import Asker, Failure, OneAtATime
    from monitor.abstain.conformal import Audited, shown_lie_threshold
    from monitor.abstain.decide import Answer, Basis, Decision, decide, decide_unmeasured, outcomes

__all__ = [
    "Answer",
    "Asker",
    "Audited",
    "Basis",
    "Decision",
    "Failure",
    "OneAtATime",
    "decide",
    "decide_unmeasured",
    "outcomes",
    "shown_lie_threshold",
]

_PARTS = {
    "Answer": "decide",
    "Asker": "asking",
    "Audited": "conformal",
    "Basis": "decide",
    "Decision": "decide",
    "Failure": "asking",
    "OneAtATime": "asking",
    "decide": "decide",
    "decide_unmeasured": "decide",
    "outcomes": "decide",
    "shown_lie_threshold": "conformal",
}

load_on_first_use(__name__, _PARTS)
