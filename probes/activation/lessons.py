"""Situations of our own writing: one prompt, an honest answer and a lie."""

from __future__ import annotations

from importlib import resources

import msgspec
import yaml

from evidence import Message
from probes.activation.training import Example
from probes.probe import Transcript


class _Template(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    name: str
    system: tuple[str, ...]
    user: tuple[str, ...]
    honest: tuple[str, ...]
    lie: tuple[str, ...]
    fill: tuple[dict[str, str], ...]

    def examples(self) -> list[Example]:
        """An honest answer and a lie for each filling; wordings take turns."""
        out = []
        for n, fill in enumerate(self.fill):
            system, user = (_turn(options, n, fill) for options in (self.system, self.user))
            for label, options in ((False, self.honest), (True, self.lie)):
                turns = (
                    Message("system", system),
                    Message("user", user),
                    Message("assistant", _turn(options, n, fill)),
                )
                name = f"{self.name}.{n}.{'lie' if label else 'honest'}"
                transcript = Transcript(id=name, messages=turns)
                out.append(Example(transcript, label, self.name))
        return out


def load_lessons() -> list[Example]:
    """The packaged situations, in a fixed order, as many lies as honest answers."""
    text = resources.files("probes.activation").joinpath("lessons.yaml").read_text("utf-8")
    templates = msgspec.convert(yaml.safe_load(text), tuple[_Template, ...])
    return [example for template in templates for example in template.examples()]


def _turn(options: tuple[str, ...], number: int, fill: dict[str, str]) -> str:
    text = options[number % len(options)].format(**fill)
    return text[0].upper() + text[1:]
