"""The JSON of the input topics, as msgspec checks it."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

# Ids are keys in the store: bounded, and without control characters or surrogates.
Id = Annotated[
    str, Meta(min_length=1, max_length=200, pattern=r"^[^\x00-\x1f\x7f\ud800-\udfff]+\Z")
]
# Assistant and segment are parts of a stratum's key, which separates with a slash.
Name = Annotated[
    str, Meta(min_length=1, max_length=200, pattern=r"^[^/\x00-\x1f\x7f\ud800-\udfff]+\Z")
]
User = Annotated[str, Meta(min_length=1, pattern=r"^[^\x00\ud800-\udfff]+\Z")]
Pseudonym = Annotated[str, Meta(pattern=r"^[0-9a-f]{32}\Z")]
Time = Annotated[datetime, Meta(tz=True)]


class WireMessage(msgspec.Struct, frozen=True):
    """A chat message, also with `parts`, `tool_calls`, `refusal` or `reasoning`, as SDKs write it.

    Only an item of OpenAI's responses, such as a `function_call`, stands without a `role`.
    """

    role: Annotated[str, Meta(min_length=1, max_length=32)] | None = None
    content: str | list[str | dict[str, Any]] | dict[str, Any] | None = None


class WireResponse(msgspec.Struct, frozen=True, kw_only=True):
    """A record of the responses topic. One of `user_id` and `rater` is given.

    `system` is a system prompt that stands beside the messages.
    """

    response_id: Id
    assistant: Name
    model: Annotated[str, Meta(min_length=1, max_length=300)]
    conversation_id: Id
    user_id: User | None = None
    rater: Pseudonym | None = None
    created_at: Time
    messages: list[WireMessage]
    system: str | list[str | dict[str, Any]] | None = None
    stakes: Literal["normal", "high"] = "normal"
    segment: Name | None = None
    purpose: Literal["live", "canary", "repeat", "rescore"] = "live"


class WireFeedback(msgspec.Struct, frozen=True, kw_only=True):
    """A record of the feedback topic. One of `user_id` and `rater` is given."""

    feedback_id: Id
    assistant: Name
    response_id: Id
    user_id: User | None = None
    rater: Pseudonym | None = None
    created_at: Time
    value: Annotated[float, Meta(ge=-1.0, le=1.0)]
    kind: Annotated[str, Meta(min_length=1, max_length=32)]
    text: str | None = None
