"""A text beside its neutral form, and what became of it."""

from __future__ import annotations

from typing import Literal

import msgspec

from evidence import digest

Role = Literal["system", "user"]
"""Whose text it is: developer messages count as `system`, whatever is no system's and no assistant's as `user`."""

State = Literal["auto", "reviewed", "refused"]


class NeutralText(msgspec.Struct, frozen=True, kw_only=True):
    """A text and its neutral form.

    Parameters
    ----------
    neutral
        What it is without pressure; of a refused one, what was offered.
    state
        `auto` was rewritten and checked, `reviewed` was written or approved by a person, `refused` may
        not be used.
    reason
        Why it was refused, or why the person wrote it.
    made_by
        Digest of the rewriter, or the person.
    """

    original: str
    neutral: str
    role: Role = "system"
    state: State = "auto"
    reason: str = ""
    made_by: str

    @property
    def key(self) -> str:
        """Names the original, whoever rewrites it."""
        return key_of(self.role, self.original)

    def refused(self, reason: str) -> NeutralText:
        """The same, not to be used for this reason."""
        return msgspec.structs.replace(self, state="refused", reason=reason)


def key_of(role: Role, original: str) -> str:
    """The key of a text's neutral form, 64 hex digits."""
    return digest("neutral-text-1", role, original)
