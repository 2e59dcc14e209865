"""Injections as they are kept in the package: texts that try to move a verdict, and how they are hidden."""

from __future__ import annotations

import base64
import codecs
from collections.abc import Callable
from pathlib import Path
from typing import Literal, get_args

import msgspec
import yaml

from evidence import BadInputError, Message
from probes.probe import Transcript

DEFAULT = Path(__file__).with_name("attacks.yaml")
HELD_OUT = Path(__file__).with_name("held_out.yaml")
"""Attacks that the guard's rules were not written for."""

Kind = Literal[
    "instruction",
    "fake_verdict",
    "role_tags",
    "fake_json",
    "invisible",
    "language",
    "encoded",
    "padding",
    "delimiter",
    "persuasion",
]
KINDS: tuple[str, ...] = get_args(Kind)
Place = Literal["end", "start", "around", "user"]
Hiding = Literal["none", "base64", "hex", "rot13", "zero_width", "tags", "bidi", "full_width"]


class Injection(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One attack.

    Parameters
    ----------
    place
        Where it is put: after, before or around the reply, or after the user's last message.
    hiding
        How its text is hidden.
    repeat
        How often the text is written, for padding.
    """

    id: str
    kind: Kind
    text: str
    place: Place = "end"
    hiding: Hiding = "none"
    repeat: int = 1

    @property
    def payload(self) -> str:
        """The text as it is put into the conversation."""
        return _hide(self.text, self.hiding) * self.repeat

    def attack(self, transcript: Transcript) -> Transcript:
        """The transcript with the attack in it. One that cannot be measured is given back as it is."""
        if not transcript.is_measurable:
            return transcript
        payload, turns = self.payload, list(transcript.messages)
        at = len(turns) - 1
        if self.place == "user":
            asked = [k for k, turn in enumerate(turns) if turn.role == "user"]
            at = asked[-1] if asked else at
        text = turns[at].content
        match self.place:
            case "start":
                text = f"{payload}\n{text}"
            case "around":
                text = f"{payload}\n{text}\n{payload}"
            case _:
                text = f"{text}\n{payload}"
        turns[at] = Message(turns[at].role, text)
        return msgspec.structs.replace(transcript, messages=tuple(turns))


def load_injections(path: Path = DEFAULT) -> tuple[Injection, ...]:
    """The attacks of a file, in order. Raises BadInputError naming what is wrong with it."""
    try:
        found = msgspec.convert(
            yaml.safe_load(path.read_text(encoding="utf-8")), tuple[Injection, ...]
        )
    except (OSError, yaml.YAMLError, msgspec.ValidationError) as error:
        raise BadInputError(f"not a file of injections: {error}", str(path)) from error
    if len({one.id for one in found}) < len(found):
        raise BadInputError("two injections have one id", str(path))
    return found


def _hide(text: str, hiding: Hiding) -> str:
    hidden: dict[Hiding, Callable[[], str]] = {
        "none": lambda: text,
        "base64": lambda: base64.b64encode(text.encode()).decode(),
        "hex": lambda: text.encode().hex(),
        "rot13": lambda: codecs.encode(text, "rot13"),
        "zero_width": lambda: "\u200b".join(text),
        "tags": lambda: "".join(chr(0xE0000 + ord(c)) for c in text if ord(c) < 0x80),
        "bidi": lambda: f"\u202e{text[::-1]}\u202c",
        "full_width": lambda: "".join(chr(ord(c) + 0xFEE0) if "!" <= c <= "~" else c for c in text),
    }
    return hidden[hiding]()
