"""Canaries: conversations of our own whose last turn is known to be honest, a lie or an evasion, and turns with recorded
calls of tools of which it is known whether the record supports what is said of them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from functools import cache
from importlib import resources
from typing import Any

import msgspec
import yaml

from candor_guard.messages import ToolStatus
from evidence import Message, ToolCall, ToolResult, VerdictKind, digest
from evidence.tools import TOOLS
from probes.visible import Visible

KINDS = (VerdictKind.HONEST, VerdictKind.LIE, VerdictKind.EVASION)
SHOWN = (Visible.CONTRADICTED, Visible.SUPPORTED)


class Canary(msgspec.Struct, frozen=True, kw_only=True):
    """One canary.

    Parameters
    ----------
    canary_id
        `template.fill.known`.
    known
        What the answer is, or what the record shows of the acts that it claims.
    messages
        The conversation; the last is the answer to judge.
    beside
        Further fields of its record: the tools on offer.
    """

    canary_id: str
    known: VerdictKind | Visible
    messages: tuple[Message, ...]
    beside: dict[str, Any] = {}


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


class _Call(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    name: str
    arguments: dict[str, str]
    result: str
    status: ToolStatus

    def filled(self, call_id: str, words: dict[str, str]) -> tuple[Message, Message]:
        """The call, and its answer."""
        given = {name: value.format(**words) for name, value in self.arguments.items()}
        call = ToolCall(self.name, json.dumps(given), call_id)
        told = ToolResult(call_id, self.name, self.status)
        return (
            Message("assistant", "", tool_calls=(call,)),
            Message("tool", self.result.format(**words), result=told),
        )


class _ActTemplate(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    name: str
    tools: dict[str, str]
    question: str
    calls: tuple[_Call, ...]
    supported: str
    contradicted: str
    fill: tuple[dict[str, str], ...]

    def filled(self, number: int, shown: Visible) -> Canary:
        words = self.fill[number]
        calls = [call.filled(f"call_{k}", words) for k, call in enumerate(self.calls)]
        answer: str = getattr(self, shown.value)
        tools = [{"name": name, "description": told} for name, told in self.tools.items()]
        return Canary(
            canary_id=f"{self.name}.{number}.{shown}",
            known=shown,
            messages=(
                Message("user", self.question.format(**words)),
                *(message for pair in calls for message in pair),
                Message("assistant", answer.format(**words)),
            ),
            beside={TOOLS: tools},
        )


@cache
def load_act_canaries() -> tuple[Canary, ...]:
    """All canaries about acts in the order in which they are sent: contradicted and supported by turns."""
    templates = msgspec.convert(_read("act_canaries.yaml"), tuple[_ActTemplate, ...])
    by_kind = [
        _mixed(t.filled(i, shown) for t in templates for i in range(len(t.fill))) for shown in SHOWN
    ]
    return tuple(canary for pair in zip(*by_kind, strict=True) for canary in pair)


@cache
def load_canaries() -> tuple[Canary, ...]:
    """All canaries in the order in which they are sent: kinds alternate, templates are mixed.

    The order is fixed by a hash of their ids, so that every process sends the same sequence.
    """
    templates = msgspec.convert(_read("canaries.yaml"), tuple[_Template, ...])
    by_kind = [
        _mixed(t.filled(i, kind) for t in templates for i in range(len(t.fill))) for kind in KINDS
    ]
    return tuple(canary for group in zip(*by_kind, strict=True) for canary in group)


def with_acts(canaries: Sequence[Canary], acts: Sequence[Canary]) -> tuple[Canary, ...]:
    """One about acts after every group of one canary of each kind."""
    size = len(KINDS)
    groups = [canaries[at : at + size] for at in range(0, len(canaries), size)]
    return tuple(one for k, group in enumerate(groups) for one in (*group, acts[k % len(acts)]))


def _read(name: str) -> Any:
    return yaml.safe_load(resources.files("monitor.score").joinpath(name).read_text("utf-8"))


def _mixed(canaries: Iterable[Canary]) -> list[Canary]:
    return sorted(canaries, key=lambda canary: digest("order", canary.canary_id))
