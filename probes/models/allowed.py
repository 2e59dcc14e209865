"""What a chat server allows of a request, learned from how it refuses one."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

Allowed = Mapping[str, Any]
"""By field of a request: what is sent in its place; None leaves it out."""

_FIELDS = ("top_logprobs", "logprobs", "max_tokens", "response_format", "temperature", "seed")
_SCHEMA = re.compile(
    r"\b(?:response_format|json_schema|guided_json|structured.outputs?|maxLength|maxItems)\b", re.I
)
_UNKNOWN = re.compile(
    r"max_completion_tokens|unsupported|not.support|unknown|unrecogni[sz]ed|extra|unexpected", re.I
)
_TOO_LONG = re.compile(r"context|too (?:large|long)|exceed", re.I)
_FEWER = (5, 1)
_BOUNDS = ("maxLength", "maxItems")
UNBOUNDED = "its schema without lengths"
"""In the place of a `response_format`: as it was asked, but for the lengths in its schema."""


def fitted(settings: Mapping[str, Any], allowed: Allowed) -> dict[str, Any]:
    """A request's settings as the server allows them.

    >>> fitted({"max_tokens": 5, "seed": 1}, {"max_tokens": "max_completion_tokens", "seed": None})
    {'max_completion_tokens': 5}
    """
    out = dict(settings)
    for name in [name for name in allowed if name in out]:
        value, limit = out.pop(name), allowed[name]
        if name == "max_tokens":
            out[limit] = value
        elif limit == UNBOUNDED:
            out[name] = _unbounded(value)
        elif limit is not None:
            out[name] = min(value, limit) if name == "top_logprobs" else limit
    if "logprobs" not in out:
        out.pop("top_logprobs", None)
    return out


def eased(sent: Mapping[str, Any], refusal: str) -> Allowed | None:
    """The smallest change to what was sent that may please, None where the refusal names no field.

    >>> eased({"logprobs": True, "top_logprobs": 20}, "top_logprobs must be at most 5")
    {'top_logprobs': 5}
    """
    words, names = _said(refusal)
    named = [name for name in _FIELDS if name in sent and name in names]
    if "response_format" in sent and _SCHEMA.search(words):
        named.append("response_format")
    for name in named:
        match name:
            case "top_logprobs" | "logprobs":
                fewer = _fewer(name, sent.get("top_logprobs"), words)
                return {"top_logprobs": fewer} if fewer else {"logprobs": None}
            case "max_tokens":
                if _UNKNOWN.search(words) and not _TOO_LONG.search(words):
                    return {name: "max_completion_tokens"}
            case "response_format":
                if _unbounded(sent[name]) != sent[name]:
                    return {name: UNBOUNDED}
                looser = {"type": "json_object"}
                return {name: None if sent[name] == looser else looser}
            case _:
                return {name: None}
    return None


def _unbounded(value: Any) -> Any:
    """A schema without limits on lengths, which some servers do not know."""
    if isinstance(value, dict):
        return {key: _unbounded(part) for key, part in value.items() if key not in _BOUNDS}
    return [_unbounded(part) for part in value] if isinstance(value, list) else value


def _fewer(name: str, sent: int | None, words: str) -> int | None:
    """How many likeliest tokens to ask for: what the server says, else fewer; None for none."""
    if sent is None:
        return None
    told = [int(number) for number in re.findall(r"\b\d{1,3}\b", words)]
    lower = [number for number in told if 0 < number < sent]
    if lower:
        return max(lower)
    return next((n for n in _FEWER if n < sent), None) if name == "top_logprobs" else None


def _said(refusal: str) -> tuple[str, set[str]]:
    """The words of a refusal without what it echoes of the request, and the fields that it names."""
    words, param = refusal, ""
    try:
        value = json.loads(refusal)
    except (ValueError, RecursionError):
        value = None
    if isinstance(value, dict):
        error = value.get("error") or value
        found = error.get("message") or error.get("detail") if isinstance(error, dict) else error
        param = str(error.get("param") or "") if isinstance(error, dict) else ""
        if isinstance(found, list):
            faults = [fault for fault in found if isinstance(fault, dict)]
            found = "; ".join(f"{fault.get('loc')} {fault.get('msg')}" for fault in faults)
        words = str(found) if found else refusal
    names = {name for name in _FIELDS if re.search(rf"\b{name}\b", f"{words} {param}")}
    return words, {param} if param in _FIELDS else names
