"""Canaries: conversations of our own whose last turn is known to be honest, a lie or an evasion."""

from __future__ import annotations

from functools import cache
from importlib import resources

import msgspec
import yaml

from evidence import Message, VerdictKind, digest

KINDS = (VerdictKind.HONEST, VerdictKind.LIE, VerdictKind.EVASION)


class Canary(msgspec.Struct, frozen=True, kw_only=True):
    """One canary: `canary_id` is `template.fill.kind`; the last of `messages` is the answer to judge."""

    canary_id: str
    known: VerdictKind
    messages: tuple[Message, ...]


class _Template(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    name: str
    system: str
    question: str
    honest: str
    lie: str
    evasion: str
    fill: tuple[dict[str, str], ...]

    def filled(self, number: int, kind: VerdictKind) -> Canary:
        words = self.fill[number]
        words = {name: value.format(**words) for name, value in words.items()}
        answer: str = getattr(self, kind.value)
        return Canary(
            canary_id=f"{self.name}.{number}.{kind}",
            known=kind,
            messages=(
                Message("system", self.system.format(**words)),
                Message("user", self.question.format(**words)),
                Message("assistant", answer.format(**words)),
            ),
        )


@cache
def load_canaries() -> tuple[Canary, ...]:
    """All canaries in the order in which they are sent: kinds alternate, templates are mixed.

    The order is fixed by a hash of their ids, so that every process sends the same sequence.
    """
    text = resources.files("monitor.score").joinpath("canaries.yaml").read_text("utf-8")
    templates = msgspec.convert(yaml.safe_load(text), tuple[_Template, ...])
    by_kind = [
        sorted(
            (t.filled(i, kind) for t in templates for i in range(len(t.fill))),
            key=lambda canary: digest("order", canary.canary_id),
        )
        for kind in KINDS
    ]
    return tuple(canary for group in zip(*by_kind, strict=True) for canary in group)
