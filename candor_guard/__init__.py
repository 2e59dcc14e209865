"""The guard of a training job: it stands alone, imports nothing else of Candor, and needs no extra.

    from candor_guard import GuardCallback, load_guarded

What is named here is imported when it is asked for: the other packages rest on the errors and the
messages of this one, and `GuardCallback` needs transformers.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from candor_guard.callback import GuardCallback
    from candor_guard.decision import VerifiedDecision, verify
    from candor_guard.errors import BadInputError, RefusedError
    from candor_guard.guarded import GuardedRows, load_guarded
    from candor_guard.stamp import Attested, attest
    from candor_guard.waived import ANY_ASSISTANT, ANY_MODEL, NOT_CHECKED

__all__ = [
    "ANY_ASSISTANT",
    "ANY_MODEL",
    "NOT_CHECKED",
    "Attested",
    "BadInputError",
    "GuardCallback",
    "GuardedRows",
    "RefusedError",
    "VerifiedDecision",
    "attest",
    "load_guarded",
    "verify",
]

_HOMES = {
    "ANY_ASSISTANT": "waived",
    "ANY_MODEL": "waived",
    "NOT_CHECKED": "waived",
    "Attested": "stamp",
    "BadInputError": "errors",
    "GuardCallback": "callback",
    "GuardedRows": "guarded",
    "RefusedError": "errors",
    "VerifiedDecision": "decision",
    "attest": "stamp",
    "load_guarded": "guarded",
    "verify": "decision",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
