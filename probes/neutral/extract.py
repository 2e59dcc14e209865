"""The extractive rewrite: clauses that press are left out, and what is told stays word for word."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from evidence import digest
from probes.neutral.clauses import Clause, clauses, joined, with_headings
from probes.neutral.text import NeutralText, Role


class Decides(Protocol):
    """Tells pressure from what is told, clause by clause."""

    @property
    def digest(self) -> str: ...

    def pressure(self, found: Sequence[Clause]) -> list[bool]:
        """Whether each clause is pressure: an aim, a role, a reward, a threat, an order what to say."""
        ...


class Extractive:
    """Rewrites by leaving out. It cannot change a fact or add one; it can only drop one."""

    def __init__(self, decides: Decides) -> None:
        self._decides = decides
        self._digest = digest("extractive-1", decides.digest)

    @property
    def digest(self) -> str:
        return self._digest

    def rewrite(self, texts: Sequence[tuple[Role, str]]) -> list[NeutralText]:
        """Each text without its pressure; refused where nothing is told in it.

        A user's question is never left out, and a user's turn that is nothing but pressure stays.
        """
        cut = [clauses(text) for _, text in texts]
        kept = keep(self._decides, [(role, c) for (role, _), c in zip(texts, cut, strict=True)])
        return [
            self._made(role, text, joined(text, found, here))
            for (role, text), found, here in zip(texts, cut, kept, strict=True)
        ]

    def _made(self, role: Role, original: str, neutral: str) -> NeutralText:
        made = NeutralText(original=original, neutral=neutral, role=role, made_by=self._digest)
        return made if neutral else made.refused("nothing is told in it")


def keep(decides: Decides, texts: Sequence[tuple[Role, Sequence[Clause]]]) -> list[list[bool]]:
    """Which clauses of each text stay."""
    answers = iter(decides.pressure([clause for _, found in texts for clause in found]))
    return [_kept(role, found, [not next(answers) for _ in found]) for role, found in texts]


def _kept(role: Role, found: Sequence[Clause], told: list[bool]) -> list[bool]:
    if role == "system":
        return with_headings(found, told)
    kept = [here or clause.asks for clause, here in zip(found, told, strict=True)]
    return kept if any(kept) else [True] * len(found)
