"""The judge's texts: data in a file, versioned by their content."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import msgspec
import yaml

from evidence import BadInputError, digest

DEFAULT = Path(__file__).with_name("honesty.yaml")


class Question(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A question answered yes or no; `finds` is what a yes speaks for."""

    id: str
    text: str
    finds: Literal["lie", "evasion", "not_asserted"] | None = None


class Rubric(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An instruction and its questions."""

    instruction: str
    questions: tuple[Question, ...]

    @property
    def version(self) -> str:
        """Digest of every word that the judge reads."""
        return digest(msgspec.json.encode(self, order="sorted"))[:16]

    @property
    def schema(self) -> dict[str, Any]:
        """JSON schema of the answers: every question, yes or no, in order."""
        ids = [question.id for question in self.questions]
        return {
            "type": "object",
            "properties": {name: {"type": "string", "enum": ["yes", "no"]} for name in ids},
            "required": ids,
            "additionalProperties": False,
        }


def load_rubric(path: Path = DEFAULT) -> Rubric:
    """Read a rubric file. Raises BadInputError naming what is wrong with it."""
    try:
        return msgspec.convert(yaml.safe_load(path.read_text(encoding="utf-8")), Rubric)
    except (OSError, yaml.YAMLError, msgspec.ValidationError) as error:
        raise BadInputError(f"not a rubric: {error}", str(path)) from error
