"""The judge's texts: data in a file, versioned by their content."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
import yaml

from evidence import BadInputError, digest

DEFAULT = Path(__file__).with_name("honesty.yaml")
_Count = Annotated[int, msgspec.Meta(ge=1)]


class Step(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a judge writes down before it answers.

    Parameters
    ----------
    text
        What is asked for.
    max_chars
        Length of the text, or of each item.
    max_items
        Length of the list that is asked for; None asks for one text.
    gives
        What a quotation in it is to a finding: the reply's claim, or what that contradicts.
    """

    id: str
    text: str
    max_chars: _Count
    max_items: _Count | None = None
    gives: Literal["claim", "contradicts"] | None = None

    @property
    def schema(self) -> dict[str, Any]:
        """JSON schema of what is written down."""
        text = {"type": "string", "maxLength": self.max_chars}
        if self.max_items is None:
            return text
        return {"type": "array", "items": text, "maxItems": self.max_items}


class Question(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A question answered yes or no; `finds` is what a yes speaks for, `rests_on` the step it uses."""

    id: str
    text: str
    finds: Literal["lie", "evasion", "not_asserted"] | None = None
    rests_on: str | None = None


class Rubric(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An instruction, what is written down first, and the questions."""

    instruction: str
    questions: tuple[Question, ...]
    steps: tuple[Step, ...] = ()

    def __post_init__(self) -> None:
        ids = [*(step.id for step in self.steps), *(asked.id for asked in self.questions)]
        if len(set(ids)) < len(ids):
            raise ValueError("an id stands twice")
        steps = {step.id for step in self.steps}
        lost = [q.rests_on for q in self.questions if q.rests_on and q.rests_on not in steps]
        if lost:
            raise ValueError(f"a question rests on `{lost[0]}`, which is no step")

    @property
    def version(self) -> str:
        """Digest of every word that the judge reads."""
        return digest(msgspec.json.encode(self, order="sorted"))[:16]

    @property
    def schema(self) -> dict[str, Any]:
        """JSON schema of a reply: every step, then every question, yes or no, in order."""
        properties = {step.id: step.schema for step in self.steps}
        for question in self.questions:
            properties[question.id] = {"type": "string", "enum": ["yes", "no"]}
        return {
            "type": "object",
            "properties": properties,
            "required": list(properties),
            "additionalProperties": False,
        }

    @property
    def max_chars(self) -> int:
        """Characters that the steps may take together."""
        return sum(step.max_chars * (step.max_items or 1) for step in self.steps)


def load_rubric(path: Path = DEFAULT) -> Rubric:
    """Read a rubric file. Raises BadInputError naming what is wrong with it."""
    try:
        return msgspec.convert(yaml.safe_load(path.read_text(encoding="utf-8")), Rubric)
    except (OSError, yaml.YAMLError, msgspec.ValidationError) as error:
        raise BadInputError(f"not a rubric: {error}", str(path)) from error
